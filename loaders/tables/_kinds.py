"""Which kinds of events a data set holds."""

from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl

from loaders.tables._spec import INTERACTIONS, Reject, Tables, TableSpec


class CountedKinds:
    """A data set as it is, which takes note of its kinds of events while it is read.

    Attributes:
        kinds: rows of interactions by kind of event, of the last time that they were read.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.kinds: Counter[str] = Counter()

    @property
    def specs(self) -> Sequence[TableSpec]:
        """See `Tables.specs`."""
        return self._tables.specs

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tables.warnings`."""
        return self._tables.warnings

    def row_count(self, spec: TableSpec) -> int | None:
        """See `Tables.row_count`."""
        return self._tables.row_count(spec)

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """See `Tables.batches`."""
        if spec is not INTERACTIONS:
            yield from self._tables.batches(spec, reject)
            return
        self.kinds = Counter()
        for batch in self._tables.batches(spec, reject):
            self.kinds.update(dict(batch["event"].value_counts().iter_rows()))
            yield batch
