"""What many users would have to do for an item to come into their lists: for who sells it."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from recsvc.answer import NodeRef
from recsvc.errors import NotFoundError
from recsvc.graph.store import Store
from recsvc.recommend.audience import likely_users
from recsvc.recommend.recourse import Recourse

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_SECONDS: Final = 4.0
"""After which no further user is looked at: less than a service that is stopped waits for its
requests."""
_MOST_ITEMS: Final = 20


@dataclass(frozen=True, slots=True)
class ItemRecourse:
    """What would bring an item into the lists of some users.

    Attributes:
        item_id: the item.
        k: length of the lists.
        event: the kind of event that items are added by.
        versions: by model, of what is served.
        users: how many users were looked at: those who have most items like it, then some drawn by
            chance.
        listed: how many of their lists have the item now.
        sizes: for how many users a set of so many added items brings it in.
        not_found: for how many no set was found.
        never: how many can not get it: they did something with it, or it is not available.
        items: the items that are in most of these sets, with in how many.
    """

    item_id: str
    k: int
    event: str
    versions: dict[str, int]
    users: int
    listed: int
    sizes: dict[int, int]
    not_found: int
    never: int
    items: tuple[tuple[NodeRef, int], ...]


async def item_recourse(
    engine: "Engine", store: Store, item_id: str, users: int, k: int, event: str
) -> ItemRecourse:
    """What would bring an item into the lists of some users.

    Args:
        engine: finds recourse.
        store: the graph.
        item_id: the item.
        users: how many are looked at, at most; fewer where they take long together.
        k: length of a list.
        event: the kind of event that items are added by.

    Raises:
        NotFoundError: there is no such item, or there was none at the last refresh.
        SnapshotError: nothing has been refreshed yet.
        Neo4jError: the graph cannot be read in time.
        BusyError: as much as can be done is in hand.
    """
    if item_id not in await store.live_items([item_id]):
        raise NotFoundError(f"no item {item_id!r} in the graph")
    likely = await likely_users(engine, store, item_id, users)
    drawn = await store.sample_users(users)
    until, recourses = time.monotonic() + _SECONDS, list[Recourse]()
    for user_id in list(dict.fromkeys([*likely, *drawn]))[:users]:
        try:
            recourses.append(await engine.nodes.recourse(user_id, item_id, k, event))
        except NotFoundError:
            if await store.known([("user", user_id)]):
                raise  # there was no such item at the last refresh
        if time.monotonic() > until:
            break
    return _together(item_id, k, event, dict(engine.snapshot.versions), recourses)


def _together(
    item_id: str, k: int, event: str, versions: dict[str, int], recourses: list[Recourse]
) -> ItemRecourse:
    sets = [each.added for each in recourses if each.added and each.rank is None]
    counted = Counter(node for added in sets for node in added)
    most = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0].id or ""))
    return ItemRecourse(
        item_id, k, event, versions,
        users=len(recourses),
        listed=sum(each.rank is not None for each in recourses),
        sizes=dict(sorted(Counter(map(len, sets)).items())),
        not_found=sum(each.added is None and each.reason is None for each in recourses),
        never=sum(each.reason is not None for each in recourses),
        items=tuple(most[:_MOST_ITEMS]),
    )  # fmt: skip


def item_recourse_document(recourse: ItemRecourse) -> dict[str, object]:
    """What was found, as JSON has it."""
    return {
        "item_id": recourse.item_id,
        "k": recourse.k,
        "event": recourse.event,
        "versions": recourse.versions,
        "users": recourse.users,
        "listed": recourse.listed,
        "sizes": {str(size): number for size, number in recourse.sizes.items()},
        "not_found": recourse.not_found,
        "never": recourse.never,
        "items": [
            {"id": node.id, "title": node.title, "users": number} for node, number in recourse.items
        ],
    }
