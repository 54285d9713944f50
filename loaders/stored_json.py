"""JSON texts in properties of the graph, which anybody may have edited."""

import json
from typing import Any, cast


def json_object(text: object) -> dict[str, Any] | None:
    """The JSON object that a property holds; None where it holds nothing that is one."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
