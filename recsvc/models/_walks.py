# pyright: basic
# numba's decorators are untyped: a compiled function has no type. `no_type_check` keeps the
# checking of shapes in tests, which wraps every function, away from what numba compiles.
"""Random walks, compiled: of second order, and along a meta-path.

Grover & Leskovec 2016, "node2vec: Scalable feature learning for networks", §3.2; Dong et al. 2017,
"metapath2vec: Scalable representation learning for heterogeneous networks", §3.2.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int32, Int64
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53
_WALKS_AT_ONCE = 4096

Starts = Int64[NDArray[np.int64], " walks"]
Walks = Int32[NDArray[np.int32], "walks length"]


class WalkGraph(NamedTuple):
    """An undirected weighted graph.

    Attributes:
        begin: where the neighbours of a node begin; one more entry than there are nodes.
        neighbour: the neighbours of each node, ascending.
        cumulative: running sum of the weights of a node's neighbours.
    """

    begin: Int64[NDArray[np.int64], " nodes_1"]
    neighbour: Int32[NDArray[np.int32], " edges"]
    cumulative: Float64[NDArray[np.float64], " edges"]

    @classmethod
    def from_matrix(cls, weights: sp.csr_matrix) -> "WalkGraph":
        """Take a symmetric matrix of weights above 0, [nodes, nodes]."""
        weights = sp.csr_matrix(weights, copy=True)
        weights.sort_indices()
        begin = weights.indptr.astype(np.int64)
        running = np.concatenate([[0.0], np.cumsum(weights.data, dtype=np.float64)])
        cumulative = running[1:] - np.repeat(running[begin[:-1]], np.diff(begin))
        return cls(begin, weights.indices.astype(np.int32), cumulative)


def random_walks(
    graph: WalkGraph,
    starts: Starts,
    length: int,
    *,
    p: float,
    q: float,
    seed: int,
    threads: int | None = None,
) -> Walks:
    """Walk from each start node.

    Each walk has its own stream of random numbers, made from the seed and the walk's number, so
    the result does not depend on how many threads there are.

    Args:
        graph: where to walk.
        starts: first node of each walk.
        length: nodes in a walk.
        p: return parameter: 1/p is the bias of going straight back.
        q: in-out parameter: 1/q is the bias of going to a node that the previous one has no
            relationship with.
        seed: of all walks.
        threads: how many walk at once; by default a few more than there are processors.

    Returns:
        The nodes of each walk. A node without neighbours ends the walk: -1 follows.
    """

    def fill(first: int, some: Starts, part: Walks) -> None:
        _walk_part(*graph, some, 1.0 / p, 1.0 / q, np.uint64(seed), first, part)

    return _in_threads(fill, starts, length, threads)


def typed_walks(
    graph: WalkGraph,
    starts: Starts,
    length: int,
    *,
    bounds: tuple[int, ...],
    path: tuple[int, ...],
    seed: int,
    threads: int | None = None,
) -> Walks:
    """Walk from each start node along a meta-path, over and over.

    At step k the next node is drawn by weight among those neighbours whose type is the one after
    path[k] (Dong et al. 2017, eq. 3, with weights in place of ones).

    Args:
        graph: where to walk; nodes of one type follow each other.
        starts: first node of each walk, of type path[0].
        length: nodes in a walk.
        bounds: the nodes of type t are bounds[t] to bounds[t + 1] - 1.
        path: types; the last one is the first one.
        seed: of all walks.
        threads: how many walk at once; it changes no walk.

    Returns:
        The nodes of each walk. A node without a neighbour of the next type ends the walk: -1
        follows.
    """
    limits, types = np.array(bounds, np.int64), np.array(path[:-1], np.int64)

    def fill(first: int, some: Starts, part: Walks) -> None:
        _typed_walk_part(*graph, limits, types, some, np.uint64(seed), first, part)

    return _in_threads(fill, starts, length, threads)


def _in_threads(
    fill: Callable[[int, Starts, Walks], None],
    starts: Starts,
    length: int,
    threads: int | None,
) -> Walks:
    walks = np.full((len(starts), length), -1, np.int32)

    def fill_from(first: int) -> None:
        part = slice(first, first + _WALKS_AT_ONCE)
        fill(first, starts[part], walks[part])

    # Threads of our own and not numba's: its OpenMP layer changes the number of threads that
    # torch uses in the same process, which can make small steps of training 50 times slower.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill_from, range(0, len(starts), _WALKS_AT_ONCE)))
    return walks


@numba.njit(cache=True)
@no_type_check
def next_random(state):
    """SplitMix64 (Steele, Lea & Flood 2014): the next state and a number in [0, 1)."""
    state = state + _GOLDEN
    mixed = (state ^ (state >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    mixed = mixed ^ (mixed >> np.uint64(31))
    return state, (mixed >> np.uint64(11)) * _UNIT


@numba.njit(cache=True)
@no_type_check
def first_state(seed, number):
    """The first state of one stream of random numbers: far from that of any other number."""
    mixed = (np.uint64(number) + _GOLDEN * (seed + np.uint64(1))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(32))


@numba.njit(cache=True)
@no_type_check
def _first_from(neighbour, low, high, node):
    """Where in an ascending part of the neighbours those from `node` on begin."""
    while low < high:
        middle = (low + high) // 2
        if neighbour[middle] < node:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
@no_type_check
def _adjacent(begin, neighbour, node, other):
    place = _first_from(neighbour, begin[node], begin[node + 1], other)
    return place < begin[node + 1] and neighbour[place] == other


@numba.njit(cache=True)
@no_type_check
def _bias(begin, neighbour, previous, candidate, back, out):
    if candidate == previous:
        return back
    return 1.0 if _adjacent(begin, neighbour, previous, candidate) else out


@numba.njit(cache=True)
@no_type_check
def _weighted_neighbour(neighbour, cumulative, low, high, before, draw):
    """The one from `low` to `high` at which the weights pass `draw` of theirs.

    `before` is the sum of the weights of the node's neighbours before `low`.
    """
    target = before + draw * (cumulative[high] - before)
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] <= target:
            low = middle + 1
        else:
            high = middle
    return neighbour[low]


@numba.njit(cache=True)
@no_type_check
def _walk(begin, neighbour, cumulative, length, back, out, state, walk):
    """Fill in one walk whose first node is set.

    A candidate is drawn by weight and kept with probability bias / largest bias, as in
    KnightKing (Yang et al. 2019).
    """
    highest = max(back, 1.0, out)
    lowest = min(back, 1.0, out)
    for step in range(1, length):
        current = walk[step - 1]
        if begin[current] == begin[current + 1]:
            return
        while True:
            state, draw = next_random(state)
            low, high = begin[current], begin[current + 1] - 1
            candidate = _weighted_neighbour(neighbour, cumulative, low, high, 0.0, draw)
            if step == 1:
                break
            state, draw = next_random(state)
            if draw * highest < lowest:
                break
            previous = walk[step - 2]
            if draw * highest < _bias(begin, neighbour, previous, candidate, back, out):
                break
        walk[step] = candidate


@numba.njit(cache=True, nogil=True)
@no_type_check
def _walk_part(begin, neighbour, cumulative, starts, back, out, seed, first, walks):
    """Fill in the walks of some starts; `first` is the number of the first of them."""
    for row in range(len(starts)):
        walks[row, 0] = starts[row]
        state = first_state(seed, first + row)
        _walk(begin, neighbour, cumulative, walks.shape[1], back, out, state, walks[row])


@numba.njit(cache=True)
@no_type_check
def _typed_walk(begin, neighbour, cumulative, bounds, types, state, walk):
    """Fill in one walk along the types, whose first node is set."""
    for step in range(1, len(walk)):
        current = walk[step - 1]
        wanted = types[step % len(types)]
        low = _first_from(neighbour, begin[current], begin[current + 1], bounds[wanted])
        end = _first_from(neighbour, low, begin[current + 1], bounds[wanted + 1])
        if low == end:
            return
        before = cumulative[low - 1] if low > begin[current] else 0.0
        state, draw = next_random(state)
        walk[step] = _weighted_neighbour(neighbour, cumulative, low, end - 1, before, draw)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _typed_walk_part(begin, neighbour, cumulative, bounds, types, starts, seed, first, walks):
    """As `_walk_part`, along the types."""
    for row in range(len(starts)):
        walks[row, 0] = starts[row]
        state = first_state(seed, first + row)
        _typed_walk(begin, neighbour, cumulative, bounds, types, state, walks[row])
