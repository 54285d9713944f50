"""What a person may change at any time, read for the items of an answer when it is made.

Availability, titles and categories are those of the graph now, in lists, similar items, sessions,
batches, files and explanations alike: all of them ask `Store.live_items`, which keeps what it finds
for as long as Neo4j says that nothing has been committed since. Without Neo4j the snapshot tells
how it was at the refresh.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.errors import Neo4jAwayError
from loaders.limits import MAX_ANSWERS
from recsvc.answer import Answer
from recsvc.errors import NotFoundError
from recsvc.graph.rows import CategoryScope, LiveItem
from recsvc.graph.store import Store
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.ranked_list import Listing, members_limit
from recsvc.recommend.ruled_list import RuledListing
from recsvc.snapshot.arrays import Snapshot

_ITEMS_AT_ONCE = 5_000
_NOT_TOLD = "Neo4j did not tell in time whether there are others"
_MOST_NEWCOMERS = 10_000
"""Items that came since the refresh, of which a list under a scenario is made."""

Do = Callable[..., Awaitable[Any]]


async def live_scope(
    store: Store, snapshot: Snapshot, query: RecommendationQuery
) -> CategoryScope | None:
    """What the categories of a query mean now; None where it names none, or nobody can tell.

    Raises:
        NotFoundError: there is no such category.
    """
    if not query.categories:
        return None
    try:
        limit = members_limit(query, len(snapshot.items))
        return await store.category_scope(query.categories, limit)
    except Neo4jAwayError:
        return None


async def live_titles(
    store: Store, snapshot: Snapshot, item_ids: Collection[str]
) -> dict[str, str | None]:
    """Titles of those of the items that exist now; as at the refresh where nobody can tell."""
    try:
        return {i: item.title for i, item in (await store.live_items(item_ids)).items()}
    except Neo4jAwayError:
        row_of = {item_id: snapshot.items.row(item_id) for item_id in item_ids}
        return {i: snapshot.titles[row] or None for i, row in row_of.items() if row >= 0}


async def live_rows(
    store: Store, listing: Listing, rows: Int64[NDArray[np.int64], " n"]
) -> list[LiveItem | None] | None:
    """What some items of a list are now; None where nobody can tell."""
    ids = [listing.snapshot.items[row] for row in rows.tolist()]
    try:
        live = await _live_items(store, listing, ids)
    except Neo4jAwayError:
        return None
    return [live.get(item_id) for item_id in ids]


async def _live_items(
    store: Store, listing: Listing, ids: Collection[str]
) -> Mapping[str, LiveItem]:
    scope, state = listing.scope, listing.asker.state
    inside = scope.categories if scope and scope.items is None else ()
    if not isinstance(listing, RuledListing):
        return await store.live_items(ids, inside, state)
    plan, live = listing.plan, dict[str, LiveItem]()
    for at in range(0, len(some := list(ids)), _ITEMS_AT_ONCE):
        live |= await store.scenario_items(
            some[at : at + _ITEMS_AT_ONCE], inside, plan.parameters, plan.key, state
        )
    return live


async def live_item(store: Store, listing: RuledListing, item_id: str) -> LiveItem:
    """An item as it is now, with what a scenario asks of it.

    Raises:
        NotFoundError: there is no such item.
        Neo4jError: the graph cannot be read in time.
    """
    live = await _live_items(store, listing, [item_id])
    if item_id not in live:
        raise NotFoundError(f"no item {item_id!r} in the graph")
    return live[item_id]


async def settle_rules(store: Store, listing: RuledListing, do: Do) -> bool:
    """Ask about items until the list under a scenario is certain; False where nobody can tell.

    Args:
        store: the graph.
        listing: the list.
        do: runs what takes long where it keeps nobody waiting.
    """
    try:
        if named := listing.named_newcomers():
            listing.add_newcomers(await _inside(store, listing, named))
        while len(rows := await do(listing.unsure)):
            ids = [listing.snapshot.items[row] for row in rows.tolist()]
            live = await _live_items(store, listing, ids)
            await do(listing.settle, rows, [live.get(item_id) for item_id in ids])
        if listing.wants_newcomers(listing.exact()):
            listing.by_anybody = True  # whatever is written may bring one more
            listing.add_newcomers(await _ruled_newcomers(store, listing))
            listing.newcomers = ()
    except Neo4jAwayError:
        return False
    return True


async def _inside(store: Store, listing: RuledListing, ids: Collection[str]) -> dict[str, LiveItem]:
    """Those of some items that came since the refresh that are in the categories of the query."""
    scope = listing.scope
    if scope is None:
        ids = () if listing.query.categories else ids
    elif scope.items is not None:
        ids = [item_id for item_id in ids if item_id in scope.items]
    live = await _live_items(store, listing, ids)
    asked = listing.asks_inside
    return {item_id: item for item_id, item in live.items() if item.inside or not asked}


async def _ruled_newcomers(store: Store, listing: RuledListing) -> dict[str, LiveItem]:
    """All items that came since the refresh, as far as the query lets them in."""
    scope, left_out = listing.scope, listing.left_out_ids()
    items = listing.snapshot.items
    if scope is not None and scope.items is not None:
        new = sorted(each for each in scope.items - left_out if items.row(each) < 0)
    else:
        categories = scope.categories if scope else ()
        others = await store.other_items([*items, *left_out], categories, _MOST_NEWCOMERS)
        new = [item_id for item_id, _ in others]
    return dict(await _live_items(store, listing, new))


async def add_newcomers(store: Store, listing: Listing) -> None:
    """Look for items that came since the refresh, for a list that is too short without them."""
    query, scope, left_out = listing.query, listing.scope, listing.left_out_ids()
    if query.categories and scope is None:
        return
    listing.by_anybody = True  # whatever is written may bring one more
    items = listing.snapshot.items
    try:
        if scope is not None and scope.items is not None:
            new = sorted(each for each in scope.items - left_out if items.row(each) < 0)
            live = await store.live_items(new)
            newcomers = [(i, live[i].title) for i in new if i in live and live[i].available]
        else:
            categories = scope.categories if scope else ()
            newcomers = await store.other_items(
                [*items, *left_out], categories, listing.most_newcomers
            )
    except Neo4jAwayError:
        return
    listing.newcomers = tuple(
        sorted(newcomers, key=lambda each: (-listing.fades(each[0]), each[0]))
    )


async def why_short(store: Store, listing: Listing, answer: Answer) -> str:
    """Why an answer has fewer than k items.

    The counts are those of the graph now. Where they do not add up to the list, because it is being
    written or was not read, they are left out.
    """
    came = f"{len(answer.items)} of {answer.k}"
    query, scope = listing.query, listing.scope
    if {"availability", "categories"}.intersection(answer.degraded):
        return f"{came}: {_NOT_TOLD}"
    if "shards" in answer.degraded:
        return f"{came}: a shard did not answer, and its items are left out"
    seen = listing.seen_ids()
    try:
        left = await store.items_left(
            scope.categories if scope else (), sorted(seen), sorted(listing.left_out_ids() - seen)
        )
    except Neo4jAwayError:
        return f"{came}: {_NOT_TOLD}"
    seen_by = "in the evidence" if answer.user_id is None else "seen by this user"
    if not query.exclude_seen:
        seen_by = "hidden by this user"
    where = "these categories have" if query.categories else "the graph has"
    reasons = {
        seen_by: left["seen"],
        "left out by the request": left["excluded"],
        "not available": left["unavailable"],
    }
    if left["items"] - sum(reasons.values()) != len(answer.items):
        return f"{came}: {where} no other item that may be listed"
    told = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items() if number)
    noun = "item" if left["items"] == 1 else "items"
    there = f"{where} {left['items']:,} {noun}" if left["items"] else f"{where} no items"
    return f"{came}: {there}, of these {told}" if told else f"{came}: {there}"


async def live_newcomer(
    store: Store, listing: Listing, item_id: str
) -> tuple[tuple[str, str | None], int]:
    """An item that came after the refresh, as (id, title), and its place in a list.

    Raises:
        NotFoundError: there is no such item.
        Neo4jError: the graph cannot be read in time.
    """
    items, rows = listing.snapshot.items, listing.before(listing.fades(item_id))
    ids = [items[row] for row in rows.tolist()]
    live, others = await asyncio.gather(
        store.live_items([item_id, *ids]),
        store.other_items([*items, *listing.left_out_ids()], (), MAX_ANSWERS),
    )
    if item_id not in live:
        raise NotFoundError(f"no item {item_id!r} in the graph")
    listing.settle(rows, [live.get(each) for each in ids])
    place = listing.place_of_newcomer(item_id, (other for other, _ in others if other != item_id))
    return (item_id, live[item_id].title), place


async def snapshot_now(
    store: Store, snapshot: Snapshot, item_ids: Iterable[str]
) -> tuple[Snapshot, list[str]]:
    """A snapshot with the availability and the titles of this moment.

    For answers that are made without a look at the graph for each of them.

    Args:
        store: the graph.
        snapshot: as it is served.
        item_ids: of the graph; those that the snapshot lacks came since the refresh.

    Returns:
        The snapshot, and the ids of newcomers that are available, sorted.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    new = [item_id for item_id in item_ids if item_id not in snapshot.items]
    ids, live = [*snapshot.items, *new], dict[str, LiveItem]()
    for start in range(0, len(ids), _ITEMS_AT_ONCE):
        live |= await store.live_items(ids[start : start + _ITEMS_AT_ONCE])
    items = [live.get(item_id) for item_id in snapshot.items]
    now = replace(
        snapshot,
        titles=tuple((item and item.title) or "" for item in items),
        available=np.array([item is not None and item.available for item in items], bool),
    )
    return now, sorted(each for each in new if each in live and live[each].available)
