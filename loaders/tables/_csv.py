"""CSV files, in batches, with exact line numbers.

A block of lines that has no quote in it and nothing odd is parsed at once; any other is read row
by row (`_csv_lines`). Both give the same rows and reject the same ones.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import polars as pl

from loaders.errors import TableError
from loaders.limits import MAX_CELL_CHARACTERS, MAX_LINE_BYTES
from loaders.tables._csv_lines import (
    CsvRow,
    Lines,
    LineTooLongError,
    rows_one_by_one,
    why_no_row,
)
from loaders.tables._raw import Expected, RawBatch, Texts
from loaders.tables._spec import BATCH_ROWS, Reject
from loaders.tables._text import estimated_lines, open_blocks

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 20


class CsvTable:
    """A file of delimited text in UTF-8 with a header, quoted as in RFC 4180."""

    def __init__(self, path: Path, name: str, expected: Expected) -> None:
        self.path = path
        self.name = name
        self._required = {column for column, spec in expected.items() if spec.required}

    def columns(self) -> Sequence[tuple[str, pl.DataType]]:
        """See `TableFile.columns`: text, all of them."""
        with open_blocks(self.path) as blocks:
            header, _ = self._header(Lines(blocks))
        return [(name, pl.String()) for name in header]

    def row_count(self) -> int:
        """See `TableFile.row_count`."""
        return max(0, estimated_lines(self.path) - 1)

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """See `TableFile.batches`."""
        with open_blocks(self.path) as blocks:
            lines = Lines(blocks)
            written, delimiter = self._header(lines)
            # A column of a name that comes twice is not read.
            header = [
                name if written.count(name) == 1 else f"{name}\0{place}"
                for place, name in enumerate(written)
            ]
            while block := lines.take_block():
                frame = _parsed_at_once(block, header, delimiter)
                if frame is not None:
                    first = lines.skip(frame.height)
                    numbers = pl.int_range(first, first + frame.height, eager=True)
                    yield RawBatch(frame.select(columns), numbers, _lines_of(block))
                    continue
                lines.give_block(block)
                rows = rows_one_by_one(lines, header, columns, delimiter, self.name, reject)
                yield from _batched(rows, header, columns)

    def _header(self, lines: Lines) -> tuple[list[str], str]:
        """The names of the columns, and the delimiter that tells them apart."""
        delimiter = self._delimiter(lines)
        lines.begin_row()
        header = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
        if not header:
            raise TableError(f"{self.path} is empty: expected a header with the column names")
        if lines.damaged:
            raise TableError(f"{self.path} is not UTF-8 text: save it as CSV in UTF-8")
        return _with_nameless(header, _first_rows(lines, delimiter)), delimiter

    def _delimiter(self, lines: Lines) -> str:
        """The one that gives the required columns, else the only one that gives several."""
        headers = self._possible_headers(lines)
        splitting = [delimiter for delimiter, header in headers.items() if len(header) > 1]
        fitting = [
            delimiter
            for delimiter in splitting
            if self._required <= {name.strip() for name in headers[delimiter]}
        ]
        signs = fitting or splitting or list(headers)[:1]
        if len(signs) > 1:
            raise TableError(
                f"{self.path}: its header could be split at {' or at '.join(map(repr, signs))}: "
                f"expected one of them to give the columns {', '.join(sorted(self._required))}"
            )
        return signs[0]

    def _possible_headers(self, lines: Lines) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        problem = ""
        for delimiter in _DELIMITERS:
            lines.begin_row()
            try:
                headers[delimiter] = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
            except (csv.Error, LineTooLongError) as error:
                problem = why_no_row(error)
            lines.give_back(keep=0)
        if not headers:
            raise TableError(f"{self.path}: its first line is no CSV header: {problem}")
        return headers


def _first_rows(lines: Lines, delimiter: str) -> list[list[str]]:
    """Some rows, which are read again later."""
    lines.begin_row()
    try:
        return list(islice(csv.reader(lines, delimiter=delimiter, strict=True), _SAMPLE_ROWS))
    except (csv.Error, LineTooLongError):
        return []
    finally:
        lines.give_back(keep=0)


def _with_nameless(header: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The header, with a column that has no name where each row has one cell more.

    The row numbers that R's `write.table` puts first, or nothing after a last delimiter.
    """
    if len(rows) < 2 or any(len(row) != len(header) + 1 for row in rows):
        return header
    if not any(row[-1] for row in rows):
        return [*header, ""]
    first = [row[0] for row in rows]
    if all(cell.isdecimal() for cell in first):
        numbers = [int(cell) for cell in first]
        if all(one < other for one, other in pairwise(numbers)):
            return ["", *header]
    return header


def _parsed_at_once(block: bytes, header: Sequence[str], delimiter: str) -> pl.DataFrame | None:
    """The rows of a block of lines; None where it has to be read row by row.

    That is where a cell may be quoted or too long, a row may have another number of cells, or the
    text may be damaged.
    """
    if (
        b'"' in block
        or b"\0" in block
        or (b"\r" in block and block.count(b"\r") != block.count(b"\r\n"))
        or len(block) > MAX_LINE_BYTES
    ):
        return None
    try:
        frame = pl.read_csv(
            block,
            has_header=False,
            new_columns=list(header),
            separator=delimiter,
            quote_char=None,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError:
        return None
    return frame if _has_every_cell(frame, block, delimiter) else None


def _has_every_cell(frame: pl.DataFrame, block: bytes, delimiter: str) -> bool:
    """Whether each line became a row, with as many cells as there are columns.

    Rows with more cells than that are an error of the parser's; so counting is enough.
    """
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if frame.height != lines or block.count(delimiter.encode()) != lines * (frame.width - 1):
        return False
    if frame.width == 1 and frame.to_series().null_count():
        return False  # a line with nothing in it is no row
    longest = frame.select(pl.all().str.len_bytes().max())
    return all((length or 0) <= MAX_CELL_CHARACTERS for length in longest.row(0))


def _lines_of(block: bytes) -> Texts:
    def texts(rows: Sequence[int]) -> Iterable[str]:
        lines = block.split(b"\n")
        return [lines[row].decode() for row in rows]

    return texts


def _batched(
    rows: Iterator[CsvRow], header: Sequence[str], columns: Sequence[str]
) -> Iterator[RawBatch]:
    while batch := list(islice(rows, BATCH_ROWS)):
        cells = dict(zip(header, zip(*(row.cells for row in batch), strict=True), strict=True))
        frame = pl.DataFrame({name: pl.Series(cells[name], dtype=pl.String) for name in columns})
        empty_is_missing = pl.when(pl.all() != "").then(pl.all())
        numbers = pl.Series([row.line for row in batch], dtype=pl.Int64)
        texts = _texts_of([row.text for row in batch])
        yield RawBatch(frame.with_columns(empty_is_missing), numbers, texts)


def _texts_of(texts: Sequence[str]) -> Texts:
    return lambda rows: [texts[row] for row in rows]
