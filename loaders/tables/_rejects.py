"""The file of rejected rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import polars as pl

from loaders.errors import RejectedRowsError, TableError
from loaders.files import whole_file
from loaders.tables._spec import INTERACTIONS, Rejected, Tables
from loaders.tables._totals import InteractionTotals, within_limits

_HEADER = ["file", "line", "column", "reason", "row"]
_HEADER_LINE = ",".join(_HEADER)
_CELLS = attrgetter(*_HEADER)
_VARIABLE = re.compile(r"'.*'|\d+", re.DOTALL)
"""What differs between reasons of one kind: the cell, and numbers."""
_JSON_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """The rejected rows of one column and reason.

    Attributes:
        table: its name.
        column: its name in the file; empty where rows as a whole are at fault.
        rows: how many there are.
        first: the first of them, and why.
    """

    table: str
    column: str
    rows: int
    first: str


class Rejects:
    """Rejected rows: counted by table, and written to a CSV file made with the first of them.

    A context manager. A file of an earlier run is replaced, or removed when nothing is rejected
    now; any other file at `path` is left alone.

    Attributes:
        path: where the rows are written.
        counts: rejected rows by table.
        warning: why not all of them could be written, if so.
        first: the first rejected row of each table, by its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.first: dict[str, Rejected] = {}
        self.warning: str | None = None
        self._reasons: Counter[tuple[str, str, str]] = Counter()
        self._first_of: dict[tuple[str, str, str], str] = {}
        self._file: IO[str] | None = None

    @property
    def total(self) -> int:
        """How many rows were rejected."""
        return self.counts.total()

    def reasons(self) -> tuple[RejectedRows, ...]:
        """What was rejected by table, column and reason, the most rows first."""
        return tuple(
            RejectedRows(key[0], key[1], rows, self._first_of[key])
            for key, rows in self._reasons.most_common()
        )

    def first_of(self, table: str) -> str | None:
        """The first rejected row of a table, and why; None where there is none."""
        return str(self.first[table]) if table in self.first else None

    def add(self, rejected: Rejected) -> None:
        """Count a row and write it down.

        A disk that is full by now stops the writing, and no row of the tables: see `warning`.

        Raises:
            TableError: the file cannot be written, or is not a file of rejected rows.
        """
        if self._file is None:
            self._file = self._open()
        if self.warning is None:
            try:
                csv.writer(self._file).writerow(_CELLS(rejected))
            except OSError as error:
                self._stop_writing(error)
        table = rejected.table or Path(rejected.file).stem
        self.counts[table] += rejected.rows
        self.first.setdefault(table, rejected)
        reason = table, rejected.column, _VARIABLE.sub("", rejected.reason)
        self._reasons[reason] += rejected.rows
        if reason not in self._first_of:
            self._first_of[reason] = str(rejected)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as refused:
                self._stop_writing(refused)
        elif kind is None and self._is_ours():
            self.path.unlink()

    def _stop_writing(self, error: OSError) -> None:
        self.warning = (
            f"not all rejected rows could be written to {self.path} ({error.strerror}): make room, "
            "and ingest the same again to have them all"
        )

    def _open(self) -> IO[str]:
        if self.path.exists() and not self._is_ours():
            raise TableError(
                f"{self.path} exists and is not a file of rejected rows: name another file"
            )
        try:
            file = self.path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise TableError(f"rejected rows cannot be written to {self.path}: {error}") from error
        csv.writer(file).writerow(_HEADER)
        return file

    def _is_ours(self) -> bool:
        if not self.path.is_file():
            return False
        with self.path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(len(_HEADER_LINE) + 1)
        # Cut off within its first line: the disk was full.
        return start.startswith(_HEADER_LINE) or _HEADER_LINE.startswith(start)


def refuse_rejected(source: Tables, rejects: Rejects) -> None:
    """Read every table once and stop if a row would be rejected.

    Raises:
        RejectedRowsError: at least one row is rejected; all of them are in the file.
        TableError: a table cannot be read.
    """
    with InteractionTotals() as totals:
        for spec in source.specs:
            for batch in source.batches(spec, rejects.add):
                if spec == INTERACTIONS:
                    totals.add(batch.filter(pl.col("event_id").is_null()))
        for frame in totals.frames():
            within_limits(frame, rejects.add)
    for first in rejects.first.values():
        raise RejectedRowsError(
            f"{rejects.total:,} rejected rows and nothing loaded: the first is {first}; "
            f"all are in {rejects.path}: correct them, or load without --strict"
        )


def forget_rejected(path: Path, identifier: str) -> None:
    """Take the rows that name somebody out of a file of rejected rows.

    Rows are written as they came, so an id is looked for as a word of its own, whatever it was in
    its row.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0] != _HEADER:
        return
    named = re.compile(rf"(?<!\w){re.escape(identifier)}(?!\w)")
    left = [
        row
        for row in rows[1:]
        if not any(named.search(text) for cell in row[3:] for text in _readings(cell))
    ]
    if len(left) == len(rows) - 1:
        return
    if not left:
        path.unlink()
        return
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows[0], *left])


def _readings(cell: str) -> Iterator[str]:
    """What a cell may say: as it is, as a part of CSV, as a part of JSON."""
    yield cell
    yield cell.replace('""', '"')
    said = _JSON_ESCAPE.sub(_unescaped, cell)
    yield said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescaped(escape: re.Match[str]) -> str:
    code, letter = escape.groups()
    return chr(int(code, 16)) if code else _JSON_CONTROLS.get(letter, letter)
