"""The graph's arrays made from tables, without a database."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from loaders.numbers import as_numbers, numbers_of
from loaders.tables._spec import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    Label,
    Reject,
    Tables,
    TableSpec,
)
from loaders.tables._totals import InteractionTotals, within_limits
from loaders.types import (
    NO_PROPERTIES,
    Edges,
    HeteroGraph,
    IdMap,
    Interactions,
    Numbers,
    PropertyNames,
    index_type,
)


def graph_from_tables(
    source: Tables, reject: Reject, properties: PropertyNames = NO_PROPERTIES
) -> HeteroGraph:
    """The arrays that ingesting `source` into an empty graph and extracting it would give.

    Args:
        source: a folder of tables or a named data set.
        reject: takes note of each rejected row.
        properties: columns that are read besides, as numbers.

    Raises:
        TableError: a table cannot be read.
    """
    with InteractionTotals() as totals:
        collected = _Collected(totals, reject, properties)
        for spec in source.specs:
            for batch in source.batches(spec, reject):
                collected.add(spec, batch)
        return collected.graph()


@dataclass(slots=True)
class _Collected:
    """What has been read so far: distinct ids, links, and totals of interactions."""

    totals: InteractionTotals
    reject: Reject
    properties: PropertyNames
    items: list[pl.DataFrame] = field(default_factory=list)
    ids: defaultdict[Label, list[pl.Series]] = field(default_factory=lambda: defaultdict(list))
    links: defaultdict[TableSpec, list[pl.DataFrame]] = field(
        default_factory=lambda: defaultdict(list)
    )
    events: list[pl.DataFrame] = field(default_factory=list)

    def add(self, spec: TableSpec, batch: pl.DataFrame) -> None:
        if spec is INTERACTIONS:
            self.totals.add(batch.filter(pl.col("event_id").is_null()))
            self.events.append(batch.filter(pl.col("event_id").is_not_null()))
            return
        self._add_ids(spec, batch)
        if spec is ITEMS and self.properties.items:
            wanted = [name for name in self.properties.items if name in batch.columns]
            self.items.append(batch.select("item_id", *wanted))
        if spec.link:
            self.links[spec].append(_links(spec.link, spec.kind, batch))

    def _add_ids(self, spec: TableSpec, rows: pl.DataFrame) -> None:
        for column in spec.columns:
            if column.node is not None:
                self.ids[column.node].append(rows[column.name].drop_nulls().unique())

    def graph(self) -> HeteroGraph:
        if self.events:
            events = pl.concat(self.events, how="diagonal_relaxed")
            self.totals.add(events.unique("event_id", keep="first", maintain_order=True))
        totals = within_limits(self.totals.frame(), self.reject)
        self._add_ids(INTERACTIONS, totals)
        users, items, categories = (self._id_map(label) for label in ("User", "Item", "Category"))
        return HeteroGraph(
            users,
            items,
            categories,
            _interactions(totals, users, items, self.properties.interactions),
            follows=self._edges(FOLLOWS, users, users),
            prefers=self._edges(PREFERENCES, users, categories),
            in_category=self._edges(ITEM_CATEGORIES, items, categories),
            subcategory_of=self._edges(CATEGORIES, categories, categories),
            related_to=self._edges(RELATED_ITEMS, items, items),
            item_properties=self._item_properties(items),
        )

    def _item_properties(self, items: IdMap) -> dict[str, Numbers]:
        """Of several rows of one item the last one that says something stands, as in the graph."""
        if not self.properties.items:
            return {}
        rows = pl.concat([pl.DataFrame(schema={"item_id": pl.String}), *self.items],
                         how="diagonal_relaxed")  # fmt: skip
        last = rows.group_by("item_id").agg(pl.exclude("item_id").drop_nulls().last())
        place = items.rows(last["item_id"].to_list())
        return {
            name: as_numbers(len(items), place, _lists(last, name))
            for name in self.properties.items
        }

    def _id_map(self, label: Label) -> IdMap:
        parts = [pl.Series(dtype=pl.String), *self.ids[label]]
        # polars sorts text by its UTF-8 bytes, which is the order of code points.
        return IdMap(pl.concat(parts).unique().sort().to_list())

    def _edges(self, spec: TableSpec, sources: IdMap, targets: IdMap) -> Edges:
        if not self.links[spec]:
            return Edges.empty()
        links = pl.concat(self.links[spec]).unique(
            ["source", "target", "kind"], keep="last", maintain_order=True
        )
        if spec.kind:
            links = links.group_by("source", "target").agg(pl.col("weight").sum())
        # Ids are sorted as their rows are, so sorting ids sorts rows.
        links = links.sort("source", "target")
        return Edges(
            sources.rows(links["source"].to_list()),
            targets.rows(links["target"].to_list()),
            links["weight"].cast(pl.Float64).to_numpy(writable=True),
        )


def _links(link: tuple[str, str], kind: str | None, batch: pl.DataFrame) -> pl.DataFrame:
    source, target = link
    links = batch.select(
        pl.col(source).alias("source"),
        pl.col(target).alias("target"),
        (pl.col(kind) if kind else pl.lit("")).alias("kind"),
        (pl.col("weight") if "weight" in batch.columns else pl.lit(1.0)).alias("weight"),
    )
    return links.drop_nulls()


def _interactions(
    totals: pl.DataFrame, users: IdMap, items: IdMap, properties: Sequence[str]
) -> Interactions:
    events = tuple(totals["event"].unique().sort())
    last_at = totals["last_at"].dt.epoch("us").cast(pl.Float64) / 1e6
    event_row = {name: row for row, name in enumerate(events)}
    return Interactions(
        users.rows(totals["user_id"].to_list()),
        items.rows(totals["item_id"].to_list()),
        np.fromiter(
            (event_row[name] for name in totals["event"]), index_type(len(events)), totals.height
        ),
        totals["weight"].cast(pl.Float64).to_numpy(writable=True),
        last_at.fill_null(float("nan")).to_numpy(writable=True),
        events,
        {
            name: np.array(
                [own if len(own) == 1 else [np.nan] for own in _lists(totals, name)], np.float32
            ).reshape(-1, 1)
            for name in properties
        },
    )


def _lists(frame: pl.DataFrame, name: str) -> list[list[float]]:
    """A column as a list of numbers for each row; empty where there is no number."""
    if name not in frame.columns:
        return [[]] * frame.height
    return [numbers_of(value) for value in frame[name].to_list()]
