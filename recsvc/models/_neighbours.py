# pyright: basic
# numba's decorators are untyped. `no_type_check` keeps the checking of shapes in tests, which wraps
# every function, away from what numba compiles.
"""Some neighbours of each node, drawn at random, compiled.

Hamilton, Ying & Leskovec 2017, "Inductive representation learning on large graphs", §3.1: a layer
looks at a fixed number of neighbours at most, so that a step costs the same whatever the degrees.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Int32, Int64
from numpy.typing import NDArray

from recsvc.models._walks import first_state, next_random


class Links(NamedTuple):
    """Relationships of one type, by the node at one end.

    Attributes:
        begin: where the relationships of a node begin; one more entry than there are nodes.
        neighbour: the node at the other end of each.
    """

    begin: Int64[NDArray[np.int64], " nodes_1"]
    neighbour: Int32[NDArray[np.int32], " edges"]

    @classmethod
    def of_rows(cls, matrix: sp.csr_matrix) -> "Links":
        """The stored entries of a matrix, in their order, by row."""
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


class Sampled(NamedTuple):
    """Relationships that were drawn.

    Attributes:
        row: for which of the nodes asked for, ascending.
        edge: their places in `Links`.
    """

    row: Int64[NDArray[np.int64], " drawn"]
    edge: Int64[NDArray[np.int64], " drawn"]


def sample_neighbours(
    links: Links, nodes: Int64[NDArray[np.int64], " n"], most: int, seed: int
) -> Sampled:
    """Draw different relationships of each node, all sets of them alike.

    Each node has its own stream of random numbers, so what is drawn for one does not depend on
    which others are asked for.

    Args:
        links: what is drawn from.
        nodes: whose relationships.
        most: how many of each node; of one with no more, all.
        seed: decides which.
    """
    count = np.minimum(links.begin[nodes + 1] - links.begin[nodes], most)
    first = np.cumsum(count) - count
    edge = np.empty(count.sum(), np.int64)
    _draw(links.begin, nodes, first, most, np.uint64(seed), edge)
    return Sampled(np.repeat(np.arange(len(nodes)), count), edge)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _draw(begin, nodes, first, most, seed, edge):
    """Floyd's algorithm (Bentley & Floyd 1987, "A sample of brilliance") for each node."""
    for k in range(len(nodes)):
        start, at = begin[nodes[k]], first[k]
        degree = begin[nodes[k] + 1] - start
        if degree <= most:
            for step in range(degree):
                edge[at + step] = start + step
            continue
        state = first_state(seed, nodes[k])
        for step in range(most):
            last = degree - most + step
            state, draw = next_random(state)
            chosen = start + np.int64(draw * (last + 1))
            for before in range(at, at + step):
                if edge[before] == chosen:
                    chosen = start + last
                    break
            edge[at + step] = chosen
