"""Who would get an item: those in whose lists it stands, or nearest to it; how often it is seen."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from recsvc.answer import Answer, RankedItem
from recsvc.errors import NotFoundError
from recsvc.graph.store import Store
from recsvc.recommend.query import RecommendationQuery

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_NEIGHBOURS: Final = 20
_LIKELY_USERS: Final = 50
_REACH: Final = 100
"""How far down a list the item is looked for."""
_MOST_USERS: Final = 10


@dataclass(frozen=True, slots=True)
class Audience:
    """Who would get an item, and how often it is seen.

    Attributes:
        versions: by model, of what is served.
        lists: how many users were drawn by chance.
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
        users: how many are drawn by chance.
        k: length of a list; the item is looked for in the first 100 items in any case.
        days: of which last days outcomes count.

    Raises:
        NotFoundError: there is no such item.
        SnapshotError: nothing has been refreshed yet.
        Neo4jError: the graph cannot be read in time.
        TooMuchError: all answers together take too long.
        BusyError: they are large, and as much as can be done is in hand.
    """
    if item_id not in await store.live_items([item_id]):
        raise NotFoundError(f"no item {item_id!r} in the graph")
    drawn, likely, outcomes = await asyncio.gather(
        store.sample_users(users),
        _likely_users(engine, store, item_id),
        store.item_outcomes(item_id, datetime.now(UTC) - timedelta(days=days)),
    )

    def place(answer: Answer) -> tuple[str, RankedItem | None]:
        found = (item for item in answer.items if item.item_id == item_id)
        return answer.user_id or "", next(found, None)

    reach = max(k, _REACH)
    query = RecommendationQuery(k=reach, explain="none")
    places, _ = await engine.recommend_many(list(dict.fromkeys((*drawn, *likely))), query, place)
    rank = {user_id: item.rank for user_id, item in places if item is not None}
    lists = [user_id for user_id in drawn if user_id in dict(places)]
    best = sorted(rank, key=lambda user_id: (rank[user_id], user_id))[:_MOST_USERS]
    explained, _ = await engine.recommend_many(best, RecommendationQuery(k=reach), place)
    return Audience(
        engine.snapshot.versions,
        lists=len(lists),
        holding=sum(rank.get(user_id, reach + 1) <= k for user_id in lists),
        users=tuple((user_id, item) for user_id, item in explained if item is not None),
        outcomes=outcomes,
    )


async def _likely_users(engine: "Engine", store: Store, item_id: str) -> list[str]:
    """Users without an item who have most of those like it; none where no model has vectors."""
    try:
        similar = await engine.similar_items(item_id, _NEIGHBOURS, None)
    except NotFoundError:
        return []
    return await store.likely_users(item_id, [each.id for each in similar.items], _LIKELY_USERS)
