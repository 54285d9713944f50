"""Personalized PageRank as rows for all items.

PageRank is linear in its restart vector (Jeh & Widom 2003, theorem 1), so the vector of a user
whose restarts are spread over their evidence is the same weighted sum of the evidence nodes'
own vectors. `pagerank_rows` computes those once for all users, each by forward push (Andersen,
Chung & Lang 2006): from the item on, as far as a bounded number of links leads.
"""
# numba ships no types; everything that leaves this module is annotated.
# pyright: basic

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil, log
from typing import Any, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph
from recsvc.signals._selection import ascending, nth_largest

PAGERANK = "pagerank"
"""Name of the signal."""

MOST_LINKS = 100_000
"""Links that one row follows after those of its own item."""
_ROWS_AT_ONCE = 256
_CLASS_BITS = 20
"""float32 less these bits is its exponent and 3 bits more: a class is 1/8 of an octave."""
_CLASSES = 2048


def _adjacency(graph: HeteroGraph, evidence: sp.csr_matrix) -> sp.csr_matrix:
    """Who and what are linked, a byte each: int8 [users + items, users + items]."""
    n_users = len(graph.users)
    seen = evidence.astype(bool).astype(np.int8)
    follows = graph.follows.matrix(n_users, n_users, weighted=False)
    friends = sp.csr_matrix(follows + follows.T).astype(bool).astype(np.int8)
    blocks: Any = [[friends, seen], [seen.T, None]]  # scipy-stubs know no empty block
    links = sp.csr_matrix(sp.bmat(blocks, format="csr", dtype=np.int8))
    links.eliminate_zeros()
    return links


def pagerank_rows(
    graph: HeteroGraph,
    evidence: sp.csr_matrix,
    *,
    damping: float,
    epsilon: float,
    size: int,
    items: Int64[NDArray[np.int64], " n"] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[sp.csr_matrix, float, float]:
    """The personalized PageRank of every item, cut to its `size` largest entries on other items.

    x = (1 - damping) s + damping Pᵀ x, for the restart s at one item. Mass begins at the item. Of
    what arrives at a node, 1 - damping stays, and the rest waits until the node hands it on to its
    neighbours. Nodes do so pass by pass. A pass takes them all while their links are within what
    is left of `MOST_LINKS`. The last pass takes users alone, as what items hand on would end at
    users: those first at whom most waits per link. No entry is too large, and what a row lacks is
    what still waits, exactly.

    Args:
        graph: users, items and follows.
        evidence: weights of all users, [users, items]; which pairs are linked.
        damping: chance of going on rather than restarting.
        epsilon: a row that lacks no more mass than this follows no more links; float32 reaches
            1e-6. A row that has followed `MOST_LINKS` ends too, and may lack more: damping² at
            most.
        size: entries kept per row.
        items: those whose rows are made, ascending; the rows of others are empty. All unless given.
        progress: told (done, total) in rows.

    Returns:
        float32 [items, items], the same for any number of threads; the largest mass a row lacked
        before it was cut; and the share of all mass on other items that was cut off.
    """
    links = _adjacency(graph, evidence)
    n_users, n_items = evidence.shape
    twin = _first_alike(evidence)
    asked = np.arange(n_items) if items is None else items
    order = np.argsort(twin[asked], kind="stable")
    count = len(asked)
    out = (
        np.zeros((count, size), np.int32),
        np.zeros((count, size), np.float32),
        np.zeros(count, np.int64),
        np.zeros((3, count), np.float64),
    )
    # A pass that takes all nodes leaves damping of what waits; of rounding something might stay.
    passes = ceil(log(epsilon) / log(damping))
    begins = range(0, count, _ROWS_AT_ONCE)
    # numba's own parallel loops change how many threads torch uses in the same process, and
    # make the fits around this many times slower; threads of Python's do not.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = [
            pool.submit(
                _push_rows, links.indptr, links.indices, n_users, asked, twin,
                order[begin : begin + _ROWS_AT_ONCE], np.float32(damping), epsilon, passes, *out,
            )
            for begin in begins
        ]  # fmt: skip
        for begin, part in zip(begins, work, strict=True):
            part.result()
            progress(min(begin + _ROWS_AT_ONCE, count), count)
    columns, values, lengths, (missing, total, kept) = out
    filled = np.arange(size)[None, :] < lengths[:, None]
    entries = np.zeros(n_items, np.int64)
    entries[asked] = lengths
    indptr = np.concatenate([[0], np.cumsum(entries)])
    rows = sp.csr_matrix((values[filled], columns[filled], indptr), shape=(n_items, n_items))
    cut = 1.0 - float(kept.sum() / total.sum()) if total.any() else 0.0
    return rows, float(missing.max(initial=0.0)), max(0.0, cut)


def _first_alike(evidence: sp.csr_matrix) -> Int64[NDArray[np.int64], " items"]:
    """Of each item the first one that seems to have the same users: by sums of random numbers."""
    numbers = np.random.default_rng(0).integers(2**64, size=evidence.shape[0], dtype=np.uint64)
    sums = np.zeros(evidence.shape[1], np.uint64)
    np.add.at(sums, evidence.indices, np.repeat(numbers, np.diff(evidence.indptr)))
    _, first, group = np.unique(sums, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def _push_rows(
    indptr, indices, n_users, items, twin, order, damping, epsilon, passes, columns, values,
    lengths, mass,
):  # fmt: skip
    """Fill in the rows of some of the items, those with the same twin one after the other."""
    n_nodes = len(indptr) - 1
    # What has arrived at each node, and what of that waits: a difference would be of rounding.
    held = np.zeros((n_nodes, 2), np.float32)
    reached = np.empty(n_nodes, np.int32)
    rank = np.empty(n_nodes, np.float32)
    cost = np.empty(n_nodes, np.int32)
    begun, count, waiting = -1, 0, 0.0
    for row in order:
        seed = n_users + items[row]
        if indptr[seed] == indptr[seed + 1]:
            continue
        first = n_users + twin[items[row]]
        if not _same_links(indptr, indices, first, seed):
            first = seed
        if first != begun:
            for node in reached[:count]:
                held[node] = np.float32(0.0)
            count, waiting = _push(
                indptr, indices, n_users, first, damping, epsilon, passes, held, reached, rank, cost
            )
            begun = first
        nodes = reached[:count]
        arrived = held[nodes, 0]
        if first != seed:  # what the first one's row has on this item, this one's has on the first
            arrived[nodes == first] = held[seed, 0]
        others = (nodes >= n_users) & (nodes != seed) & (arrived > np.float32(0.0))
        mass[0, row] = waiting
        lengths[row], mass[1, row], mass[2, row] = _keep_largest(
            nodes[others] - n_users, arrived[others] * (np.float32(1.0) - damping),
            columns[row], values[row],
        )  # fmt: skip


@no_type_check
@numba.njit(cache=True, nogil=True)
def _same_links(indptr, indices, one, other):
    """Whether two nodes have the same neighbours."""
    links = indptr[one + 1] - indptr[one]
    if links != indptr[other + 1] - indptr[other]:
        return False
    for link in range(links):
        if indices[indptr[one] + link] != indices[indptr[other] + link]:
            return False
    return True


@no_type_check
@numba.njit(cache=True, nogil=True)
def _push(indptr, indices, n_users, seed, damping, epsilon, passes, held, reached, rank, cost):
    """Number of nodes reached, and the mass that still waits at them."""
    held[seed, 0] = np.float32(1.0)
    reached[0] = seed
    share = damping / np.float32(indptr[seed + 1] - indptr[seed])
    count = _hand_on(indptr, indices, seed, share, held, reached, 1)
    left, complete = MOST_LINKS, True
    while True:
        waiting = 0.0
        for place in range(count):
            node = reached[place]
            degree = indptr[node + 1] - indptr[node]
            mass = damping * held[node, 1]
            rank[place] = mass / np.float32(degree)
            cost[place] = degree if mass > np.float32(0.0) else 0
            waiting += mass
        if waiting <= epsilon or passes == 0 or not complete:
            return count, waiting
        passes -= 1
        complete = np.sum(cost[:count]) <= left
        if not complete:
            cost[:count][reached[:count] >= n_users] = 0
        classes = rank[:count].view(np.int32)
        floor, room = _floor(classes, cost, left)
        for place in range(count):
            own = classes[place] >> _CLASS_BITS
            if own < floor or (own == floor and cost[place] > room):
                continue
            if own == floor:
                room -= cost[place]
            left -= cost[place]
            node = reached[place]
            if node >= n_users and not complete:
                continue
            share = damping * held[node, 1] / np.float32(indptr[node + 1] - indptr[node])
            held[node, 1] = np.float32(0.0)
            if share > np.float32(0.0):
                count = _hand_on(indptr, indices, node, share, held, reached, count)


@no_type_check
@numba.njit(cache=True, nogil=True)
def _floor(classes, cost, most):
    """The class above which all together cost no more than `most`, and what that leaves."""
    sums = np.zeros(_CLASSES, np.int64)
    for place in range(len(classes)):
        sums[classes[place] >> _CLASS_BITS] += cost[place]
    floor = _CLASSES - 1
    while floor >= 0 and sums[floor] <= most:
        most -= sums[floor]
        floor -= 1
    return floor, most


@no_type_check
@numba.njit(cache=True, nogil=True)
def _hand_on(indptr, indices, node, share, held, reached, count):
    """Give each neighbour a share above 0; the number of nodes reached by now."""
    for link in range(indptr[node], indptr[node + 1]):
        neighbour = indices[link]
        if held[neighbour, 0] == np.float32(0.0):
            reached[count] = neighbour
            count += 1
        held[neighbour, 0] += share
        held[neighbour, 1] += share
    return count


@no_type_check
@numba.njit(cache=True, nogil=True)
def _keep_largest(items, scores, columns, values):
    """Write the largest entries (ties: smaller item); their number, all mass, kept mass."""
    size = len(columns)
    floor, _ = _floor(scores.view(np.int32), np.ones(len(items), np.int32), size)
    likely = np.flatnonzero(scores.view(np.int32) >> _CLASS_BITS >= floor)
    likely = likely[ascending(items[likely])]
    columns_found, largest = items[likely], scores[likely]
    if len(largest) > size:
        least = nth_largest(largest, size)
        tied = largest == least
        ties = size - np.sum(largest > least)
        able = (largest > least) | (tied & (np.cumsum(tied.astype(np.int64)) <= ties))
        columns_found, largest = columns_found[able], largest[able]
    count = len(largest)
    columns[:count] = columns_found
    values[:count] = largest
    return count, np.sum(scores.astype(np.float64)), np.sum(largest.astype(np.float64))
