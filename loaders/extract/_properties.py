"""Properties of relationships and items as numbers, where a model asks for some.

A property may be anything: somebody else chose its name, and anybody may write it. What counts as a
number is said in `loaders.numbers`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.extract._reading import Nodes, Progress, joined, ranges, read_ranges
from loaders.gateway import Gateway, Row
from loaders.numbers import as_numbers
from loaders.types import Interactions, Numbers


def with_properties(
    gateway: Gateway,
    interactions: Interactions,
    users: Nodes,
    items: Nodes,
    names: Sequence[str],
    progress: Progress,
) -> Interactions:
    """The interactions with numbers that they have as properties.

    Args:
        gateway: the graph.
        interactions: as they were read.
        users: their start nodes.
        items: their end nodes.
        names: of the properties; nothing is read without any.
        progress: told what is done.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    if not names or not len(interactions):
        return interactions
    key = _keys(interactions, len(items.ids))
    table = np.full((len(interactions), len(names)), np.nan, np.float32)

    def keep(rows: list[Row]) -> None:
        for row in rows:
            if row["event"] not in interactions.events:
                continue
            event = interactions.events.index(row["event"])
            user, item = users.rows(row["sources"]), items.rows(row["targets"])
            own = (user * len(items.ids) + item) * len(interactions.events) + event
            place = np.minimum(np.searchsorted(key, own), len(key) - 1)
            matches = (user >= 0) & (item >= 0) & (key[place] == own)
            values = np.array(row["values"], np.float32).reshape(-1, len(names))
            table[place[matches]] = values[matches]

    read_ranges(
        gateway, catalogue()["extract/interaction_properties"],
        ranges(users.order, users.column("degrees")), keep,
        what="properties of interactions", progress=progress, names=list(names),
    )  # fmt: skip
    columns = {name: table[:, [place]] for place, name in enumerate(names)}
    return replace(interactions, properties=columns)


def item_properties(
    gateway: Gateway, items: Nodes, names: Sequence[str], progress: Progress
) -> dict[str, Numbers]:
    """Numbers that items have as properties, one row an item.

    A property that is a list has the length that most items have; a list of another length is
    missing.

    Args:
        gateway: the graph.
        items: the items.
        names: of the properties; nothing is read without any.
        progress: told what is done.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    if not names:
        return {}
    parts = read_ranges(
        gateway, catalogue()["extract/item_properties"], ranges(items.order), list,
        what="properties of items", progress=progress, names=list(names),
    )  # fmt: skip
    rows = [row for part in parts for row in part]
    place = items.ids.rows(joined(rows, "ids"))
    values = joined(rows, "values")
    return {
        name: as_numbers(len(items.ids), place, [value[column] for value in values])
        for column, name in enumerate(names)
    }


def _keys(interactions: Interactions, items: int) -> Int64[NDArray[np.int64], " edges"]:
    """A number for each user, item and event, ascending as they are."""
    pairs = interactions.user_index * items + interactions.item_index
    return pairs * len(interactions.events) + interactions.event_index
