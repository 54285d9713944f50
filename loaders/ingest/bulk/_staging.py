"""Tables into the importer's files: what `loaders.ingest` would merge, added up beforehand.

    nodes          one row per id; of each property the value that came last
    links          one row per pair and kind; the same
    interactions   one row per (user, item, event): the total that `cypher/ingest/` comes to
    events         one row per `event_id`, the first that came

Whatever has to be brought together is spilled to disk by its key and read back in parts, so memory
holds one part at a time. What a CSV file cannot carry (lists, names with a colon, a property whose
type changes from file to file) goes to `LateProperties`.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from loaders.ingest import NODES, Progress, TableReport
from loaders.ingest.bulk._files import ImportFiles, header_of
from loaders.ingest.bulk._late import LateProperties, is_marked, marked, unmarked
from loaders.tables import (
    INTERACTIONS,
    Distinct,
    InteractionTotals,
    Label,
    Rejects,
    Spill,
    Tables,
    TableSpec,
    within_limits,
)

_HELD_ROWS = 500_000
_DECIMALS = 6
_TYPES = {
    "categories": "SUBCATEGORY_OF",
    "item_categories": "IN_CATEGORY",
    "related_items": "RELATED_TO",
    "preferences": "PREFERS",
    "follows": "FOLLOWS",
}
_TOTAL_KEY = ("user_id", "item_id", "event")
_NEWEST = ("value", "last_at")
_SUMMED = ("count", "weight", "ledger_count", "ledger_weight")


class Staging:
    """The tables of one data set on their way into files.

    Args:
        source: the tables.
        files: where the importer's rows go.
        late: where the properties go that those cannot carry.
        rejects: takes note of rejected rows.
        progress: told what is read and written.

    Attributes:
        kinds: rows of interactions, by kind of event.
        warnings: where rows of a table disagree.
    """

    def __init__(
        self,
        source: Tables,
        files: ImportFiles,
        late: LateProperties,
        rejects: Rejects,
        progress: Progress,
    ) -> None:
        self._source = source
        self._files = files
        self._late = late
        self._rejects = rejects
        self._progress = progress
        self.kinds = Counter[str]()
        self.warnings: list[str] = []
        self._open = ExitStack()
        folder = files.folder
        self._nodes = {label: self._gathered("id", folder) for label in NODES}
        self._events = self._gathered("event_id", folder)
        self._tables = self._open.enter_context(InteractionTotals(folder))
        self._ledger = self._open.enter_context(InteractionTotals(folder))

    def run(self) -> dict[str, TableReport]:
        """Read every table and write the files; return what became of each table.

        Raises:
            TableError: a table cannot be read, or there is no room for what it spills.
            LocalNeo4jError: the files cannot be written.
        """
        with self._open:
            read = {spec.name: self._read(spec) for spec in self._source.specs}
            rejected = dict(self._rejects.counts)
            written = self._write_interactions()
            unlisted = sum((self._write_nodes(label) for label in NODES), Counter[str]())
        return {
            name: TableReport(
                read=rows + rejected.get(name, 0),
                rejected=self._rejects.counts[name],
                written=written if name == INTERACTIONS.name else distinct,
                unlisted=unlisted[name],
                seconds=seconds,
                first_rejected=self._rejects.first_of(name),
            )
            for name, (rows, distinct, seconds) in read.items()
        }

    def _gathered(self, key: str, folder: Path) -> "_Gathered":
        return _Gathered(self._open.enter_context(Spill(key, folder)))

    def _read(self, spec: TableSpec) -> tuple[int, int, float]:
        """Read one table; return its rows, how many nodes or links they are, and the seconds."""
        started, done, total = time.perf_counter(), 0, self._source.row_count(spec)
        links = self._gathered(spec.link[0], self._files.folder) if spec.link else None
        counted = spec is not INTERACTIONS  # whose rows add up
        distinct = Distinct(spec, self._files.folder) if counted else None
        for batch in self._source.batches(spec, self._rejects.add):
            if spec is INTERACTIONS:
                self._take_interactions(batch)
            else:
                self._take_nodes(spec, batch)
            if distinct:
                distinct.add(batch)
            if spec.link and links:
                links.add(batch.select(_link_columns(spec)).drop_nulls(spec.link))
            done += batch.height
            self._progress(f"{spec.name}: reading", done, total)
        if links:
            self._write_links(spec, links)
        written = 0
        if distinct:
            with distinct:
                written, disagreement = distinct.result()
            self.warnings += filter(None, [disagreement])
        return done, written, time.perf_counter() - started

    def _take_interactions(self, batch: pl.DataFrame) -> None:
        self.kinds.update(dict(batch["event"].value_counts().iter_rows()))
        has_id = batch["event_id"].is_not_null()
        self._tables.add(batch.filter(~has_id))
        events = batch.filter(has_id)
        self._events.add(events)
        self._take_nodes(INTERACTIONS, events)

    def _take_nodes(self, spec: TableSpec, rows: pl.DataFrame) -> None:
        """Keep the ids of the nodes that rows name, with what the rows describe of them."""
        for column in spec.columns:
            if column.node is None:
                continue
            described = column.name == spec.describes
            named = (
                _described(spec, rows)
                if described
                else rows.select(pl.col(column.name).alias("id")).drop_nulls().unique()
            )
            listed = pl.lit(described).alias("listed")
            self._nodes[column.node].add(
                named.with_columns(listed, pl.lit(spec.name).alias("table"))
            )

    def _write_links(self, spec: TableSpec, links: "_Gathered") -> None:
        key = [*(spec.link or ()), *([spec.kind] if spec.kind else [])]
        for part in links.partitions():
            newest = part.group_by(key, maintain_order=True).agg(pl.all().drop_nulls().last())
            headers = {
                name: _end_header(spec, name) or f"{header_of(name, dtype)}"
                for name, dtype in newest.schema.items()
            }
            self._files.add("relationships", _TYPES[spec.name], newest.rename(headers))

    def _write_interactions(self) -> int:
        """Write events and totals; return how many there are of both."""
        written = 0
        for part in self._events.partitions():
            first = part.unique("event_id", keep="first", maintain_order=True)
            self._ledger.add(first)
            entries = first.select(
                pl.col("event_id").alias("event_id:ID(Event)"),
                pl.col("user_id").alias("user_id:string"),
                pl.col("item_id").alias("item_id:string"),
                pl.col("timestamp").alias("at:datetime"),
            )
            self._files.add("nodes", "Event", entries)
            written += first.height
        for rows in self._totals():
            totals = within_limits(rows, self._rejects.add)
            self._take_nodes(INTERACTIONS, totals)
            self._write_totals(totals.drop("from_tables"))
            written += int(totals["from_tables"].sum())
            self._progress(f"{INTERACTIONS.name}: writing", written, None)
        return written

    def _totals(self) -> Iterator[pl.DataFrame]:
        """Totals with their share that came with ids, and whether they have rows without."""
        if not self._ledger.rows:
            for totals in self._tables.frames():
                yield totals.with_columns(from_tables=True)
            return
        both = self._gathered("user_id", self._files.folder)
        for totals in self._tables.frames():
            none = pl.lit(0, pl.Int64)
            both.add(totals.with_columns(ledger_count=none, ledger_weight=0.0, from_tables=True))
        for totals in self._ledger.frames():
            both.add(
                totals.with_columns(ledger_count="count", ledger_weight="weight", from_tables=False)
            )
        for part in both.partitions():
            yield _merged(part)

    def _write_totals(self, totals: pl.DataFrame) -> None:
        headers = {"user_id": ":START_ID(User)", "item_id": ":END_ID(Item)"}
        late: list[str] = []
        for name, dtype in totals.schema.items():
            header = header_of(name, dtype)
            if header is None:
                late.append(name)
            else:
                headers.setdefault(name, header)
        self._files.add("relationships", "INTERACTED", totals.drop(late).rename(headers))
        if late:
            rows = totals.select(
                *_TOTAL_KEY,
                *(pl.col(name).alias(marked(name, totals.schema[name])) for name in late),
            )
            self._late.add("bulk/interaction_properties", _TOTAL_KEY, rows)

    def _write_nodes(self, label: Label) -> Counter[str]:
        """Write the nodes of one label; return how many each table should have listed."""
        id_name, query = NODES[label]
        unlisted: Counter[str] = Counter()
        id_header = f"{id_name}:ID({label})"
        # There is a file of each label, so that an empty data set can be imported too.
        self._files.add("nodes", label, pl.DataFrame(schema={id_header: pl.String}))
        for part in self._nodes[label].partitions():
            whole = _whole_nodes(part)
            headers, late = _headers(part)
            nodes = whole.select(pl.col("id").alias(id_header), *headers)
            self._files.add("nodes", label, nodes)
            if late:
                rows = part.select(pl.col("id").alias(id_name), *late)
                self._late.add(query, (id_name,), rows)
            named = whole.filter(~pl.col("listed"))["table"].value_counts()
            unlisted.update(dict(named.iter_rows()))
        return unlisted if self._is_listed(label) else Counter()

    def _is_listed(self, label: Label) -> bool:
        """Whether a table of the data set lists the nodes of a label."""
        described = {
            (spec.describes, column.name, column.node)
            for spec in self._source.specs
            for column in spec.columns
        }
        return any(name == column and node == label for name, column, node in described)


class _Gathered:
    """Rows on their way to a `Spill`, which takes few large frames better than many small ones."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0

    def add(self, rows: pl.DataFrame) -> None:
        self._held.append(rows)
        self._held_rows += rows.height
        if self._held_rows > _HELD_ROWS:
            self._write_down()

    def partitions(self) -> Iterator[pl.DataFrame]:
        """All rows, those with the same key together and in the order they came."""
        self._write_down()
        return self._spill.partitions()

    def _write_down(self) -> None:
        if self._held:
            self._spill.add(pl.concat(self._held, how="diagonal_relaxed"))
        self._held, self._held_rows = [], 0


def _described(spec: TableSpec, rows: pl.DataFrame) -> pl.DataFrame:
    """Ids and properties; the name of each property's column says its type too."""
    names = {column.name for column in spec.columns if column.node}
    properties = [
        pl.col(name).alias(marked(name, dtype))
        for name, dtype in rows.schema.items()
        if name not in names and not isinstance(dtype, pl.Null)
    ]
    return rows.select(pl.col(spec.describes or "").alias("id"), *properties)


def _whole_nodes(part: pl.DataFrame) -> pl.DataFrame:
    """One row per id; of each property the last value that is there."""
    properties = pl.exclude("id", "table", "listed").drop_nulls().last()
    first, listed = pl.col("table").first(), pl.col("listed").any()
    return part.group_by("id", maintain_order=True).agg(first, listed, properties)


def _headers(part: pl.DataFrame) -> tuple[list[pl.Expr], list[str]]:
    """The properties that a file can carry, named for it, and those that it cannot.

    One that has several types is not carried: which value came last is no longer told by its
    columns.
    """
    there = [
        name for name in part.columns if is_marked(name) and part[name].null_count() < part.height
    ]
    types = Counter(unmarked(name) for name in there)
    carried: list[pl.Expr] = []
    late: list[str] = []
    for column in there:
        name = unmarked(column)
        header = header_of(name, part.schema[column])
        if header and types[name] == 1:
            carried.append(pl.col(column).alias(header))
        else:
            late.append(column)
    return carried, late


def _link_columns(spec: TableSpec) -> list[str]:
    """The columns of a link: all, or of a table that describes nodes only the two ends."""
    return [c.name for c in spec.columns if not spec.describes or c.name in (spec.link or ())]


def _end_header(spec: TableSpec, name: str) -> str | None:
    """What tells the importer which end of a link a column is; None where it is no end."""
    label = next(column.node for column in spec.columns if column.name == name)
    if not spec.link or name not in spec.link:
        return None
    return f":{'START' if name == spec.link[0] else 'END'}_ID({label})"


def _merged(part: pl.DataFrame) -> pl.DataFrame:
    """Totals of rows without an id and of those with, one row for both.

    As in `cypher/ingest/interactions.cypher`, which merges the former into the latter: the newest
    of the two has the say on value and time; as new as the other, the one without ids only if
    neither has a value. Its further properties are laid over the other's.
    """
    of_two = pl.col("from_tables") == pl.col("value").is_null()
    ordered = part.sort("last_at", "value", of_two, nulls_last=False)
    own_columns = {*_TOTAL_KEY, *_SUMMED, *_NEWEST, "first_at", "from_tables"}
    laid_over = [
        pl.when(pl.col("from_tables").last())
        .then(pl.col(name).drop_nulls().last())
        .otherwise(pl.col(name).last())
        .alias(name)
        for name in part.columns
        if name not in own_columns
    ]
    summed = ordered.group_by(_TOTAL_KEY, maintain_order=True).agg(
        pl.col(_SUMMED).sum(),
        pl.col("first_at").min(),
        pl.col("from_tables").any(),
        pl.col(_NEWEST).last(),
        *laid_over,
    )
    has_ledger = pl.col("ledger_count") > 0
    return summed.with_columns(
        pl.col("weight").round(_DECIMALS),
        ledger_count=pl.when(has_ledger).then("ledger_count"),
        ledger_weight=pl.when(has_ledger).then(pl.col("ledger_weight").round(_DECIMALS)),
    )
