"""Stored values as JSON has them, those too that the driver has no form for."""

from typing import Any

import pytest
from neo4j._codec.hydration.bolt.v2.hydration_handler import HydrationHandler
from neo4j._codec.packstream import Structure

from recsvc.graph.json_values import json_value

_SECONDS = 3_093_527_980_800


def came(tag: bytes, *fields: Any) -> Any:
    """What the driver makes of a value that Neo4j sends."""
    read: Any = HydrationHandler().new_hydration_scope().hydration_hooks[Structure]
    return read(Structure(tag, *fields))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((b"I", _SECONDS, 5, 3600), "+100000-01-01T00:00:00.000000005+00:00"),
        ((b"I", _SECONDS, 0, 0), "+100000-01-01T00:00:00+00:00"),
        ((b"i", _SECONDS, 0, "Europe/Berlin"), "+100000-01-01T00:00:00+00:00"),
        ((b"i", 0, 0, "No/Zone"), "1970-01-01T00:00:00+00:00"),
        ((b"d", _SECONDS, 0), "+100000-01-01T00:00:00"),
        ((b"d", -100_000_000_000, 0), "-1199-02-15T14:13:20"),
        ((b"D", 36_000_000), "+100534-08-27"),
        ((b"?", 1), "a value that cannot be read"),
        ((b"I", 0, 0, 0), "1970-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_past_the_years_of_python_is_told_as_text(value: tuple[Any, ...], text: str) -> None:
    assert json_value(came(*value)) == text
    assert json_value([came(*value), came(b"I", 0, 0, 0)])[0] == text
