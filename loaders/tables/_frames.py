"""Tables made in code."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from loaders.tables._spec import BATCH_ROWS, TABLES, Reject, TableSpec


class FrameTables:
    """Checked frames (`as_table`) as `Tables`."""

    def __init__(self, frames: Mapping[TableSpec, pl.DataFrame]) -> None:
        self._frames = frames

    @property
    def specs(self) -> Sequence[TableSpec]:
        """See `Tables.specs`."""
        return tuple(spec for spec in TABLES if spec in self._frames)

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tables.warnings`: none."""
        return ()

    def row_count(self, spec: TableSpec) -> int | None:
        """See `Tables.row_count`."""
        return self._frames[spec].height

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """See `Tables.batches`. No row is bad."""
        return self._frames[spec].iter_slices(BATCH_ROWS)
