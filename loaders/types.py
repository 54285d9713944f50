"""The arrays that cross the Neo4j border: frozen, shapes checked when they are made.

A `*_id` is the outer id, text; a `*_index` is the row of that id in an array.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, overload

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int, Int64
from numpy.typing import NDArray

Numbers = Float32[NDArray[np.float32], "rows width"]
"""Numbers of nodes or relationships; NaN where there is none."""
Weights = Float64[NDArray[np.float64], " edges"] | Float32[NDArray[np.float32], " edges"]


def index_type(names: int) -> np.dtype[np.signedinteger[Any]]:
    """The smallest type whose rows tell so many names apart."""
    return np.min_scalar_type(-max(names, 1))


class PropertyNames(NamedTuple):
    """Properties that are read as numbers, by name.

    Attributes:
        interactions: of `INTERACTED`: numbers, or true and false as 1 and 0.
        items: of items: the same, or lists of numbers.
    """

    interactions: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    def __or__(self, other: "PropertyNames") -> "PropertyNames":
        """Those of both, each once."""
        return PropertyNames(
            tuple(dict.fromkeys(self.interactions + other.interactions)),
            tuple(dict.fromkeys(self.items + other.items)),
        )


NO_PROPERTIES = PropertyNames()


class IdMap(Sequence[str]):
    """Ids and their rows. The ids are unique and sorted by code point.

    Sorted ids make the same graph give the same arrays, and "ties break by item id" the same
    as "ties break by row".
    """

    def __init__(self, ids: Sequence[str]) -> None:
        """Take ids that are already sorted.

        Raises:
            ValueError: they are not strictly ascending.
        """
        self._ids = tuple(ids)
        for left, right in zip(self._ids, self._ids[1:], strict=False):
            if left >= right:
                raise ValueError(f"ids must be unique and ascending: {left!r} before {right!r}")

    @classmethod
    def from_unsorted(cls, ids: Sequence[str]) -> "IdMap":
        """Sort the ids and drop repetitions."""
        return cls(sorted(set(ids)))

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        return {identifier: row for row, identifier in enumerate(self._ids)}

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[str, ...]: ...
    def __getitem__(self, row: int | slice) -> str | tuple[str, ...]:
        return self._ids[row]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids)

    def __repr__(self) -> str:
        return f"IdMap({len(self)} ids)"

    def row(self, identifier: str) -> int:
        """The row of an id, or -1."""
        return self._rows.get(identifier, -1)

    def rows(self, identifiers: Sequence[str]) -> Int64[NDArray[np.int64], " n"]:
        """The rows of many ids; -1 where one is unknown."""
        rows = map(self._rows.get, identifiers, itertools.repeat(-1))
        return np.fromiter(rows, np.int64, len(identifiers))


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """The relationships of one type, sorted by source, then target.

    Attributes:
        source: row of the start node.
        target: row of the end node.
        weight: stored weight, 1 where there is none; exact, for what is ordered by it.
    """

    source: Int64[NDArray[np.int64], " edges"]
    target: Int64[NDArray[np.int64], " edges"]
    weight: Weights

    def __post_init__(self) -> None:
        _check_same_length(source=self.source, target=self.target, weight=self.weight)

    def __len__(self) -> int:
        return len(self.source)

    def matrix(self, rows: int, columns: int, *, weighted: bool = True) -> sp.csr_matrix:
        """The relationships as float32 [rows, columns]: their weights, or ones."""
        weight = self.weight.astype(np.float32) if weighted else np.ones(len(self), np.float32)
        return sp.csr_matrix((weight, (self.source, self.target)), shape=(rows, columns))

    @classmethod
    def empty(cls) -> "Edges":
        """No relationships."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """`INTERACTED` relationships: one per (user, item, event), in that order.

    Attributes:
        user_index: row of the user.
        item_index: row of the item.
        event_index: row in `events`, of `index_type`.
        weight: stored strength: the sum of the values, a missing one counting 1.
        last_at: Unix seconds of the newest event; NaN when no time is known.
        events: names of the kinds of events.
        properties: one number of each by the name of a property, those that were asked for.
    """

    user_index: Int64[NDArray[np.int64], " edges"]
    item_index: Int64[NDArray[np.int64], " edges"]
    event_index: Int[NDArray[np.signedinteger[Any]], " edges"]
    weight: Weights
    last_at: Float64[NDArray[np.float64], " edges"]
    events: tuple[str, ...]
    properties: Mapping[str, Numbers] = field(default_factory=dict[str, Numbers])

    def __post_init__(self) -> None:
        _check_same_length(
            user_index=self.user_index,
            item_index=self.item_index,
            event_index=self.event_index,
            weight=self.weight,
            last_at=self.last_at,
            **{f"property {name}": values for name, values in self.properties.items()},
        )

    def __len__(self) -> int:
        return len(self.user_index)

    def take(self, mask: NDArray[np.bool_]) -> "Interactions":
        """The relationships where `mask` is true, in the same order."""
        return Interactions(
            self.user_index[mask],
            self.item_index[mask],
            self.event_index[mask],
            self.weight[mask],
            self.last_at[mask],
            self.events,
            {name: values[mask] for name, values in self.properties.items()},
        )

    @classmethod
    def empty(cls) -> "Interactions":
        """No interactions."""
        nothing = np.empty(0, np.int64)
        return cls(
            nothing, nothing, np.empty(0, np.int8), np.empty(0, np.float64),
            np.empty(0, np.float64), (),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class HeteroGraph:
    """The graph of CONTRACT §3 as arrays.

    Attributes:
        users: user ids and rows.
        items: item ids and rows.
        categories: category ids and rows.
        interactions: user → item.
        follows: user → user.
        prefers: user → category.
        in_category: item → category.
        subcategory_of: category → category.
        related_to: item → item, the weights of several kinds of one pair added up.
        item_properties: numbers of items by the name of a property, those that were asked for.
        content: vectors of what nodes say of themselves, by label, a row for each node of it; 0
            of one that says nothing. Labels that nobody asked for are not there.
    """

    users: IdMap
    items: IdMap
    categories: IdMap
    interactions: Interactions
    follows: Edges = field(default_factory=Edges.empty)
    prefers: Edges = field(default_factory=Edges.empty)
    in_category: Edges = field(default_factory=Edges.empty)
    subcategory_of: Edges = field(default_factory=Edges.empty)
    related_to: Edges = field(default_factory=Edges.empty)
    item_properties: Mapping[str, Numbers] = field(default_factory=dict[str, Numbers])
    content: Mapping[str, Float32[NDArray[np.float32], "nodes dim"]] = field(
        default_factory=dict[str, NDArray[np.float32]]
    )

    def __post_init__(self) -> None:
        u, i, c = len(self.users), len(self.items), len(self.categories)
        for name, source, target, n_source, n_target in (
            ("interactions", self.interactions.user_index, self.interactions.item_index, u, i),
            ("follows", self.follows.source, self.follows.target, u, u),
            ("prefers", self.prefers.source, self.prefers.target, u, c),
            ("in_category", self.in_category.source, self.in_category.target, i, c),
            ("subcategory_of", self.subcategory_of.source, self.subcategory_of.target, c, c),
            ("related_to", self.related_to.source, self.related_to.target, i, i),
        ):
            _check_rows(f"{name} sources", source, n_source)
            _check_rows(f"{name} targets", target, n_target)
        for name, values in self.item_properties.items():
            if len(values) != i:
                raise ValueError(f"property {name!r} has {len(values)} rows for {i} items")
        for label, vectors in self.content.items():
            expected = {"User": u, "Item": i, "Category": c}[label]
            if len(vectors) != expected:
                raise ValueError(f"content of {label}: {len(vectors)} rows, expected {expected}")


class NodeText(NamedTuple):
    """What a node says of itself.

    Attributes:
        id: of the node.
        values: of each property that was asked for, its values as text: several of a list.
    """

    id: str
    values: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTable:
    """Vectors of the nodes with one label.

    Attributes:
        label: node label, `User` or `Item`.
        ids: node ids, one per row.
        vectors: one vector per id.
    """

    label: str
    ids: IdMap
    vectors: Float32[NDArray[np.float32], "ids dim"]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise ValueError(
                f"{self.label}: {len(self.ids)} ids and vectors of shape {self.vectors.shape}: "
                "expected one row per id"
            )


def _check_same_length(**columns: NDArray[np.generic]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")


def _check_rows(what: str, rows: NDArray[np.int64], count: int) -> None:
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise ValueError(f"{what} span {rows.min()}..{rows.max()}, expected 0..{count - 1}")
