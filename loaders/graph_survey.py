"""What is in a graph that nobody has described: labels, relationships, properties, and how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from loaders.catalogue import catalogue
from loaders.gateway import Gateway

_SAMPLE = 1_000
_TIMES = ("DATE", "ZONED", "LOCAL")


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the nodes of a label or of the relationships of a type, in a sample.

    Attributes:
        name: of it.
        share: of the sample that has it.
        unique: whether no two in the sample have the same value.
        types: of its values: STRING, INTEGER, FLOAT, BOOLEAN, DATE, ZONED, …
        example: a value.
        mean: of its numbers.
    """

    name: str
    share: float
    unique: bool
    types: tuple[str, ...]
    example: Any
    mean: float | None = None

    @property
    def is_number(self) -> bool:
        """Whether all its values are numbers."""
        return set(self.types) <= {"INTEGER", "FLOAT"}

    @property
    def is_text(self) -> bool:
        """Whether all its values are texts."""
        return self.types == ("STRING",)

    @property
    def is_time(self) -> bool:
        """Whether its values are dates or times."""
        return all(kind in _TIMES for kind in self.types)


@dataclass(frozen=True, slots=True)
class Link:
    """Relationships of one type between nodes of two labels.

    Attributes:
        source: label of their start.
        type: of them.
        target: label of their end.
        count: how many there are.
    """

    source: str
    type: str
    target: str
    count: int


@dataclass(frozen=True)
class Survey:
    """A graph, looked at.

    Attributes:
        labels: nodes by label.
        links: the most first.
        keys: by label, properties that a constraint keeps unique.
        indexed: by label, properties with an index or such a constraint.
    """

    gateway: Gateway
    labels: Mapping[str, int]
    links: Sequence[Link]
    keys: Mapping[str, frozenset[str]]
    indexed: Mapping[str, frozenset[str]]

    @cached_property
    def _found(self) -> dict[tuple[str, str], tuple[Property, ...]]:
        return {}

    def properties(self, label: str) -> tuple[Property, ...]:
        """Properties of a sample of the nodes of a label."""
        return self._read("attach/properties", "label", label)

    def link_properties(self, type_: str) -> tuple[Property, ...]:
        """Properties of a sample of the relationships of a type."""
        return self._read("attach/link_properties", "type", type_)

    def _read(self, query: str, parameter: str, name: str) -> tuple[Property, ...]:
        if (query, name) not in self._found:
            rows = self.gateway.run(catalogue()[query], **{parameter: name, "sample": _SAMPLE})
            most = max((row["count"] for row in rows), default=1)
            self._found[query, name] = tuple(
                Property(
                    row["name"], row["count"] / most, row["different"] == row["count"],
                    tuple(sorted(row["types"])), row["example"], row.get("mean"),
                )
                for row in rows
            )  # fmt: skip
        return self._found[query, name]


def survey(gateway: Gateway) -> Survey:
    """Look at a graph; nothing of it is changed.

    Raises:
        Neo4jError: it cannot be read.
    """
    named = catalogue()
    keys: dict[str, set[str]] = {}
    indexed: dict[str, set[str]] = {}
    for row in gateway.run(named["ingest/indexes"]):
        if row["of"] == "NODE" and row["type"] == "RANGE" and len(row["properties"]) == 1:
            indexed.setdefault(row["labels"][0], set()).add(row["properties"][0])
            if row["constraint"] is not None:
                keys.setdefault(row["labels"][0], set()).add(row["properties"][0])
    return Survey(
        gateway,
        {row["label"]: row["count"] for row in gateway.run(named["attach/labels"])},
        [Link(**row) for row in gateway.run(named["attach/links"])],
        {label: frozenset(names) for label, names in keys.items()},
        {label: frozenset(names) for label, names in indexed.items()},
    )
