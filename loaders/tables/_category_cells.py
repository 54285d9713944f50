"""Cells that hold several categories, or the whole path to one."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from loaders.tables._raw import RawBatch
from loaders.tables._spec import CATEGORIES, TableSpec
from loaders.tables._times import is_text

_ID = "category_id"
_STEPS, _LEVEL, _PLACE = "\0steps", "\0level", "\0place"


@dataclass(frozen=True, slots=True)
class CategoryCells:
    """How a cell of `category_id` names more than one category.

    Attributes:
        between: what stands between several categories in one cell; None where there is one.
        path: what stands between a category and the one below it, such as ` > ` in
            `Home > Kitchen`. The id of a category is its path from the top, its name the last step.
            In `categories` a cell makes every category on the path, each with its parent.
    """

    between: str | None = None
    path: str | None = None

    def apply(self, batch: RawBatch, spec: TableSpec) -> RawBatch:
        """A row for each category that a row names; an empty cell names none.

        Args:
            batch: the rows, their columns named as in `spec`.
            spec: the table.
        """
        frame = batch.frame
        if not (self.between or self.path) or not is_text(frame.schema.get(_ID, pl.Null())):
            return batch
        rows = frame.with_columns(pl.col(_ID).cast(pl.String)).with_row_index(_PLACE)
        if self.between:
            rows = rows.with_columns(pl.col(_ID).str.split(self.between)).explode(_ID)
        if self.path:
            rows = _of_paths(rows, self.path, whole=spec is CATEGORIES)
        rows = rows.with_columns(pl.col(_ID).str.strip_chars()).filter(pl.col(_ID) != "")
        place = rows[_PLACE]

        def shown(chosen: Sequence[int]) -> list[str]:
            return batch.shown(place.gather(list(chosen)).to_list())

        return RawBatch(rows.drop(_PLACE), batch.lines.gather(place), shown)


ONE_EACH = CategoryCells()
"""Each cell names one category, whose id it is."""


def _of_paths(rows: pl.DataFrame, between: str, *, whole: bool) -> pl.DataFrame:
    """The category at the end of each path, or every one on it with name and parent."""
    step = pl.element().str.strip_chars()
    steps = pl.col(_ID).str.split(between.strip() or between).list.eval(step.filter(step != ""))
    rows = rows.with_columns(steps.alias(_STEPS))
    if not whole:
        joined = pl.col(_STEPS).list.join(between)
        return rows.with_columns(joined.alias(_ID)).drop(_STEPS)
    levels = pl.int_ranges(1, pl.col(_STEPS).list.len() + 1)
    rows = rows.with_columns(levels.alias(_LEVEL)).explode(_LEVEL).drop_nulls(_LEVEL)
    above = pl.col(_STEPS).list.head(pl.col(_LEVEL) - 1)
    return rows.with_columns(
        pl.col(_STEPS).list.head(pl.col(_LEVEL)).list.join(between).alias(_ID),
        pl.col(_STEPS).list.get(pl.col(_LEVEL) - 1).alias("name"),
        pl.when(pl.col(_LEVEL) > 1).then(above.list.join(between)).alias("parent_id"),
    ).drop(_STEPS, _LEVEL)
