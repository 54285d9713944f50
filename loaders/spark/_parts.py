"""Parquet in parts, as `extract --engine spark` writes it, as arrays."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from loaders.extract._graph import Part, Weighted, in_one, in_order
from loaders.extract._selection import EDGES
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    USERS,
    TableSpec,
)
from loaders.types import Edges, HeteroGraph, IdMap, Interactions

_TABLES = {
    "FOLLOWS": FOLLOWS,
    "PREFERS": PREFERENCES,
    "IN_CATEGORY": ITEM_CATEGORIES,
    "SUBCATEGORY_OF": CATEGORIES,
    "RELATED_TO": RELATED_ITEMS,
}


def rows_of(folder: Path, spec: TableSpec) -> pl.LazyFrame:
    """The rows of a table in parts."""
    return pl.scan_parquet(folder / spec.name / "*.parquet", glob=True)


def graph_of_parts(folder: Path) -> HeteroGraph:
    """The arrays that `extract_graph` gives of the same graph.

    A relationship is left out when an end of it is not in the tables of nodes.
    """
    ids = {
        label: IdMap.from_unsorted(rows_of(folder, spec).collect().to_series().to_list())
        for label, spec in (("User", USERS), ("Item", ITEMS), ("Category", CATEGORIES))
    }
    edges = {
        name: _edges(rows_of(folder, _TABLES[kind]).collect(), ids[source], ids[target])
        for kind, (name, source, target) in EDGES.items()
    }
    users, items = ids["User"], ids["Item"]
    nodes_alone = HeteroGraph(users, items, ids["Category"], _did(folder, users, items))
    return replace(nodes_alone, **edges)


def _did(folder: Path, users: IdMap, items: IdMap) -> Interactions:
    rows = rows_of(folder, INTERACTIONS).collect()
    return in_one(list(_by_event(rows, users, items)), len(items))


def _by_event(rows: pl.DataFrame, users: IdMap, items: IdMap) -> Iterator[Part]:
    for (event,), part in rows.group_by("event", maintain_order=True):
        user, item = (
            users.rows(part["user_id"].to_list()), items.rows(part["item_id"].to_list())
        )  # fmt: skip
        able = (user >= 0) & (item >= 0)
        seconds = part["timestamp"].dt.epoch("us").cast(pl.Float64).fill_null(np.nan) / 1e6
        weight, last_at = part["value"].to_numpy(), seconds.to_numpy()
        yield Part(str(event), user[able], item[able], weight[able], last_at[able], 0)


def _edges(rows: pl.DataFrame, sources: IdMap, targets: IdMap) -> Edges:
    rows = rows.drop_nulls()
    weight = rows["weight"].to_numpy() if "weight" in rows.columns else np.ones(rows.height)
    source = sources.rows(rows.to_series(0).to_list())
    target = targets.rows(rows.to_series(1).to_list())
    able = (source >= 0) & (target >= 0)
    return in_order([Weighted(source[able], target[able], weight[able], 0)])
