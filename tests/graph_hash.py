"""A hash over everything in a graph, by which two graphs are compared.

    graph_hash = Σ blake2b₁₂₈(canonical(x)) mod 2¹²⁸ over every node and relationship x

A sum has no order, so the order in which a graph was made does not matter; and a node or
relationship that is there twice counts twice. A node stands for its labels and properties; a
relationship for its type, its properties and the ids of its ends. What Neo4j numbers by itself
does not count.
"""

import math
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import orjson

from loaders.catalogue import Query
from loaders.errors import QueryError
from loaders.gateway import Gateway

_PER_PAGE = 10_000
_DIGEST_BYTES = 16
_MODULUS = 1 << (8 * _DIGEST_BYTES)
_PAGE = {"prefix": "str", "first": "int", "last": "int"}

EXTENT = Query(
    "tests/extent", "How many there are, and how their element ids are built.", "read", {}, {},
    """
    CALL () {
      MATCH (n)
      WITH elementId(n) AS id
      WITH id, toInteger(split(id, ':')[-1]) AS number
      RETURN count(*) AS nodes,
             min(substring(id, 0, size(id) - size(toString(number)))) AS node_prefix,
             coalesce(max(number), -1) AS last_node
    }
    CALL () {
      MATCH ()-[r]->()
      WITH elementId(r) AS id
      WITH id, toInteger(split(id, ':')[-1]) AS number
      RETURN count(*) AS relationships,
             min(substring(id, 0, size(id) - size(toString(number)))) AS relationship_prefix,
             coalesce(max(number), -1) AS last_relationship
    }
    RETURN nodes, node_prefix, last_node, relationships, relationship_prefix, last_relationship
    """,
)  # fmt: skip
PAGES = {
    "node": Query(
        "tests/nodes", "The nodes of a range of element ids.", "read", _PAGE, {},
        """
        WITH [number IN range($first, $last) | $prefix + toString(number)] AS ids
        MATCH (n)
        WHERE elementId(n) IN ids
        RETURN collect([labels(n), properties(n)]) AS rows
        """,
    ),
    "relationship": Query(
        "tests/relationships", "The relationships of a range of element ids, and their ends.",
        "read", _PAGE, {},
        """
        WITH [number IN range($first, $last) | $prefix + toString(number)] AS ids
        MATCH (a)-[r]->(b)
        WHERE elementId(r) IN ids
        RETURN collect([
          type(r), properties(r),
          labels(a), coalesce(a.user_id, a.item_id, a.category_id, properties(a)),
          labels(b), coalesce(b.user_id, b.item_id, b.category_id, properties(b))
        ]) AS rows
        """,
    ),
}  # fmt: skip


def graph_hash(gateway: Gateway) -> str:
    """The hash of every node and relationship with all its properties, as 32 hex digits.

    They are read in pages, so memory holds one page. Nobody may write meanwhile.

    Raises:
        QueryError: not everything was read, since the graph changed meanwhile.
        Neo4jError: the graph cannot be read.
    """
    (extent,) = gateway.run(EXTENT)
    total = 0
    for kind, query in PAGES.items():
        prefix = extent[f"{kind}_prefix"]
        read = 0
        for row in _pages(gateway, query, prefix, extent[f"last_{kind}"]):
            total += int.from_bytes(_digest(row), "big")
            read += 1
        if read != extent[f"{kind}s"]:
            raise QueryError(
                f"read {read:,} of {extent[f'{kind}s']:,} {kind}s: expected a graph that nobody "
                "changes while its hash is made; try again"
            )
    return f"{total % _MODULUS:0{2 * _DIGEST_BYTES}x}"


def _pages(gateway: Gateway, query: Query, prefix: str | None, last: int) -> Iterator[list[Any]]:
    for first in range(0, last + 1, _PER_PAGE):
        end = min(first + _PER_PAGE - 1, last)
        (page,) = gateway.run(query, prefix=prefix, first=first, last=end)
        yield from page["rows"]


def _digest(row: list[Any]) -> bytes:
    text = orjson.dumps(_canonical(row), option=orjson.OPT_SORT_KEYS)
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _canonical(value: Any) -> Any:
    """A value as JSON that tells every two values apart, of whatever type.

    Text, whole numbers, truth values and finite floats are written apart by JSON itself (1 and
    1.0); everything else is given with its type.
    """
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"<float>": repr(value)}
    shown = value.iso_format() if hasattr(value, "iso_format") else repr(value)
    return {f"<{type(value).__name__}>": shown}
