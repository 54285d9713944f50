"""CSV files, in batches, with exact line numbers."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from loaders.errors import TableError
from loaders.tables._raw import RawBatch, shown_row, shown_text
from loaders.tables._spec import BATCH_ROWS, Reject, Rejected

# Bounds the memory that a file without line ends takes.
_MAX_LINE_CHARACTERS = 4 * 1024 * 1024
_LINE_ENDS = ("\n", "\r")
_SAMPLE_BYTES = 1024 * 1024
# What a byte that is not UTF-8 is decoded to; real text cannot hold it.
_BROKEN = re.compile("[\udc80-\udcff]")


class CsvTable:
    """A comma-separated file in UTF-8 with a header, quoted as in RFC 4180."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> Sequence[str]:
        """See `TableFile.columns`."""
        with self._open() as file:
            return self._header(_Lines(file))

    def row_count(self) -> int:
        """See `TableFile.row_count`; from the line ends in the first MiB."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            sample = file.read(_SAMPLE_BYTES)
        lines = sample.count(b"\n")
        return max(0, round(lines * size / max(1, len(sample))) - 1)

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """See `TableFile.batches`."""
        with self._open() as file:
            lines = _Lines(file)
            header = self._header(lines)
            numbers: list[int] = []
            rows: list[list[str]] = []
            for number, row in self._rows(lines, header, reject):
                numbers.append(number)
                rows.append(row)
                if len(rows) == BATCH_ROWS:
                    yield _batch(header, columns, numbers, rows)
                    numbers, rows = [], []
            if rows:
                yield _batch(header, columns, numbers, rows)

    def _open(self) -> IO[str]:
        try:
            return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        except OSError as error:
            raise TableError(f"{self.path} cannot be read: {error}") from error

    def _header(self, lines: "_Lines") -> list[str]:
        try:
            header = next(csv.reader(lines, strict=True), [])
        except (csv.Error, _LineTooLongError) as error:
            raise TableError(f"{self.path}: its first line is no CSV header: {error}") from None
        if not header:
            raise TableError(f"{self.path} is empty: expected a header with the column names")
        if lines.damaged:
            raise TableError(f"{self.path} is not UTF-8 text: save it as CSV in UTF-8")
        return header

    def _rows(
        self, lines: "_Lines", header: list[str], reject: Reject
    ) -> Iterator[tuple[int, list[str]]]:
        """Rows that have the right shape, each with the line on which it begins."""
        name = self.path.name
        reader = csv.reader(lines, strict=True)
        while True:
            start = lines.begin_row()
            try:
                row = next(reader)
            except StopIteration:
                return
            except (csv.Error, _LineTooLongError) as error:
                first = lines.give_back_all_but_first()
                reject(Rejected(name, start, "", _reason(error), shown_text(first)))
                reader = csv.reader(lines, strict=True)
                continue
            if lines.damaged:
                reject(_damaged(name, start, header, row))
            elif len(row) == len(header):
                yield start, row
            elif row:
                reason = f"{len(row)} cells: expected {len(header)}, as in the header"
                reject(Rejected(name, start, "", reason, shown_row(row)))


class _LineTooLongError(Exception):
    """A line longer than any row can be."""


class _Lines(Iterator[str]):
    """The lines of a file, counted; those of a row that went wrong can be read again.

    Attributes:
        damaged: whether a line since `begin_row` holds broken UTF-8 or a NUL.
    """

    def __init__(self, file: IO[str]) -> None:
        self.damaged = False
        self._file = file
        self._given_back: deque[str] = deque()
        self._taken: list[str] = []
        self._number = 0

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else self._read()
        if not line:
            raise StopIteration
        self._number += 1
        self._taken.append(line)
        if len(line) > _MAX_LINE_CHARACTERS:
            raise _LineTooLongError
        if "\0" in line or not (line.isascii() or _BROKEN.search(line) is None):
            self.damaged = True
        return line

    def begin_row(self) -> int:
        """Start a row and return the number of its first line."""
        self.damaged = False
        self._taken.clear()
        return self._number + 1

    def give_back_all_but_first(self) -> str:
        """Give back the lines of the current row after its first, which is returned.

        An unclosed quote swallows the lines after it: they are rows of their own.
        """
        first, *others = self._taken
        self._given_back.extendleft(reversed(others))
        self._number -= len(others)
        return first

    def _read(self) -> str:
        line = self._file.readline(_MAX_LINE_CHARACTERS)
        if len(line) < _MAX_LINE_CHARACTERS or line.endswith(_LINE_ENDS):
            return line
        rest = line
        while rest and not rest.endswith(_LINE_ENDS):
            rest = self._file.readline(_MAX_LINE_CHARACTERS)
        return f"{line}\n"


def _batch(
    header: list[str], columns: Sequence[str], numbers: list[int], rows: list[list[str]]
) -> RawBatch:
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    frame = pl.DataFrame({name: pl.Series(cells[name], dtype=pl.String) for name in columns})
    empty_is_missing = pl.when(pl.all() != "").then(pl.all())
    return RawBatch(frame.with_columns(empty_is_missing), pl.Series(numbers, dtype=pl.Int64))


def _damaged(name: str, line: int, header: list[str], row: list[str]) -> Rejected:
    for column, cell in zip(header, row, strict=False):
        if "\0" in cell:
            reason = "holds a NUL character: the file is damaged, or not UTF-8 text"
            return Rejected(name, line, column, reason, shown_row(row))
        if _BROKEN.search(cell):
            return Rejected(name, line, column, "is not valid UTF-8", shown_row(row))
    return Rejected(name, line, "", "is not valid UTF-8", shown_row(row))


def _reason(error: csv.Error | _LineTooLongError) -> str:
    if isinstance(error, _LineTooLongError):
        return f"a line longer than {_MAX_LINE_CHARACTERS:,} characters"
    text = str(error)
    if "field limit" in text:
        limit = csv.field_size_limit()
        return f"a cell longer than {limit:,} characters: is a quote left open?"
    if "end of data" in text:
        return "a quote is left open"
    return f"not CSV as in RFC 4180: {text}"
