"""What a CSV file cannot carry: laid over the imported graph with the queries of an ingest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row
from loaders.ingest._parameters import as_rows

_ROWS_PER_TRANSACTION = 10_000

_AFTER_TYPE = ":"
"""Ends the type in the name of a column; no type holds it."""


def marked(name: str, dtype: pl.DataType) -> str:
    """The name of a column that tells a property's type too."""
    return f"{dtype}{_AFTER_TYPE}{name}"


def is_marked(column: str) -> bool:
    """Whether a column is so named."""
    return _AFTER_TYPE in column


def unmarked(column: str) -> str:
    """The property's name."""
    return column.partition(_AFTER_TYPE)[2]


@dataclass(slots=True)
class LateProperties:
    """Rows of ids and properties, kept on disk in the order they came.

    Args:
        folder: where they are kept.
    """

    folder: Path
    _parts: list[tuple[str, Sequence[str], Path]] = field(default_factory=list)

    def add(self, query: str, ids: Sequence[str], rows: pl.DataFrame) -> None:
        """Keep the rows that have any property.

        Args:
            query: what lays them over the graph.
            ids: the columns that say over what.
            rows: those, and the properties in columns named by `marked`.
        """
        there = rows.filter(pl.any_horizontal(pl.exclude(*ids).is_not_null()))
        if there.height:
            path = self.folder / f"late-{len(self._parts)}.arrow"
            there.write_ipc(path)
            self._parts.append((query, ids, path))

    def apply(self, gateway: Gateway) -> None:
        """Lay all of them over the graph, whose indexes are there.

        Raises:
            Neo4jError: the graph cannot be written.
        """
        for query, ids, path in self._parts:
            for rows in _batches(pl.read_ipc(path), ids):
                gateway.run(catalogue()[query], rows=rows)


def _batches(rows: pl.DataFrame, ids: Sequence[str]) -> Iterator[list[Row]]:
    for part in rows.iter_slices(_ROWS_PER_TRANSACTION):
        properties = as_rows(part.drop(ids))
        yield [
            {
                **key,
                "properties": {
                    unmarked(name): value for name, value in row.items() if value is not None
                },
            }
            for key, row in zip(as_rows(part.select(ids)), properties, strict=True)
        ]
