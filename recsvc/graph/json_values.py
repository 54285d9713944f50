"""Stored values as JSON has them."""

from typing import Any, Final, Literal, cast

import neo4j.time
import numpy as np

_TIMES: Final[dict[bytes, Literal["D", "s"]]] = {b"D": "D", b"I": "s", b"d": "s", b"i": "s"}
_DATE_CHARACTERS = 10


def json_value(value: Any) -> Any:
    """A stored value as JSON has it: a time as it is, what JSON has no form for as text."""
    if isinstance(value, neo4j.time.DateTime):
        return value.to_native().isoformat()
    if (raw := getattr(value, "raw_data", None)) is not None:
        return _unread(raw.tag, *raw.fields)
    if isinstance(value, list):
        values = cast("list[Any]", value)  # of one type, as Neo4j keeps them, and maybe long
        plain = not values or isinstance(values[0], str | int | float)
        return values if plain else [json_value(each) for each in values]
    return value if isinstance(value, str | int | float | None) else str(value)


def _unread(tag: bytes, number: Any, *rest: Any) -> str:
    """What the driver could not read, as text: a time past the years that Python has.

    Args:
        tag: which kind of value, see Bolt's structures.
        number: days of a date, seconds of other times, since 1970.
        rest: nanoseconds, and an offset or a zone that this machine may not know; the time in UTC
            says the same.
    """
    if tag not in _TIMES:
        return "a value that cannot be read"
    date, _, time = str(np.datetime64(number, _TIMES[tag])).partition("T")
    sign = "+" if len(date) > _DATE_CHARACTERS and date[0] != "-" else ""
    nanoseconds = f".{rest[0]:09}" if rest and rest[0] else ""
    return f"{sign}{date}" + (f"T{time}{nanoseconds}" if time else "") + "+00:00" * (len(rest) > 1)


def is_time(value: Any) -> bool:
    """Whether a stored value is a moment."""
    return isinstance(value, neo4j.time.DateTime)
