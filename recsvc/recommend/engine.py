"""One request, from evidence to an explained answer.

    evidence (Neo4j) → scores of all items → the best that exist now → exact parts → paths (Neo4j)

When Neo4j does not answer in time the answer still comes, and `degraded` names what is missing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from loaders.errors import Neo4jAwayError
from recsvc.answer import Answer, Proof, RankedItem
from recsvc.event_kinds import unknown_kinds
from recsvc.evidence import EvidenceKind
from recsvc.graph.change_store import Changes
from recsvc.graph.rows import ActiveVersion, PendingDeletions
from recsvc.graph.store import Store
from recsvc.outcomes import outcome as told
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.phrases import TextSettings
from recsvc.recommend.activator import Activator
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.estimates import FromLog, Progress, estimate
from recsvc.recommend.experiments import Experiments
from recsvc.recommend.exploring import Explorations
from recsvc.recommend.exposure import (
    MeasuredExposure,
    exposure_of_answers,
    exposure_of_impressions,
)
from recsvc.recommend.graph_writer import Change, GraphWriter, Outcome
from recsvc.recommend.home import Home, home
from recsvc.recommend.live_truth import live_scope, live_titles, snapshot_now
from recsvc.recommend.many_users import AskedAlike, answer_each
from recsvc.recommend.nodes import Nodes
from recsvc.recommend.proof import Verified, verify
from recsvc.recommend.query import (
    EvidenceKey,
    RecommendationQuery,
    StatedEvidence,
    stated_asker,
)
from recsvc.recommend.readiness import Readiness
from recsvc.recommend.recourse import RecourseFinder
from recsvc.recommend.resolved_query import QueryResolver
from recsvc.recommend.shard_client import ItemShards
from recsvc.recommend.workshop import WORKSHOP
from recsvc.recommend.write_counters import WriteCounters
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.stored import StoredScenarios
from recsvc.settings import EventSettings, OutcomeSettings
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import DeletedNode

_T = TypeVar("_T")
_ENGLISH = TextSettings()
_OUTCOMES = OutcomeSettings()


class Engine:
    """Answers requests from the active snapshot and the live graph.

    Attributes:
        ids: make and read the `recommendation_id` of answers.
        scenarios: the stored scenarios.
        experiments: which variant an answer is made by.
        explorations: what was learned from items that were tried out.
        nodes: what is asked of one user, item or category, other than a list.
    """

    def __init__(
        self,
        store: Store,
        *,
        snapshot_folder: Path,
        events: Mapping[str, EventSettings],
        max_evidence: int,
        text: TextSettings = _ENGLISH,
        write_counters: WriteCounters | None = None,
        ids: RecommendationIds | None = None,
        outcomes: OutcomeSettings = _OUTCOMES,
        forget_elsewhere: Callable[[EvidenceKind, str], object] | None = None,
        compares_for: str | None = None,
        shards: ItemShards | None = None,
    ) -> None:
        self._store = store
        self._forget_elsewhere = forget_elsewhere
        self._events = events
        self._text = text
        self._outcomes = outcomes
        self.ids = ids or RecommendationIds()
        self._answers = Answers(store, text, self.ids)
        self._askers = AskerReader(store, events, outcomes, max_evidence)
        WORKSHOP.waits = shards is not None
        self._serving = ActiveSnapshot(store, snapshot_folder, compares_for, shards)
        self._graph = GraphWriter(
            store, self._serving, write_counters, fades=outcomes.fatigue > 0.0
        )
        self._activator = Activator(store, self._serving)
        self.scenarios = StoredScenarios(store, self._graph.note_scenario)
        self.explorations = Explorations(store, self.scenarios, self._serving, self.ids)
        self._queries = QueryResolver(self._serving, self.scenarios, self.explorations)
        self.experiments = Experiments(store, outcomes.keep_days)
        recourse = RecourseFinder(store, self._askers, self._answers)
        self.nodes = Nodes(self, store, self._askers, recourse, self._queries)
        self._made_from: tuple[object, object] | None = None

    async def start(self, *, watch: bool = True) -> None:
        """Connect, load the active snapshot, and watch for what others do.

        Args:
            watch: whether to watch for a new version, and finish deletions that were left.
        """
        await self._store.open()
        await self._serving.start(watch=watch)
        await self.scenarios.start()
        await self.experiments.start()
        self.explorations.start()
        if watch:
            self._graph.start()

    async def stop(self) -> None:
        """Commit the writes that wait, stop watching and close every connection."""
        await self._graph.stop()
        await self.explorations.stop()
        await self.scenarios.stop()
        await self._activator.stop()
        await self.experiments.stop()
        await self._serving.stop()
        await self._store.close()

    async def recommend(
        self, user_id: str, query: RecommendationQuery, *, scenario: Scenario | None = None
    ) -> Answer:
        """The best items for a user of the graph.

        Args:
            user_id: the user.
            query: what is asked for.
            scenario: one that is only tried, in the place of a stored one.

        Raises:
            NotFoundError: there is no such user, version, signal, category or scenario.
            BusyError: it is large, and as much as can be done is in hand.
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        trials = await self.experiments.trials()
        trial = query if scenario is not None else trials.under(user_id, query)
        chosen, asked = await self._queries.resolve(trial, query, scenario)
        query = asked.query
        with self._store.one_request():
            (asker, snapshot), scope, unknown = await asyncio.gather(
                self._askers.asker(user_id, chosen),
                live_scope(self._store, chosen, query),
                self._askers.unknown(query.named(), chosen),
            )
            with WORKSHOP.room(asker.work(query)):
                listing = await asked.listing(snapshot, asker, scope)
                return (await self._answers.of(listing, started)).with_unknown(unknown)

    async def home(self, user_id: str) -> Home:
        """See `recsvc.recommend.home.home`."""
        return await home(self, self._store, self._askers, self._text, user_id)

    async def recommend_many(
        self, user_ids: Sequence[str], query: RecommendationQuery, take: Callable[[Answer], _T]
    ) -> tuple[list[_T], list[str]]:
        """The best items for each of some users, and those that are not in the graph.

        Somebody who is named several times is answered once, at each of these places.

        Args:
            user_ids: the users.
            query: what is asked for.
            take: what is kept of each answer, which may be large.

        Raises:
            NotFoundError: there is no such version, signal or category.
            SnapshotError: nothing has been refreshed yet.
            TooMuchError: all answers together take too long.
            BusyError: they are large, and as much as can be done is in hand.
        """
        trials, together = await self.experiments.trials(), dict[RecommendationQuery, list[str]]()
        for user_id in user_ids:
            together.setdefault(trials.under(user_id, query), []).append(user_id)
        groups = [
            AskedAlike(some, *await self._queries.resolve(own, query))
            for own, some in together.items()
        ]
        taken = await answer_each(
            groups, take, store=self._store, askers=self._askers, answers=self._answers
        )
        unknown = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in taken]
        return [taken[user_id] for user_id in user_ids if user_id in taken], unknown

    async def recommend_for(
        self, evidence: Sequence[StatedEvidence], query: RecommendationQuery
    ) -> Answer:
        """The best items for someone the graph does not know.

        Raises:
            NotFoundError: there is no such version, signal or category.
            BusyError: it is large, and as much as can be done is in hand.
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        snapshot, asked = await self._queries.resolve(query, query)
        query = asked.query
        named: list[EvidenceKey] = [("item", each.item_id) for each in evidence]
        with self._store.one_request():
            titles, scope, unknown = await asyncio.gather(
                live_titles(self._store, snapshot, {each.item_id for each in evidence}),
                live_scope(self._store, snapshot, query),
                self._askers.unknown([*named, *query.named()], snapshot),
            )
            asker = stated_asker(evidence, titles, self._events)
            with WORKSHOP.room(asker.work(query)):
                listing = await asked.listing(snapshot, asker, scope)
                return (await self._answers.of(listing, started)).with_unknown(unknown)

    async def snapshot_now(self, item_ids: Iterable[str]) -> tuple[Snapshot, list[str]]:
        """See `recsvc.recommend.live_truth.snapshot_now`.

        Raises:
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the graph cannot be read in time.
        """
        return await snapshot_now(self._store, self.snapshot, item_ids)

    def watch_unread(self, heard: Callable[[str], None]) -> None:
        """Have somebody told of each thing in the graph that cannot be read, by its kind."""
        self._store.unread.heard = heard

    async def exposure_of_answers(
        self, users: int, k: int, item_property: str | None, group: str | None
    ) -> tuple[int, MeasuredExposure]:
        """See `recsvc.recommend.exposure.exposure_of_answers`."""
        return await exposure_of_answers(self, self._store, users, k, item_property, group)

    async def exposure_of_impressions(
        self, days: int, item_property: str | None, group: str | None
    ) -> MeasuredExposure:
        """See `recsvc.recommend.exposure.exposure_of_impressions`."""
        return await exposure_of_impressions(self._store, self.snapshot, days, item_property, group)

    async def estimate(
        self,
        query: RecommendationQuery,
        logged: str | None,
        kind: str,
        days: int,
        progress: Progress = lambda _what, _done, _total: None,
    ) -> FromLog:
        """See `recsvc.recommend.estimates.estimate`."""
        snapshot, asked = await self._queries.resolve(query, query)
        return await estimate(
            snapshot, asked, logged, kind, days,
            store=self._store, askers=self._askers, answers=self._answers, progress=progress,
        )  # fmt: skip

    async def explain(self, user_id: str, item_id: str, scenario: str | None = None) -> Answer:
        """Why a user is or would be recommended an item: any item of the graph.

        Args:
            user_id: the user.
            item_id: the item.
            scenario: the stored scenario of the list that it is or would be in.

        Raises:
            NotFoundError: there is no such user, item or scenario.
            BusyError: it is large, and as much as can be done is in hand.
            SnapshotError: nothing has been refreshed yet.
        """
        started = time.perf_counter()
        query = RecommendationQuery(explain="full", scenario=scenario)
        with self._store.one_request():
            chosen, asked = await self._queries.resolve(query, query)
            asker, snapshot = await self._askers.asker(user_id, chosen)
            with WORKSHOP.room(asker.work(asked.query)):
                listing = await asked.listing(snapshot, asker)
                return await self._answers.of_item(listing, item_id, started)

    async def add_events(
        self, rows: Sequence[Mapping[str, Any]], outcomes: Sequence[told.Outcome] = ()
    ) -> int:
        """Write events, and the outcomes that some of them are, in one transaction.

        They are committed when this returns. Returns how many events were new.

        Raises:
            Neo4jError: they could not be committed in time; sent again, each still counts once.
        """
        return await self._graph.add_events(rows, [each.row() for each in outcomes])

    def outcome_reader(self, received: datetime) -> told.OutcomeReader:
        """What makes outcomes of what a request tells.

        Args:
            received: when it came.
        """
        return told.OutcomeReader(self.ids, keep_days=self._outcomes.keep_days, received=received)

    async def add_outcomes(self, outcomes: Sequence[told.Outcome]) -> tuple[int, int]:
        """Store outcomes; they are committed when this returns.

        Returns:
            How many were new, and how many were dropped: their user or item was deleted.

        Raises:
            Neo4jError: they could not be committed in time; sent again, each still counts once.
        """
        return await self._graph.add_outcomes([each.row() for each in outcomes])

    def unknown_kinds(self, kinds: Iterable[str]) -> list[str]:
        """Those of some kinds of events that have no weight, so that they count nothing."""
        return unknown_kinds(kinds, self._events)

    async def change(self, change: Change) -> Outcome:
        """Write a node or a follow; it is committed when this returns.

        Raises:
            Neo4jError: it could not be committed in time.
        """
        return await self._graph.change(change)

    async def drop_preference(self, user_id: str, category_id: str) -> bool:
        """See `recsvc.recommend.graph_writer.GraphWriter.drop_preference`."""
        return await self._graph.drop_preference(user_id, category_id)

    async def changes(self, after: int, limit: int) -> Changes:
        """See `recsvc.graph.change_store.ChangeStore.changes`."""
        return await self._store.changes(after, limit)

    async def verify(self, proof: Proof, items: Sequence[RankedItem]) -> Verified:
        """See `recsvc.recommend.proof.verify`."""
        return verify(await self._serving.compared(proof.version), proof, items)

    async def delete(self, kind: EvidenceKind, node_id: str) -> None:
        """Delete a node and everything derived from it; all is done when this returns.

        Raises:
            NotFoundError: there is no such node.
            Neo4jError: it was not all done in time; asked again, it goes on.
        """
        try:
            await self._graph.deletions.delete(DeletedNode(kind, node_id))
        finally:  # asked again, it goes on, with what one that was ended has left too
            if self._forget_elsewhere is not None:
                await asyncio.to_thread(self._forget_elsewhere, kind, node_id)

    async def pending_deletions(self) -> PendingDeletions:
        """See `recsvc.graph.store.Store.pending_deletions`."""
        return await self._store.pending_deletions()

    @property
    def deletions_seen(self) -> int:
        """How many deletions waited when they were looked at last."""
        return self._graph.deletions.pending.count

    async def models(self) -> list[dict[str, Any]]:
        """All versions of all models, newest first."""
        return await self._store.versions()

    async def activate(self, model: str, version: int) -> dict[str, int]:
        """See `recsvc.snapshot.activation.activate`; this process serves them when it returns."""
        return await self._activator.activate(model, version)

    async def roll_back(self, model: str) -> dict[str, int]:
        """See `recsvc.snapshot.activation.roll_back`; this process serves them when it returns."""
        return await self._activator.roll_back(model)

    @property
    def active_versions(self) -> Mapping[str, ActiveVersion]:
        """The active version of every model, as it was seen last."""
        return self._serving.active

    async def refresh_holder(self) -> str | None:
        """See `recsvc.graph.store.Store.refresh_holder`."""
        return await self._store.refresh_holder()

    async def ready(self) -> Readiness:
        """Whether it can answer at all, and what is amiss. Nothing is waited for: probes ask."""
        missing: dict[str, str] = {}
        if not self._serving.serves:
            missing["snapshot"] = self._serving.troubles.get("snapshot", "no snapshot is loaded")
        elif not self._serving.started:
            missing["neo4j"] = "it is planning the queries of requests for the first time"
        return Readiness(missing, self.troubles)

    @property
    def troubles(self) -> Mapping[str, str]:
        """What is amiss, by part: see `/health/ready`."""
        amiss = dict(self._serving.troubles)
        if self._store.away:
            amiss.setdefault("neo4j", Neo4jAwayError.reason)
        if self._serving.shard_trouble:
            amiss["shards"] = self._serving.shard_trouble
        if self._store.write_trouble:
            amiss["writes"] = self._store.write_trouble
        if self._store.schema_trouble:
            amiss["schema"] = self._store.schema_trouble
        if self.scenarios.trouble:
            amiss["scenario"] = self.scenarios.trouble
        if self.experiments.trouble:
            amiss["experiment"] = self.experiments.trouble
        return amiss

    @property
    def made_from(self) -> object:
        """What answers are made from besides the graph: another object once that is another.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        now, before = (self.snapshot, self.experiments.now), self._made_from
        if before is None or any(a is not b for a, b in zip(now, before, strict=True)):
            self._made_from = now
        return self._made_from

    @property
    def snapshot(self) -> Snapshot:
        """The arrays that answers are made from.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        return self._serving.snapshot
