"""The graph read by Spark, into the tables of CONTRACT §2 as Parquet in parts.

Each table is a folder of files, one or more for each range of Neo4j's inside ids. It is whole once
Spark's mark `_SUCCESS` is in it, and a table that is whole is not read again. The folder of all of
them gets its name when every table is whole; until then it is called NAME.part.
"""

import functools
import itertools
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import polars as pl

from loaders.catalogue import catalogue
from loaders.errors import EngineError
from loaders.extract._files import Format, SavedGraph, save_graph
from loaders.extract._reading import Progress
from loaders.files import file_lock
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.spark._parts import graph_of_parts, rows_of
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    USERS,
    Label,
    TableSpec,
)

WHOLE = "_SUCCESS"
_OF = "_of.json"
_RANGES_PER_CORE = 4
_LEAST_IDS_PER_RANGE = 2_000
# Interactions last: without them a folder is no data set.
_STARTS: Mapping[TableSpec, Label] = {
    USERS: "User",
    ITEMS: "Item",
    CATEGORIES: "Category",
    ITEM_CATEGORIES: "Item",
    RELATED_ITEMS: "Item",
    PREFERENCES: "User",
    FOLLOWS: "User",
    INTERACTIONS: "User",
}
_TYPES = {"str": "STRING", "float": "DOUBLE", "int": "BIGINT"}
_KINDS = {
    "INTERACTED": INTERACTIONS,
    "FOLLOWS": FOLLOWS,
    "PREFERS": PREFERENCES,
    "IN_CATEGORY": ITEM_CATEGORIES,
    "SUBCATEGORY_OF": CATEGORIES,
    "RELATED_TO": RELATED_ITEMS,
}


def extract_with_spark(
    session: Any, gateway: Neo4jGateway, folder: Path, form: Format, progress: Progress
) -> SavedGraph:
    """Read the graph with Spark and write it into a folder, which appears whole or not at all.

    A run that was interrupted goes on with the tables that it has left.

    Args:
        session: of `spark_session`.
        gateway: the graph; Spark connects to the same address.
        folder: where, on a path that all machines of Spark share.
        form: `parquet` for the tables in parts, which `folder` is renamed to hold; any other is
            made of them on this machine.
        progress: told what is done.

    Raises:
        EngineError: somebody else is at it, or `folder` is not empty.
        OSError: the folder cannot be written.
    """
    folder, started = folder.resolve(), time.perf_counter()
    if form == "parquet" and folder.exists() and any(folder.iterdir()):
        raise EngineError(f"{folder} is not empty: expected a folder that is new or empty")
    parts = folder.with_name(f"{folder.name}.part")
    parts.mkdir(parents=True, exist_ok=True)
    with file_lock(parts, wait=False) as ours:
        if not ours:
            raise EngineError(f"{parts} is being written by another process: wait until it ends")
        _claim(parts, gateway.address)
        for done, spec in enumerate(_STARTS):
            progress("tables", done, len(_STARTS))
            _write(session, gateway, spec, parts / spec.name)
        progress("tables", len(_STARTS), len(_STARTS))
        if form != "parquet":
            saved = save_graph(graph_of_parts(parts), folder, form, time.perf_counter() - started)
            shutil.rmtree(parts)
            return saved
        (parts / _OF).unlink()
        (parts / WHOLE).touch()
        parts.rename(folder)
    return SavedGraph(folder, *_counts(folder), time.perf_counter() - started)


def _claim(parts: Path, address: Neo4jAddress) -> None:
    """Start anew where what is there is of another database."""
    ours = {"uri": address.shown, "database": address.database}
    of = parts / _OF
    if not of.exists() or json.loads(of.read_text()) != ours:
        for path in parts.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        of.write_text(json.dumps(ours))


def _write(session: Any, gateway: Neo4jGateway, spec: TableSpec, target: Path) -> None:
    if (target / WHOLE).exists():
        return
    low, high = _id_range(gateway, _STARTS[spec])
    ways = session.sparkContext.defaultParallelism * _RANGES_PER_CORE
    frames = [
        _frame(session, gateway.address, spec, start, stop) for start, stop in cuts(low, high, ways)
    ]
    whole = functools.reduce(lambda one, other: one.unionAll(other), frames)
    if spec is INTERACTIONS:
        whole = whole.selectExpr(
            "user_id", "item_id", "event", "value", "timestamp_millis(millis) AS timestamp"
        )
    whole.write.mode("overwrite").parquet(f"file:{target}")


def _id_range(gateway: Neo4jGateway, label: Label) -> tuple[int, int]:
    (row,) = gateway.run(catalogue()[f"extract/id_range[{label}]"])
    return row["low"] or 0, row["high"] or 0


def cuts(low: int, high: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut `low` to `high` into ranges of one length, at most so many; one where it is empty."""
    count = max(1, min(most, -(-(high - low) // _LEAST_IDS_PER_RANGE)))
    ends = [low + (high - low) * n // count for n in range(count + 1)]
    yield from itertools.pairwise(ends)


def _frame(session: Any, address: Neo4jAddress, spec: TableSpec, low: int, high: int) -> Any:
    """The rows of one range, not read yet.

    The connector takes no parameters but the rows of a query that runs before, its `script`.
    """
    query = catalogue()[f"extract/part_{spec.name}"]
    columns = ", ".join(f"`{name}` {_TYPES[kind]}" for name, kind in query.returns.items())
    options = {
        "url": address.uri,
        "query": address.statement(query),
        "script": f"RETURN {low:d} AS low, {high:d} AS high",
        "authentication.type": "basic" if address.auth else "none",
    }
    if address.auth:
        user, password = address.auth
        options["authentication.basic.username"] = user
        options["authentication.basic.password"] = password
    if address.database:
        options["database"] = address.database
    reader = session.read.format("org.neo4j.spark.DataSource").options(**options)
    return reader.schema(columns).load()


def _counts(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Nodes by table and relationships by type."""
    nodes = {
        spec.name: _number(rows_of(folder, spec).select(pl.first().n_unique()))
        for spec in (USERS, ITEMS, CATEGORIES)
    }
    # The second column is the other end; a category without a parent has none.
    links = {
        kind: _number(rows_of(folder, spec).select(pl.nth(1).count()))
        for kind, spec in _KINDS.items()
    }
    return nodes, links


def _number(frame: pl.LazyFrame) -> int:
    return cast(int, frame.collect().item())
