"""Parquet files, in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from loaders.errors import TableError
from loaders.tables._raw import RawBatch, shown_text
from loaders.tables._reasons import Reason
from loaders.tables._spec import BATCH_ROWS, Reject, Rejected
from loaders.tables._times import check_stored_time

_BATCH_BYTES = 64 * 1024 * 1024


class ParquetTable:
    """A Parquet file; the number of a row stands for its line."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    def columns(self) -> Sequence[tuple[str, pl.DataType]]:
        """See `TableFile.columns`."""
        with self._open() as file:
            schema = file.schema_arrow
            return [(field.name, _type(field)) for field in schema]

    def row_count(self) -> int:
        """See `TableFile.row_count`; exact."""
        with self._open() as file:
            return cast(int, file.metadata.num_rows)

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """See `TableFile.batches`."""
        first = 1
        with self._open() as file:
            try:
                for batch in file.iter_batches(_batch_rows(file), columns=list(columns)):
                    lines = pl.int_range(first, first + batch.num_rows, eager=True)
                    first += batch.num_rows
                    yield self._readable(batch.select(list(columns)), lines, reject)
            except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
                raise TableError(f"{self.path} cannot be read: {error}") from error

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{self.path} cannot be read as Parquet: {error}") from error

    def _readable(self, batch: pa.RecordBatch, lines: pl.Series, reject: Reject) -> RawBatch:
        """The rows whose text is UTF-8, which Parquet promises and does not check."""
        broken: dict[int, str] = {}
        names = cast(list[str], batch.schema.names)
        for name, column in zip(names, batch.columns, strict=True):
            broken |= dict.fromkeys(_broken_rows(column), name)
        for row, name in sorted(broken.items()):
            reject(Rejected(self.name, lines[row], name, Reason.NOT_UTF8, _shown(batch, row)))
        if broken:
            whole = [row for row in range(batch.num_rows) if row not in broken]
            batch, lines = batch.take(whole), lines.gather(whole)
        frame = _frame(batch)
        return RawBatch(frame, lines, lambda rows: _json_lines(frame[rows]))


def _type(field: pa.Field) -> pl.DataType:
    """A column's type in polars; `Unknown` where polars has none."""
    try:
        empty = cast(pl.DataFrame, pl.from_arrow(pa.schema([field]).empty_table()))
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError):
        return pl.Unknown()
    return empty.dtypes[0]


def _batch_rows(file: pq.ParquetFile) -> int:
    """Rows of a batch: fewer where they are long."""
    metadata = file.metadata
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return max(1, min(BATCH_ROWS, int(_BATCH_BYTES / max(1, longest))))


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_batches([batch])))


def _json_lines(frame: pl.DataFrame) -> pl.Series:
    """Each row as a line of JSON, which can be read as a table again."""
    told = frame.with_columns(map(_tellable, frame))
    return told.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _tellable(column: pl.Series) -> pl.Series:
    """Cells that JSON has a form for: it has no NaN and no infinity, and calendars end."""
    dtype = column.dtype
    if dtype.is_float() and not column.drop_nulls().is_finite().all():
        return column.cast(pl.String)
    if isinstance(dtype, pl.Datetime | pl.Date):
        outside = check_stored_time(column, dtype).problems
        return column if outside.is_null().all() else column.to_physical()
    return column


def _shown(batch: pa.RecordBatch, row: int) -> str:
    """The row of a batch, whose text may be broken."""
    one = batch.slice(row, 1)
    columns = [
        pa.array(
            [
                text and text.decode("utf-8", "replace")
                for text in column.cast(pa.binary()).to_pylist()
            ]
        )
        if _broken_rows(column)
        else column
        for column in one.columns
    ]
    return shown_text(_json_lines(_frame(pa.RecordBatch.from_arrays(columns, one.schema.names)))[0])


def _broken_rows(column: pa.Array) -> list[int]:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = column.cast(pa.binary()).to_pylist()
        return [row for row, value in enumerate(values) if not _is_utf8(value)]
    return []


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
