"""Extracting, ingesting and writing back on the Gowalla graph, beside the naive ways."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import neo4j
import numpy as np
import polars as pl

from loaders import writeback
from loaders.catalogue import Query, catalogue
from loaders.datasets import open_source
from loaders.extract import extract_graph
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest as ingest_tables
from loaders.local_neo4j import scratch_server
from loaders.schema import apply_schema
from loaders.shared_files import checkout_root
from loaders.tables import INTERACTIONS, FrameTables, Rejected, as_table
from loaders.types import EmbeddingTable, HeteroGraph

ROUNDS = 3
DIMENSIONS = 64
_DELETE_LINKS = Query(
    "benchmarks/delete_links", "Empties the database of interactions.", "autocommit", {}, {},
    "MATCH (:User)-[r:INTERACTED]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 20000 ROWS",
)  # fmt: skip
_STREAM = """
MATCH (user:User)-[r:INTERACTED]->(item:Item)
RETURN user.user_id AS user_id, item.item_id AS item_id, r.event AS event, r.weight AS weight,
       r.last_at AS last_at
"""
_NAIVE = """
UNWIND $rows AS row
MERGE (u:User {user_id: row.user_id})
MERGE (i:Item {item_id: row.item_id})
MERGE (u)-[r:INTERACTED {event: row.event}]->(i)
SET r.weight = row.weight, r.count = row.count
"""
_NAIVE_ROWS = 1_000
_ONE_VECTOR = "MATCH (n:Item {item_id: $id}) SET n.embedding_lightgcn_b = $vector"


def gowalla() -> pl.DataFrame:
    """The training interactions: user_id, item_id."""
    folder = (checkout_root() or Path.cwd()).parent / "shared" / "data" / "lightgcn-gowalla"
    source = open_source("gowalla", folder)

    def refuse(rejected: Rejected) -> None:
        raise ValueError(str(rejected))

    frames = [b.select("user_id", "item_id") for b in source.batches(INTERACTIONS, refuse)]
    return pl.concat(frames)


def extract(home: Path) -> None:
    """Arrays of the whole graph, beside one record for each relationship."""
    with (
        scratch_server(home, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        _load(gateway, gowalla())
        with _driver(server.address()) as driver:
            ways = {
                "extract to arrays": lambda: _timed(
                    lambda: len(extract_graph(gateway).interactions)
                ),
                "one record each, same driver": lambda: _timed(lambda: _stream(driver)),
            }
            for way in ways.values():  # the first time warms up
                way()
            _compare("relationships/s", ways)


def ingest(home: Path) -> None:
    """The online load of an empty graph, beside MERGE of unsorted rows, 1,000 a transaction."""
    pairs = gowalla()
    shuffled = pairs.sample(fraction=1.0, shuffle=True, seed=0)
    rows = [
        {"user_id": u, "item_id": i, "event": "interaction", "weight": 1.0, "count": 1}
        for u, i in shuffled.iter_rows()
    ]
    with (
        scratch_server(home, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        apply_schema(gateway)
        with _driver(server.address()) as driver:

            def ours() -> _Timed:
                gateway.run(_DELETE_LINKS)
                return _timed(lambda: _load(gateway, pairs))

            def again() -> _Timed:
                return _timed(lambda: _load(gateway, pairs))

            def naive() -> _Timed:
                gateway.run(_DELETE_LINKS)
                return _timed(lambda: _merge(driver, rows))

            _load(gateway, pairs)  # makes the nodes, and warms up
            _compare(
                "interactions/s",
                {"ingest": ours, "ingest, nothing new": again, "MERGE 1,000 unsorted": naive},
            )


def write_back(home: Path) -> None:
    """Vectors of all nodes into a slot with its index online, beside one statement each."""
    pairs = gowalla()
    rng = np.random.default_rng(0)
    with (
        scratch_server(home, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        _load(gateway, pairs)
        graph = extract_graph(gateway)
        nodes = len(graph.users) + len(graph.items)
        started = time.perf_counter()
        _write_vectors(gateway, graph, rng)
        written = time.perf_counter() - started
        gateway.run(catalogue()["ingest/await_indexes"])
        online = time.perf_counter() - started
        print(
            f"  {nodes:,} x {DIMENSIONS} floats: written in {written:.1f} s "
            f"({nodes / written:,.0f}/s), both indexes online after {online:.1f} s"
        )
        with _driver(server.address()) as driver:
            few = list(graph.items)[:2_000]
            started = time.perf_counter()
            for item_id in few:
                vector = rng.random(DIMENSIONS, np.float32).tolist()
                driver.execute_query(_ONE_VECTOR, id=item_id, vector=vector)
            alone = len(few) / (time.perf_counter() - started)
        print(f"  one statement each, {len(few):,} nodes: {alone:,.0f}/s")
        print(f"  ratio {nodes / online / alone:.1f}")


def _write_vectors(gateway: Neo4jGateway, graph: HeteroGraph, rng: np.random.Generator) -> None:
    version = writeback.Version("lightgcn", 1, "a")
    for label, ids in (("User", graph.users), ("Item", graph.items)):
        vectors = rng.standard_normal((len(ids), DIMENSIONS), np.float32)
        writeback.write_vectors(gateway, version, EmbeddingTable(label, ids, vectors))


def _load(gateway: Neo4jGateway, pairs: pl.DataFrame) -> int:
    tables = FrameTables({INTERACTIONS: as_table(INTERACTIONS, pairs)})
    with tempfile.TemporaryDirectory() as folder:
        ingest_tables(gateway, tables, rejects=Path(folder, "rejects.csv"))
    return pairs.height


def _merge(driver: neo4j.Driver, rows: list[dict[str, Any]]) -> int:
    with driver.session() as session:
        for start in range(0, len(rows), _NAIVE_ROWS):
            batch = rows[start : start + _NAIVE_ROWS]
            session.execute_write(lambda tx, batch=batch: tx.run(_NAIVE, rows=batch).consume())
    return len(rows)


def _stream(driver: neo4j.Driver) -> int:
    """One record for each relationship, appended to columns and turned into arrays."""
    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    with driver.session() as session:
        for record in session.run(_STREAM):
            for column, value in zip(columns, record.values(), strict=True):
                column.append(value)
    np.array(columns[3], np.float32)
    return len(columns[0])


def _driver(address: Neo4jAddress) -> neo4j.Driver:
    return neo4j.GraphDatabase.driver(
        address.uri, auth=address.auth, notifications_min_severity="OFF"
    )


_Timed = tuple[int, float]
"""How much was done, in how many seconds."""


def _timed(work: Callable[[], int]) -> _Timed:
    started = time.perf_counter()
    count = work()
    return count, time.perf_counter() - started


def _compare(unit: str, ways: dict[str, Callable[[], _Timed]], rounds: int = ROUNDS) -> None:
    """Run the ways by turns, print their medians and the ratio of the first to the last."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            count, seconds = way()
            rates[name].append(count / seconds)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, found in rates.items():
        low, high = min(found), max(found)
        print(f"  {name:30} {medians[name]:10,.0f} {unit} ({low:,.0f} to {high:,.0f})")
    first, *_, last = medians.values()
    print(f"  ratio {first / last:.1f}", flush=True)
