"""Rows of followed users as they are now, in the place of stored ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.graph.store import Store
from recsvc.recommend.fresh_rows import by_anybody, item_vector
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.snapshot.arrays import Snapshot
from tests.live_rows import with_live_rows

ITEMS, USERS = IdMap(["a", "b", "c"]), IdMap(["u1", "u2", "u3"])
PEOPLE = np.array([3, 1, 2])
KINDS = ("listen",)


class FakeStore:
    """Answers `metapath` from a table, and records what it is asked."""

    def __init__(self, rows: Mapping[str, tuple[list[str], list[float]]]) -> None:
        self.rows, self.asked = rows, cast("list[Any]", [])

    def has_metapath(self, name: str) -> bool:
        return name == "followed_user_item"

    async def metapath(self, name: str, evidence_ids: Sequence[str], kinds: Sequence[str]) -> Any:
        assert kinds == KINDS
        self.asked.append((name, list(evidence_ids)))
        return {user: self.rows[user] for user in evidence_ids if user in self.rows}

    @property
    def store(self) -> Store:
        return cast(Store, self)


def made_snapshot() -> Snapshot:
    stored = sp.csr_matrix(np.array([[1, 0, 0], [0, 2, 0], [0, 0, 3]], np.float32))
    items = sp.csr_matrix(np.eye(3, dtype=np.float32))
    signals = (
        RowSignal("followed_user_item", "user", USERS, stored),
        RowSignal("item_user_item", "item", ITEMS, items),
    )
    return Snapshot(
        {"hybrid": 1}, ITEMS, IdMap(()), USERS, np.array([1, 1, 4]), PEOPLE, ("",) * 3,
        np.ones(3, bool), sp.csr_matrix((3, 0), dtype=bool),
        Blend(signals, (1.0, 1.0), np.ones(3, np.float32), 0.1), kinds=KINDS,
    )  # fmt: skip


def rows_of(snapshot: Snapshot, *users: str) -> list[list[float]]:
    signal = snapshot.blend.signals[0]
    found: list[list[float]] = []
    for user in users:
        evidence = Evidence((EvidenceNode("user", user, 1.0),)).rows("user", signal.ids)
        found.append(signal.terms(evidence, np.arange(3)).sum(axis=0).tolist())
    return found


async def test_only_those_who_changed_are_read_again() -> None:
    fake = FakeStore({"u2": (["b", "c", "unknown"], [0.5, 0.25, 9.0])})
    snapshot = made_snapshot()
    live = await with_live_rows(fake.store, snapshot, {"u1": 1, "u2": 2}, Evidence())
    assert fake.asked == [("followed_user_item", ["u2"])]
    assert rows_of(live, "u1", "u2", "u3") == [[1, 0, 0], [0, 0.5, 0.25], [0, 0, 0]]
    assert live.blend.signals[1] is snapshot.blend.signals[1]
    assert not by_anybody(snapshot, live)
    assert rows_of(snapshot, "u2") == [[0, 2, 0]]


async def test_stored_and_live_rows_stand_in_the_order_of_the_ids() -> None:
    fake = FakeStore({"u2": (["a"], [7.0])})
    live = await with_live_rows(
        fake.store, made_snapshot(), {"u1": 1, "u3": 4, "u2": 2}, Evidence()
    )
    assert rows_of(live, "u1", "u2", "u3") == [[1, 0, 0], [7, 0, 0], [0, 0, 3]]


async def test_one_who_came_or_lost_all_since() -> None:
    fake = FakeStore({"new": (["a"], [4.0])})
    live = await with_live_rows(
        fake.store, made_snapshot(), {"u3": 0, "new": 1, "unknown": 0}, Evidence()
    )
    assert rows_of(live, "u3", "new", "unknown") == [[0, 0, 0], [4, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("counts", [{}, {"u1": 1, "u3": 4}])
async def test_where_nobody_changed_nothing_is_read(counts: dict[str, int]) -> None:
    fake, snapshot = FakeStore({}), made_snapshot()
    assert await with_live_rows(fake.store, snapshot, counts, Evidence()) is snapshot
    assert fake.asked == []


async def test_most_that_are_read() -> None:
    fake = FakeStore({})
    counts = {f"x{n}": 1 for n in range(150)}
    await with_live_rows(fake.store, made_snapshot(), counts, Evidence())
    assert len(fake.asked[0][1]) == 100


async def test_evidence_that_came_since_the_refresh_has_the_rows_of_now() -> None:
    class Fake(FakeStore):
        def has_metapath(self, name: str) -> bool:
            return True

    fake = Fake({"new": (["b", "new"], [0.5, 9.0])})
    nodes = (EvidenceNode("item", "a", 1.0), EvidenceNode("item", "new", 1.0))
    live = await with_live_rows(fake.store, made_snapshot(), {}, Evidence(nodes))
    assert fake.asked == [("item_user_item", ["new"])]
    signal = live.blend.signals[1]
    rows = Evidence(nodes).rows("item", signal.ids)
    assert signal.terms(rows, np.arange(3)).tolist() == [[1, 0, 0], [0, 0.5, 0]]


class Neighbours(FakeStore):
    """Answers `two_steps` alone, from a table."""

    def has_metapath(self, name: str) -> bool:
        return False

    async def two_steps(self, evidence_ids: Sequence[str], kinds: Sequence[str]) -> Any:
        assert kinds == KINDS
        self.asked.append(("two steps", list(evidence_ids)))
        return {item: self.rows[item] for item in evidence_ids if item in self.rows}


SOURCE = np.array([[2, 0], [0, 4], [0, 0]], np.float32)
TARGET = np.array([[1, 0], [0, 3], [0, 0]], np.float32)


def embedded_snapshot() -> Snapshot:
    """What nobody had at the refresh, c, has vectors of length 0."""
    rows = RowSignal("pagerank", "item", ITEMS, sp.csr_matrix(np.eye(3, dtype=np.float32)), 0.5)
    embedding = EmbeddingSignal("lightgcn", ITEMS, SOURCE, TARGET)
    blend = Blend((embedding, rows), (1.0, 1.0), np.array([1, 1, 0], np.float32), 0.1)
    return replace(made_snapshot(), item_people=np.array([1, 3, 0]), blend=blend)


async def test_a_new_item_says_what_its_neighbourhood_does() -> None:
    fake = Neighbours({"new": (["a", "b", "new"], [0.3, 0.1, 0.6]), "c": (["b"], [0.5])})
    snapshot = embedded_snapshot()
    nodes = tuple(EvidenceNode("item", item, 1.0) for item in ("b", "c", "new", "lonely"))
    live = await with_live_rows(fake.store, snapshot, {}, Evidence(nodes))
    assert fake.asked == [("two steps", ["c", "new", "lonely"])]  # once, for both signals
    signal = live.blend.signals[0]
    assert isinstance(signal, EmbeddingSignal)
    said = dict(zip(signal.ids, signal.source.tolist(), strict=True))
    # Of (2, 0), three times, and (0, 4) the mean is (1.5, 1). One of four has (2, 0) among all who
    # have something, so walks end up at (0.5, 3) wherever they begin.
    assert said == {"b": [0, 4], "c": [-0.5, 1], "lonely": [0, 0], "new": [1, -2]}
    terms = signal.terms(Evidence(nodes).rows("item", signal.ids), np.arange(3))
    assert terms.tolist() == [[0, 12, 0], [-0.5, 3, 0], [1, -6, 0], [0, 0, 0]]
    assert by_anybody(snapshot, live)
    assert signal.target is snapshot.blend.signals[0].target  # pyright: ignore[reportAttributeAccessIssue]


async def test_the_vector_of_an_item_is_read_from_the_graph_where_it_has_none() -> None:
    fake = Neighbours({"new": (["a", "unknown"], [0.25, 0.75]), "c": (["a", "b"], [0.5, 0.5])})
    snapshot = embedded_snapshot()
    signal = snapshot.blend.signals[0]
    items = ("a", "new", "lonely")
    found = [await item_vector(fake.store, snapshot, signal, item) for item in items]
    # Walks end up at a quarter of (1, 0) and three quarters of (0, 3).
    assert [each.tolist() for each in found] == [[[1, 0]], [[0.75, -2.25]], [[0, 0]]]
    assert fake.asked == [("two steps", ["new"]), ("two steps", ["lonely"])]
    (cold,) = await item_vector(fake.store, snapshot, signal, "c")
    assert cold.tolist() == [0.25, -0.75]
