"""Values that somebody wrote, as numbers for a model.

A number between -1e9 and 1e9 is itself, true and false are 1 and 0, text says what it reads as (a
CSV table gives text), and all else is missing.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.types import Numbers

_LARGEST = 1e9
_LONGEST = 4096
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def numbers_of(value: Any) -> list[float]:
    """A value as `cypher/extract/item_properties.cypher` reads it; empty where it is no number."""
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, bool):
        return [float(value)]
    values = value if isinstance(value, list) else [value]
    good = all(
        isinstance(one, int | float) and not isinstance(one, bool) and -_LARGEST <= one <= _LARGEST
        for one in values
    )
    return [float(one) for one in values[:_LONGEST]] if good else []


def _read(text: str) -> bool | float | None:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return float(text) if _NUMBER.fullmatch(text) else None


def as_numbers(
    count: int, place: Int64[NDArray[np.int64], " lists"], lists: Sequence[Sequence[float]]
) -> Numbers:
    """Lists of numbers as rows of one length, the most frequent one that is not 0.

    Args:
        count: rows.
        place: the row of each list; -1 for one that has none.
        lists: empty where there is no number; one of another length is missing.
    """
    length = np.array([len(values) for values in lists], np.int64)
    counts = np.bincount(length[length > 0])
    width = int(counts.argmax()) if len(counts) else 1
    numbers = np.full((count, width), np.nan, np.float32)
    for row, own in zip(place.tolist(), lists, strict=True):
        if row >= 0 and len(own) == width:
            numbers[row] = own
    return numbers
