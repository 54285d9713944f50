"""The bulk import of made interactions, beside the online load."""

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from loaders.catalogue import Query
from loaders.gateway import Gateway, Neo4jGateway
from loaders.ingest import ingest
from loaders.ingest.bulk import bulk_ingest
from loaders.local_neo4j import scratch_server
from loaders.tables import FolderTables
from tests.graph_hash import graph_hash

BULK_ROWS = 10_000_000
EQUAL_ROWS = 1_000_000
MEMORY_ROWS = 50_000_000
_ROWS_A_PART = 1_000_000
_COUNTS = Query(
    "benchmarks/counts", "Nodes and relationships.", "read", {}, {"n": "int", "r": "int"},
    "RETURN COUNT { () } AS n, COUNT { ()-[]->() } AS r",
)  # fmt: skip


def bulk(home: Path) -> None:
    """10 M interactions by bulk import, and a tenth of them both ways, with equal graphs."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        make_interactions(small, EQUAL_ROWS)
        make_interactions(large, BULK_ROWS)
        online, hash_online = _online(home, small)
        _, hash_bulk = _bulk(home, small, hashed=True)
        imported, _ = _bulk(home, large)
    equal = "the same" if hash_online == hash_bulk else "DIFFERENT"
    print(f"  {EQUAL_ROWS:,} rows both ways: {equal} graph ({hash_online})")
    print(f"  ratio {imported / online:.1f}", flush=True)


def memory(home: Path) -> None:
    """Peak memory of the process that imports 50 M interactions."""
    with tempfile.TemporaryDirectory() as folder:
        tables = Path(folder, "tables")
        make_interactions(tables, MEMORY_ROWS)
        loading = multiprocessing.get_context("spawn").Process(
            target=_measured, args=(home, tables)
        )
        loading.start()
        loading.join()
        if loading.exitcode:
            raise SystemExit(f"the import ended with exit code {loading.exitcode}")


def make_interactions(folder: Path, rows: int) -> None:
    """An `interactions.parquet` with few busy and many quiet users and items, part by part."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    users, items = max(rows // 50, 10), max(rows // 200, 10)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, _ROWS_A_PART):
        count = min(_ROWS_A_PART, rows - start)
        user, item = (
            (rng.pareto(shape, count) * of / 50).astype(np.int64) % of
            for shape, of in ((1.2, users), (1.0, items))
        )
        part = pl.DataFrame(
            {
                "user_id": user,
                "item_id": item,
                "event": rng.choice(["view", "view", "view", "purchase"], count),
                "value": np.round(rng.random(count), 2),
                "timestamp": rng.integers(1_500_000_000, 1_700_000_000, count),
            }
        ).to_arrow()
        writer = writer or pq.ParquetWriter(folder / "interactions.parquet", part.schema)
        writer.write_table(part)
    if writer:
        writer.close()


def _online(home: Path, tables: Path) -> tuple[float, str]:
    with (
        scratch_server(home, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        started = time.perf_counter()
        ingest(gateway, FolderTables(tables), rejects=tables / "rejects.csv")
        rate = EQUAL_ROWS / (time.perf_counter() - started)
        print(f"  online {rate:,.0f} rows/s, {_counts(gateway)}", flush=True)
        return rate, graph_hash(gateway)


def _bulk(home: Path, tables: Path, *, hashed: bool = False) -> tuple[float, str]:
    rows: int = pq.read_metadata(tables / "interactions.parquet").num_rows
    with scratch_server(home) as server:
        started = time.perf_counter()
        bulk_ingest(server, FolderTables(tables), rejects=tables / "rejects.csv")
        seconds = time.perf_counter() - started
        with Neo4jGateway(server.address()) as gateway:
            print(
                f"  bulk {rows / seconds:,.0f} rows/s ({rows:,} in {seconds:.0f} s, Neo4j started "
                f"again and indexes online), {_counts(gateway)}",
                flush=True,
            )
            return rows / seconds, graph_hash(gateway) if hashed else ""


def _measured(home: Path, tables: Path) -> None:
    _bulk(home, tables)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak memory of Python {peak:.2f} GiB", flush=True)


def _counts(gateway: Gateway) -> str:
    (found,) = gateway.run(_COUNTS)
    return f"{found['n']:,} nodes, {found['r']:,} relationships"
