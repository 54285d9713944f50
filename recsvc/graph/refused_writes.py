"""What a write is rolled back for, by the rows that its queries give."""

from loaders.errors import (
    CategoryCycleError,
    ForeignGraphError,
    RefusedValueError,
    SumBeyondError,
)
from loaders.gateway import Row


def refuse_beyond(rows: list[Row]) -> None:
    """Refuse what `cypher/ingest/events.cypher` has done, where a sum is beyond its limit."""
    _refuse_nodes(rows)
    for row in rows:
        if row.get("beyond"):
            raise SumBeyondError(row["beyond"])


def _refuse_nodes(rows: list[Row]) -> None:
    """Refuse what somebody else's graph has no place for."""
    for row in rows:
        why = row.get("refused")
        if why == "number":
            raise RefusedValueError(
                f"the id {row['id']!r} of a {row['kind']} is no whole number",
                properties=[f"{row['kind']}_id"],
                why=f"ids of {row['kind']}s are whole numbers in this graph: expected one",
            )
        if why:
            raise ForeignGraphError(f"{row['kind']} {row['id']!r} cannot be written: {why}")


def refuse_cycles(rows: list[Row]) -> None:
    """Refuse what `cypher/write/own_ancestors.cypher` finds."""
    _refuse_nodes(rows)
    for row in rows:
        if "own_ancestor" in row:
            raise CategoryCycleError(f"the category {row['own_ancestor']!r} is its own ancestor")
