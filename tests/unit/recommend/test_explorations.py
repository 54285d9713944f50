"""What a process that explores asks the graph again and again."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.recommend import exploring
from recsvc.recommend.exploring import Explorations
from recsvc.scenarios.document import Scenario
from recsvc.snapshot.arrays import Snapshot


def made(*items: str) -> Snapshot:
    n = len(items)
    return Snapshot(
        versions={"hybrid": 1}, items=IdMap(items), categories=IdMap(()), users=IdMap(()),
        user_counts=np.zeros(0, np.int64), item_people=np.ones(n, np.int64), titles=("",) * n,
        available=np.ones(n, bool), in_category=sp.csr_matrix(np.zeros((n, 0), bool)),
        blend=Blend((), (), np.ones(n, np.float32), 0.1),
    )  # fmt: skip


class FakeStore:
    """Has some items, and counts how often all others are named."""

    def __init__(self, *items: str) -> None:
        self.items = items
        self.asked = 0

    async def tried_out(self, *_: Any) -> list[Any]:
        return []

    async def item_count(self) -> int:
        return len(self.items)

    async def other_items(self, others: list[str], *_: Any) -> list[tuple[str, None]]:
        self.asked += 1
        return [(item, None) for item in self.items if item not in others]


async def test_newcomers_are_looked_for_where_there_are_more_or_fewer_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explores = Scenario.model_validate({"exploration": {"share": 0.1, "within": 10}})
    stored = SimpleNamespace(stored=SimpleNamespace(name="front"), scenario=explores)
    scenarios = SimpleNamespace(current=lambda: [stored])
    store, serving = FakeStore("a", "b", "new"), SimpleNamespace(snapshot=made("a", "b"))
    explorations = Explorations(
        cast(Any, store), cast(Any, scenarios), cast(Any, serving), RecommendationIds()
    )

    async def found() -> tuple[tuple[str, ...], int]:
        await explorations.learn()
        return explorations.newcomers, store.asked

    assert await found() == (("new",), 1)
    assert await found() == (("new",), 1)
    store.items = ("a", "b", "new", "newer")
    assert await found() == (("new", "newer"), 2)
    serving.snapshot = made("a", "b", "new")  # a refresh
    assert await found() == (("newer",), 3)
    store.items = ("a", "b", "new", "other")  # one for another
    assert await found() == (("newer",), 3)
    monkeypatch.setattr(exploring, "_LOOK_SECONDS", 0.0)
    store.items = ("a", "b", "new")
    assert await found() == ((), 4)
    store.items = ("a", "b", "other")
    assert await found() == (("other",), 5)
