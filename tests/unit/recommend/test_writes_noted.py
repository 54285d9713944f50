"""Whose answers a write ends: before its caller hears of it, and where it failed half-way too."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from loaders.errors import ForeignGraphError, Neo4jTimeoutError
from loaders.gateway import Neo4jAddress
from loaders.mapped import MappedGraph
from recsvc.graph.rows import PendingDeletions
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.graph_writer import (
    Change,
    DropFollow,
    GraphWriter,
    PutFollow,
    PutNode,
    Retract,
)
from recsvc.recommend.write_counters import WriteCounters
from tests.mappings import MOVIES

USERS = ("ann", "bob", "cem")


class FakeStore(Store):
    """Commits nothing; notes whether the write was noted already, and fails if told to."""

    def __init__(self, write_counters: WriteCounters) -> None:
        super().__init__(Neo4jAddress("bolt://nowhere", "", ""), timeout_seconds=600.0)
        self.write_counters = write_counters
        self.noted_at_commit: int | None = None
        self.error: Exception | None = None

    def _commit(self) -> None:
        self.noted_at_commit = self.write_counters.newest
        if self.error is not None:
            raise self.error

    async def add_events(self, rows: Sequence[Any], outcomes: Sequence[Any] = ()) -> list[str]:
        self._commit()
        return [row["event_id"] for row in rows]

    async def add_outcomes(self, rows: Sequence[Any]) -> tuple[set[str], set[str]]:
        self._commit()
        return {row["outcome_id"] for row in rows}, set()

    async def write(self, steps: Sequence[Any], told: Any) -> list[list[dict[str, Any]]]:
        self._commit()
        nodes = [{"kind": "user", "id": user, "made": False} for user in USERS]
        follows = [{"user_id": "ann", "other_id": "bob", "existed": False}]
        found = {"write/nodes": nodes, "write/follows": follows}
        return [found.get(name, []) for name, _ in steps]

    async def pending_deletions(self) -> PendingDeletions:
        return PendingDeletions(0)


@pytest.fixture
def store(write_counters: WriteCounters) -> FakeStore:
    return FakeStore(write_counters)


@pytest.fixture
async def writer(store: FakeStore, write_counters: WriteCounters) -> AsyncIterator[GraphWriter]:
    writer = GraphWriter(store, cast(ActiveSnapshot, None), write_counters)
    yield writer
    await writer.stop()


def ended(write_counters: WriteCounters, before: int) -> set[str]:
    return {u for u in USERS if not write_counters.unchanged(write_counters.places([u]), before)}


async def test_events_end_the_answers_of_their_users(
    writer: GraphWriter, store: FakeStore, write_counters: WriteCounters
) -> None:
    rows = [{"event_id": f"e{n}", "user_id": user} for n, user in enumerate(("ann", "cem", "ann"))]
    assert await writer.add_events(rows) == 3
    assert ended(write_counters, 0) == {"ann", "cem"}
    assert store.noted_at_commit == 0


CHANGES: list[tuple[Change, set[str]]] = [
    (PutNode("user", "ann", {}), {"ann"}),
    (PutNode("user", "ann", {}, (("24", 1.0),)), {"ann"}),
    (PutFollow("ann", "bob"), {"ann"}),
    (DropFollow("ann", "bob"), {"ann"}),
    (Retract("ann", "i"), {"ann"}),
    (PutNode("item", "i", {}), set(USERS)),
    (PutNode("category", "ann", {}), set(USERS)),
]


@pytest.mark.parametrize(("change", "whose"), CHANGES)
async def test_a_change_ends_the_answers_it_may_alter(
    writer: GraphWriter,
    store: FakeStore,
    write_counters: WriteCounters,
    change: Change,
    whose: set[str],
) -> None:
    await writer.change(change)
    assert ended(write_counters, 0) == whose
    assert store.noted_at_commit == 0


async def test_a_write_of_unknown_outcome_is_noted_too(
    writer: GraphWriter, store: FakeStore, write_counters: WriteCounters
) -> None:
    store.error = Neo4jTimeoutError("no answer in time: committed or not")
    with pytest.raises(Neo4jTimeoutError):
        await writer.add_events([{"event_id": "e", "user_id": "bob"}])
    assert ended(write_counters, 0) == {"bob"}
    with pytest.raises(Neo4jTimeoutError):
        await writer.change(PutNode("item", "i", {}))
    assert ended(write_counters, 1) == set(USERS)


async def test_outcomes_of_a_graph_of_others_are_refused_before_they_wait_with_events(
    writer: GraphWriter, store: FakeStore
) -> None:
    graph = MappedGraph(MOVIES.model_copy(update={"writes": "all"}))
    store.address = replace(store.address, graph=graph)
    outcome = {"outcome_id": "o", "user_id": "ann"}
    with pytest.raises(ForeignGraphError):
        await writer.add_outcomes([outcome])
    event = {"event_id": "e", "user_id": "ann"}
    with pytest.raises(ForeignGraphError):
        await writer.add_events([event], [outcome])
    assert store.noted_at_commit is None
    assert await writer.add_events([event]) == 1


@pytest.mark.parametrize("fades", [True, False])
async def test_outcomes_end_the_answers_of_their_users_where_items_fade(
    store: FakeStore, write_counters: WriteCounters, fades: bool
) -> None:
    writer = GraphWriter(store, cast(ActiveSnapshot, None), write_counters, fades=fades)
    rows = [{"outcome_id": f"o{n}", "user_id": user} for n, user in enumerate(("ann", None))]
    assert await writer.add_outcomes(rows) == (0, 0)
    assert ended(write_counters, 0) == ({"ann"} if fades else set())
    await writer.stop()
