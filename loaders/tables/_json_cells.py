"""Cells of JSON as columns."""

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, NamedTuple

import orjson
import polars as pl

from loaders.limits import INT64, MAX_EXACT_FLOAT
from loaders.tables._reasons import Reason
from loaders.tables._spec import Kind

_SCALARS: dict[type, pl.DataType] = {
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
}


class Cells(NamedTuple):
    """A column: its values, and what is wrong with some of them, by row."""

    values: pl.Series
    problems: dict[int, str]


class _BadCellError(Exception):
    """A value that cannot be what is expected; says why."""


_Read = Callable[[Any], Any]


def column_type(values: set[type], elements: set[type]) -> pl.DataType:
    """The one type that holds every value of a column.

    Whole numbers among others are numbers; anything among text is text; values among lists are
    lists with one value.

    Args:
        values: the types of its values.
        elements: the types of the elements of those that are lists.
    """
    scalars = {kind for kind in values | elements if kind in _SCALARS}
    if not scalars:
        return pl.List(pl.String()) if list in values else pl.Null()
    if len(scalars) == 1:
        scalar = _SCALARS[scalars.pop()]
    else:
        scalar = pl.Float64() if scalars == {int, float} else pl.String()
    return pl.List(scalar) if list in values else scalar


def known_cells(values: Sequence[Any], kind: Kind) -> Cells:
    """A column that the table knows, as the text that the file writes."""
    kinds = set(map(type, values)) - {NoneType}
    if kinds <= {str}:
        return Cells(pl.Series(values, dtype=pl.String), {})
    if kinds == {int} and all(value is None or value in INT64 for value in values):
        return Cells(pl.Series(values, dtype=pl.Int64).cast(pl.String), {})
    return _one_by_one(values, _id_text if kind == "id" else _known_text, pl.String())


def further_cells(values: Sequence[Any], dtype: pl.DataType) -> Cells:
    """A column that becomes a property."""
    if isinstance(dtype, pl.List):
        return _one_by_one(values, _list_of(dtype.inner), dtype)
    return _one_by_one(values, _reads(dtype), dtype)


def _one_by_one(values: Sequence[Any], read: _Read, dtype: pl.DataType) -> Cells:
    problems: dict[int, str] = {}
    cells: list[Any] = []
    for row, value in enumerate(values):
        try:
            cells.append(None if value is None else read(value))
        except _BadCellError as error:
            problems[row] = str(error)
            cells.append(None)
    return Cells(pl.Series(cells, dtype=dtype), problems)


def _known_text(value: Any) -> str:
    if isinstance(value, list):
        raise _BadCellError(Reason.LIST)
    return _text(value)


def _id_text(value: Any) -> str:
    if isinstance(value, bool):
        raise _BadCellError(Reason.BOOLEAN_ID.format(_text(value)))
    if not isinstance(value, float):
        return _known_text(value)
    if not value.is_integer():
        raise _BadCellError(Reason.FRACTION.format(value))
    if abs(value) > MAX_EXACT_FLOAT:
        raise _BadCellError(Reason.BIG_ID.format(value))
    return str(int(value))


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise _BadCellError(Reason.NESTED)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _whole(value: Any) -> int:
    if value not in INT64:
        raise _BadCellError(Reason.BIG_INTEGER.format(value))
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _reads(dtype: Any) -> _Read:
    """How a value of a further column is read, which is of a type that `column_type` looked at."""

    def scalar(value: Any) -> Any:
        if isinstance(value, dict | list):
            raise _BadCellError(Reason.NESTED)
        return read(value)

    read: _Read = {pl.Float64(): float, pl.Int64(): _whole, pl.String(): _text}.get(
        dtype, _as_it_is
    )
    return scalar


def _list_of(inner: Any) -> _Read:
    read = _reads(inner)

    def listed(value: Any) -> Any:
        if value == "":
            return None
        elements = value if isinstance(value, list) else [value]
        return [None if element is None else read(element) for element in elements]

    return listed
