"""Meta-path rows: what the files under `cypher/metapaths/` return, kept as sparse arrays."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.errors import CatalogueError
from loaders.extract import Progress, metapath_rows
from loaders.gateway import Gateway, Transaction
from loaders.types import IdMap
from recsvc.evidence import EvidenceKind
from recsvc.signals.rows import truncate_rows

_KIND_BY_PREFIX: Mapping[str, EvidenceKind] = {
    "item_": "item",
    "followed_user_": "user",
    "category_": "category",
}
_USERS_PER_REHEARSAL = 50


def metapath_kinds() -> dict[str, EvidenceKind]:
    """Every meta-path and the kind of evidence it starts from, which its name begins with.

    Raises:
        CatalogueError: a file's name begins with no kind of evidence.
    """
    kinds: dict[str, EvidenceKind] = {}
    for query in catalogue().folder("metapaths"):
        name = query.name.removeprefix("metapaths/")
        kinds[name] = _kind(name)
    return kinds


def metapath_reads(name: str) -> frozenset[str] | None:
    """Types of relationships that all rows depend on, besides ids; None where it is not said."""
    return catalogue()[f"metapaths/{name}"].reads


def metapath_digests() -> dict[str, str]:
    """A digest of the text of every meta-path."""
    return {
        query.name: hashlib.sha256(query.text.encode()).hexdigest()
        for query in catalogue().folder("metapaths")
    }


def _kind(name: str) -> EvidenceKind:
    for prefix, kind in _KIND_BY_PREFIX.items():
        if name.startswith(prefix):
            return kind
    raise CatalogueError(
        f"cypher/metapaths/{name}: a meta-path's name begins with the evidence it starts from: "
        f"expected one of {', '.join(_KIND_BY_PREFIX)}"
    )


def all_rows(
    gateway: Gateway, name: str, evidence: IdMap, items: IdMap, size: int, progress: Progress
) -> sp.csr_matrix:
    """The rows of one meta-path over all evidence nodes, the `size` largest entries of each."""
    return metapath_rows(
        gateway, name, evidence, items, lambda rows: truncate_rows(rows, size)[0],
        progress=progress,
    )  # fmt: skip


def held_out_scores(
    gateway: Gateway,
    kinds: Mapping[str, EvidenceKind],
    ids: Mapping[EvidenceKind, IdMap],
    evidence: Mapping[EvidenceKind, sp.csr_matrix],
    users: IdMap,
    held_out: sp.csr_matrix,
    user_index: Int64[NDArray[np.int64], " n"],
    *,
    size: int,
    progress: Progress,
) -> dict[str, sp.csr_matrix]:
    """Raw meta-path scores of validation users in the graph without what is held out from them.

    The held-out interactions are deleted in a transaction, the meta-paths are run in it, and it
    is rolled back: a path that leads through the answer itself is never counted, whatever the
    file says, and nobody else sees the deletion.

    Args:
        gateway: the graph.
        kinds: meta-paths and their kind of evidence.
        ids: evidence nodes by kind.
        evidence: evidence left to each user, by kind, [users, evidence nodes].
        users: all users.
        held_out: what is held out, [users, items].
        user_index: validation users.
        size: entries kept per row.
        progress: told what is done.

    Returns:
        By meta-path, float32 [n, items], in the order of `user_index`.
    """
    parts: dict[str, list[sp.csr_matrix]] = {name: [] for name in kinds}
    for start in range(0, len(user_index), _USERS_PER_REHEARSAL):
        batch = user_index[start : start + _USERS_PER_REHEARSAL]
        removed = [
            {"user_id": users[u], "item_ids": [ids["item"][i] for i in held_out[u].indices]}
            for u in batch.tolist()
        ]
        weights: dict[EvidenceKind, sp.csr_matrix] = {k: m[batch] for k, m in evidence.items()}
        # Returned, not gathered inside: after a transient error the work is done again.
        scores = gateway.rehearse(
            partial(
                _scores_without, removed=removed, kinds=kinds, ids=ids, weights=weights, size=size
            )
        )
        for name, found in scores.items():
            parts[name].append(found)
        progress("validation paths", start + len(batch), len(user_index))
    return {name: sp.vstack(found, format="csr") for name, found in parts.items()}


def _scores_without(
    transaction: Transaction,
    *,
    removed: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, EvidenceKind],
    ids: Mapping[EvidenceKind, IdMap],
    weights: Mapping[EvidenceKind, sp.csr_matrix],
    size: int,
) -> dict[str, sp.csr_matrix]:
    """Raw scores of some users by each meta-path, in the graph without some interactions."""
    transaction.run(catalogue()["extract/without_held_out"], rows=removed)
    scores: dict[str, sp.csr_matrix] = {}
    for name, kind in kinds.items():
        wanted = [ids[kind][row] for row in np.unique(weights[kind].indices).tolist()]
        rows = metapath_rows(
            transaction, name, ids[kind], ids["item"],
            lambda rows: truncate_rows(rows, size)[0], wanted=wanted,
        )  # fmt: skip
        scores[name] = (weights[kind] @ rows).tocsr()
    return scores
