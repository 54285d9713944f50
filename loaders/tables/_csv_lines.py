"""The lines and rows of CSV, one by one: slow, and exact about what is wrong with which line."""

import csv
import io
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from loaders.limits import MAX_LINE_BYTES
from loaders.tables._raw import shown_text
from loaders.tables._reasons import Reason
from loaders.tables._spec import Reject, Rejected
from loaders.tables._text import TextBlocks

# What a byte that is not UTF-8 is decoded to; real text cannot hold it.
_BROKEN = re.compile("[\udc80-\udcff]")
_UTF8_BYTES = 4
"""Most bytes of a character."""


class LineTooLongError(Exception):
    """A line longer than any row can be."""


class CsvRow(NamedTuple):
    """A row of the right shape: the line on which it begins, its cells, and its text."""

    line: int
    cells: list[str]
    text: str


class Lines(Iterator[str]):
    """The lines of a file, counted; those of a row that went wrong can be read again.

    Attributes:
        damaged: whether a line since `begin_row` holds broken UTF-8 or a NUL.
    """

    def __init__(self, blocks: TextBlocks) -> None:
        self.damaged = False
        self._blocks = blocks
        self._waiting: deque[str] = deque()
        self._taken: list[str] = []
        self._number = 0

    @property
    def waiting(self) -> bool:
        """Whether there are lines left of the block that was given."""
        return bool(self._waiting)

    def take_block(self) -> bytes:
        """The next lines as they stand in the file; nothing at the end."""
        if not self._waiting:
            return self._blocks.take()
        block = "".join(self._waiting).encode("utf-8", "surrogateescape")
        self._waiting.clear()
        return block

    def give_block(self, block: bytes) -> None:
        """Have the lines of a block read one by one."""
        text = block.decode("utf-8", "surrogateescape")
        self._waiting.extend(io.StringIO(text, newline=""))

    def skip(self, lines: int) -> int:
        """Count lines that were read elsewhere, and return the number of the first of them."""
        first = self._number + 1
        self._number += lines
        return first

    def __next__(self) -> str:
        if not self._waiting:
            self.give_block(self._blocks.take())
        if not self._waiting:
            raise StopIteration
        line = self._waiting.popleft()
        self._number += 1
        self._taken.append(line)
        if _is_too_long(line):
            raise LineTooLongError
        if "\0" in line or not (line.isascii() or _BROKEN.search(line) is None):
            self.damaged = True
        return line

    @property
    def row_text(self) -> str:
        """What was read since `begin_row`."""
        return "".join(self._taken)

    def begin_row(self) -> int:
        """Start a row and return the number of its first line."""
        self.damaged = False
        self._taken.clear()
        return self._number + 1

    def give_back(self, *, keep: int) -> Sequence[str]:
        """Give back the lines of the current row after the first `keep`, which are returned."""
        others = self._taken[keep:]
        self._waiting.extendleft(reversed(others))
        self._number -= len(others)
        return self._taken[:keep]


def rows_one_by_one(
    lines: Lines,
    header: Sequence[str],
    columns: Collection[str],
    delimiter: str,
    file: str,
    reject: Reject,
) -> Iterator[CsvRow]:
    """Rows that have the right shape, and no damage in `columns`.

    Reads the lines that wait, and further ones only for a row that is not complete by then.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while lines.waiting:
        start = lines.begin_row()
        try:
            row = next(reader)
        except (csv.Error, LineTooLongError) as error:
            # An unclosed quote swallows the lines after it: they are rows of their own.
            first = "".join(lines.give_back(keep=1))
            reject(Rejected(file, start, "", why_no_row(error), shown_text(first)))
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        damage = _damage(header, columns, row) if lines.damaged else None
        if damage:
            reject(Rejected(file, start, *damage, shown_text(lines.row_text)))
        elif len(row) == len(header):
            yield CsvRow(start, row, lines.row_text)
        elif row:
            reason = Reason.CELLS.format(len(row), len(header))
            reject(Rejected(file, start, "", reason, shown_text(lines.row_text)))


def why_no_row(error: csv.Error | LineTooLongError) -> str:
    """What is wrong with lines that are no row."""
    if isinstance(error, LineTooLongError):
        return Reason.LONG_LINE
    text = str(error)
    if "field limit" in text:
        return Reason.LONG_CELL
    if "end of data" in text:
        return Reason.OPEN_QUOTE
    return Reason.NOT_CSV.format(text)


def _is_too_long(line: str) -> bool:
    if len(line) * _UTF8_BYTES <= MAX_LINE_BYTES:
        return False
    return len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES


def _damage(
    header: Sequence[str], columns: Collection[str], row: list[str]
) -> tuple[str, Reason] | None:
    """The column that is damaged, of those that are read, and how."""
    for column, cell in zip(header, row, strict=False):
        if column in columns and "\0" in cell:
            return column, Reason.NUL
        if column in columns and _BROKEN.search(cell):
            return column, Reason.NOT_UTF8
    return None
