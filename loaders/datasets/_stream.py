"""Tables that are read from a data set's files each time they are asked for, batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import polars as pl

from loaders.datasets._files import SourceFiles
from loaders.datasets._lines import LineForm, row_batches
from loaders.tables import TABLES, Reject, Rejected, TableSpec
from loaders.tables._check import checked_batch, in_line_order
from loaders.tables._raw import RawBatch
from loaders.tables._spec import BATCH_ROWS

Read = Callable[[Reject], Iterator[pl.DataFrame]]
"""Reads one table: its good rows; the others go to the argument."""

_COMPACT_ROWS = 1_000_000
"""Rows gathered before they are combined anew."""


Convert = Callable[[pl.DataFrame], pl.DataFrame]
"""From a file's columns to a table's."""


class StreamTables:
    """A data set as `Tables`, with one function to read each table.

    Args:
        readers: the function of each table there is.
        warnings: what is there and will not be used, one sentence each.
    """

    def __init__(self, readers: Mapping[TableSpec, Read], warnings: Sequence[str] = ()) -> None:
        self._readers = readers
        self._warnings = tuple(warnings)

    @property
    def specs(self) -> Sequence[TableSpec]:
        """See `Tables.specs`."""
        return tuple(spec for spec in TABLES if spec in self._readers)

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tables.warnings`."""
        return self._warnings

    def row_count(self, spec: TableSpec) -> int | None:
        """See `Tables.row_count`: not known before the file has been read."""
        return None

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """See `Tables.batches`; the bad rows of a batch come in line order."""
        return in_line_order(self._readers[spec], spec, reject)


def rows_of(files: SourceFiles, name: str, form: LineForm, reject: Reject) -> Iterator[RawBatch]:
    """The rows of one of the files; those that have not its form go to `reject`."""
    with files.open(name) as stream:
        yield from row_batches(stream, name, form, reject)


def columns(*same: str, **renamed: str | pl.Expr) -> Convert:
    """Some columns as they are, and some under the table's names."""
    return lambda rows: rows.select(*same, **renamed)


def table_of(
    files: SourceFiles,
    name: str,
    form: LineForm,
    spec: TableSpec,
    convert: Convert,
) -> Read:
    """A table with one row for each row of a file.

    Args:
        files: the data set's files.
        name: the file.
        form: how its lines are to be read.
        spec: the table.
        convert: see `Convert`; row by row.
    """

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for batch in rows_of(files, name, form, reject):
            table = RawBatch(convert(batch.frame), batch.lines)
            yield checked_batch(table, spec, name, reject)

    return read


def made_table(frame: pl.DataFrame, spec: TableSpec, name: str, reject: Reject) -> pl.DataFrame:
    """The good rows of a table made in code; the others go to `reject` by their number.

    Args:
        frame: the rows.
        spec: the table.
        name: the file it was made from.
        reject: takes note of each rejected row.
    """
    lines = pl.int_range(1, frame.height + 1, eager=True)
    return checked_batch(RawBatch(frame, lines), spec, name, reject)


def distinct_table_of(
    files: SourceFiles,
    name: str,
    form: LineForm,
    spec: TableSpec,
    convert: Convert,
) -> Read:
    """A table with one row for each distinct one that the rows of a file come to.

    A row without what the table requires, or without the right form, makes none: it is rejected
    where the file is read for the table it is there for.

    Args:
        files: the data set's files.
        name: the file.
        form: how its lines are to be read.
        spec: the table.
        convert: see `Convert`.
    """

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        rows = (convert(batch.frame) for batch in rows_of(files, name, form, ignore))
        for part in gathered((batch.drop_nulls(spec.required) for batch in rows), distinct):
            yield made_table(part, spec, name, reject)

    return read


def in_turn(*reads: Read) -> Read:
    """One table after the other, as one."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for read_table in reads:
            yield from read_table(reject)

    return read


def gathered(
    batches: Iterable[pl.DataFrame], combine: Callable[[pl.DataFrame], pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """Batches combined into one whole, of which no more is held than what is left and a part.

    Args:
        batches: rows.
        combine: makes fewer rows of many; doing so part by part must come to the same.
    """
    parts: list[pl.DataFrame] = []
    rows = 0
    for batch in batches:
        parts.append(combine(batch))
        rows += parts[-1].height
        if rows > _COMPACT_ROWS and len(parts) > 1:
            parts = [combine(pl.concat(parts))]
            # A growing whole is only combined again when as much has come on top of it.
            rows = -parts[0].height
    if parts:
        yield from combine(pl.concat(parts)).iter_slices(BATCH_ROWS)


def distinct(frame: pl.DataFrame) -> pl.DataFrame:
    """Each row once, in the order they first came."""
    return frame.unique(maintain_order=True)


def ignore(_rejected: Rejected) -> None:
    """Take no note of a row: it is rejected where the file is read for another table."""
