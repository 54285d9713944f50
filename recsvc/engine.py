"""One request, from evidence to an explained answer.

    evidence (Neo4j) → scores of all items → the best that exist now → exact parts → paths (Neo4j)

When Neo4j does not answer in time the answer still comes, and `degraded` names what is missing.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from loaders.errors import Neo4jError, Neo4jTimeoutError, Neo4jUnavailableError
from recsvc.answer import (
    Answer,
    ExplainLevel,
    Explanation,
    NodeRef,
    RankedItem,
    SimilarAnswer,
    SimilarNode,
)
from recsvc.deletion import DeletedNode
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode, item_evidence
from recsvc.explanation import ExactScores, contributions, sentence, take_apart
from recsvc.paths import DrawnPaths, find_paths
from recsvc.ranking import best_items, sort_by_score
from recsvc.serving import Serving
from recsvc.settings import EventSettings
from recsvc.signals.embedding import cosines
from recsvc.snapshot import Snapshot
from recsvc.store import Store, StoredNode, StoredUser
from recsvc.writes import Change, GraphWriter, Outcome

request_id_var: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being answered; made up where nobody set one."""

_SPARE_ITEMS = 20
_LISTED = {"summary": 5, "full": 50}
_AWAY = (Neo4jUnavailableError, Neo4jTimeoutError)


@dataclass(frozen=True, slots=True)
class RecommendationQuery:
    """What a caller asks for.

    Attributes:
        k: how many items.
        categories: only items in one of these; all items where empty.
        exclude_seen: leave out what the user did something with.
        explain: how much of an explanation.
        exclude: ids of items to leave out.
    """

    k: int = 10
    categories: tuple[str, ...] = ()
    exclude_seen: bool = True
    explain: ExplainLevel = "summary"
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatedEvidence:
    """One piece of evidence that the caller states; `weight` counts as a stored weight does."""

    item_id: str
    event: str = "interaction"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks, and what is known about them."""

    user_id: str | None
    evidence: Evidence
    nodes: tuple[NodeRef, ...]
    degraded: tuple[str, ...] = ()


class Engine:
    """Answers requests from the active snapshot and the live graph."""

    def __init__(
        self,
        store: Store,
        *,
        snapshot_folder: Path,
        events: Mapping[str, EventSettings],
        max_evidence: int,
    ) -> None:
        self._store = store
        self._events = events
        self._max_evidence = max_evidence
        self._serving = Serving(store, snapshot_folder)
        self._graph = GraphWriter(store, self._serving)

    async def start(self) -> None:
        """Connect, load the active snapshot, and watch for a new one."""
        await self._store.open()
        await self._serving.start()
        self._graph.start()

    async def stop(self) -> None:
        """Commit the writes that wait, stop watching and close every connection."""
        await self._graph.stop()
        await self._serving.stop()
        await self._store.close()

    async def recommend(self, user_id: str, query: RecommendationQuery) -> Answer:
        """The best items for a user of the graph.

        Raises:
            NotFoundError: there is no such user.
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        return await self._ranked(await self._asker(user_id), query, started)

    async def recommend_for(
        self, evidence: Sequence[StatedEvidence], query: RecommendationQuery
    ) -> Answer:
        """The best items for someone the graph does not know.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        rows = [(e.item_id, e.event, e.weight, None) for e in evidence]
        nodes = item_evidence(rows, self._events, now=time.time())
        stated = Evidence(tuple(nodes), frozenset(e.item_id for e in evidence))
        asker = _Asker(None, stated, self._references(stated.nodes, {}))
        return await self._ranked(asker, query, started)

    async def explain(self, user_id: str, item_id: str) -> Answer:
        """Why a user is or would be recommended an item: any item of the active version.

        Raises:
            NotFoundError: there is no such user or item.
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        snapshot = self.snapshot
        row = snapshot.items.row(item_id)
        if row < 0:
            raise NotFoundError(
                f"no item {item_id!r} in the active version: a new item is known after the next "
                "refresh"
            )
        asker = await self._asker(user_id)
        scored = snapshot.blend.score(asker.evidence)
        exact = take_apart(snapshot.blend, scored, np.array([row]))
        before = scored.scores > scored.scores[row]
        before[:row] |= scored.scores[:row] == scored.scores[row]
        before &= self._allowed(snapshot, asker, RecommendationQuery())
        return await self._answer(
            snapshot, asker, exact, RecommendationQuery(k=1, explain="full"), started,
            int(before.sum()) + 1,
        )  # fmt: skip

    async def similar_items(self, item_id: str, k: int, model: str | None) -> SimilarAnswer:
        """The k items nearest to an item by the cosine of their embeddings.

        Raises:
            NotFoundError: no such item, or no such embedding model.
            SnapshotError: nothing has been refreshed yet.
        """
        snapshot = self.snapshot
        name = self._embedding_model(model)
        signal = snapshot.embedding(name)
        row = snapshot.items.row(item_id)
        if signal is None or row < 0:
            raise NotFoundError(f"no item {item_id!r} in the active version of {name}")
        cosine = cosines(signal.target, np.array([row]))[0]
        allowed = np.array(snapshot.available)
        allowed[row] = False
        found = best_items(cosine, allowed, k)
        items = tuple(
            SimilarNode(snapshot.items[i], snapshot.titles[i] or None, float(cosine[i]), rank)
            for rank, i in enumerate(found.tolist(), start=1)
        )
        return SimilarAnswer(item_id, name, snapshot.versions[name], items)

    async def similar_users(self, user_id: str, k: int, model: str | None) -> SimilarAnswer:
        """The k users nearest to a user, from the vector index.

        Raises:
            NotFoundError: no such user, or no such embedding model.
            Neo4jError: the graph cannot be read in time.
        """
        active = self._serving.active.get(self._embedding_model(model))
        if active is None or active.slot is None:
            raise NotFoundError(f"no active version of {model or 'any embedding model'}")
        rows = await self._store.similar_users(user_id, k, active)
        if not rows and not await self._store.user_exists(user_id):
            raise NotFoundError(f"no user {user_id!r} in the graph")
        items = tuple(
            SimilarNode(row["id"], row["name"], row["score"], rank)
            for rank, row in enumerate(rows, start=1)
        )
        return SimilarAnswer(user_id, active.model, active.version, items)

    async def add_events(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write events; they are committed when this returns. Returns how many were new.

        Raises:
            Neo4jError: they could not be committed in time; sent again, each still counts once.
        """
        return await self._graph.add_events(rows)

    async def change(self, change: Change) -> Outcome:
        """Write a node or a follow; it is committed when this returns.

        Raises:
            Neo4jError: it could not be committed in time.
        """
        return await self._graph.change(change)

    async def node(self, kind: EvidenceKind, node_id: str) -> StoredNode:
        """What its owner knows about a user, item or category.

        Raises:
            NotFoundError: there is no such node.
            Neo4jError: the graph cannot be read in time.
        """
        return await self._store.node(kind, node_id)

    async def delete(self, kind: EvidenceKind, node_id: str) -> None:
        """Delete a node and everything derived from it; all is done when this returns.

        Raises:
            NotFoundError: there is no such node.
            Neo4jError: it was not all done in time; asked again, it goes on.
        """
        await self._graph.delete(DeletedNode(kind, node_id))

    async def models(self) -> list[dict[str, Any]]:
        """All versions of all models, newest first."""
        return await self._store.versions()

    async def ready(self) -> dict[str, str]:
        """What keeps the service from answering in full, by part; empty when nothing does."""
        reasons: dict[str, str] = {}
        try:
            _ = self.snapshot
        except SnapshotError as error:
            reasons["snapshot"] = str(error)
        try:
            await self._store.active_versions()
        except Neo4jError as error:
            reasons["neo4j"] = str(error)
        else:
            if not self._serving.warm:
                reasons["neo4j"] = "it is planning the queries of a request for the first time"
        return reasons

    async def _asker(self, user_id: str) -> _Asker:
        """What is known about a user now; without Neo4j, nothing."""
        try:
            stored = await self._store.user(user_id, limit=self._max_evidence)
        except _AWAY:
            return _Asker(user_id, Evidence(), (), ("evidence",))
        nodes = self._evidence_nodes(stored)
        seen = frozenset(row[0] for row in stored.interactions)
        names = {("user", other): name for other, name in stored.follows}
        names |= {("category", category): name for category, _, name in stored.prefers}
        return _Asker(user_id, Evidence(nodes, seen), self._references(nodes, names))

    def _evidence_nodes(self, stored: StoredUser) -> tuple[EvidenceNode, ...]:
        newest = stored.interactions[: self._max_evidence]
        return (
            *item_evidence(newest, self._events, now=time.time()),
            *(EvidenceNode("user", other, 1.0) for other, _ in stored.follows),
            *(EvidenceNode("category", category, w) for category, w, _ in stored.prefers if w),
        )

    def _references(
        self, nodes: Sequence[EvidenceNode], names: Mapping[tuple[str, str], str | None]
    ) -> tuple[NodeRef, ...]:
        snapshot = self.snapshot

        def title(node: EvidenceNode) -> str | None:
            if node.kind != "item":
                return names.get((node.kind, node.id))
            row = snapshot.items.row(node.id)
            return snapshot.titles[row] or None if row >= 0 else None

        return tuple(NodeRef(node.kind, node.id, title(node)) for node in nodes)

    async def _ranked(self, asker: _Asker, query: RecommendationQuery, started: float) -> Answer:
        snapshot = self.snapshot
        scored = snapshot.blend.score(asker.evidence)
        allowed = self._allowed(snapshot, asker, query)
        rows, degraded = await self._live_best(snapshot, scored.scores, allowed, query.k)
        exact = take_apart(snapshot.blend, scored, rows)
        exact = exact.take(sort_by_score(rows, exact.scores)[: query.k])
        asker = replace(asker, degraded=(*asker.degraded, *degraded))
        return await self._answer(snapshot, asker, exact, query, started)

    async def _live_best(
        self,
        snapshot: Snapshot,
        scores: NDArray[np.float32],
        allowed: Bool[NDArray[np.bool_], " items"],
        k: int,
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """The best items that exist and are available at this moment, and a few to spare."""
        wanted = k + _SPARE_ITEMS
        allowed = allowed.copy()
        kept: list[int] = []
        while len(kept) < k:
            rows = best_items(scores, allowed, wanted)
            if not len(rows):
                break
            allowed[rows] = False
            try:
                live = await self._store.live_items([snapshot.items[row] for row in rows.tolist()])
            except _AWAY:
                kept += rows[snapshot.available[rows]].tolist()
                return np.array(kept, np.int64), ("availability",)
            kept += [row for row in rows.tolist() if snapshot.items[row] in live]
        return np.array(kept, np.int64), ()

    def _allowed(
        self, snapshot: Snapshot, asker: _Asker, query: RecommendationQuery
    ) -> Bool[NDArray[np.bool_], " items"]:
        # What was unavailable at the refresh may be back: the live check has the last word.
        allowed = np.ones(len(snapshot.items), bool)
        left_out = [*query.exclude, *(asker.evidence.seen if query.exclude_seen else ())]
        rows = snapshot.items.rows(left_out)
        allowed[rows[rows >= 0]] = False
        if query.categories:
            wanted = snapshot.categories.rows(query.categories)
            in_one = snapshot.in_category[:, wanted[wanted >= 0]].getnnz(axis=1) > 0
            allowed &= in_one
        return allowed

    async def _answer(
        self,
        snapshot: Snapshot,
        asker: _Asker,
        exact: ExactScores,
        query: RecommendationQuery,
        started: float,
        first_rank: int = 1,
    ) -> Answer:
        degraded = list(asker.degraded)
        paths: DrawnPaths = {}
        if query.explain == "full":
            try:
                paths = await find_paths(self._store, snapshot, asker.user_id, asker.nodes, exact)
            except _AWAY:
                degraded.append("paths")
        scores = exact.scores
        items = tuple(
            RankedItem(
                item_id=snapshot.items[row],
                title=snapshot.titles[row] or None,
                rank=first_rank + column,
                score=float(scores[column]),
                signals=exact.signals(column),
                explanation=self._explanation(asker, exact, column, query, paths),
            )
            for column, row in enumerate(exact.items.tolist())
        )
        return Answer(
            request_id=request_id_var.get() or uuid.uuid4().hex,
            user_id=asker.user_id,
            k=query.k,
            versions=dict(snapshot.versions),
            degraded=tuple(degraded),
            took_ms=round((time.perf_counter() - started) * 1000, 3),
            items=items,
        )

    def _explanation(
        self,
        asker: _Asker,
        exact: ExactScores,
        column: int,
        query: RecommendationQuery,
        paths: DrawnPaths,
    ) -> Explanation | None:
        if query.explain == "none":
            return None
        limit = _LISTED[query.explain]
        listed, remainder = contributions(exact, column, asker.nodes, limit=limit)
        text = sentence(exact, column, asker.evidence, asker.nodes, self._events)
        if query.explain == "summary":
            return Explanation(text, listed, remainder)
        drawn, cypher = paths.get(column, ((), ""))
        return Explanation(text, listed, remainder, drawn, cypher)

    def _embedding_model(self, model: str | None) -> str:
        names = [name for name in self.snapshot.versions if name != "hybrid"]
        if model is None and names:
            return names[0]
        if model not in names:
            raise NotFoundError(f"no embedding model {model!r} is active: expected one of {names}")
        return model

    @property
    def snapshot(self) -> Snapshot:
        """The arrays that answers are made from.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        return self._serving.snapshot
