"""Meta-paths that declare no walk, run by Neo4j.

Without held-out interactions they are run in short transactions that are rolled back.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.catalogue import Catalogue, Query, catalogue
from loaders.errors import ForeignGraphError
from loaders.extract import Progress, metapath_rows
from loaders.gateway import Gateway, Transaction
from loaders.types import HeteroGraph, IdMap
from recsvc.signals.metapath import evidence_ids, metapath_kind, run_without_held_out
from recsvc.signals.rows import truncate_rows

_MOST_AT_ONCE = 25
"""Evidence nodes in one transaction that holds locks; fewer where they take longer than this."""
_LOCKED_SECONDS = 0.2


def _largest(size: int) -> Callable[[sp.csr_matrix], sp.csr_matrix]:
    return lambda rows: truncate_rows(rows, size)[0]


def refuse_undeclared(gateway: Gateway) -> None:
    """Go on only if every meta-path can be validated on the graph.

    Raises:
        ForeignGraphError: the graph is somebody else's, and of a file only a transaction that
            deletes what is held out would tell how good it is.
    """
    for name in run_without_held_out():
        _refuse_undeclared(gateway, name)


def _refuse_undeclared(gateway: Gateway, name: str) -> None:
    if gateway.graph is not None:
        raise ForeignGraphError(
            f"cypher/metapaths/{name}.cypher declares no walk, so to validate it held-out "
            "interactions would have to be deleted and rolled back, which is not done in a graph "
            "that [graph] maps: declare its walk, or, where it can be said as none, take the file "
            "away (docs/metapaths.md)"
        )


@dataclass(frozen=True, slots=True)
class Neo4jPaths:
    """See `recsvc.signals.metapath.PathQueries`.

    Attributes:
        gateway: the graph.
        queries: the files.
    """

    gateway: Gateway
    queries: Catalogue = field(default_factory=catalogue)

    def rows(
        self,
        name: str,
        graph: HeteroGraph,
        kinds: Sequence[str],
        size: int,
        progress: Progress,
        *,
        wanted: Sequence[str] | None = None,
    ) -> sp.csr_matrix:
        """See `PathQueries.rows`; only those of the evidence that is wanted, where some is."""
        ids = evidence_ids(graph)[metapath_kind(name)]
        return metapath_rows(
            self.gateway, self.rows_query(name), ids, graph.items, _largest(size), kinds=kinds,
            wanted=wanted, progress=lambda _what, done, total: progress(name, done, total),
        )  # fmt: skip

    def rows_query(self, name: str) -> Query:
        """The query of a meta-path's rows."""
        return self.queries[f"extract/metapath_rows[{name}]"]

    def held_out_scores(
        self,
        name: str,
        graph: HeteroGraph,
        held_out: sp.csr_matrix,
        given: sp.csr_matrix,
        user_index: Int64[NDArray[np.int64], " n"],
        *,
        kinds: Sequence[str],
        size: int,
        progress: Progress,
        until: float = math.inf,
    ) -> sp.csr_matrix:
        """See `PathQueries.held_out_scores`.

        The file is run for one user after the other, in transactions in which that user's held-out
        interactions have been deleted. No user is begun later than `until`, in seconds of
        `time.monotonic`: those that are left have no row.
        """
        _refuse_undeclared(self.gateway, name)
        work = _HeldOut(self, name, graph, held_out, kinds, size)
        return work.scores(given, user_index, progress, until)


class _HeldOut:
    """Runs a file in transactions in which what is held out from a user has been deleted.

    They lock the user and the items at the other ends, so each is short, and after it nothing is
    done for as long, in which others can write.
    """

    def __init__(
        self,
        paths: Neo4jPaths,
        name: str,
        graph: HeteroGraph,
        held_out: sp.csr_matrix,
        kinds: Sequence[str],
        size: int,
    ) -> None:
        self._paths, self._name, self._graph = paths, name, graph
        self._held_out, self._kinds, self._size = held_out, kinds, size
        self._ids: IdMap = evidence_ids(graph)[metapath_kind(name)]
        self._at_once = 1

    def scores(
        self,
        given: sp.csr_matrix,
        user_index: Int64[NDArray[np.int64], " n"],
        progress: Progress,
        until: float,
    ) -> sp.csr_matrix:
        """Raw scores, [n, items], of those users that were begun in time."""
        scores = [sp.csr_matrix((0, len(self._graph.items))).astype(np.float32)]
        for number, user in enumerate(user_index.tolist()):
            if time.monotonic() > until:
                break
            scores.append(given[[number]] @ self._rows(user, given[[number]].indices))
            progress(f"{self._name} for validation", number + 1, len(user_index))
        return sp.csr_matrix(sp.vstack(scores, format="csr", dtype=np.float32))

    def _rows(self, user: int, evidence: NDArray[np.int32]) -> sp.csr_matrix:
        """The rows of some evidence without what is held out from a user."""
        wanted = [self._ids[row] for row in evidence.tolist()]
        rows = sp.csr_matrix((len(self._ids), len(self._graph.items))).astype(np.float32)
        while wanted:
            some, wanted = wanted[: self._at_once], wanted[self._at_once :]
            began = time.monotonic()
            # Returned, not gathered inside: after a transient error the work is done again.
            rows += self._paths.gateway.run_rolled_back(
                partial(self._without, user=user, wanted=some)
            )
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
            transaction, self._paths.rows_query(self._name), self._ids, items,
            _largest(self._size), kinds=self._kinds, wanted=wanted,
        )  # fmt: skip
