"""Stored values as JSON has them."""

from typing import Any, cast

import neo4j.time


def json_value(value: Any) -> Any:
    """A stored value as JSON has it: a time as it is, what JSON has no form for as text."""
    if isinstance(value, neo4j.time.DateTime):
        return value.to_native().isoformat()
    if isinstance(value, list):
        values = cast("list[Any]", value)  # of one type, as Neo4j keeps them, and maybe long
        plain = not values or isinstance(values[0], str | int | float)
        return values if plain else [json_value(each) for each in values]
    return value if isinstance(value, str | int | float | None) else str(value)


def is_time(value: Any) -> bool:
    """Whether a stored value is a moment."""
    return isinstance(value, neo4j.time.DateTime)
