# pyright: basic
# numba's decorators are untyped: a compiled function has no type. `no_type_check` keeps the
# checking of shapes in tests, which wraps every function, away from what numba compiles.
"""Second-order random walks, compiled.

Grover & Leskovec 2016, "node2vec: Scalable feature learning for networks", §3.2.
"""

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
    starts: Int64[NDArray[np.int64], " walks"],
    length: int,
    *,
    p: float,
    q: float,
    seed: int,
    threads: int | None = None,
) -> Int32[NDArray[np.int32], "walks length"]:
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
    walks = np.full((len(starts), length), -1, np.int32)

    def fill(first: int) -> None:
        part = slice(first, first + _WALKS_AT_ONCE)
        _walk_part(*graph, starts[part], 1.0 / p, 1.0 / q, np.uint64(seed), first, walks[part])

    # Threads of our own and not numba's: its OpenMP layer changes the number of threads that
    # torch uses in the same process, which can make small steps of training 50 times slower.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, len(starts), _WALKS_AT_ONCE)))
    return walks


def transition_probabilities(
    graph: WalkGraph, previous: int, current: int, *, p: float, q: float
) -> Float64[NDArray[np.float64], " neighbours"]:
    """Exact probabilities of the next node, in the order of `current`'s neighbours.

    π(x | current, previous) ∝ w(current, x) · bias(previous, x), where the bias is 1/p if x is
    `previous`, 1 if x is its neighbour, else 1/q (§3.2.2). The walker draws from the same
    distribution by rejection and never computes it.
    """
    own = slice(int(graph.begin[current]), int(graph.begin[current + 1]))
    weights = np.diff(graph.cumulative[own], prepend=0.0)
    bias = [
        _bias(graph.begin, graph.neighbour, previous, x, 1.0 / p, 1.0 / q)
        for x in graph.neighbour[own]
    ]
    unnormalised = weights * np.array(bias)
    return unnormalised / unnormalised.sum()


@numba.njit(cache=True)
@no_type_check
def _next_random(state):
    """SplitMix64 (Steele, Lea & Flood 2014): the next state and a number in [0, 1)."""
    state = state + _GOLDEN
    mixed = (state ^ (state >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    mixed = mixed ^ (mixed >> np.uint64(31))
    return state, (mixed >> np.uint64(11)) * _UNIT


@numba.njit(cache=True)
@no_type_check
def _stream(seed, number):
    """The first state of one walk's stream: far from that of any other walk."""
    mixed = (np.uint64(number) + _GOLDEN * (seed + np.uint64(1))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(32))


@numba.njit(cache=True)
@no_type_check
def _adjacent(begin, neighbour, node, other):
    low, high = begin[node], begin[node + 1]
    while low < high:
        middle = (low + high) // 2
        if neighbour[middle] < other:
            low = middle + 1
        else:
            high = middle
    return low < begin[node + 1] and neighbour[low] == other


@numba.njit(cache=True)
@no_type_check
def _bias(begin, neighbour, previous, candidate, back, out):
    if candidate == previous:
        return back
    return 1.0 if _adjacent(begin, neighbour, previous, candidate) else out


@numba.njit(cache=True)
@no_type_check
def _weighted_neighbour(begin, neighbour, cumulative, node, draw):
    """The neighbour at which the running sum of weights passes `draw` of the whole."""
    low, high = begin[node], begin[node + 1] - 1
    target = draw * cumulative[high]
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
            state, draw = _next_random(state)
            candidate = _weighted_neighbour(begin, neighbour, cumulative, current, draw)
            if step == 1:
                break
            state, draw = _next_random(state)
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
        state = _stream(seed, first + row)
        _walk(begin, neighbour, cumulative, walks.shape[1], back, out, state, walks[row])
