"""JSON Lines files: one object on each line, in batches.

There is no header: the file is read once before its rows are, for the names of its columns and
their types. Columns that the table knows are read as text, as the file writes it, and then checked
like those of CSV; so what a cell is never depends on its neighbours. A further column has one type
for the whole file.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from loaders.errors import TableError
from loaders.limits import MAX_COLUMNS, MAX_LINE_BYTES
from loaders.repeated_names import repeated_names
from loaders.tables._json_cells import Cells, column_type, further_cells, known_cells
from loaders.tables._raw import Expected, RawBatch, shown_text
from loaders.tables._reasons import Reason
from loaders.tables._spec import Reject, Rejected
from loaders.tables._text import estimated_lines, open_blocks

FROM_AN_ARRAY = "an array becomes that by jq -c '.[]'"
"""How to get a file of JSON Lines."""
_CONSTANTS = {"NaN": None}
_ARRAY = re.compile(rb"\s*\[\s*(\{|$)")
_NAME_END = re.compile(rb'"\s*:')


class _NoObjectError(Exception):
    """A line that is no JSON object; says why."""


class JsonTable:
    """A file with a flat JSON object on each line, in UTF-8."""

    def __init__(self, path: Path, name: str, expected: Expected) -> None:
        self.path = path
        self.name = name
        self._expected = expected
        self._types: dict[str, pl.DataType] = {}

    def columns(self) -> Sequence[tuple[str, pl.DataType]]:
        """See `TableFile.columns`: those of all objects."""
        if not self._types:
            self._types = self._find_types()
        return tuple(self._types.items())

    def row_count(self) -> int:
        """See `TableFile.row_count`."""
        return estimated_lines(self.path)

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """See `TableFile.batches`."""
        self.columns()
        for block in self._blocks():
            rows: list[dict[str, Any]] = []
            numbers: list[int] = []
            for number, line in block:
                try:
                    rows.append(_parsed(line))
                    numbers.append(number)
                except _NoObjectError as error:
                    reject(Rejected(self.name, number, "", str(error), _shown(line)))
            yield self._batch(rows, numbers, columns, dict(block), reject)

    def _blocks(self) -> Iterator[list[tuple[int, bytes]]]:
        """The lines that hold something, numbered, in blocks."""
        first = 1
        with open_blocks(self.path) as blocks:
            for block in blocks:
                lines = block.splitlines()
                yield [(n, line) for n, line in enumerate(lines, first) if line.strip()]
                first += len(lines)

    def _find_types(self) -> dict[str, pl.DataType]:
        values: defaultdict[str, set[type]] = defaultdict(set)
        elements: defaultdict[str, set[type]] = defaultdict(set)
        # Of an array over several lines, one without a comma could be taken for the only row.
        if _ARRAY.match(next((line for block in self._blocks() for _, line in block), b"")):
            raise TableError(
                f"{self.path} is a JSON array: expected one object on each line ({FROM_AN_ARRAY})"
            )
        for block in self._blocks():
            for _, line in block:
                try:
                    row = _parsed(line)
                except _NoObjectError:
                    continue
                for name, value in row.items():
                    values[name].add(type(value))
                    if isinstance(value, list):
                        elements[name].update(map(type, value))
            if len(values) > MAX_COLUMNS:
                raise TableError(
                    f"{self.path} has more than {MAX_COLUMNS:,} columns: expected the same names "
                    "in each object"
                )
        if not values:
            raise TableError(
                f"{self.path} holds no JSON object: expected one on each line ({FROM_AN_ARRAY})"
            )
        return {
            name: pl.String()
            if name.strip() in self._expected
            else column_type(kinds, elements[name])
            for name, kinds in values.items()
        }

    def _batch(
        self,
        rows: Sequence[dict[str, Any]],
        numbers: Sequence[int],
        columns: Sequence[str],
        lines: dict[int, bytes],
        reject: Reject,
    ) -> RawBatch:
        problems: dict[int, Rejected] = {}
        series: list[pl.Series] = []
        for name in columns:
            cells = self._cells(name, [row.get(name) for row in rows])
            series.append(cells.values.alias(name))
            for row, reason in cells.problems.items():
                number = numbers[row]
                shown = _shown(lines[number])
                problems.setdefault(row, Rejected(self.name, number, name, reason, shown))
        for problem in problems.values():
            reject(problem)
        good = ~pl.int_range(len(rows), eager=True).is_in(list(problems))
        lines_left = pl.Series(numbers, dtype=pl.Int64).filter(good)
        return RawBatch(
            pl.DataFrame(series).filter(good),
            lines_left,
            lambda places: (_text(lines[lines_left[place]]) for place in places),
        )

    def _cells(self, name: str, values: Sequence[Any]) -> Cells:
        if column := self._expected.get(name.strip()):
            return known_cells(values, column.kind)
        return further_cells(values, self._types[name])


def _parsed(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise _NoObjectError(Reason.LONG_LINE)
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        row = _with_nan(line)
        if row is None:
            raise _NoObjectError(_why_not_json(line, error)) from None
    if not isinstance(row, dict):
        raise _NoObjectError(Reason.NOT_AN_OBJECT)
    # Each name ends so: where there are not more such places than names, none comes twice.
    if len(_NAME_END.findall(line)) > len(row) and (twice := repeated_names(line)):
        raise _NoObjectError(Reason.TWICE.format(twice[0]))
    return row


def _with_nan(line: bytes) -> Any:
    """The value of a line with NaN, which Python writes where there is none; None of any other."""
    if b"NaN" not in line:
        return None
    try:
        return orjson.loads(json.dumps(json.loads(line, parse_constant=_CONSTANTS.__getitem__)))
    except (ValueError, KeyError, RecursionError):
        return None


def _why_not_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    return Reason.NOT_JSON.format(f"{error.msg} at character {error.colno}")


def _shown(line: bytes) -> str:
    return shown_text(_text(line))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")
