"""Personalized PageRank as rows for all items.

PageRank is linear in its restart vector (Jeh & Widom 2003, theorem 1), so the vector of a user
whose restarts are spread over their evidence is the same weighted sum of the evidence nodes'
own vectors. `pagerank_rows` computes those once for all users, by Gauss-Seidel sweeps over all
links for many seeds together.
"""
# numba ships no types; everything that leaves this module is annotated.
# pyright: basic

import os
from concurrent.futures import ThreadPoolExecutor
from math import ceil, log
from typing import Any, no_type_check

import numba
import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph

PAGERANK = "pagerank"
"""Name of the signal."""

_SEEDS_AT_ONCE = 32
"""A row of float32 for as many seeds is two cache lines, fetched once for each link."""


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
) -> tuple[sp.csr_matrix, float, float]:
    """The personalized PageRank of every item, cut to its `size` largest entries on other items.

    x = (1 - damping) s + damping Pᵀ x, for the restart s at one item, is solved node by node with
    the newest values of the others. From x = 0 each sweep comes nearer from below, so no entry is
    too large, and what is missing is 1 - Σ x, exactly. Where users and items are linked with each
    other only, a sweep divides it by damping².

    Args:
        graph: users, items and follows.
        evidence: weights of all users, [users, items]; which pairs are linked.
        damping: chance of going on rather than restarting.
        epsilon: mass that a row may lack, its L1 error, before it is cut; float32 reaches 1e-6.
        size: entries kept per row.

    Returns:
        float32 [items, items]; the largest mass a row lacked before it was cut; and the share of
        all mass on other items that was cut off.
    """
    transition = transition_matrix(graph, evidence)
    n_users, n_items = evidence.shape
    out = (
        np.zeros((n_items, size), np.int32),
        np.zeros((n_items, size), np.float32),
        np.zeros(n_items, np.int64),
        np.zeros((3, n_items), np.float64),
    )
    # The error is at most damping^sweeps; with rounding it might never be seen to be epsilon.
    sweeps = max(1, ceil(log(epsilon) / log(damping)))
    # numba's own parallel loops change how many threads torch uses in the same process, and
    # make the fits around this many times slower; threads of Python's do not.
    parts = os.cpu_count() or 1
    with ThreadPoolExecutor(parts) as pool:
        work = [
            pool.submit(
                _solve_part, transition.indptr, transition.indices, n_users, part, parts,
                np.float32(damping), epsilon, sweeps, *out,
            )
            for part in range(parts)
        ]  # fmt: skip
        for each in work:
            each.result()
    columns, values, lengths, (missing, total, kept) = out
    filled = np.arange(size)[None, :] < lengths[:, None]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    rows = sp.csr_matrix((values[filled], columns[filled], indptr), shape=(n_items, n_items))
    cut = 1.0 - float(kept.sum() / total.sum()) if total.any() else 0.0
    return rows, float(missing.max(initial=0.0)), max(0.0, cut)


@no_type_check  # numba compiles it: a run-time type checker must not wrap it
@numba.njit(cache=True, nogil=True)
def _solve_part(
    indptr, indices, n_users, part, n_parts, damping, epsilon, sweeps,
    columns, values, lengths, mass,
):  # fmt: skip
    """Fill in the rows of every n_parts-th block of items."""
    # In x / degree, what a node passes on is the same for all of its links.
    x = np.zeros((len(indptr) - 1, _SEEDS_AT_ONCE), np.float32)
    sums = np.zeros(_SEEDS_AT_ONCE, np.float64)
    step = n_parts * _SEEDS_AT_ONCE
    for first in range(part * _SEEDS_AT_ONCE, len(lengths), step):
        count = min(_SEEDS_AT_ONCE, len(lengths) - first)
        x[:] = np.float32(0.0)
        for _ in range(sweeps):
            _sweep(indptr, indices, n_users + first, count, damping, x, sums)
            lacking = 0.0
            for k in range(count):
                linked = indptr[n_users + first + k + 1] > indptr[n_users + first + k]
                mass[0, first + k] = max(0.0, 1.0 - sums[k]) if linked else 0.0
                lacking = max(lacking, mass[0, first + k])
            if lacking <= epsilon:
                break
        for k in range(count):
            item = first + k
            lengths[item], mass[1, item], mass[2, item] = _keep_largest(
                x[n_users:, k], indptr[n_users:], item, columns[item], values[item]
            )


@no_type_check
@numba.njit(cache=True, nogil=True)
def _sweep(indptr, indices, first, count, damping, x, sums):
    """Solve each node's own equation in turn; the sum of the entries of each seed."""
    sums[:] = 0.0
    into = np.zeros(x.shape[1], np.float32)
    for node in range(len(indptr) - 1):
        degree = np.float32(indptr[node + 1] - indptr[node])
        if degree == 0:
            continue
        into[:] = np.float32(0.0)
        for edge in range(indptr[node], indptr[node + 1]):
            row = x[indices[edge]]
            for k in range(len(row)):
                into[k] += row[k]
        for k in range(len(into)):
            into[k] *= damping
        if first <= node < first + count:
            into[node - first] += np.float32(1.0) - damping
        row = x[node]
        for k in range(len(into)):
            row[k] = into[k] / degree
            sums[k] += into[k]


@no_type_check
@numba.njit(cache=True, nogil=True)
def _keep_largest(x, indptr, seed, columns, values):
    """Write the largest entries on other items (ties: smaller item); count, all mass, kept mass."""
    scores = np.empty(len(x), np.float32)
    for item in range(len(x)):
        scores[item] = x[item] * np.float32(indptr[item + 1] - indptr[item])
    scores[seed] = np.float32(0.0)
    size = min(len(columns), len(scores))
    least = np.partition(scores, len(scores) - size)[len(scores) - size]
    ties = size - np.sum(scores > least)
    count, total, kept = 0, 0.0, 0.0
    for item in range(len(scores)):
        score = scores[item]
        total += score
        if score == 0.0 or score < least or (score == least and ties == 0):
            continue
        if score == least:
            ties -= 1
        columns[count] = item
        values[count] = score
        kept += score
        count += 1
    return count, total, kept
