"""Who would get an item: those in whose lists it stands, or nearest to it; how often it is seen."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from recsvc.answer import Answer, RankedItem
from recsvc.errors import NotFoundError
from recsvc.graph.store import Store
from recsvc.recommend.many_users import answer_some
from recsvc.recommend.query import RecommendationQuery

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_Place = tuple[str, RankedItem | None]
_NEIGHBOURS: Final = 20
_LIKELY_USERS: Final = 50
_REACH: Final = 100
"""How far down the lists of likely users the item is looked for."""
_MOST_USERS: Final = 10
_DRAWN_SECONDS: Final = 2.0
_LIKELY_SECONDS: Final = 1.0
_TOLD_SECONDS: Final = 1.5
"""For the lists of those who are drawn, of those who have items like it, and to explain some: all
together less than a service that is stopped waits for its requests."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who would get an item, and how often it is seen.

    Attributes:
        versions: by model, of what is served.
        lists: of how many users who were drawn by chance the lists were looked at.
        holding: how many of their lists have the item.
        users: the item as it stands in the lists of those where it stands first, each with the id
            of the user; of those drawn by chance, and of those who have items like it.
        outcomes: how many there are of each kind.
    """

    versions: Mapping[str, int]
    lists: int
    holding: int
    users: tuple[tuple[str, RankedItem], ...]
    outcomes: Mapping[str, int]


async def audience(
    engine: "Engine", store: Store, item_id: str, users: int, k: int, days: int
) -> Audience:
    """Who would get an item, and how often it is seen.

    Args:
        engine: makes the lists.
        store: the graph.
        item_id: the item.
        users: how many are drawn by chance; not all are asked where that would take too long.
        k: length of a list. Of those who have items like it the first 100 items are looked at in
            any case.
        days: of which last days outcomes count.

    Raises:
        NotFoundError: there is no such item.
        SnapshotError: nothing has been refreshed yet.
        Neo4jError: the graph cannot be read in time.
        BusyError: answers are large, and as much as can be done is in hand.
    """
    if item_id not in await store.live_items([item_id]):
        raise NotFoundError(f"no item {item_id!r} in the graph")
    drawn, likely, outcomes = await asyncio.gather(
        store.sample_users(users),
        likely_users(engine, store, item_id, _LIKELY_USERS),
        store.item_outcomes(item_id, datetime.now(UTC) - timedelta(days=days)),
    )

    def place(answer: Answer) -> _Place:
        listed = (item for item in answer.items if item.item_id == item_id)
        return answer.user_id or "", next(listed, None)

    query = RecommendationQuery(k=k, explain="none")
    lists = await answer_some(engine, drawn, query, place, _DRAWN_SECONDS)
    further = replace(query, k=max(k, _REACH))
    places = dict(lists) | dict(await answer_some(engine, likely, further, place, _LIKELY_SECONDS))
    rank = {user_id: item.rank for user_id, item in places.items() if item is not None}
    best = sorted(rank, key=lambda user_id: (rank[user_id], user_id))[:_MOST_USERS]
    told = RecommendationQuery(k=max((rank[user_id] for user_id in best), default=1))
    explained = await answer_some(engine, best, told, place, _TOLD_SECONDS)
    return Audience(
        engine.snapshot.versions,
        lists=len(lists),
        holding=sum(item is not None for _, item in lists),
        users=tuple((user_id, item) for user_id, item in explained if item is not None),
        outcomes=outcomes,
    )


async def likely_users(engine: "Engine", store: Store, item_id: str, limit: int) -> list[str]:
    """Users without an item who have most of those like it; none where no model has vectors."""
    try:
        similar = await engine.nodes.similar_items(item_id, _NEIGHBOURS, None)
    except NotFoundError:
        return []
    return await store.likely_users(item_id, [each.id for each in similar.items], limit)
