"""Tables into the graph.

Everything is merged, so the same tables may come again, in any order, and after an interruption.
Nodes: the properties of a later row are laid over those of an earlier one. Links: one per pair,
the later row wins. Interactions: one total per (user, item, event), see `cypher/ingest/`.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row
from loaders.ingest._interactions import count_events, event_rows, merge_totals
from loaders.ingest._parameters import as_rows
from loaders.schema import apply_schema
from loaders.tables import (
    INTERACTIONS,
    Distinct,
    InteractionTotals,
    Label,
    Reject,
    RejectedRows,
    Rejects,
    Tables,
    TableSpec,
    refuse_rejected,
    within_limits,
)

_ROWS_PER_TRANSACTION = 5_000
NODES: Mapping[Label, tuple[str, str]] = {
    "User": ("user_id", "ingest/users"),
    "Item": ("item_id", "ingest/items"),
    "Category": ("category_id", "ingest/categories"),
}
"""Of each label the property that holds the id, and the query that merges its nodes."""
_LINKS = {
    "categories": "ingest/subcategories",
    "item_categories": "ingest/item_categories",
    "related_items": "ingest/related_items",
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
        written: the different nodes or links that were made sure of in the graph; of interactions,
            totals per user, item and event, and events that had not been counted before.
        unlisted: users, items and categories that it names and that the table which lists them
            (`users`, `items`, `categories`) does not; 0 where the data set has no such table.
        seconds: how long it took.
        first_rejected: the first row that was left out, and why.
    """

    read: int
    rejected: int
    written: int
    unlisted: int
    seconds: float
    first_rejected: str | None = None

    @property
    def rows_per_second(self) -> float:
        """Rows made sure of in the graph per second."""
        return self.written / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a data set.

    Attributes:
        tables: one report per table, by its name, in the order they were loaded.
        kinds: rows of interactions, by kind of event.
        warnings: what was there and not used, and where rows disagree.
        reasons: the rejected rows by table, column and reason.
        example: of each table, the first row as it was read.
        rejects: the file of rejected rows; None where there are none.
        seconds: how long all of it took.
    """

    tables: Mapping[str, TableReport]
    kinds: Mapping[str, int]
    warnings: tuple[str, ...]
    reasons: tuple[RejectedRows, ...]
    example: Mapping[str, Row]
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
        source: a data set.
        rejects: where rejected rows are written, if there are any.
        strict: read everything first and load nothing if a row would be rejected.
        progress: told what is done.

    Raises:
        RejectedRowsError: `strict`, and a row is bad.
        TableError: a table cannot be read.
        Neo4jError: the graph cannot be written.
    """
    if strict:
        _refuse_bad_rows(source, rejects)
    apply_schema(gateway)
    return _load(source, _Graph(gateway), rejects, progress)


def check(
    source: Tables,
    *,
    rejects: Path,
    strict: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> IngestReport:
    """Do all that `ingest` does but the writing: read, check and count every table.

    Returns:
        The report of an ingest into an empty graph.

    Raises:
        RejectedRowsError: `strict`, and a row is bad.
        TableError: a table cannot be read.
    """
    if strict:
        _refuse_bad_rows(source, rejects)
    with InteractionTotals() as ids:
        return _load(source, _Nowhere(ids), rejects, progress)


def _refuse_bad_rows(source: Tables, rejects: Path) -> None:
    with Rejects(rejects) as log:
        refuse_rejected(source, log)


def _load(
    source: Tables, target: "_Graph | _Nowhere", rejects: Path, progress: Progress
) -> IngestReport:
    started = time.perf_counter()
    with Rejects(rejects) as log:
        loading = _Loading(source, target, log, progress)
        tables = {spec.name: loading.load(spec) for spec in source.specs}
    return IngestReport(
        tables=tables,
        kinds=loading.kinds,
        warnings=(*source.warnings, *loading.warnings, *filter(None, [log.warning])),
        reasons=log.reasons(),
        example=loading.example,
        rejects=rejects if log.total else None,
        seconds=time.perf_counter() - started,
    )


class _Graph:
    """Where checked rows go: the graph."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._counted = 0

    def write(self, query: str, rows: list[Row]) -> None:
        """Write rows, some at a time."""
        for start in range(0, len(rows), _ROWS_PER_TRANSACTION):
            batch = rows[start : start + _ROWS_PER_TRANSACTION]
            self._gateway.run(catalogue()[query], rows=batch)

    def count_events(self, events: pl.DataFrame, reject: Reject) -> None:
        """Count events that have an id."""
        for part in events.iter_slices(_ROWS_PER_TRANSACTION):
            if part.height:
                self._counted += count_events(self._gateway, event_rows(part), reject)

    def counted(self) -> int:
        """How many of them had not been counted before."""
        return self._counted

    def merge_totals(self, totals: pl.DataFrame, reject: Reject) -> Iterator[int]:
        """Merge totals of interactions; yield how many are done with each transaction."""
        return merge_totals(self._gateway, totals, reject)


class _Nowhere:
    """The same, and nothing is kept.

    Args:
        ids: takes the ids of events, in bounded memory.
    """

    def __init__(self, ids: InteractionTotals) -> None:
        self._ids = ids

    def write(self, query: str, rows: list[Row]) -> None: ...

    def count_events(self, events: pl.DataFrame, _reject: Reject) -> None:
        nothing = {name: pl.lit("") for name in ("item_id", "event")}
        self._ids.add(events.select(INTERACTIONS.names).with_columns(user_id="event_id", **nothing))

    def counted(self) -> int:
        return sum(frame.height for frame in self._ids.frames())

    def merge_totals(self, totals: pl.DataFrame, _reject: Reject) -> Iterator[int]:
        yield totals.height


class _Loading:
    """The loading of one data set.

    Each node is made sure of once: in the table that lists it, or where it is first named.

    Attributes:
        kinds: rows of interactions so far, by kind of event.
        warnings: where rows of a table disagree.
        example: of each table so far, the first row that was taken.
    """

    def __init__(
        self, source: Tables, target: _Graph | _Nowhere, rejects: Rejects, progress: Progress
    ) -> None:
        self._source = source
        self._target = target
        self._rejects = rejects
        self._progress = progress
        self.kinds = Counter[str]()
        self.warnings: list[str] = []
        self.example: dict[str, Row] = {}
        self._made: defaultdict[Label, set[str]] = defaultdict(set)
        self._listed = {_label(spec, spec.describes) for spec in source.specs if spec.describes}

    def load(self, spec: TableSpec) -> TableReport:
        """Merge one table."""
        started = time.perf_counter()
        load = self._load_interactions if spec is INTERACTIONS else self._load_rows
        read, written, unlisted = load(spec)
        rejected = self._rejects.counts[spec.name]
        return TableReport(
            read=read + rejected,
            rejected=rejected,
            written=written,
            unlisted=unlisted,
            seconds=time.perf_counter() - started,
            first_rejected=self._rejects.first_of(spec.name),
        )

    def _load_rows(self, spec: TableSpec) -> tuple[int, int, int]:
        """Merge a table of nodes or links, batch by batch."""
        done = unlisted = 0
        with Distinct(spec) as distinct:
            for batch in self._batches(spec, spec.name):
                unlisted += self._merge_nodes(spec, batch)
                if spec.link:
                    self._merge_links(spec, spec.link, batch)
                distinct.add(batch)
                done += batch.height
            written, disagreement = distinct.result()
        self.warnings += filter(None, [disagreement])
        return done, written, unlisted

    def _load_interactions(self, spec: TableSpec) -> tuple[int, int, int]:
        """Count the events that have an id one by one, and the others as totals."""
        read = written = unlisted = 0
        reject, rejected = self._rejects.add, self._rejects.counts
        with InteractionTotals() as totals:
            for batch in self._batches(spec, f"{spec.name}: reading"):
                self.kinds.update(dict(batch["event"].value_counts().iter_rows()))
                has_id = batch["event_id"].is_not_null()
                totals.add(batch.filter(~has_id))
                events = batch.filter(has_id)
                unlisted += self._merge_nodes(spec, events)
                before = rejected[spec.name]
                self._target.count_events(events, reject)
                read += batch.height - (rejected[spec.name] - before)
            written += self._target.counted()
            before = rejected[spec.name]
            for frame in totals.frames():
                within = within_limits(frame, reject)
                unlisted += self._merge_nodes(spec, within)
                for merged in self._target.merge_totals(within, reject):
                    written += merged
                    self._progress(spec.name, written, totals.rows)
        return read - (rejected[spec.name] - before), written, unlisted

    def _batches(self, spec: TableSpec, what: str) -> Iterator[pl.DataFrame]:
        """The batches of a table; says how far it is after each has been dealt with."""
        total, done = self._source.row_count(spec), 0
        for batch in self._source.batches(spec, self._rejects.add):
            if batch.height and spec.name not in self.example:
                self.example[spec.name] = batch.row(0, named=True)
            yield batch
            done += batch.height
            self._progress(what, done, total)

    def _merge_nodes(self, spec: TableSpec, batch: pl.DataFrame) -> int:
        """Make sure of the nodes a batch names; return how many of them should be listed."""
        unlisted = 0
        for column in spec.columns:
            if column.node is None:
                continue
            id_name, query = NODES[column.node]
            made = self._made[column.node]
            if column.name == spec.describes:
                self._target.write(query, _described(spec, id_name, batch))
                made.update(batch[column.name])
                continue
            named = sorted(set(batch[column.name].drop_nulls().unique()) - made)
            self._target.write(query, [{id_name: node_id, "properties": {}} for node_id in named])
            made.update(named)
            unlisted += len(named) if column.node in self._listed else 0
        return unlisted

    def _merge_links(self, spec: TableSpec, link: tuple[str, str], batch: pl.DataFrame) -> None:
        key = [*link, spec.kind] if spec.kind else list(link)
        columns = [c.name for c in spec.columns if c.name in key or not spec.describes]
        links = batch.select(columns).drop_nulls(link).group_by(key, maintain_order=True)
        newest = links.agg(pl.all().drop_nulls().last()).sort(key)
        self._target.write(_LINKS[spec.name], as_rows(newest))


def _label(spec: TableSpec, name: str) -> Label | None:
    return next(column.node for column in spec.columns if column.name == name)


def _described(spec: TableSpec, id_name: str, batch: pl.DataFrame) -> list[Row]:
    """Ids with the properties that are there: a missing cell leaves what is stored."""
    linked = [column.name for column in spec.columns if column.node and column.name != id_name]
    rows = as_rows(batch.drop(linked).sort(id_name, maintain_order=True))
    return [
        {
            id_name: row.pop(id_name),
            "properties": {name: value for name, value in row.items() if value is not None},
        }
        for row in rows
    ]
