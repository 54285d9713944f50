"""What is in a graph that nobody has described: labels, relationships, properties, and how many."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, LiteralString, cast

from loaders.catalogue import Query, catalogue
from loaders.gateway import Gateway
from loaders.graph_map import PREFIX, is_name, quoted

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
        about: whether they were reckoned from a sample.
    """

    source: str
    type: str
    target: str
    count: int
    about: bool = False

    @property
    def counted(self) -> str:
        """How many, in words."""
        return f"{'about ' * self.about}{self.count:,}"


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
    def _found(self) -> dict[tuple[str, ...], tuple[Property, ...]]:
        return {}

    def properties(self, label: str) -> tuple[Property, ...]:
        """Properties of a sample of the nodes of a label."""
        return self._read("attach/properties", User=label)

    def link_properties(self, type_: str) -> tuple[Property, ...]:
        """Properties of a sample of the relationships of a type."""
        return self._read("attach/link_properties", INTERACTED=type_)

    def _read(self, query: str, **names: str) -> tuple[Property, ...]:
        key = (query, *names.values())
        if key not in self._found:
            rows = self.gateway.run(_named(query, **names), sample=_SAMPLE)
            most = max((row["count"] for row in rows), default=1)
            self._found[key] = tuple(
                Property(
                    row["name"], row["count"] / most, row["different"] == row["count"],
                    tuple(sorted(row["types"])), row["example"], row.get("mean"),
                )
                for row in rows
            )  # fmt: skip
        return self._found[key]


def survey(gateway: Gateway) -> Survey:
    """Look at a graph that is not mapped; nothing of it is changed.

    Nodes and relationships are counted by the counts that Neo4j keeps, and where these do not tell
    which labels are at both ends, by the shares of a sample: so no size of graph makes it long.

    Raises:
        Neo4jError: it cannot be read.
    """
    keys, indexed = indexed_properties(gateway)
    (schema,) = gateway.run(catalogue()["attach/known"])
    counts = {
        label: gateway.run(_named("attach/label", User=label))[0]["count"]
        for label in schema["labels"]
        if _is_owners(label)
    }
    links = sorted(_links(gateway), key=lambda link: (-link.count, link.source, link.type,
                                                      link.target))  # fmt: skip
    return Survey(
        gateway,
        dict(
            sorted(((n, c) for n, c in counts.items() if c), key=lambda item: (-item[1], item[0]))
        ),
        links,
        keys,
        indexed,
    )


def indexed_properties(
    gateway: Gateway,
) -> tuple[Mapping[str, frozenset[str]], Mapping[str, frozenset[str]]]:
    """By label, properties that a constraint keeps unique, and those that an index serves.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    keys: dict[str, set[str]] = {}
    indexed: dict[str, set[str]] = {}
    for row in gateway.run(catalogue()["ingest/indexes"]):
        if row["of"] == "NODE" and row["type"] == "RANGE" and len(row["properties"]) == 1:
            indexed.setdefault(row["labels"][0], set()).add(row["properties"][0])
            if row["constraint"] is not None:
                keys.setdefault(row["labels"][0], set()).add(row["properties"][0])
    return (
        {label: frozenset(names) for label, names in keys.items()},
        {label: frozenset(names) for label, names in indexed.items()},
    )


def _links(gateway: Gateway) -> Iterator[Link]:
    (row,) = gateway.run(catalogue()["attach/linked"])
    ends: dict[str, tuple[set[str], set[str]]] = {}
    for relationship in row["relationships"]:
        sources, targets = ends.setdefault(relationship.type, (set(), set()))
        sources |= relationship.start_node.labels
        targets |= relationship.end_node.labels
    for type_, (sources, targets) in ends.items():
        for source in filter(_is_owners, sources if _is_owners(type_) else ()):
            query = _named("attach/links", User=source, INTERACTED=type_)
            (counts,) = gateway.run(query, sample=_SAMPLE)
            sampled = sum(pair["count"] for pair in counts["pairs"])
            certain = len(sources) == len(targets) == 1 or sampled == counts["total"]
            for pair in counts["pairs"]:
                if pair["source"] == source and pair["target"] is not None:
                    count = round(counts["total"] * pair["count"] / sampled)
                    yield Link(source, type_, pair["target"], count, about=not certain)


def _is_owners(name: str) -> bool:
    """Whether a label or type is the owner's, and can be named in a statement."""
    return is_name(name) and not name.startswith(PREFIX)


def _named(query: str, **names: str) -> Query:
    """A query with names of the graph in place of those in its file.

    Only a statement that names labels and types is answered from the counts that Neo4j keeps.
    """
    whole = catalogue()[query]
    text = re.sub(
        rf":({'|'.join(names)})\b", lambda found: f":{quoted(names[found[1]])}", whole.text
    )
    return replace(whole, text=cast(LiteralString, text))
