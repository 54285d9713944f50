"""A checked column, and what is wrong with its cells: texts, null where there is nothing."""

from typing import NamedTuple

import polars as pl

from loaders.tables._reasons import Reason

_SHOWN_CHARACTERS = 80


class WrongTypeError(Exception):
    """A column's type can never hold what is expected."""


class Checked(NamedTuple):
    """A checked column: its values, and the problem with each or null."""

    values: pl.Series
    problems: pl.Series


def no_problems(rows: int) -> pl.Series:
    """Nothing is wrong with any of so many rows."""
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)


def first_problem(problems: pl.Series, more: pl.Series) -> pl.Series:
    """`problems`, and where there is none `more`."""
    return problems.zip_with(problems.is_not_null(), more)


def problems_where(wrong: pl.Series, column: pl.Series, reason: Reason) -> pl.Series:
    """The reason where a cell is wrong, with the cell in it."""
    wrong = wrong.fill_null(value=False)
    if not wrong.any():
        return no_problems(column.len())
    frame = pl.DataFrame({"wrong": wrong, "cell": shown(column)})
    return frame.select(pl.when("wrong").then(pl.format(reason.value, "cell"))).to_series()


def shown(column: pl.Series) -> pl.Series:
    """Cells as an error can show them."""
    return column.cast(pl.String).str.slice(0, _SHOWN_CHARACTERS)
