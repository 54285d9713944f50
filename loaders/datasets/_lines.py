"""Text files with one row on each line, in batches, with exact line numbers.

Blocks of lines are split and converted as columns: the data sets read so have up to a hundred
million rows. A quoted cell cannot hold a line end, which none of them does.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import polars as pl

from loaders.errors import TableError
from loaders.limits import MAX_LINE_BYTES
from loaders.tables import Reason, Reject, Rejected
from loaders.tables._raw import RawBatch, shown_row, shown_text
from loaders.tables._text import TextBlocks

_LINE_SCHEMA = {"line": pl.Int64, "text": pl.String}
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Parser:
    """How the text of a column becomes its values.

    Attributes:
        values: text to value, null where it is not what is expected.
        expected: what is expected, to end a sentence that begins with "is not".
    """

    values: Callable[[pl.Expr], pl.Expr]
    expected: str


WHOLE = Parser(lambda text: text.cast(pl.Int64, strict=False), "a whole number")
NUMBER = Parser(lambda text: text.cast(pl.Float64, strict=False), "a number")
MILLISECONDS = Parser(
    lambda text: pl.from_epoch(text.cast(pl.Int64, strict=False), "ms"), "Unix milliseconds"
)


def one_of(values: Mapping[str, str]) -> Parser:
    """The words of a closed set, and what each stands for."""
    return Parser(
        lambda text: text.replace_strict(values, default=None, return_dtype=pl.String),
        f"one of {', '.join(values)}",
    )


@dataclass(frozen=True, slots=True)
class LineForm:
    """How the lines of a file are to be read.

    Attributes:
        columns: names of the cells of a line in their order, or with `header` the columns that
            are wanted of those the first line names.
        separator: what stands between two cells.
        header: whether the first line names the columns.
        quoted: whether a cell may be quoted as in RFC 4180.
        encoding: of the text.
        parsers: columns that do not stay text.
    """

    columns: tuple[str, ...]
    separator: str = ","
    header: bool = False
    quoted: bool = False
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    parsers: Mapping[str, Parser] = field(default_factory=dict[str, Parser])


def row_batches(stream: IO[bytes], name: str, form: LineForm, reject: Reject) -> Iterator[RawBatch]:
    """The rows of a file; one that has not the right form goes to `reject`.

    Args:
        stream: the contents of the file.
        name: its name, for errors.
        form: how its lines are to be read.
        reject: takes note of each rejected row.

    Raises:
        TableError: a wanted column is missing in the header, or a line has no end.
    """
    names = None if form.header else form.columns
    for lines in numbered_lines(stream, name, form.encoding, reject):
        rows = lines
        if names is None:
            names = _header(lines["text"][0], name, form)
            rows = lines.slice(1)
        yield _parsed(_split(rows, name, names, form, reject), name, form, reject)


def numbered_lines(
    stream: IO[bytes], name: str, encoding: str, reject: Reject
) -> Iterator[pl.DataFrame]:
    """The lines that are not empty, as columns `line` (from 1) and `text`.

    Raises:
        TableError: the file cannot be read.
    """
    number = 1
    for block in TextBlocks(Path(name), stream):
        # What is not UTF-8 is kept apart from all that text can hold, to find its lines.
        text = block.decode(encoding, "surrogateescape").replace("\r\n", "\n")
        lines = text.removesuffix("\n").split("\n")
        numbers: Sequence[int] = range(number, number + len(lines))
        number += len(lines)
        if "\0" in text or len(block) > MAX_LINE_BYTES or not _is_unicode(text):
            numbers, lines = _sound_lines(name, numbers, lines, reject)
        frame = pl.DataFrame({"line": numbers, "text": lines}, _LINE_SCHEMA)
        yield frame.filter(pl.col("text") != "")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sound_lines(
    name: str, numbers: Sequence[int], lines: list[str], reject: Reject
) -> tuple[list[int], list[str]]:
    sound: list[tuple[int, str]] = []
    for number, line in zip(numbers, lines, strict=True):
        if reason := _fault(line):
            reject(Rejected(name, number, "", reason, shown_text(line)))
        else:
            sound.append((number, line))
    return [number for number, _ in sound], [line for _, line in sound]


def _fault(line: str) -> Reason | None:
    if len(line) > MAX_LINE_BYTES:
        return Reason.LONG_LINE
    if "\0" in line:
        return Reason.NUL
    return None if _is_unicode(line) else Reason.NOT_UTF8


def _header(line: str, name: str, form: LineForm) -> tuple[str, ...]:
    names = tuple(line.split(form.separator))
    if missing := [column for column in form.columns if column not in names]:
        raise TableError(
            f"{name} has no column {missing[0]!r}: it begins with {line[:_SHOWN_CHARACTERS]!r}, "
            f"expected {form.separator.join(form.columns)!r}"
        )
    return names


def _split(
    lines: pl.DataFrame, name: str, names: tuple[str, ...], form: LineForm, reject: Reject
) -> pl.DataFrame:
    """The wanted cells of each line, after its number; an empty cell is a missing one."""
    rows = lines.with_columns(cells=pl.col("text").str.split(form.separator))
    if form.quoted:
        rows = _unquoted(rows, name, form, reject)
    width = pl.col("cells").list.len()
    for line, text, count in rows.filter(width != len(names)).select("line", "text", width).rows():
        reason = f"{count} cells: expected {len(names)} ({form.separator.join(names)})"
        reject(Rejected(name, line, "", reason, shown_text(text)))
    cells = [
        pl.col("cells").list.get(names.index(column)).replace("", None).alias(column)
        for column in form.columns
    ]
    return rows.filter(width == len(names)).select("line", *cells)


def _unquoted(rows: pl.DataFrame, name: str, form: LineForm, reject: Reject) -> pl.DataFrame:
    """Read the lines with a quote in them, which are few, one by one."""
    has_quote = pl.col("text").str.contains('"', literal=True)
    quoted_lines: list[tuple[int, str, list[str]]] = []
    for line, text in rows.filter(has_quote).select("line", "text").iter_rows():
        try:
            cells = next(csv.reader([text], delimiter=form.separator, strict=True))
        except csv.Error as error:
            reject(Rejected(name, line, "", Reason.NOT_CSV.format(error), shown_text(text)))
        else:
            quoted_lines.append((line, text, cells))
    quoted = pl.DataFrame(quoted_lines, rows.schema, orient="row")
    return pl.concat([rows.filter(~has_quote), quoted]).sort("line")


def _parsed(rows: pl.DataFrame, name: str, form: LineForm, reject: Reject) -> RawBatch:
    """The rows whose cells all can be parsed."""
    for column, parser in form.parsers.items():
        values = rows.select(parser.values(pl.col(column))).to_series()
        bad = rows[column].is_not_null() & values.is_null()
        if bad.any():
            _reject_cells(rows.filter(bad), column, parser, name, reject)
        rows = rows.with_columns(values.alias(column)).filter(~bad)
    return RawBatch(rows.drop("line"), rows["line"])


def _reject_cells(
    rows: pl.DataFrame, column: str, parser: Parser, name: str, reject: Reject
) -> None:
    for row in rows.iter_rows(named=True):
        line = row.pop("line")
        reason = f"'{row[column][:_SHOWN_CHARACTERS]}' is not {parser.expected}"
        reject(Rejected(name, line, column, reason, shown_row(row.values())))
