"""Meta-path rows: what the files under `cypher/metapaths/` return, kept as sparse arrays.

What a file declares is computed on the arrays of the graph. A file that declares nothing is run
by Neo4j; without held-out interactions, in short transactions that are rolled back.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.catalogue import Query, catalogue
from loaders.errors import CatalogueError
from loaders.extract import Progress, metapath_rows
from loaders.gateway import Gateway, Transaction
from loaders.types import HeteroGraph, IdMap
from recsvc.evidence import EvidenceKind
from recsvc.signals.rows import truncate_rows
from recsvc.signals.walk import walk_rows

_KIND_BY_PREFIX: Mapping[str, EvidenceKind] = {
    "item_": "item",
    "followed_user_": "user",
    "category_": "category",
}
_START = {"item": "Item", "user": "User", "category": "Category"}
_MOST_AT_ONCE = 25
"""Evidence nodes in one transaction that holds locks; fewer where they take longer than this."""
_LOCKED_SECONDS = 0.2


def metapath_kinds() -> dict[str, EvidenceKind]:
    """Every meta-path and the kind of evidence it starts from, which its name begins with.

    Raises:
        CatalogueError: a file's name begins with no kind of evidence, or its walk with another; a
            walk over interactions, or what draws its paths, does not take the kinds.
    """
    kinds: dict[str, EvidenceKind] = {}
    for query in catalogue().folder("metapaths"):
        name = query.name.removeprefix("metapaths/")
        kind = kinds[name] = _kind(name)
        if query.walk is not None and query.walk.start != _START[kind]:
            raise CatalogueError(
                f"cypher/{query.name}: the walk starts at ({query.walk.start}): by the file's name "
                f"expected ({_START[kind]})"
            )
        _check_kinds(query, name)
    return kinds


def _check_kinds(query: Query, name: str) -> None:
    """What is computed on arrays, run by Neo4j and drawn has to count the same interactions."""
    takes = "kinds" in query.params
    if query.walk is not None and "INTERACTED" in query.walk.types and not takes:
        raise CatalogueError(
            f"cypher/{query.name}: a walk follows interactions of $kinds alone: declare "
            "`kinds: list[str]`, and filter INTERACTED by it in the text"
        )
    drawn = f"explain/{name}"
    if drawn in catalogue() and ("kinds" in catalogue()[drawn].params) != takes:
        raise CatalogueError(
            f"cypher/{drawn} and cypher/{query.name}: only one of them takes $kinds, so paths "
            "would not add up to the strength: have both take it, or none"
        )


def of_all_kinds() -> list[str]:
    """The meta-paths that follow interactions of every kind, returns too."""
    return [
        query.name.removeprefix("metapaths/")
        for query in catalogue().folder("metapaths")
        if "INTERACTED" in query.text and "kinds" not in query.params
    ]


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
    gateway: Gateway,
    name: str,
    graph: HeteroGraph,
    kinds: Sequence[str],
    size: int,
    progress: Progress,
) -> sp.csr_matrix:
    """The rows of one meta-path over all evidence nodes, the `size` largest entries of each.

    Args:
        gateway: runs a file that declares no walk.
        name: of the meta-path.
        graph: nodes and relationships.
        kinds: of events, those that speak for an item.
        size: entries kept per row.
        progress: told what is done.

    Returns:
        float32 [evidence nodes, items].
    """
    walk = catalogue()[f"metapaths/{name}"].walk
    if walk is not None:
        return walk_rows(walk, graph, kinds, size, partial(progress, name))
    return metapath_rows(
        gateway, name, evidence_ids(graph)[_kind(name)], graph.items,
        lambda rows: truncate_rows(rows, size)[0], kinds=kinds, progress=progress,
    )  # fmt: skip


def evidence_ids(graph: HeteroGraph) -> dict[EvidenceKind, IdMap]:
    """The nodes that can be evidence, by kind."""
    return {"item": graph.items, "user": graph.users, "category": graph.categories}


def held_out_scores(
    gateway: Gateway,
    graph: HeteroGraph,
    held_out: sp.csr_matrix,
    evidence: Mapping[EvidenceKind, sp.csr_matrix],
    user_index: Int64[NDArray[np.int64], " n"],
    *,
    kinds: Sequence[str],
    size: int,
    progress: Progress,
) -> dict[str, sp.csr_matrix]:
    """Raw meta-path scores of validation users, by rows that know nothing of what is held out.

    A declared walk is computed on the graph without all that is held out. So are the rows of a
    file whose header says that it reads no interactions. Any other file is run by Neo4j for one
    user after the other, in short transactions in which that user's held-out interactions have
    been deleted, and which are rolled back.

    Args:
        gateway: runs the files that declare no walk.
        graph: nodes and relationships, without what is held out.
        held_out: what is held out, [users, items].
        evidence: evidence left to each user, by kind, [users, evidence nodes].
        user_index: validation users.
        kinds: of events, those that speak for an item.
        size: entries kept per row.
        progress: told what is done.

    Returns:
        By meta-path, float32 [n, items], in the order of `user_index`.
    """
    scores: dict[str, sp.csr_matrix] = {}
    for name, kind in metapath_kinds().items():
        query = catalogue()[f"metapaths/{name}"]
        given = evidence[kind][user_index]
        if query.walk is not None or (query.reads is not None and "INTERACTED" not in query.reads):
            scores[name] = (given @ all_rows(gateway, name, graph, kinds, size, progress)).tocsr()
        else:
            rehearsal = _Rehearsal(gateway, name, graph, held_out, kinds, size)
            scores[name] = rehearsal.scores(given, user_index, progress)
    return scores


class _Rehearsal:
    """Runs a file in transactions in which what is held out from a user has been deleted.

    They lock the user and the items at the other ends, so each is short, and after it nothing is
    done for as long, in which others can write.
    """

    def __init__(
        self,
        gateway: Gateway,
        name: str,
        graph: HeteroGraph,
        held_out: sp.csr_matrix,
        kinds: Sequence[str],
        size: int,
    ) -> None:
        self._gateway, self._name, self._graph = gateway, name, graph
        self._held_out, self._kinds, self._size = held_out, kinds, size
        self._ids = evidence_ids(graph)[_kind(name)]
        self._at_once = 1

    def scores(
        self, given: sp.csr_matrix, user_index: Int64[NDArray[np.int64], " n"], progress: Progress
    ) -> sp.csr_matrix:
        """Raw scores, [n, items]."""
        found = [sp.csr_matrix((0, len(self._graph.items))).astype(np.float32)]
        for number, user in enumerate(user_index.tolist()):
            found.append(given[[number]] @ self._rows(user, given[[number]].indices))
            progress(f"{self._name} for validation", number + 1, len(user_index))
        return sp.csr_matrix(sp.vstack(found, format="csr", dtype=np.float32))

    def _rows(self, user: int, evidence: NDArray[np.int32]) -> sp.csr_matrix:
        """The rows of some evidence without what is held out from a user."""
        wanted = [self._ids[row] for row in evidence.tolist()]
        rows = sp.csr_matrix((len(self._ids), len(self._graph.items))).astype(np.float32)
        while wanted:
            some, wanted = wanted[: self._at_once], wanted[self._at_once :]
            began = time.monotonic()
            # Returned, not gathered inside: after a transient error the work is done again.
            rows += self._gateway.rehearse(partial(self._without, user=user, wanted=some))
            took = time.monotonic() - began
            if took > _LOCKED_SECONDS:
                self._at_once = max(1, self._at_once // 2)
            elif took < _LOCKED_SECONDS / 2:
                self._at_once = min(_MOST_AT_ONCE, self._at_once * 2)
            time.sleep(took)
        return rows

    def _without(
        self, transaction: Transaction, *, user: int, wanted: Sequence[str]
    ) -> sp.csr_matrix:
        items = self._graph.items
        removed = [items[i] for i in self._held_out[[user]].indices.tolist()]
        rows = [{"user_id": self._graph.users[user], "item_ids": removed}]
        transaction.run(catalogue()["extract/without_held_out"], rows=rows)
        return metapath_rows(
            transaction, self._name, self._ids, items,
            lambda found: truncate_rows(found, self._size)[0], kinds=self._kinds, wanted=wanted,
        )  # fmt: skip
