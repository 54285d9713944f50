# pyright: basic
# numba's decorators are untyped: a compiled function has no type.
"""Second-order random walks, compiled.

Grover & Leskovec 2016, "node2vec: Scalable feature learning for networks", §3.2.
"""

from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int32, Int64
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_UNIT = 2.0**-53


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

    Returns:
        The nodes of each walk. A node without neighbours ends the walk: -1 follows.
    """
    return _walk_all(*graph, starts, length, 1.0 / p, 1.0 / q, np.uint64(seed))


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
def _next_random(state):
    """SplitMix64 (Steele, Lea & Flood 2014, §3): the next state and a number in [0, 1)."""
    state = state + _GOLDEN
    mixed = (state ^ (state >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    mixed = mixed ^ (mixed >> np.uint64(31))
    return state, (mixed >> np.uint64(11)) * _UNIT


@numba.njit(cache=True)
def _stream(seed, number):
    """The first state of one walk's stream: far from that of any other walk."""
    mixed = (np.uint64(number) + _GOLDEN * (seed + np.uint64(1))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX_2
    return mixed ^ (mixed >> np.uint64(32))


@numba.njit(cache=True)
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
def _bias(begin, neighbour, previous, candidate, back, out):
    if candidate == previous:
        return back
    return 1.0 if _adjacent(begin, neighbour, previous, candidate) else out


@numba.njit(cache=True)
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
def _walk(begin, neighbour, cumulative, length, back, out, state, walk):
    """Fill in one walk whose first node is set.

    A candidate is drawn by weight and kept with probability bias / largest bias, as in
    KnightKing (Yang et al. 2019, §4.1).
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


@numba.njit(cache=True, parallel=True)
def _walk_all(begin, neighbour, cumulative, starts, length, back, out, seed):
    walks = np.full((len(starts), length), -1, np.int32)
    for number in numba.prange(len(starts)):
        walks[number, 0] = starts[number]
        state = _stream(seed, number)
        _walk(begin, neighbour, cumulative, length, back, out, state, walks[number])
    return walks
