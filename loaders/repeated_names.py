"""Names that come twice in one object of a JSON document, of which a parser keeps the last."""

import json
from collections import Counter
from contextlib import suppress
from typing import Any


def repeated_names(document: bytes) -> list[str]:
    """The names that one object of a JSON document has twice; none where it is no JSON."""
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            repeated.extend(name for name, times in Counter(names).items() if times > 1)

    with suppress(ValueError, RecursionError):
        json.loads(document, object_pairs_hook=look)
    return repeated
