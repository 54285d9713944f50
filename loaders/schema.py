"""Constraints and indexes: made, and looked for by what they are.

The first writer makes those in `cypher/schema/`; a refresh makes those of its vectors. The owner of
a graph may have made others before. A constraint or index counts by its kind, label and properties,
not by its name. If one of ours cannot be made beside the owner's, an error says what to do.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, cast

from loaders.catalogue import Query, catalogue
from loaders.errors import Neo4jError, Neo4jServerError, QueryError
from loaders.gateway import Gateway, Row
from loaders.graph_map import GraphMap

Kind = Literal["CONSTRAINT", "FULLTEXT", "RANGE", "VECTOR"]
Of = Literal["NODE", "RELATIONSHIP"]
FullText = Mapping[str, str]
"""Names of full-text indexes, by the name that we give each."""

_TRIES = 3
_PAUSE_SECONDS = 0.25
_DECLARED = re.compile(
    r"CREATE (?:(?P<constraint>CONSTRAINT)|(?P<type>FULLTEXT |VECTOR )?INDEX) (?P<name>\w+) "
    r"IF NOT EXISTS\s+FOR (?P<link>\(\)-)?[(\[](?P<variable>\w+):(?P<label>\w+)[)\]](?P<rest>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class SchemaItem:
    """A constraint or index that a file declares.

    Attributes:
        query: makes it.
        kind: CONSTRAINT: of uniqueness.
        name: its name where we make it.
        of: nodes or relationships.
        label: of the nodes, or type of the relationships.
        properties: of these.
    """

    query: Query
    kind: Kind
    name: str
    of: Of
    label: str
    properties: tuple[str, ...]

    def __str__(self) -> str:
        return f":{self.label}({', '.join(self.properties)})"

    def is_row(self, row: Row) -> bool:
        """Whether an index that the server has is this one, or that of this constraint."""
        same = _place(row) == (self.of, [self.label], list(self.properties))
        if self.kind == "CONSTRAINT":
            return same and row["constraint"] is not None
        return same and row["type"] == self.kind


class SchemaGateway(Protocol):
    """Of a `Gateway` what the schema is made with."""

    @property
    def graph(self) -> GraphMap | None:
        """See `Gateway.graph`."""
        ...

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """See `Gateway.run`."""
        ...


@cache
def schema_items() -> tuple[SchemaItem, ...]:
    """What the files in `cypher/schema/` declare."""
    return tuple(map(_item, catalogue().folder("schema")))


def _item(query: Query) -> SchemaItem:
    match = _DECLARED.match(query.text)
    if match is None:
        raise QueryError(
            f"cypher/{query.name} declares no constraint or index: expected CREATE CONSTRAINT or "
            "CREATE INDEX name IF NOT EXISTS FOR (node:Label) or ()-[relationship:TYPE]-()"
        )
    type_ = (match["type"] or "RANGE").strip()
    kind = cast("Kind", "CONSTRAINT" if match["constraint"] else type_)
    properties = re.findall(rf"\b{match['variable']}\.(\w+)", match["rest"])
    of = "RELATIONSHIP" if match["link"] else "NODE"
    return SchemaItem(query, kind, match["name"], of, match["label"], tuple(properties))


def apply_schema(gateway: SchemaGateway) -> FullText:
    """Make sure of every constraint and index in `cypher/schema/`, and wait for them.

    Several processes may do so at once.

    Returns:
        The names of the full-text indexes: of one that was there before us, its own.

    Raises:
        QueryError: the graph holds nodes that break a constraint, or something of somebody else is
            in the way; the message says what to do.
        Neo4jError: the graph cannot be read or written.
    """
    there = gateway.run(catalogue()["ingest/indexes"])
    refused: dict[str, Neo4jError] = {}
    if gateway.graph is not None:  # of somebody else: only what its own entries need
        own = re.compile("schema/(write_lock|event_)")
        refused = _make(gateway, (item for item in schema_items() if own.match(item.query.name)))
        for error in refused.values():
            raise error
        return {}
    for _ in range(_TRIES):
        if not _missing(there):
            break
        if refused:  # another process may be making the same
            time.sleep(_PAUSE_SECONDS)
        refused = _make(gateway, _missing(there))
        there = gateway.run(catalogue()["ingest/indexes"])
    for item in _missing(there):
        raise _in_the_way(item, there, refused.get(item.name))
    ours = [row for row in there if any(item.is_row(row) for item in schema_items())]
    if any(row["state"] != "ONLINE" for row in ours):
        gateway.run(catalogue()["ingest/await_indexes"])
    return full_text_names(there)


def make_vector_index(gateway: Gateway, query: Query) -> None:
    """Make a vector index, or make sure that it is the one there is.

    Queries name it, so its name counts here, and not only what it is.

    Args:
        gateway: the graph.
        query: makes it where there is none of its name.

    Raises:
        QueryError: an index of somebody else has its name or its place; the message says what to
            do.
        Neo4jError: the graph cannot be read or written.
    """
    item = _item(query)
    refused = _make(gateway, [item]).get(item.name)
    if gateway.graph is not None:
        # Its name begins as all of ours there, so nobody else has it. Who may not make indexes in
        # somebody's graph goes without: only users like a user are looked up by it.
        return
    there = gateway.run(catalogue()["ingest/indexes"])
    if not any(item.is_row(row) and row["name"] == item.name for row in there):
        raise _in_the_way(item, there, refused)


def _make(gateway: SchemaGateway, items: Iterable[SchemaItem]) -> dict[str, Neo4jError]:
    """Make what can be made; the errors of the others, by name."""
    refused: dict[str, Neo4jError] = {}
    for item in items:
        try:
            gateway.run(item.query)
        except (QueryError, Neo4jServerError) as error:
            refused[item.name] = error
    return refused


def missing(there: Iterable[Row], vectors: Iterable[Query] = ()) -> list[str]:
    """What is not there of constraints and indexes, each with the statement that makes it.

    Where a constraint is missing, nodes may share an id: the query that finds them is told too.

    Args:
        there: the rows of `cypher/ingest/indexes`.
        vectors: what makes the vector indexes that are expected besides, which queries name.
    """
    rows = list(there)
    names = {row["name"] for row in rows}
    expected = [item for item in map(_item, vectors) if item.name not in names]
    return [_to_make(item) for item in (*_missing(rows), *expected)]


def statement_of(query: Query) -> str:
    """A statement in one line, to be pasted."""
    return " ".join(query.text.split())


def _to_make(item: SchemaItem) -> str:
    makes = statement_of(item.query)
    if item.kind == "CONSTRAINT":
        return (
            f"the constraint on {item} is not there: {_find_repeated(item)} finds nodes that count "
            f"as one, and when one of each is left, {makes} makes it"
        )
    return f"the index {item.name} on {item} is not there: {makes} makes it"


def full_text_names(rows: Iterable[Row]) -> FullText:
    """The names of our full-text indexes among all indexes, by the name that we give each."""
    there = list(rows)
    return {
        item.name: next((row["name"] for row in there if item.is_row(row)), item.name)
        for item in schema_items()
        if item.kind == "FULLTEXT"
    }


def _place(row: Row) -> tuple[str, list[str], list[str]]:
    """What an index that the server has is on."""
    return row["of"], row["labels"], row["properties"]


def _missing(there: list[Row]) -> list[SchemaItem]:
    return [item for item in schema_items() if not any(map(item.is_row, there))]


def _in_the_way(item: SchemaItem, there: list[Row], error: Neo4jError | None) -> Neo4jError:
    """Why a constraint or index cannot be made, and what to do."""
    if isinstance(error, Neo4jServerError):
        return error
    what = "constraint" if item.kind == "CONSTRAINT" else "index"
    why = _named_the_same(item, there) or _in_its_place(item, there) or _twice(item, error)
    refused = error or "Neo4j does not say why"
    return QueryError(f"the {what} on {item} cannot be made: {why or refused}")


def _named_the_same(item: SchemaItem, there: list[Row]) -> str | None:
    for row in there:
        if row["name"] == item.name:
            kind = "CONSTRAINT" if row["constraint"] else "INDEX"
            where = f":{'|'.join(row['labels'])}({', '.join(row['properties'])})"
            return (
                f"there is another {kind.lower()} {item.name} on {where}: give that one another "
                f"name (DROP {kind} {item.name}, and create it again)"
            )
    return None


def _in_its_place(item: SchemaItem, there: list[Row]) -> str | None:
    type_ = "RANGE" if item.kind == "CONSTRAINT" else item.kind
    wanted = (item.of, [item.label], list(item.properties))
    for row in there:
        if (_place(row), row["type"]) == (wanted, type_):
            name = row["name"]
            return f"the index {name} is in its place: DROP INDEX {name}, and try again"
    return None


def _twice(item: SchemaItem, error: Neo4jError | None) -> str | None:
    if item.kind != "CONSTRAINT" or error is None or "Both Node" not in str(error):
        return None
    return (
        f"several nodes are the same there. {_find_repeated(item)} finds them: leave one of each, "
        f"and try again ({error})"
    )


def _find_repeated(item: SchemaItem) -> str:
    """The query that finds nodes which a constraint of uniqueness forbids."""
    values = ", ".join(f"n.{name} AS {name}" for name in item.properties)
    given = " AND ".join(f"n.{name} IS NOT NULL" for name in item.properties)
    return (
        f"MATCH (n:{item.label}) WHERE {given} WITH {values}, collect(n) AS nodes "
        "WHERE size(nodes) > 1 RETURN *"
    )
