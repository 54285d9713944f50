"""Personalized PageRank rows.

PageRank is linear in its restart vector (Jeh & Widom 2003, theorem 1), so the vector of a user
whose restarts are spread over their evidence is the same weighted sum of the evidence nodes'
own vectors. Those are computed here, once for all users, by forward push (Andersen, Chung & Lang
2006, §3): it touches only the nodes near the seed, and its error is known.
"""
# numba ships no types; everything that leaves this module is annotated.
# pyright: basic

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, no_type_check

import numba
import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph


def transition_matrix(graph: HeteroGraph, evidence: sp.csr_matrix) -> sp.csr_matrix:
    """Row-stochastic steps over users and items: interactions both ways, follows both ways.

    Returns:
        float64 [users + items, users + items]; users first. A node without neighbours has an
        empty row.
    """
    n_users = len(graph.users)
    seen = evidence.astype(bool).astype(np.float64)
    follows = graph.follows.matrix(n_users, n_users, weighted=False)
    friends = sp.csr_matrix(follows + follows.T).astype(bool).astype(np.float64)
    blocks: Any = [[friends, seen], [seen.T, None]]  # scipy-stubs know no empty block
    adjacency = sp.csr_matrix(sp.bmat(blocks, format="csr", dtype=np.float64))
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    scale = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    return (sp.diags(scale) @ adjacency).tocsr()


def pagerank_rows(
    graph: HeteroGraph, evidence: sp.csr_matrix, *, damping: float, epsilon: float, size: int
) -> tuple[sp.csr_matrix, float]:
    """The personalized PageRank of every item, cut to its `size` largest entries on other items.

    Args:
        graph: users, items and follows.
        evidence: weights of all users, [users, items]; which pairs are linked.
        damping: chance of going on rather than restarting.
        epsilon: residual per degree at which a node is no longer pushed. No entry is too small
            by more than epsilon times the degree of its node.
        size: entries kept per row.

    Returns:
        float32 [items, items], and the largest mass any seed had not yet pushed: the L1 error
        of its row before it was cut.
    """
    transition = transition_matrix(graph, evidence)
    n_users, n_items = evidence.shape
    out = (
        np.zeros((n_items, size), np.int32),
        np.zeros((n_items, size), np.float32),
        np.zeros(n_items, np.int64),
        np.zeros(n_items, np.float64),
    )
    # numba's own parallel loops change how many threads torch uses in the same process, and
    # make the fits around this many times slower; threads of Python's do not.
    parts = os.cpu_count() or 1
    with ThreadPoolExecutor(parts) as pool:
        work = [
            pool.submit(
                _push_part, transition.indptr, transition.indices, transition.data, n_users,
                part, parts, damping, epsilon, *out,
            )
            for part in range(parts)
        ]  # fmt: skip
        for each in work:
            each.result()
    columns, values, lengths, residual = out
    filled = np.arange(size)[None, :] < lengths[:, None]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    rows = sp.csr_matrix((values[filled], columns[filled], indptr), shape=(n_items, n_items))
    rows.sort_indices()
    return rows, float(residual.max(initial=0.0))


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def _push_part(
    indptr, indices, data, n_users, part, n_parts, damping, epsilon,
    columns, values, lengths, residual_mass,
):  # fmt: skip
    """Fill in the rows of every n_parts-th item."""
    n_nodes, size = len(indptr) - 1, columns.shape[1]
    rank = np.zeros(n_nodes)
    residual = np.zeros(n_nodes)
    queue = np.zeros(n_nodes, np.int64)
    queued = np.zeros(n_nodes, np.bool_)
    touched = np.zeros(n_nodes, np.int64)
    for item in range(part, len(lengths), n_parts):
        if indptr[n_users + item + 1] == indptr[n_users + item]:
            continue
        count = _push(
            indptr, indices, data, n_users + item, damping, epsilon, rank, residual, queue,
            queued, touched,
        )  # fmt: skip
        lengths[item], residual_mass[item] = _keep_largest(
            touched[:count], rank, residual, n_users, item, size, columns[item], values[item]
        )


@no_type_check
@numba.njit(cache=True, nogil=True)
def _push(indptr, indices, data, seed, damping, epsilon, rank, residual, queue, queued, touched):
    """Push from one seed until no node holds more than epsilon · degree; nodes touched."""
    n_nodes = len(rank)
    residual[seed] = 1.0
    queue[0] = seed
    queued[seed] = True
    touched[0] = seed
    n_touched, head, waiting = 1, 0, 1
    while waiting:
        node = queue[head]
        head = (head + 1) % n_nodes
        waiting -= 1
        queued[node] = False
        mass = residual[node]
        residual[node] = 0.0
        rank[node] += (1.0 - damping) * mass
        for edge in range(indptr[node], indptr[node + 1]):
            target = indices[edge]
            if rank[target] == 0.0 and residual[target] == 0.0 and target != seed:
                touched[n_touched] = target
                n_touched += 1
            residual[target] += damping * mass * data[edge]
            degree = indptr[target + 1] - indptr[target]
            if not queued[target] and residual[target] > epsilon * degree:
                queue[(head + waiting) % n_nodes] = target
                queued[target] = True
                waiting += 1
    return n_touched


@no_type_check
@numba.njit(cache=True, nogil=True)
def _keep_largest(touched, rank, residual, n_users, seed_item, size, columns, values):
    """Write the largest entries on items other than the seed; clear the work arrays."""
    nodes = np.sort(touched)
    scores = np.empty(len(nodes))
    left = 0.0
    for position in range(len(nodes)):
        node = nodes[position]
        other_item = node >= n_users and node != n_users + seed_item
        scores[position] = -rank[node] if other_item else 0.0
        left += residual[node]
        rank[node] = 0.0
        residual[node] = 0.0
    kept = 0
    for position in np.argsort(scores, kind="mergesort")[:size]:
        if scores[position] < 0.0:
            columns[kept] = nodes[position] - n_users
            values[kept] = -scores[position]
            kept += 1
    return kept, left
