"""Bringing arrays up to date without reading every interaction again.

Neo4j adds up each user's interactions and sends the sums, which is cheaper than sending the
interactions; the old arrays are added up the same way. Where the sums differ, a user's interactions
are read again. Nothing has to be noted in the graph for that, and no clock is trusted. Nodes and
all other relationships are always read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.extract._graph import read_graph, sorted_interactions
from loaders.extract._reading import Nodes, Progress, joined, ranges, read_ranges, silent
from loaders.extract._selection import Selection
from loaders.gateway import Gateway, Row
from loaders.types import HeteroGraph, IdMap, Interactions, index_type


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new in the graph.

    Attributes:
        graph: all nodes and relationships, but only the interactions of `users`.
        users: one per user of `graph`: whether their interactions were read again.
    """

    graph: HeteroGraph
    users: NDArray[np.bool_]


def extract_changes(gateway: Gateway, old: HeteroGraph, progress: Progress = silent) -> Changes:
    """Read what differs from arrays that were read earlier.

    Args:
        gateway: the graph.
        old: the whole graph as it was read earlier.
        progress: told what is done.

    Raises:
        Neo4jError: the graph cannot be read.
    """

    def whose(users: Nodes, items: Nodes) -> NDArray[np.bool_]:
        cuts = ranges(users.order, users.column("degrees"))
        query = catalogue()["extract/interaction_sums"]
        parts = read_ranges(gateway, query, cuts, lambda rows: rows[0], what="sums")
        return _differ(_sums_now(parts, users), _sums_then(old, users, items))

    found = read_graph(gateway, progress, Selection(), whose)
    return Changes(found.graph, found.users)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over each user's interactions, in the database's order of users.

    Attributes:
        degrees: how many.
        items: of a number made of each item's inside name.
        weights: of the weights.
        times: of the times, in milliseconds.
    """

    degrees: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float64]
    times: NDArray[np.int64]


def _sums_now(parts: Sequence[Row], users: Nodes) -> _Sums:
    place = users.places(joined(parts, "users"))
    known = place >= 0

    def spread(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        values = np.zeros(len(users.order), dtype)
        values[place[known]] = np.array(joined(parts, name), dtype)[known]
        return values

    return _Sums(
        users.column("degrees"),
        spread("items", np.int64),
        spread("weights", np.float64),
        spread("times", np.int64),
    )


def _sums_then(old: HeteroGraph, users: Nodes, items: Nodes) -> _Sums:
    did = old.interactions
    inside = items.internal_of(old.items)[did.item_index]
    # Of an item that is gone no name is known: its users cannot come out equal.
    key = np.where(inside >= 0, inside * (1 + inside % 1009), -1)
    starts = np.searchsorted(did.user_index, np.arange(len(old.users) + 1))
    row = old.users.rows(users.order)

    def summed(values: NDArray[Any]) -> NDArray[Any]:
        upto = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
        # The row of a user unknown so far is -1: the last one, which did nothing.
        return np.append(np.diff(upto[starts]), 0)[row]

    millis = np.nan_to_num(np.round(did.last_at * 1000.0)).astype(np.int64)
    return _Sums(
        summed(np.ones(len(did), np.int64)),
        summed(key),
        summed(did.weight.astype(np.float64)),
        summed(millis),
    )


def _differ(now: _Sums, then: _Sums) -> NDArray[np.bool_]:
    """Whose sums differ; the weights by more than what 32-bit floats round."""
    exact = (now.degrees == then.degrees) & (now.items == then.items) & (now.times == then.times)
    return ~(exact & np.isclose(now.weights, then.weights, rtol=1e-5, atol=1e-6))


def apply_changes(old: HeteroGraph, changes: Changes) -> HeteroGraph:
    """What extracting the whole graph would have given when `changes` were read."""
    new = changes.graph
    kept = _moved(old, new)
    kept = kept.take((kept.user_index >= 0) & (kept.item_index >= 0))
    kept = kept.take(~changes.users[kept.user_index])
    return HeteroGraph(
        new.users,
        new.items,
        new.categories,
        _together(kept, new.interactions, len(new.items)),
        new.follows,
        new.prefers,
        new.in_category,
        new.subcategory_of,
        new.related_to,
    )


def _moved(old: HeteroGraph, new: HeteroGraph) -> Interactions:
    """The old interactions with the rows of the new ids; -1 where a node is gone."""
    did = old.interactions
    return Interactions(
        _new_rows(old.users, new.users)[did.user_index],
        _new_rows(old.items, new.items)[did.item_index],
        did.event_index,
        did.weight,
        did.last_at,
        did.events,
    )


def _new_rows(old: IdMap, new: IdMap) -> NDArray[np.int64]:
    return np.arange(len(new)) if old == new else new.rows(old)


def _together(one: Interactions, other: Interactions, items: int) -> Interactions:
    used = {part.events[event] for part in (one, other) for event in np.unique(part.event_index)}
    events = tuple(sorted(used))
    row, dtype = {name: number for number, name in enumerate(events)}, index_type(len(events))
    event = [
        np.array([row.get(name, 0) for name in part.events], dtype)[part.event_index]
        for part in (one, other)
        if len(part)
    ]
    return sorted_interactions(
        np.concatenate([one.user_index, other.user_index]),
        np.concatenate([one.item_index, other.item_index]),
        np.concatenate([np.empty(0, dtype), *event]),
        np.concatenate([one.weight, other.weight]).astype(np.float64),
        np.concatenate([one.last_at, other.last_at]),
        events,
        items,
    )
