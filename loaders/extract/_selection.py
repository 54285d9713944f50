"""Which part of the graph is wanted, and cutting arrays down to it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from loaders.tables import Label
from loaders.types import Edges, HeteroGraph, IdMap, Interactions

EDGES = {
    "FOLLOWS": ("follows", "User", "User"),
    "PREFERS": ("prefers", "User", "Category"),
    "IN_CATEGORY": ("in_category", "Item", "Category"),
    "SUBCATEGORY_OF": ("subcategory_of", "Category", "Category"),
    "RELATED_TO": ("related_to", "Item", "Item"),
}
"""Types with nothing but a weight: their field of `HeteroGraph`, start label and end label."""
LABELS: tuple[Label, ...] = get_args(Label)
TYPES = ("INTERACTED", *EDGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A part of the graph; without arguments, all of it. Several conditions hold together.

    Attributes:
        until: nothing from this moment on: interactions and follows before it, items made before
            it. What an interaction that goes on past it counts as is said in docs/extract.md.
        since: interactions that were still going on at this moment or later.
        labels: only nodes of these labels.
        types: only relationships of these types.
        users: only these users, the items they interacted with, and the categories of both.
        k_core: only users and items with this many counterparts or more within the selection.

    Raises:
        ValueError: a label or type that the graph does not have, a time without an offset, or a
            `k_core` below 1.
    """

    until: datetime | None = None
    since: datetime | None = None
    labels: Collection[str] = LABELS
    types: Collection[str] = TYPES
    users: Collection[str] | None = None
    k_core: int | None = None

    def __post_init__(self) -> None:
        for name, given, allowed in (("label", self.labels, LABELS), ("type", self.types, TYPES)):
            for kind in given:
                if kind not in allowed:
                    raise ValueError(f"no {name} {kind!r}: expected some of {', '.join(allowed)}")
        for name in ("until", "since"):
            time: datetime | None = getattr(self, name)
            if time is not None and time.utcoffset() is None:
                raise ValueError(f"{name} {time.isoformat()} has no offset: add one, or Z for UTC")
        if self.k_core is not None and self.k_core < 1:
            raise ValueError(f"k_core is {self.k_core}: expected 1 or more")

    def reads(self, kind: str) -> bool:
        """Whether relationships of this type, and the labels at both of its ends, are wanted."""
        _, source, target = EDGES.get(kind, ("interactions", "User", "Item"))
        return kind in self.types and source in self.labels and target in self.labels


def cut_down(graph: HeteroGraph, selection: Selection) -> HeteroGraph:
    """What of a graph that was read belongs to the selection: its users and its k-core."""
    if selection.users is not None:
        graph = _community(graph, frozenset(selection.users))
    if selection.k_core is not None:
        users, items = k_core(graph.interactions, selection.k_core)
        graph = induced(graph, users=rows_mask(users, len(graph.users)),
                        items=rows_mask(items, len(graph.items)))  # fmt: skip
    return graph


def k_core(interactions: Interactions, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The largest part in which each user has k items or more, and each item k users or more.

    Several events of one pair count as one (Seidman 1983, on the bipartite graph).

    Returns:
        Rows of the users and rows of the items in it, ascending.
    """
    pairs = np.unique(np.stack([interactions.user_index, interactions.item_index], axis=1), axis=0)
    while True:
        user, item = pairs[:, 0], pairs[:, 1]
        enough = (np.bincount(user)[user] >= k) & (np.bincount(item)[item] >= k)
        if enough.all():
            return np.unique(user), np.unique(item)
        pairs = pairs[enough]


def induced(
    graph: HeteroGraph,
    *,
    users: Bool[NDArray[np.bool_], " users"] | None = None,
    items: Bool[NDArray[np.bool_], " items"] | None = None,
    categories: Bool[NDArray[np.bool_], " categories"] | None = None,
) -> HeteroGraph:
    """The nodes where a mask is true (all, without one) and the relationships between them."""
    masks = {"User": users, "Item": items, "Category": categories}
    maps = {"User": graph.users, "Item": graph.items, "Category": graph.categories}
    rows_left = {label: _Kept.of(ids, masks[label]) for label, ids in maps.items()}
    did = graph.interactions
    both = rows_left["User"].mask[did.user_index] & rows_left["Item"].mask[did.item_index]
    did = did.take(both)
    edges: dict[str, Edges] = {}
    for name, source, target in EDGES.values():
        old: Edges = getattr(graph, name)
        both = rows_left[source].mask[old.source] & rows_left[target].mask[old.target]
        edges[name] = Edges(
            rows_left[source].row[old.source[both]],
            rows_left[target].row[old.target[both]],
            old.weight[both],
        )
    nodes_alone = HeteroGraph(
        rows_left["User"].ids,
        rows_left["Item"].ids,
        rows_left["Category"].ids,
        Interactions(
            rows_left["User"].row[did.user_index],
            rows_left["Item"].row[did.item_index],
            did.event_index,
            did.weight,
            did.last_at,
            did.events,
            did.properties,
        ),
    )
    of_items = {
        name: values[rows_left["Item"].mask] for name, values in graph.item_properties.items()
    }
    return replace(nodes_alone, **edges, item_properties=of_items)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The nodes of one label that are kept, and the new row of each old one."""

    ids: IdMap
    mask: NDArray[np.bool_]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, ids: IdMap, mask: NDArray[np.bool_] | None) -> "_Kept":
        if mask is None:
            return cls(ids, np.ones(len(ids), bool), np.arange(len(ids)))
        ids_left = IdMap([ids[row] for row in np.flatnonzero(mask).tolist()])
        return cls(ids_left, mask, np.cumsum(mask) - 1)


def _community(graph: HeteroGraph, user_ids: frozenset[str]) -> HeteroGraph:
    """The users, the items they interacted with, and what categories both lead to."""
    users = np.array([user_id in user_ids for user_id in graph.users], bool)
    items = rows_mask(graph.interactions.item_index, len(graph.items))
    categories = rows_mask(graph.prefers.target, len(graph.categories))
    categories[graph.in_category.target[items[graph.in_category.source]]] = True
    parents = graph.subcategory_of
    while True:
        above = parents.target[categories[parents.source]]
        if categories[above].all():
            return induced(graph, users=users, items=items, categories=categories)
        categories[above] = True


def rows_mask(rows: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """One per row up to `count`: whether it is among `rows`."""
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask
