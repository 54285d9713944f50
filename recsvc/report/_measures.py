"""What the arrays of the graph say."""

from collections import Counter
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray
from scipy.sparse import csgraph

from loaders.extract import ItemDetails
from loaders.types import Edges, HeteroGraph, IdMap
from recsvc.report._distribution import distribution
from recsvc.report._figures import (
    TOP,
    Categories,
    CategoryKind,
    Cold,
    Component,
    Components,
    Degrees,
    Follows,
    ItemQuality,
    Named,
    Ranked,
)

_LARGEST = 10
_FEW = 5
_MAX_MONTHS = 360


class Pairs:
    """The distinct pairs of a user and an item with interactions.

    Attributes:
        user_index: row of the user of each pair.
        item_index: row of the item of each pair.
        items_per_user: distinct items of each user.
        users_per_item: distinct users of each item.
        several_events: pairs with events of more than one kind.
        duplicates: relationships of the same user, item and event beyond the first.
    """

    def __init__(self, graph: HeteroGraph) -> None:
        did = graph.interactions
        # They are sorted by user, item and event: what is new differs from the one before.
        new_pair = _changes(did.user_index) | _changes(did.item_index)
        new_event = new_pair | _changes(did.event_index)
        pair = np.cumsum(new_pair) - 1
        kinds = np.bincount(pair[new_event])
        self.user_index = did.user_index[new_pair]
        self.item_index = did.item_index[new_pair]
        self.items_per_user = _counts(self.user_index, graph.users)
        self.users_per_item = _counts(self.item_index, graph.items)
        self.several_events = int((kinds > 1).sum())
        self.duplicates = len(did) - int(new_event.sum())

    def __len__(self) -> int:
        return len(self.user_index)


def degrees(graph: HeteroGraph, pairs: Pairs, details: ItemDetails) -> Degrees:
    """How many different items users have, and users items."""
    return Degrees(
        items_per_user=distribution(pairs.items_per_user),
        users_per_item=distribution(pairs.users_per_item),
        top_users=_top(pairs.items_per_user, graph.users, None),
        top_items=_top(pairs.users_per_item, graph.items, details.titles),
    )


def follows(graph: HeteroGraph) -> Follows:
    """Who follows whom."""
    edges, users = graph.follows, graph.users
    there = edges.source * len(users) + edges.target
    back = edges.target * len(users) + edges.source
    return Follows(
        relationships=len(edges),
        followers=distribution(_counts(edges.target, users)),
        followed=distribution(_counts(edges.source, users)),
        reciprocity=float(np.isin(there, back).mean()) if len(edges) else None,
    )


def categories(
    graph: HeteroGraph, details: ItemDetails, kinds: tuple[CategoryKind, ...]
) -> Categories:
    """What items belong to."""
    items_per_category = _counts(graph.in_category.target, graph.categories)
    categories_per_item = _counts(graph.in_category.source, graph.items)
    return Categories(
        links=len(graph.in_category),
        items_per_category=distribution(items_per_category),
        categories_per_item=distribution(categories_per_item),
        items_without=int((categories_per_item == 0).sum()),
        with_parent=len(np.unique(graph.subcategory_of.source)),
        preferring_users=len(np.unique(graph.prefers.source)),
        kinds=kinds,
        top=_top(items_per_category, graph.categories, details.category_names),
    )


def components(graph: HeteroGraph, pairs: Pairs) -> Components:
    """The connected components of the users and items that have interactions."""
    n_users, n_nodes = len(graph.users), len(graph.users) + len(graph.items)
    links = Edges(
        pairs.user_index, pairs.item_index + n_users, np.ones(len(pairs), np.float32)
    ).matrix(n_nodes, n_nodes)
    _, component = csgraph.connected_components(links, directed=False)
    of_users = component[:n_users][pairs.items_per_user > 0]
    of_items = component[n_users:][pairs.users_per_item > 0]
    users = np.bincount(of_users, minlength=n_nodes)
    items = np.bincount(of_items, minlength=n_nodes)
    sizes = (users + items)[users > 0]
    largest = np.argsort(-(users + items), kind="stable")[:_LARGEST].tolist()
    return Components(
        total=len(sizes),
        sizes=distribution(sizes),
        largest=tuple(Component(int(users[n]), int(items[n])) for n in largest if users[n]),
    )


def cold_users(graph: HeteroGraph, pairs: Pairs) -> Cold:
    """Users with few interactions."""
    warm = pairs.items_per_user > 0
    filled = _counts(graph.in_category.target, graph.categories) > 0
    reached = _leads_to(graph.follows, warm, len(graph.users)) | _leads_to(
        graph.prefers, filled, len(graph.users)
    )
    return _cold(pairs.items_per_user, reached)


def cold_items(graph: HeteroGraph, pairs: Pairs) -> Cold:
    """Items with few interactions."""
    warm = pairs.users_per_item > 0
    alive = _counts(graph.prefers.target, graph.categories) > 0
    alive[graph.in_category.target[warm[graph.in_category.source]]] = True
    return _cold(pairs.users_per_item, _leads_to(graph.in_category, alive, len(graph.items)))


def item_quality(details: ItemDetails) -> ItemQuality:
    """What is missing at items."""
    bearers = Counter(title for title in details.titles if title)
    return ItemQuality(
        without_title=sum(not title for title in details.titles),
        sharing_title=sum(total for total in bearers.values() if total > 1),
        unavailable=sum(not available for available in details.available),
    )


def periods(
    graph: HeteroGraph, *, now: float
) -> tuple[Literal["month", "year"], tuple[Named, ...]]:
    """Interactions by the month of their newest event, or by its year where months are too many."""
    seconds = graph.interactions.last_at
    plausible = seconds[(seconds >= 0.0) & (seconds <= now)].astype("datetime64[s]")
    if not len(plausible):
        return "month", ()
    by_month = _by_period(plausible.astype("datetime64[M]"))
    if len(by_month) <= _MAX_MONTHS:
        return "month", by_month
    return "year", _by_period(plausible.astype("datetime64[Y]"))


def _by_period(period: NDArray[np.datetime64]) -> tuple[Named, ...]:
    first = period.min()
    totals = np.bincount((period - first).astype(np.int64)).tolist()
    return tuple(Named(str(first + n), total) for n, total in enumerate(totals))


def _changes(column: NDArray[np.generic]) -> Bool[NDArray[np.bool_], " n"]:
    """Where a value differs from the one before; the first always does."""
    changed = np.ones(len(column), np.bool_)
    changed[1:] = column[1:] != column[:-1]
    return changed


def _counts(rows: Int64[NDArray[np.int64], " n"], ids: IdMap) -> Int64[NDArray[np.int64], " ids"]:
    return np.bincount(rows, minlength=len(ids)).astype(np.int64)


def _top(
    totals: Int64[NDArray[np.int64], " n"], ids: IdMap, titles: tuple[str, ...] | None
) -> tuple[Ranked, ...]:
    """The largest totals above 0; ties go to the smaller id."""
    best = np.argsort(-totals, kind="stable")[:TOP].tolist()
    return tuple(
        Ranked(ids[row], titles[row] if titles else "", int(totals[row]))
        for row in best
        if totals[row]
    )


def _leads_to(
    edges: Edges, wanted: Bool[NDArray[np.bool_], " targets"], sources: int
) -> Bool[NDArray[np.bool_], " sources"]:
    """Which sources have an edge to a wanted target."""
    leads = np.zeros(sources, np.bool_)
    leads[edges.source[wanted[edges.target]]] = True
    return leads


def _cold(
    degree: Int64[NDArray[np.int64], " nodes"], reached: Bool[NDArray[np.bool_], " nodes"]
) -> Cold:
    without = degree == 0
    return Cold(
        without=int(without.sum()),
        few=int(((degree > 0) & (degree < _FEW)).sum()),
        reachable=int((without & reached).sum()),
    )
