"""One round trip to Neo4j before an answer is scored and one after, whatever is explained.

The one after is spared where nothing was committed since its items were read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from loaders.catalogue import Query
from recsvc.answer import Answer
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import load_settings
from tests.conftest import QUICK, Served

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
USERS = [f"u{number}" for number in range(0, 60, 6)]

SET = Query(
    "tests/available", "", "write", {"item_id": "", "available": ""}, {},
    "MATCH (i:Item {item_id: $item_id}) SET i.available = $available",
)  # fmt: skip

TOUCH = Query(
    "tests/touch", "", "write", {}, {}, "MATCH (i:Item {item_id: 'i0'}) SET i.touched = timestamp()"
)
BESIDE = (
    "serve/active_versions", "serve/stored_versions", "delete/deletions", "ingest/indexes",
    "scenario/all", "experiment/all",
)  # fmt: skip
"""What is read by tasks that run beside requests."""


class RecordedStore(Store):
    """Notes when each read of a request begins and ends."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.notes: list[str] = []

    async def _run_after(self, query: Query, *arguments: Any) -> Any:
        if query.name in BESIDE:
            return await super()._run_after(query, *arguments)
        self.notes.append(f"begin {query.name}")
        answer = await super()._run_after(query, *arguments)
        self.notes.append(f"end {query.name}")
        return answer

    def round_trips(self) -> int:
        """How often a read began when another had ended: reads at once are one round trip."""
        kinds = [note.split()[0] for note in self.notes]
        return sum(
            kind == "begin" and (number == 0 or kinds[number - 1] == "end")
            for number, kind in enumerate(kinds)
        )


def _asked(
    served: Served, ask: Callable[[Engine, RecordedStore], Awaitable[list[Answer]]]
) -> list[Answer]:
    async def run() -> list[Answer]:
        store = RecordedStore(served.address, timeout_seconds=60.0)
        engine = Engine(
            store,
            snapshot_folder=served.home / "snapshots",
            events=load_settings().events,
            max_evidence=1000,
        )
        await engine.start()
        try:
            async with asyncio.timeout(600):
                await store.warm_up()  # the watcher plans the queries too, beside
            await ask(engine, store)  # the first time around connections are made
            return await ask(engine, store)
        finally:
            await engine.stop()

    return asyncio.run(run())


def test_one_round_trip_before_scoring_and_one_after(served):
    wanted = [(explain, user) for explain in ("none", "summary", "full") for user in USERS]

    async def ask(engine: Engine, store: RecordedStore) -> list[Answer]:
        answers = []
        for explain, user in wanted:
            store.notes.clear()
            served.gateway.run(TOUCH)
            query = RecommendationQuery(k=5, explain=explain)
            answers.append(await engine.recommend(user, query))
            assert store.notes[:2] == ["begin serve/user_evidence", "end serve/user_evidence"]
            assert store.round_trips() == 2, (explain, store.notes)
        return answers

    for (explain, _), answer in zip(wanted, _asked(served, ask), strict=True):
        assert len(answer.items) == 5
        explanations = [item.explanation for item in answer.items]
        if explain == "full":
            assert all(e.paths for e in explanations)
            assert any(e.counterfactual for e in explanations)
        else:
            assert all(e is None or e.paths is None for e in explanations)


def test_no_round_trip_after_scoring_where_nothing_was_committed_since(served):
    """What is written by hand is in the next answer all the same."""

    async def ask(engine: Engine, store: RecordedStore) -> list[Answer]:
        query = RecommendationQuery(k=5, explain="none")
        trips = []
        answers = [await engine.recommend("u6", query)]
        first = answers[0].items[0].item_id
        for available in (None, False, None, True, None):
            if available is not None:
                served.gateway.run(SET, item_id=first, available=available)
            store.notes.clear()
            answers.append(await engine.recommend("u6", query))
            trips.append(store.round_trips())
        assert trips == [1, 2, 1, 2, 1]
        return answers

    lists = [[item.item_id for item in a.items] for a in _asked(served, ask)]
    assert lists[0] == lists[1] == lists[4] == lists[5]
    assert lists[2] == lists[3]
    assert lists[0][0] not in lists[2]
    assert len(lists[2]) == 5


def test_what_is_gone_costs_one_more_round_trip_where_paths_are_wanted(served):
    """And the answer is right each time. Of a list nothing is kept: it is found out each time."""
    gone: list[str] = []

    async def ask(engine: Engine, store: RecordedStore) -> list[Answer]:
        query = RecommendationQuery(k=10, explain="full")
        before = await engine.recommend("u8", query)
        second = before.items[1].item_id
        gone.append(second)
        answers, trips = [before], []
        for available in (False, None, True, None):
            if available is not None:
                served.gateway.run(SET, item_id=second, available=available)
            store.notes.clear()
            answers.append(await engine.recommend("u8", query))
            trips.append(store.round_trips())
        assert trips == [3, 3, 2, 2]
        return answers

    try:
        before, without, again, back, back_again = _asked(served, ask)
    finally:
        for item_id in gone:
            served.gateway.run(SET, item_id=item_id, available=True)
    listed = [[item.item_id for item in answer.items] for answer in (without, again)]
    assert gone[0] not in listed[0]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 10
    for answer in (back, back_again):
        assert [i.item_id for i in answer.items] == [i.item_id for i in before.items]
    for answer in (before, without, again, back, back_again):
        for item in answer.items:
            assert item.explanation is not None
            assert item.explanation.paths
