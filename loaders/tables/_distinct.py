"""How many nodes or links the rows of a table are, and where two rows of one disagree."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from loaders._closing import Closing
from loaders.tables._spec import TableSpec
from loaders.tables._spill import Spill

_HELD_ROWS = 1_000_000
_SHOWN_CHARACTERS = 40


class Distinct(Closing):
    """Counts the nodes that a table describes, or the links that it holds, in bounded memory.

    Args:
        spec: the table; not `interactions`, whose rows add up.
        folder: where the temporary folder is made; where the system has its own by default.
    """

    def __init__(self, spec: TableSpec, folder: Path | None = None) -> None:
        self._spec = spec
        ends = [spec.describes] if spec.describes else [*(spec.link or ())]
        self._key = [*ends, *([spec.kind] if spec.kind else [])]
        nodes = {column.name for column in spec.columns if column.node}
        self._told = [name for name in spec.names if name not in {*self._key, *nodes}]
        self._spill = Spill(self._key[0], folder)
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Take checked rows of the table.

        Raises:
            TableError: what does not fit in memory cannot be written down.
        """
        told = pl.col(self._told).cast(pl.String).str.slice(0, _SHOWN_CHARACTERS)
        self._held.append(batch.select(*self._key, told))
        self._held_rows += batch.height
        if self._held_rows > _HELD_ROWS:
            self._spill.add(pl.concat(self._held))
            self._held, self._held_rows = [], 0

    def result(self) -> tuple[int, str | None]:
        """How many there are, and a sentence on those of which rows disagree, if there are any.

        Raises:
            TableError: what was written down cannot be read back.
        """
        count = disagreeing = 0
        example = None
        for rows in self._parts():
            keys = rows.select(self._key).n_unique()
            count += keys
            if rows.n_unique() == keys:
                continue
            values = pl.col(self._told).drop_nulls().unique(maintain_order=True)
            groups = rows.group_by(self._key, maintain_order=True).agg(values)
            several = groups.filter(pl.any_horizontal(False, pl.col(self._told).list.len() > 1))
            disagreeing += several.height
            example = example or next(several.iter_rows(named=True), None)
        if example is None:
            return count, None
        name = next(name for name in self._told if len(example[name]) > 1)
        key = " and ".join(repr(example[part]) for part in self._key)
        one, other = example[name][0], example[name][-1]
        return count, (
            f"{self._spec.name}: rows disagree about {disagreeing:,} of {count:,}, such as the "
            f"{name} of {key}: {one!r} and {other!r}. The last row counts; where two lists number "
            "their things alike, put a word before the ids of each"
        )

    def close(self) -> None:
        """Remove what was written down."""
        self._spill.close()

    def _parts(self) -> Iterator[pl.DataFrame]:
        if not self._spill.rows:
            yield from [pl.concat(self._held)] if self._held else []
            return
        self._spill.add(pl.concat(self._held) if self._held else pl.DataFrame())
        self._held = []
        yield from self._spill.partitions()
