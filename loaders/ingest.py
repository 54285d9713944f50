"""Tables into the graph.

Everything is merged, so the same tables may come again, in any order, and after an interruption.
Nodes: the properties of a later row are laid over those of an earlier one. Links: one per pair,
the later row wins. Interactions: one total per (user, item, event), see `cypher/ingest/`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row
from loaders.tables import (
    INTERACTIONS,
    InteractionTotals,
    Label,
    Rejects,
    Tables,
    TableSpec,
    refuse_rejected,
)

_ROWS_PER_TRANSACTION = 10_000
_NODES: Mapping[Label, tuple[str, str]] = {
    "User": ("user_id", "ingest/users"),
    "Item": ("item_id", "ingest/items"),
    "Category": ("category_id", "ingest/categories"),
}
_LINKS = {
    "categories": "ingest/subcategories",
    "item_categories": "ingest/item_categories",
    "preferences": "ingest/preferences",
    "follows": "ingest/follows",
}

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how many rows of it are done, and of how many where that is known."""


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of one table.

    Attributes:
        read: rows in the table.
        rejected: rows that were left out.
        written: rows made sure of in the graph; of interactions, totals per user, item and event,
            and events that had not been counted before.
        seconds: how long it took.
    """

    read: int
    rejected: int
    written: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows made sure of in the graph per second."""
        return self.written / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a data set.

    Attributes:
        tables: one report per table, by its name, in the order they were loaded.
        warnings: what was there and not used.
        rejects: the file of rejected rows; None where there are none.
        seconds: how long all of it took.
    """

    tables: Mapping[str, TableReport]
    warnings: tuple[str, ...]
    rejects: Path | None
    seconds: float

    @property
    def rejected(self) -> int:
        """Rejected rows of all tables."""
        return sum(table.rejected for table in self.tables.values())


def ingest(
    gateway: Gateway,
    source: Tables,
    *,
    rejects: Path,
    strict: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> IngestReport:
    """Merge every table of `source` into the graph.

    Args:
        gateway: the graph.
        source: a folder of tables or a named data set.
        rejects: where rejected rows are written, if there are any.
        strict: read everything first and load nothing if a row would be rejected.
        progress: told what is done.

    Raises:
        RejectedRowsError: `strict`, and a row is bad.
        TableError: a table cannot be read.
        Neo4jError: the graph cannot be written.
    """
    started = time.perf_counter()
    with Rejects(rejects) as log:
        if strict:
            refuse_rejected(source, log)
        apply_schema(gateway)
        loading = _Loading(gateway, source, log, progress)
        tables = {spec.name: loading.load(spec) for spec in source.specs}
    return IngestReport(
        tables=tables,
        warnings=tuple(source.warnings),
        rejects=rejects if log.total else None,
        seconds=time.perf_counter() - started,
    )


def apply_schema(gateway: Gateway) -> None:
    """Make sure of every constraint and index in `cypher/schema/`, and wait for them.

    Raises:
        Neo4jError: the graph holds nodes that break a constraint, or cannot be written.
    """
    for query in catalogue().folder("schema"):
        gateway.run(query)
    gateway.run(catalogue()["ingest/await_indexes"])


class _Loading:
    """The loading of one data set."""

    def __init__(
        self, gateway: Gateway, source: Tables, rejects: Rejects, progress: Progress
    ) -> None:
        self._gateway = gateway
        self._source = source
        self._rejects = rejects
        self._progress = progress

    def load(self, spec: TableSpec) -> TableReport:
        """Merge one table."""
        started = time.perf_counter()
        load = self._load_interactions if spec is INTERACTIONS else self._load_rows
        read, written = load(spec)
        rejected = self._rejects.counts[spec.name]
        return TableReport(read + rejected, rejected, written, time.perf_counter() - started)

    def _load_rows(self, spec: TableSpec) -> tuple[int, int]:
        """Merge a table of nodes or links, batch by batch."""
        done = 0
        for batch in self._batches(spec, spec.name):
            self._merge_nodes(spec, batch)
            if spec.link:
                self._merge_links(spec, spec.link, batch)
            done += batch.height
        return done, done

    def _load_interactions(self, spec: TableSpec) -> tuple[int, int]:
        """Count the events that have an id one by one, and the others as totals."""
        totals = InteractionTotals()
        read = counted = 0
        for batch in self._batches(spec, f"{spec.name}: reading"):
            has_id = batch["event_id"].is_not_null()
            totals.add(batch.filter(~has_id))
            counted += self._count_events(batch.filter(has_id))
            read += batch.height
        frame = totals.frame()
        self._merge_nodes(spec, frame)
        self._merge_totals(frame)
        return read, counted + frame.height

    def _batches(self, spec: TableSpec, what: str) -> Iterator[pl.DataFrame]:
        """The batches of a table; says how far it is after each has been dealt with."""
        total, done = self._source.row_count(spec), 0
        for batch in self._source.batches(spec, self._rejects.add):
            yield batch
            done += batch.height
            self._progress(what, done, total)

    def _merge_nodes(self, spec: TableSpec, batch: pl.DataFrame) -> None:
        """Merge the nodes a batch names, with their properties where the table describes them."""
        for column in spec.columns:
            if column.node is None:
                continue
            id_name, query = _NODES[column.node]
            if column.name == spec.describes:
                rows = _described(spec, id_name, batch)
            else:
                ids = batch[column.name].drop_nulls().unique().sort()
                rows = [{id_name: each, "properties": {}} for each in ids]
            self._run(query, rows)

    def _merge_links(self, spec: TableSpec, link: tuple[str, str], batch: pl.DataFrame) -> None:
        columns = [c.name for c in spec.columns if c.name in link or not spec.describes]
        links = batch.select(columns).drop_nulls(link).group_by(link, maintain_order=True)
        newest = links.agg(pl.all().drop_nulls().last()).sort(link)
        self._run(_LINKS[spec.name], _rows(newest))

    def _count_events(self, events: pl.DataFrame) -> int:
        return sum(answer["counted"] for answer in self._run("ingest/events", _rows(events)))

    def _merge_totals(self, totals: pl.DataFrame) -> None:
        done = 0
        for part in totals.iter_slices(_ROWS_PER_TRANSACTION):
            self._run("ingest/interactions", _rows(part))
            done += part.height
            self._progress(INTERACTIONS.name, done, totals.height)

    def _run(self, name: str, rows: list[Row]) -> list[Row]:
        query, answers = catalogue()[name], list[Row]()
        for start in range(0, len(rows), _ROWS_PER_TRANSACTION):
            answers += self._gateway.run(query, rows=rows[start : start + _ROWS_PER_TRANSACTION])
        return answers


def _described(spec: TableSpec, id_name: str, batch: pl.DataFrame) -> list[Row]:
    """Ids with the properties that are there: a missing cell leaves what is stored."""
    linked = [column.name for column in spec.columns if column.node and column.name != id_name]
    rows = _rows(batch.drop(linked).sort(id_name, maintain_order=True))
    return [
        {
            id_name: row.pop(id_name),
            "properties": {name: value for name, value in row.items() if value is not None},
        }
        for row in rows
    ]


def _rows(frame: pl.DataFrame) -> list[Row]:
    """Rows as the driver takes them."""
    names = frame.columns
    columns = [_values(column) for column in frame]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pl.Series) -> list[Any]:
    """Cells as the driver takes them: times in UTC as an offset, where polars names a zone."""
    if not isinstance(column.dtype, pl.Datetime):
        return column.to_list()
    times = column.dt.replace_time_zone(None).to_list()
    return [None if time is None else time.replace(tzinfo=UTC) for time in times]
