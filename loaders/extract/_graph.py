"""The graph as arrays.

Relationships are read as collected lists, a range of start nodes at a time, through several
sessions at once. Their ends come as the database's internal ids, which are small integers that
cost no look at the node. The database uses an internal id again after its node is deleted, but
promises that it names one node within a transaction. So the nodes are read by a transaction that
stays open until the last relationship has been read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.extract._properties import item_properties, with_properties
from loaders.extract._reading import (
    NO_NODES,
    Nodes,
    Progress,
    ranges,
    read_nodes,
    read_ranges,
    silent,
)
from loaders.extract._selection import EDGES, LABELS, Selection, cut_down, rows_mask
from loaders.gateway import Gateway, Row, Transaction
from loaders.types import (
    NO_PROPERTIES,
    Edges,
    HeteroGraph,
    Interactions,
    PropertyNames,
    index_type,
)

Unread = Callable[[Mapping[str, int]], None]
"""Told how many relationships of each type were left out, where weight or event cannot be read,
and, by label, how many nodes have the id of another and count as one with it."""


def extract_graph(
    gateway: Gateway,
    progress: Progress = silent,
    selection: Selection | None = None,
    *,
    properties: PropertyNames = NO_PROPERTIES,
    unread: Unread = lambda _: None,
) -> HeteroGraph:
    """Read the graph of CONTRACT §3, or a part of it.

    Args:
        gateway: the graph.
        progress: told what is done.
        selection: which part; all of it unless given.
        properties: what is read besides, as numbers.
        unread: told once, where something was left out since nobody can read it.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    chosen = selection or Selection()

    def read(transaction: Transaction) -> tuple[HeteroGraph, Mapping[str, int]]:
        nodes = _nodes(transaction, chosen)
        reader = _Reader(gateway, progress, chosen, nodes)
        interactions = reader.interactions()
        edges = reader.edges(interactions)
        users, items, categories = nodes["User"], nodes["Item"], nodes["Category"]
        interactions = with_properties(
            gateway, interactions, users, items, properties.interactions, progress
        )
        of_items = item_properties(gateway, items, properties.items, progress)
        nodes_alone = HeteroGraph(users.ids, items.ids, categories.ids, interactions)
        graph = replace(nodes_alone, **edges, item_properties=of_items)
        return cut_down(graph, chosen), reader.unread

    graph, left_out = gateway.read(read)
    if left_out:
        unread(left_out)
    return graph


def _nodes(transaction: Transaction, selection: Selection) -> Mapping[str, Nodes]:
    named = catalogue()
    nodes: dict[str, Nodes] = dict.fromkeys(LABELS, NO_NODES)
    if "User" in selection.labels:
        nodes["User"] = read_nodes(transaction, named["extract/user_ids"])
    if "Item" in selection.labels:
        query = named["extract/item_ids"]
        nodes["Item"] = read_nodes(transaction, query, until=selection.until)
    if "Category" in selection.labels:
        nodes["Category"] = read_nodes(transaction, named["extract/category_ids"])
    return nodes


class _Reader:
    """Reads relationships between nodes that are known.

    Attributes:
        unread: how many of each type were left out since their weight or event cannot be read, and
            how many nodes of each label have the id of another.
    """

    def __init__(
        self,
        gateway: Gateway,
        progress: Progress,
        selection: Selection,
        nodes: Mapping[str, Nodes],
    ) -> None:
        self._gateway = gateway
        self._progress = progress
        self._selection = selection
        self._nodes = nodes
        self.unread: dict[str, int] = {}
        for label, read in nodes.items():
            self._note(label, len(read.order) - len(read.ids))
        self._users: NDArray[np.bool_] | None = None
        if selection.users is not None:
            chosen = frozenset(selection.users)
            self._users = np.array([user in chosen for user in nodes["User"].order], bool)

    def interactions(self) -> Interactions:
        """The interactions of the users to read."""
        users, items = self._nodes["User"], self._nodes["Item"]
        if not self._selection.reads("INTERACTED"):
            return Interactions.empty()
        of = np.ones(len(users.ids), bool)
        if self._users is not None:
            of[users.place] = self._users
        name, window = "extract/interacted", dict[str, datetime]()
        if self._selection.since or self._selection.until:
            name = "extract/interacted_between"
            window["since"] = self._selection.since or datetime.min.replace(tzinfo=UTC)
            window["until"] = self._selection.until or datetime.max.replace(tzinfo=UTC)
        parts = read_ranges(
            self._gateway,
            catalogue()[name],
            ranges(users.order, users.column("degrees"), self._users),
            lambda rows: [_part(row, users, items, of) for row in rows],
            what="interactions",
            progress=self._progress,
            **window,
        )
        flat = [part for of_range in parts for part in of_range]
        self._note("INTERACTED", sum(part.unread for part in flat))
        return in_one(flat, len(items.ids))

    def edges(self, interactions: Interactions) -> dict[str, Edges]:
        """The other relationships, by their field of `HeteroGraph`."""
        wanted: dict[str, NDArray[np.bool_] | None] = {"User": self._users}
        if self._users is not None:
            items = self._nodes["Item"]
            wanted["Item"] = rows_mask(interactions.item_index, len(items.ids))[items.place]
        return {
            name: self._edges(kind, name, source, target, wanted.get(source))
            for kind, (name, source, target) in EDGES.items()
            if self._selection.reads(kind)
        }

    def _edges(
        self, kind: str, name: str, source: str, target: str, wanted: NDArray[np.bool_] | None
    ) -> Edges:
        sources, targets = self._nodes[source], self._nodes[target]
        until = {"until": self._selection.until} if name == "follows" else {}
        parts = read_ranges(
            self._gateway,
            catalogue()[f"extract/{name}"],
            ranges(sources.order, wanted=wanted),
            lambda rows: _weighted(rows[0], sources, targets),
            what=name,
            progress=self._progress,
            **until,
        )
        self._note(kind, sum(part.unread for part in parts))
        return in_order(parts) if parts else Edges.empty()

    def _note(self, kind: str, unread: int) -> None:
        if unread:
            self.unread[kind] = unread


class Weighted(NamedTuple):
    """Relationships in one range of start nodes, without those that nobody can read."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    unread: int


@dataclass(frozen=True, slots=True)
class Part:
    """Interactions of one kind of event in one range of users, without what nobody can read."""

    event: str
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    weight: NDArray[np.float64]
    last_at: NDArray[np.float64]
    unread: int


def _part(row: Row, users: Nodes, items: Nodes, of: NDArray[np.bool_]) -> Part:
    user, item = users.rows(row["sources"]), items.rows(row["targets"])
    # What was made after the nodes were read, and users who were read along.
    able = (user >= 0) & (item >= 0) & of[user]
    weight, last_at = np.array(row["weights"], np.float64), np.array(row["times"], np.float64)
    odd = able & np.isnan(weight)  # what somebody wrote by hand and nobody can read
    able &= ~odd
    if not able.all():
        user, item, weight, last_at = user[able], item[able], weight[able], last_at[able]
    return Part(row["event"], user, item, weight, last_at, int(odd.sum()))


def in_one(parts: Sequence[Part], items: int) -> Interactions:
    """All parts as one, by user, item and event."""
    names = tuple(sorted({part.event for part in parts if len(part.user)}))
    if not names:
        return Interactions.empty()
    row, dtype = {name: number for number, name in enumerate(names)}, index_type(len(names))
    user = np.concatenate([p.user for p in parts])
    item = np.concatenate([p.item for p in parts])
    event = np.concatenate([np.full(len(p.user), row.get(p.event, 0), dtype) for p in parts])
    # One number to sort by is several times faster than three. Its 63 bits are enough for a
    # hundred million users and as many items.
    order = np.argsort((user * items + item) * len(names) + event, kind="stable")
    weight = np.concatenate([p.weight for p in parts])[order]
    last_at = np.concatenate([p.last_at for p in parts])[order]
    return Interactions(user[order], item[order], event[order], weight, last_at, names)


def _weighted(row: Row, sources: Nodes, targets: Nodes) -> Weighted:
    source, target = sources.rows(row["sources"]), targets.rows(row["targets"])
    weight = np.array(row["weights"], np.float64)
    has_rows = (source >= 0) & (target >= 0)
    odd = has_rows & np.isnan(weight)
    has_rows &= ~odd
    return Weighted(source[has_rows], target[has_rows], weight[has_rows], int(odd.sum()))


def in_order(parts: Sequence[Weighted]) -> Edges:
    """All parts as one, by source, then target."""
    source = np.concatenate([part.source for part in parts])
    target = np.concatenate([part.target for part in parts])
    weight = np.concatenate([part.weight for part in parts])
    order = np.lexsort((target, source))
    return Edges(source[order], target[order], weight[order])
