"""Who would get an item, where much evidence makes answers long."""

from collections.abc import Callable
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

from recsvc.answer import Answer, RankedItem, SimilarAnswer, SimilarNode
from recsvc.errors import TooMuchError
from recsvc.graph.store import Store
from recsvc.recommend.audience import audience
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery


class Asked:
    """An engine and its graph: users have the item at the place that their id says."""

    snapshot = SimpleNamespace(versions={"hybrid": 1})

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], int]] = []

    async def live_items(self, item_ids: list[str]) -> dict[str, object]:
        return dict.fromkeys(item_ids)

    async def sample_users(self, count: int) -> list[str]:
        return ["2", "30"][:count]

    async def item_outcomes(self, _item_id: str, _since: datetime) -> dict[str, int]:
        return {"click": 3}

    async def similar_items(self, item_id: str, _k: int, _model: str | None) -> SimilarAnswer:
        return SimilarAnswer(item_id, "lightgcn", 1, (SimilarNode("j", None, 0.9, 1),))

    async def likely_users(self, _item_id: str, other_ids: list[str], _limit: int) -> list[str]:
        assert other_ids == ["j"]
        return ["40", "1", "7", "9"]

    async def recommend_many(
        self, users: list[str], query: RecommendationQuery, take: Callable[[Answer], Any]
    ) -> tuple[list[Any], list[str]]:
        self.calls.append((users, query.k))
        if len(users) > 3:
            raise TooMuchError("they would take too long")
        return [take(self._answer(user, query.k)) for user in users], []

    def _answer(self, user: str, k: int) -> Answer:
        rank = int(user)
        items = (RankedItem("i", None, rank, 1.0, {"base": 1.0}),) if rank <= k else ()
        return Answer("r", user, k, {}, (), 1.0, items)


async def test_fewer_are_asked_where_all_take_too_long() -> None:
    asked = Asked()
    found = await audience(cast(Engine, asked), cast(Store, asked), "i", users=2, k=10, days=30)
    assert (found.lists, found.holding, found.outcomes) == (2, 1, {"click": 3})
    assert [(user, item.rank) for user, item in found.users] == [("1", 1), ("2", 2), ("40", 40)]
    likely = ["40", "1", "7", "9"]
    assert asked.calls == [
        (["2", "30"], 10), (likely, 100), (likely[:2], 100), (["1", "2", "40"], 40),
    ]  # fmt: skip
