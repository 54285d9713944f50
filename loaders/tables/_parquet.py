"""Parquet files, in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from loaders.errors import TableError
from loaders.tables._raw import RawBatch
from loaders.tables._spec import BATCH_ROWS, Reject, Rejected


class ParquetTable:
    """A Parquet file; the number of a row stands for its line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> Sequence[str]:
        """See `TableFile.columns`."""
        with self._open() as file:
            return cast(list[str], file.schema_arrow.names)

    def row_count(self) -> int:
        """See `TableFile.row_count`; exact."""
        with self._open() as file:
            return cast(int, file.metadata.num_rows)

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """See `TableFile.batches`."""
        first = 1
        with self._open() as file:
            try:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
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
            reject(Rejected(self.path.name, lines[row], name, "is not valid UTF-8", ""))
        if broken:
            kept = [row for row in range(batch.num_rows) if row not in broken]
            batch, lines = batch.take(kept), lines.gather(kept)
        return RawBatch(cast(pl.DataFrame, pl.from_arrow(pa.Table.from_batches([batch]))), lines)


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
