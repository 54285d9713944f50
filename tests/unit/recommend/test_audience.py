"""Who would get an item, where much evidence makes answers long."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recsvc.answer import Answer, RankedItem, SimilarAnswer, SimilarNode
from recsvc.errors import TooMuchError
from recsvc.graph.store import Store
from recsvc.recommend.audience import Audience, audience
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from tests.waiting import jump_ahead


class Asked:
    """An engine, its nodes and its graph: users have the item at the place that their id says."""

    snapshot = SimpleNamespace(versions={"hybrid": 1})
    most = 3

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self.nodes = self

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
        return ["40", "1", "7", "9", "3", "5", "6", "8"]

    async def recommend_many(
        self, users: list[str], query: RecommendationQuery, take: Callable[[Answer], Any]
    ) -> tuple[list[Any], list[str]]:
        self.calls.append((users, query.k))
        if len(users) > self.most:
            raise TooMuchError("they would take too long")
        return [take(self._answer(user, query.k)) for user in users], []

    def _answer(self, user: str, k: int) -> Answer:
        rank = int(user)
        items = (RankedItem("i", None, rank, 1.0, {"base": 1.0}),) if rank <= k else ()
        return Answer("r", user, k, {}, (), 1.0, items)


async def found(asked: Asked) -> Audience:
    return await audience(cast(Engine, asked), cast(Store, asked), "i", users=9, k=10, days=30)


async def test_all_are_asked_in_parts_where_they_take_too_long_together() -> None:
    asked = Asked()
    told = await found(asked)
    assert (told.lists, told.holding, told.outcomes) == (2, 1, {"click": 3})
    best = ["1", "2", "3", "5", "6", "7", "8", "9", "40"]
    assert [(user, item.rank) for user, item in told.users] == [(user, int(user)) for user in best]
    assert asked.calls == [
        (["2"], 10), (["30"], 10),
        (["40"], 100), (["1", "7"], 100), (["9", "3", "5", "6"], 100), (["9", "3"], 100),
        (["5", "6"], 100), (["8"], 100),
        (best[:1], 40), (best[1:3], 40), (best[3:7], 40), (best[3:5], 40), (best[5:7], 40),
        (best[7:], 40),
    ]  # fmt: skip


class Slow(Asked):
    """Of many users one takes as long as anybody waits, and one cannot be read in time."""

    most = 8

    async def sample_users(self, count: int) -> list[str]:
        return [str(number) for number in range(1, 10 + count)]

    async def recommend_many(
        self, users: list[str], query: RecommendationQuery, take: Callable[[Answer], Any]
    ) -> tuple[list[Any], list[str]]:
        if "11" in users:
            await asyncio.Event().wait()
        return await super().recommend_many(users, query, take)

    def _answer(self, user: str, k: int) -> Answer:
        answer = super()._answer(user, k)
        return replace(answer, degraded=("evidence",)) if user == "3" else answer


async def test_who_would_take_too_long_and_who_is_not_known_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jump_ahead(monkeypatch)
    told = await found(Slow())
    assert (told.lists, told.holding) == (6, 6)
    assert [user for user, _ in told.users] == ["1", "2", "4", "5", "6", "7", "8", "9", "40"]


class OneAtATime(Asked):
    """Two users together take as long as anybody waits."""

    async def recommend_many(
        self, users: list[str], query: RecommendationQuery, take: Callable[[Answer], Any]
    ) -> tuple[list[Any], list[str]]:
        if len(users) > 1:
            await asyncio.Event().wait()
        return await super().recommend_many(users, query, take)

    async def sample_users(self, count: int) -> list[str]:
        return [str(number) for number in range(1, count)]


async def test_where_two_take_too_long_there_is_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    jump_ahead(monkeypatch)
    told = await found(OneAtATime())
    assert (told.lists, [user for user, _ in told.users]) == (1, ["1", "40"])
