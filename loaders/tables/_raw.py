"""Rows as they came from a file, before they are checked."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from loaders.tables._spec import Column, Reject

_MAX_ROW_CHARACTERS = 1000

Expected = Mapping[str, Column]
"""The columns that a table may have, each by its name in the file."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows of a file.

    Attributes:
        frame: the cells; all text where the file is a CSV file.
        lines: for each row, the line (or row number) it came from.
    """

    frame: pl.DataFrame
    lines: pl.Series


class TableFile(Protocol):
    """A file that holds a table, or a part of one.

    Attributes:
        path: where it is.
        name: how rejected rows name it.
    """

    path: Path
    name: str

    def columns(self) -> Sequence[tuple[str, pl.DataType]]:
        """Name and type of each column, as they stand in the file.

        Raises:
            TableError: the file cannot be read.
        """
        ...

    def row_count(self) -> int:
        """About how many rows there are.

        Raises:
            TableError: the file cannot be read.
        """
        ...

    def batches(self, columns: Sequence[str], reject: Reject) -> Iterator[RawBatch]:
        """These columns of all rows; a row that cannot be read as such goes to `reject`.

        Raises:
            TableError: the file cannot be read.
        """
        ...


def shown_row(cells: Iterable[object]) -> str:
    """Cells as one line of CSV, for the file of rejected rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(
        ["" if cell is None else str(cell) for cell in cells]
    )
    return shown_text(text.getvalue())


def shown_text(text: str) -> str:
    """Text as it can be written down: broken UTF-8 replaced, shortened where it is long."""
    cut = text.rstrip("\r\n")[:_MAX_ROW_CHARACTERS]
    return cut.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
