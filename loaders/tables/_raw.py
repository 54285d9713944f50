"""Rows as they came from a file, before they are checked."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
from polars.selectors import temporal

from loaders.limits import MAX_CELL_CHARACTERS
from loaders.tables._spec import Column, Reject

Expected = Mapping[str, Column]
"""The columns that a table may have, each by its name in the file."""
Texts = Callable[[Sequence[int]], Iterable[str]]
"""The text of some rows, given their places."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows of a file.

    Attributes:
        frame: the cells; all text where the file is a CSV file.
        lines: for each row, the line (or row number) it came from.
        texts: the rows as they came; their cells as CSV where it is left out.
    """

    frame: pl.DataFrame
    lines: pl.Series
    texts: Texts | None = None

    def shown(self, rows: Sequence[int]) -> list[str]:
        """Some rows as they came, for the file of rejected rows."""
        if self.texts is not None:
            return [shown_text(text) for text in self.texts(rows)]
        # Of a time only its number is shown: it may lie where there are no dates.
        cells = self.frame[rows].with_columns(temporal().to_physical())
        return [shown_row(row) for row in cells.iter_rows()]


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
    """Text as it can be written down: broken UTF-8 replaced, cut to what a cell may hold."""
    cut = text.rstrip("\r\n")[:MAX_CELL_CHARACTERS]
    return cut.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
