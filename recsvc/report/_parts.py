"""What a report is shown as: sections of sentences, tables and plots, on a terminal or a page."""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = int | float | str | None
"""None where there is nothing to tell."""

_LONGEST = 80


def readable(text: str) -> str:
    """A text of the graph as it can be shown: one line of at most 80 characters.

    What cannot be printed (controls, changes of the writing direction) becomes U+FFFD; the joiner
    inside emoji stays.
    """
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return "".join(c if c.isprintable() or c == "\u200d" else "\ufffd" for c in short)


def one_line(text: str) -> str:
    """A text of any length as one line; what cannot be printed becomes U+FFFD."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row has a cell for each column.

    Attributes:
        title: what it shows.
        columns: headings.
        rows: the cells; those of one column are all numbers or all text, where there are any.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def is_numeric(self, column: int) -> bool:
        """Whether the cells of a column are numbers."""
        return bool(self.rows) and not any(isinstance(row[column], str) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts or amounts, one bar each.

    Attributes:
        title: what it shows.
        description: the same for those who cannot see it.
        x_label: what the bars are.
        y_label: what is counted, or the unit.
        counts: the heights.
        ticks: (position, text) of the bars that are labelled: n is the middle of bar n, n − 0.5
            its beginning.
        lying: bars from left to right, from the top down: for long labels.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    counts: Sequence[float]
    ticks: Sequence[tuple[float, str]]
    lying: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Values over numbers such as epochs, or shares over counts.

    Attributes:
        title: what it shows.
        description: the same for those who cannot see it.
        x_label: what the numbers are.
        y_label: what the values are, with their unit.
        lines: (number, value) by what stands in the legend; none is empty.
        logarithmic: both axes are, and the values are shares.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Intervals:
    """Estimates with their intervals, some beside each other, by what they are of.

    Attributes:
        title: what it shows.
        description: the same for those who cannot see it.
        x_label: what is estimated, with its unit.
        names: of what, from the top down.
        series: by what stands in the legend, for each name (mean, low, high), or None.
    """

    title: str
    description: str
    x_label: str
    names: Sequence[str]
    series: Sequence[tuple[str, Sequence[tuple[float, float, float] | None]]]


Plot = Bars | Lines | Intervals


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report.

    Attributes:
        heading: what it is about.
        sentences: what there is to say; also why a table or a plot is missing.
        tables: at most 20 rows each of what a graph may hold many of.
        plots: for the page.
        side_by_side: whether tables stand beside each other in the page where there is room.
    """

    heading: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    side_by_side: bool = False
