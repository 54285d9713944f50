"""One request, from evidence to an explained answer.

    evidence (Neo4j) → scores of all items → the best that exist now → exact parts → paths (Neo4j)

When Neo4j does not answer in time the answer still comes, and `degraded` names what is missing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import Neo4jAwayError
from loaders.gateway import Row
from recsvc.answer import Answer, SimilarAnswer
from recsvc.errors import NotFoundError
from recsvc.event_kinds import unknown_kinds
from recsvc.evidence import Evidence, EvidenceKind
from recsvc.graph.rows import ActiveVersion, CategoryScope, PendingDeletions, StoredNode, StoredUser
from recsvc.graph.store import Store
from recsvc.outcomes import outcome as told
from recsvc.outcomes.fatigue import Shown, shown_items
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.phrases import TextSettings
from recsvc.recommend.activator import Activations
from recsvc.recommend.active_snapshot import Serving
from recsvc.recommend.answers import Answers
from recsvc.recommend.experiments import Experiments
from recsvc.recommend.exposure import MeasuredExposure, measure, places_of_answers
from recsvc.recommend.fresh_rows import by_anybody, with_live_rows
from recsvc.recommend.graph_writer import Change, GraphWriter, Outcome
from recsvc.recommend.home import BEST, Home, home_of, new_items, popular_items
from recsvc.recommend.live_truth import live_scope, live_titles, snapshot_now
from recsvc.recommend.query import (
    MOST_UNKNOWN,
    Asker,
    EvidenceKey,
    RecommendationQuery,
    StatedEvidence,
    check_work,
    stated_asker,
    stored_asker,
)
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.readiness import Readiness
from recsvc.recommend.ruled_list import RuledListing
from recsvc.recommend.similar import similar_items, similar_users
from recsvc.recommend.workshop import WORKSHOP
from recsvc.recommend.write_counters import Revisions
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.plan import Plan, plan_of
from recsvc.scenarios.stored import StoredScenarios
from recsvc.settings import EventSettings, OutcomeSettings
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import DeletedNode

_T = TypeVar("_T")
_USERS_AT_ONCE = 8
_ENGLISH = TextSettings()
_OUTCOMES = OutcomeSettings()


class Engine:
    """Answers requests from the active snapshot and the live graph.

    Attributes:
        ids: make and read the `recommendation_id` of answers.
        scenarios: the stored scenarios.
        experiments: which variant an answer is made by.
    """

    def __init__(
        self,
        store: Store,
        *,
        snapshot_folder: Path,
        events: Mapping[str, EventSettings],
        max_evidence: int,
        text: TextSettings = _ENGLISH,
        revisions: Revisions | None = None,
        ids: RecommendationIds | None = None,
        outcomes: OutcomeSettings = _OUTCOMES,
        forget_elsewhere: Callable[[EvidenceKind, str], object] | None = None,
    ) -> None:
        self._store = store
        self._forget_elsewhere = forget_elsewhere
        self._events = events
        self._text = text
        self._outcomes = outcomes
        self.ids = ids or RecommendationIds()
        self._answers = Answers(store, text, self.ids)
        self._max_evidence = max_evidence
        self._serving = Serving(store, snapshot_folder)
        self._graph = GraphWriter(store, self._serving, revisions, fades=outcomes.fatigue > 0.0)
        self._activations = Activations(store, self._serving)
        self.scenarios = StoredScenarios(store, self._graph.note_scenario)
        self.experiments = Experiments(store)
        self._made_from: tuple[object, object] | None = None

    async def start(self) -> None:
        """Connect, load the active snapshot, and watch for a new one."""
        await self._store.open()
        await self._serving.start()
        await self.scenarios.start()
        await self.experiments.start()
        self._graph.start()

    async def stop(self) -> None:
        """Commit the writes that wait, stop watching and close every connection."""
        await self._graph.stop()
        await self.scenarios.stop()
        await self._activations.stop()
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
        trial = query if scenario is not None else self.experiments.now.under(user_id, query)
        chosen, asked = await self._chosen_under(trial, query, scenario)
        query = asked.query
        with self._store.one_request():
            (asker, snapshot), scope, unknown = await asyncio.gather(
                self._asker(user_id, chosen),
                live_scope(self._store, chosen, query),
                self._unknown(query.named(), chosen),
            )
            with WORKSHOP.room(asker.work(query)):
                listing = await _listing(snapshot, asker, asked, scope)
                return (await self._answers.of(listing, started)).with_unknown(unknown)

    async def home(self, user_id: str) -> Home:
        """Several titled rows for a user, no item twice.

        Raises:
            NotFoundError: there is no such user.
            BusyError: as much as can be done is in hand.
            SnapshotError: nothing has been refreshed yet.
        """
        snapshot = self.snapshot
        signals = [signal.name for signal in snapshot.blend.signals]
        query = RecommendationQuery(k=BEST)
        best, new, popular, (asker, _) = await asyncio.gather(
            self.recommend(user_id, query),
            self.recommend(user_id, query, scenario=new_items()),
            self.recommend(user_id, query, scenario=popular_items(signals)),
            self._asker(user_id, snapshot),
        )
        return home_of(best, new, popular, asker.evidence, self._text)

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
        trials, together = self.experiments.now, dict[RecommendationQuery, list[str]]()
        for user_id in user_ids:
            together.setdefault(trials.under(user_id, query), []).append(user_id)
        taken: dict[str, _T] = {}
        for own, some in together.items():
            taken |= await self._of_each(some, own, query, take)
        unknown = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in taken]
        return [taken[user_id] for user_id in user_ids if user_id in taken], unknown

    async def _of_each(
        self,
        user_ids: Sequence[str],
        trial: RecommendationQuery,
        query: RecommendationQuery,
        take: Callable[[Answer], _T],
    ) -> dict[str, _T]:
        """What is kept of the answer of each of some users, all under one variant."""
        at_once = asyncio.Semaphore(_USERS_AT_ONCE)
        chosen, asked = await self._chosen_under(trial, query)
        query = asked.query
        known: dict[str, tuple[Asker, Snapshot]] = {}
        taken: dict[str, _T] = {}

        async def ask(user_id: str) -> None:
            async with at_once:
                with self._store.one_request(), suppress(NotFoundError):
                    known[user_id] = await self._asker(user_id, chosen)

        async def answer(user_id: str) -> None:
            async with at_once:
                started = time.perf_counter()
                asker, snapshot = known.pop(user_id)
                with self._store.one_request():
                    listing = await _listing(snapshot, asker, asked, scope)
                    made = (await self._answers.of(listing, started)).with_unknown(nowhere)
                taken[user_id] = await WORKSHOP.do(asker.is_large(query), take, made)

        users = list(dict.fromkeys(user_ids))
        with self._store.one_request():
            scope, nowhere = await asyncio.gather(
                live_scope(self._store, chosen, query), self._unknown(query.named(), chosen)
            )
        await asyncio.gather(*map(ask, users))
        pieces = [len(asker.evidence.nodes) for asker, _ in known.values()]
        work = check_work(query, pieces, sum(user_id in known for user_id in user_ids))
        with WORKSHOP.room(work):
            await asyncio.gather(*map(answer, [user_id for user_id in users if user_id in known]))
        return taken

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
        asked = self._asked(query)
        query = asked.query
        snapshot = asked.weighted(await self._chosen(query))
        named: list[EvidenceKey] = [("item", each.item_id) for each in evidence]
        with self._store.one_request():
            titles, scope, unknown = await asyncio.gather(
                live_titles(self._store, snapshot, {each.item_id for each in evidence}),
                live_scope(self._store, snapshot, query),
                self._unknown([*named, *query.named()], snapshot),
            )
            asker = stated_asker(evidence, titles, self._events)
            with WORKSHOP.room(asker.work(query)):
                listing = await _listing(snapshot, asker, asked, scope)
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

    async def known(self, user_id: str) -> tuple[Asker, StoredUser]:
        """What counts as evidence of a user, and what the graph holds of them.

        Raises:
            NotFoundError: there is no such user.
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the graph cannot be read in time.
        """
        limit = self._max_evidence
        stored = await self._store.user(user_id, limit=limit)
        return stored_asker(user_id, stored, self._events, limit=limit), stored

    async def find(self, kind: EvidenceKind, text: str, limit: int) -> list[Row]:
        """See `recsvc.graph.store.Store.find`."""
        return await self._store.find(kind, text, limit)

    async def users_at(self, share: float, limit: int) -> list[Row]:
        """See `recsvc.graph.store.Store.users_at`."""
        with self._store.one_request():
            return await self._store.users_at(share, limit)

    async def exposure_of_answers(
        self, users: int, k: int, item_property: str | None
    ) -> tuple[int, MeasuredExposure]:
        """How the places of lists of some users are spread, as they would be answered now.

        Args:
            users: of how many, drawn anew.
            k: length of each list.
            item_property: of items, whose values are told apart; None for none.

        Returns:
            The number of lists, and the measures.

        Raises:
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the graph cannot be read in time.
            TooMuchError: all answers together take too long.
            BusyError: they are large, and as much as can be done is in hand.
        """
        lists, places = await places_of_answers(self, self._store, users, k)
        return lists, await measure(self._store, self.snapshot, places, item_property)

    async def exposure_of_impressions(
        self, days: int, item_property: str | None
    ) -> MeasuredExposure:
        """How the impressions of the last days are spread over items.

        Args:
            days: how many.
            item_property: of items, whose values are told apart; None for none.

        Raises:
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the graph cannot be read in time.
        """
        places = await self._store.shown_places(datetime.now(UTC) - timedelta(days=days))
        return await measure(self._store, self.snapshot, places, item_property)

    async def explain(self, user_id: str, item_id: str) -> Answer:
        """Why a user is or would be recommended an item: any item of the graph.

        Raises:
            NotFoundError: there is no such user or item.
            BusyError: it is large, and as much as can be done is in hand.
            SnapshotError: nothing has been refreshed yet.
        """
        with self._store.one_request():
            return await self._explained(user_id, item_id)

    async def _explained(self, user_id: str, item_id: str) -> Answer:
        started = time.perf_counter()
        asker, snapshot = await self._asker(user_id, self.snapshot)
        query = RecommendationQuery(explain="full")
        with WORKSHOP.room(asker.work(query)):
            listing = await _listing(snapshot, asker, AskedFor(query))
            row = snapshot.items.row(item_id)
            if row < 0:
                return await self._answers.of_newcomer(listing, item_id, started)
            return await self._answers.of(listing, started, only=np.array([row]))

    async def similar_items(self, item_id: str, k: int, model: str | None) -> SimilarAnswer:
        """See `recsvc.recommend.similar.similar_items`.

        Raises:
            NotFoundError: no such item, or no such embedding model.
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the neighbourhood of a new item cannot be read in time.
        """
        name = self._embedding_model(model)
        with self._store.one_request():
            return await similar_items(self._store, self.snapshot, name, item_id, k)

    async def similar_users(self, user_id: str, k: int, model: str | None) -> SimilarAnswer:
        """See `recsvc.recommend.similar.similar_users`.

        Raises:
            NotFoundError: no such user, or no such embedding model.
            SnapshotError: nothing has been refreshed yet.
            Neo4jError: the graph cannot be read in time.
        """
        active = self._serving.active.get(self._embedding_model(model))
        if active is None or active.slot is None:
            raise NotFoundError(f"no active version of {model or 'any embedding model'}")
        with self._store.one_request():
            return await similar_users(self._store, active, user_id, k)

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
        try:
            await self._graph.deletions.delete(DeletedNode(kind, node_id))
        finally:  # asked again, it goes on, with what one that was ended has left too
            if self._forget_elsewhere is not None:
                await asyncio.to_thread(self._forget_elsewhere, kind, node_id)

    async def pending_deletions(self) -> PendingDeletions:
        """The deletions that are not finished in all stored arrays.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
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
        return await self._activations.activate(model, version)

    async def roll_back(self, model: str) -> dict[str, int]:
        """See `recsvc.snapshot.activation.roll_back`; this process serves them when it returns."""
        return await self._activations.roll_back(model)

    @property
    def active_versions(self) -> Mapping[str, ActiveVersion]:
        """The active version of every model, as it was seen last."""
        return self._serving.active

    async def refresh_holder(self) -> str | None:
        """Who works on a refresh of this graph; None where nobody does.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
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
        """What is amiss, by part: of Neo4j, the snapshot, what was written last, the schema."""
        found = dict(self._serving.troubles)
        if self._store.away:
            found.setdefault("neo4j", Neo4jAwayError.reason)
        if self._store.write_trouble:
            found["writes"] = self._store.write_trouble
        if self._store.schema_trouble:
            found["schema"] = self._store.schema_trouble
        if self.scenarios.trouble:
            found["scenario"] = self.scenarios.trouble
        return found

    def _asked(self, query: RecommendationQuery, scenario: Scenario | None = None) -> "AskedFor":
        """What a query asks for under its scenario, or under one that is tried.

        Raises:
            NotFoundError: there is no such scenario.
        """
        now = datetime.now(UTC)
        if scenario is not None:
            return AskedFor(query.under(scenario), plan_of(scenario, now))
        if query.scenario is None:
            return AskedFor(query)
        current = self.scenarios.find(query.scenario)
        plan = None if current is None else current.plan(now)
        if plan is None:
            return AskedFor(query, degraded=("scenario",))
        return AskedFor(query.under(plan.document), plan)

    async def _chosen(self, query: RecommendationQuery, *, look: bool = True) -> Snapshot:
        """The arrays that a query asks for; see `Serving.version`."""
        snapshot = self.snapshot
        if query.version is not None:
            snapshot = await self._serving.version(query.version, look=look)
        return snapshot if query.signal is None else snapshot.alone(query.signal)

    async def _chosen_under(
        self,
        trial: RecommendationQuery,
        query: RecommendationQuery,
        scenario: Scenario | None = None,
    ) -> "tuple[Snapshot, AskedFor]":
        """The arrays that are asked for, and what is asked.

        Where those of an experiment cannot be had, since a refresh took their place, its scenario
        was deleted or Neo4j is away, the answer is made without the experiment.

        Args:
            trial: what is asked under the experiments; `query` itself where there are none.
            query: what the caller asked.
            scenario: one that is only tried.
        """
        try:
            asked = self._asked(trial, scenario)
            return asked.weighted(await self._chosen(asked.query, look=trial is query)), asked
        except (NotFoundError, Neo4jAwayError):
            if trial is query:
                raise
        asked = self._asked(query)
        return asked.weighted(await self._chosen(query)), asked

    async def _asker(self, user_id: str, snapshot: Snapshot) -> tuple[Asker, Snapshot]:
        """What is known about a user now, and the arrays with what those they follow did.

        Without Neo4j nothing is known about them.
        """
        try:
            stored, shown = await asyncio.gather(
                self._store.user(user_id, limit=self._max_evidence), self._shown(user_id)
            )
        except Neo4jAwayError:
            return Asker(user_id, Evidence(), degraded=("evidence",)), snapshot
        counts = {other: count for other, _, count in stored.follows}
        asker = stored_asker(user_id, stored, self._events, limit=self._max_evidence)
        asker = replace(asker, shown=shown) if shown else asker
        try:
            live = await with_live_rows(self._store, snapshot, counts, asker.evidence)
        except Neo4jAwayError:
            return replace(asker, degraded=("live evidence",)), snapshot
        source = asker.source and replace(asker.source, anybody=by_anybody(snapshot, live))
        return replace(asker, source=source), live

    async def _shown(self, user_id: str) -> dict[str, Shown]:
        """How items were shown to a user lately; nothing is read where that does not matter."""
        fatigue, days = self._outcomes.fatigue, self._outcomes.fatigue_half_life_days
        if not fatigue:
            return {}
        rows = await self._store.shown(user_id, told.SHOWN, timedelta(days=days))
        return shown_items(rows, fatigue)

    async def _unknown(self, named: Sequence[EvidenceKey], snapshot: Snapshot) -> tuple[str, ...]:
        """What a request names and is nowhere, as far as the graph can be asked."""
        ids = {"item": snapshot.items, "category": snapshot.categories}
        new: list[EvidenceKey] = [
            (k, each) for k, each in dict.fromkeys(named) if k == "user" or each not in ids[k]
        ]
        if not new:
            return ()
        try:
            there = await self._store.known(new)
        except Neo4jAwayError:
            return ()
        missing = [f"{kind}:{each}" for kind, each in new if (kind, each) not in there]
        return tuple(missing[:MOST_UNKNOWN])

    def _embedding_model(self, model: str | None) -> str:
        names = [name for name in self.snapshot.versions if name != "hybrid"]
        if not names:
            raise NotFoundError(
                "no model with vectors is active, which tell what is near: refresh with one of "
                f"{', '.join(EMBEDDING_MODELS)}"
            )
        if model is None and names:
            return names[0]
        if model not in names:
            raise NotFoundError(f"no embedding model {model!r} is active: expected one of {names}")
        return model

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


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A query, and what its scenario does.

    Attributes:
        query: with what the scenario says and the caller does not.
        plan: what the scenario does now; None where there is none.
        degraded: the scenario, where it cannot be read.
    """

    query: RecommendationQuery
    plan: Plan | None = None
    degraded: tuple[str, ...] = ()

    def weighted(self, snapshot: Snapshot) -> Snapshot:
        """The arrays with the weights of the scenario."""
        if self.plan is None or not self.plan.document.weights:
            return snapshot
        return replace(snapshot, blend=snapshot.blend.weighted(self.plan.document.weights))


async def _listing(
    snapshot: Snapshot, asker: Asker, asked: AskedFor, scope: CategoryScope | None = None
) -> Listing:
    query, degraded = asked.query, asked.degraded
    if query.categories and scope is None:
        degraded = (*degraded, "categories")
    if degraded:
        asker = replace(asker, degraded=(*asker.degraded, *degraded))
    do = partial(WORKSHOP.do, asker.is_large(query))
    if asked.plan is None:
        return await do(Listing, snapshot, asker, query, scope)
    return await do(RuledListing, snapshot, asker, query, scope, asked.plan)
