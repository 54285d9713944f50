"""Tables as the parameters of queries."""

from datetime import UTC
from typing import Any

import polars as pl

from loaders.gateway import Row


def as_rows(frame: pl.DataFrame) -> list[Row]:
    """Rows as the driver takes them."""
    names = frame.columns
    columns = [_values(column) for column in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pl.Series) -> list[Any]:
    """Cells as the driver takes them: times in UTC as an offset, where polars names a zone."""
    if not isinstance(column.dtype, pl.Datetime):
        return column.to_list()
    times = column.dt.replace_time_zone(None).to_list()
    return [None if time is None else time.replace(tzinfo=UTC) for time in times]
