"""Recommendations for many users at once, from the same snapshot and by the same blend."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap
from recsvc.blend.ranking import best_items
from recsvc.evidence import (
    EvidenceMatrices,
    evidence_matrix,
    of_users,
    seen_matrix,
    since_matrix,
)
from recsvc.settings import EventSettings
from recsvc.snapshot.arrays import Snapshot

USERS_PER_CHUNK = 256
"""Users whose scores are made at once."""


@dataclass(frozen=True, slots=True, eq=False)
class UserList:
    """The best items of one user, best first.

    Attributes:
        user_id: the user.
        items: rows of the snapshot's items.
        scores: their scores.
        newcomers: ids of items that came since the refresh, where there are too few others of
            score 0 or more; their score is 0, and they come after the others of that score.
    """

    user_id: str
    items: Int64[NDArray[np.int64], " k"]
    scores: Float32[NDArray[np.float32], " k"]
    newcomers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class BatchEvidence:
    """The evidence of all users of a graph, in the rows of a snapshot.

    Attributes:
        users: rows of the matrices.
        by_kind: what is known of them.
        seen: stored where a user did anything with an item, [users, items].
        newcomers: ids of the available items that the snapshot lacks, in the order of the lists.
        seen_newcomers: the same of them as `seen`, [users, newcomers].
    """

    users: IdMap
    by_kind: EvidenceMatrices
    seen: sp.csr_matrix
    newcomers: tuple[str, ...]
    seen_newcomers: sp.csr_matrix


def batch_evidence(
    graph: HeteroGraph,
    snapshot: Snapshot,
    events: Mapping[str, EventSettings],
    *,
    at: float | None = None,
    newcomers: Sequence[str] = (),
) -> BatchEvidence:
    """Evidence as the service would read it for each user; nodes the snapshot lacks fall away.

    Args:
        graph: what users did.
        snapshot: whose rows are wanted.
        events: settings by kind of event.
        at: when it would be read, in Unix seconds; now if not given.
        newcomers: ids of the available items that the snapshot lacks, in the order of the lists.
    """
    n_users, now = len(graph.users), time.time() if at is None else at
    items, users, categories = snapshot.items, snapshot.users, snapshot.categories
    seen = seen_matrix(graph)
    return BatchEvidence(
        graph.users,
        {
            "item": _in_rows_of(
                evidence_matrix(graph, events, now=now, dislikes=True), graph.items, items
            ),
            "since": _in_rows_of(since_matrix(graph), graph.items, items),
            "user": _in_rows_of(
                graph.follows.matrix(n_users, n_users, weighted=False), graph.users, users
            ),
            "category": _in_rows_of(
                graph.prefers.matrix(n_users, len(graph.categories)), graph.categories, categories
            ),
        },
        _in_rows_of(seen, graph.items, items),
        tuple(newcomers),
        _in_rows_of(seen, graph.items, IdMap(newcomers)),
    )


def recommend_all(
    snapshot: Snapshot, evidence: BatchEvidence, user_ids: Sequence[str], k: int
) -> Iterator[UserList]:
    """The k best unseen available items of each user, in the order given."""
    rows = evidence.users.rows(user_ids)
    available = np.asarray(snapshot.available)
    for start in range(0, len(rows), USERS_PER_CHUNK):
        chunk = rows[start : start + USERS_PER_CHUNK]
        scores = snapshot.blend.batch_scores(of_users(evidence.by_kind, chunk))
        for position, user in enumerate(chunk.tolist()):
            allowed = available.copy()
            allowed[evidence.seen[user].indices] = False
            best = best_items(scores[position], allowed, k)
            liked = int((scores[position, best] >= 0.0).sum())
            new = _unseen_newcomers(evidence, user)[: k - liked] if liked < k else ()
            best = best[: k - len(new)]
            yield UserList(evidence.users[user], best, scores[position, best], new)


def _unseen_newcomers(evidence: BatchEvidence, user: int) -> tuple[str, ...]:
    seen = set(evidence.seen_newcomers[user].indices.tolist())
    return tuple(each for row, each in enumerate(evidence.newcomers) if row not in seen)


def _in_rows_of(matrix: sp.csr_matrix, theirs: IdMap, ours: IdMap) -> sp.csr_matrix:
    """The same matrix with its columns in the order of `ours`; unknown columns fall away."""
    column = ours.rows(list(theirs))
    entries = matrix.tocoo()
    target = column[entries.col]
    has_row = target >= 0
    return sp.csr_matrix(
        (entries.data[has_row], (entries.row[has_row], target[has_row])),
        shape=(matrix.shape[0], len(ours)),
    )
