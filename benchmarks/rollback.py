"""From `POST …/rollback` to the last process that answers with the old version, with large arrays.

Two versions of the size of Gowalla are made and stored: vectors of two models and rows of three
signals. Connections that stay open reach every process of the service and ask all the time. Each
round goes back and forth; the time is that from before the request to the first answer of the
version wanted on the last of the connections. What the arrays say means nothing.

    python benchmarks/rollback.py --rounds 5
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import scipy.sparse as sp
from _environment import describe

from benchmarks._service import Service, recommendations_path, service
from loaders import writeback
from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import scratch_server
from loaders.schema import apply_schema
from loaders.shared_files import checkout_root
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.signals import EmbeddingSignal, RowSignal, Signal
from recsvc.snapshot.arrays import Snapshot, pack

_MODELS, _PATHS = ("lightgcn", "node2vec"), ("pagerank", "item_user_item", "item_category_item")
_GRAPH = Query(
    "benchmark/rollback_graph", "", "write", {"ids": "list[str]"}, {},
    "UNWIND $ids AS id CREATE (i:Item {item_id: id, available: true}) WITH collect(i) AS items "
    "CREATE (u:User {user_id: 'u'}) FOREACH (i IN items[..50] | "
    "CREATE (u)-[:INTERACTED {event: 'interaction', weight: 1.0, count: 1}]->(i)) "
    "RETURN size(items) AS items",
)  # fmt: skip
_PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 60.0


def main() -> int:
    """Store the versions, go back and forth, print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=64, help="of a vector")
    parser.add_argument("--entries", type=int, default=200, help="of a row")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(describe())
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    with tempfile.TemporaryDirectory() as folder, scratch_server(home) as server:
        address = server.address()
        with Neo4jGateway(address) as gateway:
            store_versions(gateway, options.items, options.size, options.entries)
        environment = {
            "RECSVC_HOME": folder, "RECSVC_NEO4J_URI": address.uri,
            "RECSVC_NEO4J_USER": address.user, "RECSVC_NEO4J_PASSWORD": address.password,
            "RECSVC_ANSWER_CACHE_SECONDS": "0",
        }  # fmt: skip
        with service(environment, "--workers", str(options.workers)) as served:
            print(f"ready after {served.seconds:.1f} s")
            asyncio.run(back_and_forth(served, options))
    return 0


def store_versions(gateway: Neo4jGateway, items: int, size: int, entries: int) -> None:
    """Two versions of the blend, the second of them active."""
    apply_schema(gateway)
    ids = IdMap([f"i{number:06}" for number in range(items)])
    gateway.run(_GRAPH, ids=list(ids))
    for seed in (1, 2):
        run = f"made-{seed}"
        begun = [
            writeback.begin_version(gateway, name, run=run, seed=seed, options={"similar_items": 5})
            for name in ("hybrid", *_MODELS)
        ]
        numbers = {version.model: version.number for version in begun}
        content, sha256 = pack(made_snapshot(ids, size, entries, seed, numbers))
        writeback.write_snapshot(gateway, begun[0].number, content)
        writeback.mark_ready(gateway, [(version, {"sha256": sha256}) for version in begun])
        writeback.activate(gateway, begun)
        print(f"hybrid {begun[0].number}: {len(content) / 2**20:.0f} MiB")


def made_snapshot(
    ids: IdMap, size: int, entries: int, seed: int, numbers: dict[str, int]
) -> Snapshot:
    """Arrays of a size; the second version gives other scores."""
    rng = np.random.default_rng(seed)
    signals: list[Signal] = []
    for name in _MODELS:
        source, target = rng.standard_normal((2, len(ids), size), np.float32)
        signals.append(EmbeddingSignal(name, ids, source, target))
    for name in _PATHS:
        first = rng.integers(len(ids), size=len(ids))[:, None]
        column = np.sort((first + 7 * np.arange(entries)) % len(ids), axis=1)
        start = np.arange(len(ids) + 1) * entries
        value = rng.random(column.size, np.float32)
        rows = sp.csr_matrix((value, column.ravel(), start), shape=(len(ids),) * 2)
        signals.append(RowSignal(name, "item", ids, rows, 0.5 if name == "pagerank" else None))
    nobody = IdMap(())
    return Snapshot(
        versions=numbers, items=ids, categories=nobody, users=nobody,
        user_counts=np.zeros(0, np.int64), item_people=np.ones(len(ids), np.int64),
        titles=("",) * len(ids), available=np.ones(len(ids), bool),
        in_category=sp.csr_matrix((len(ids), 0), dtype=bool),
        blend=Blend(tuple(signals), (1.0,) * len(signals), rng.random(len(ids), np.float32), 0.1),
    )  # fmt: skip


async def back_and_forth(served: Service, options: Any) -> None:
    """Roll back and activate again, as often as asked for."""
    limits = httpx.Limits(max_connections=1)
    url = served.client.base_url
    clients = [
        httpx.AsyncClient(base_url=url, timeout=60, limits=limits)
        for _ in range(options.connections)
    ]
    await asyncio.gather(*(until(client, 2) for client in clients))
    print(f"connections of each process: {reached(served)}")
    for number in range(1, options.rounds + 1):
        told: list[str] = []
        for path, body, version in (
            ("/v1/models/hybrid/rollback", None, 1),
            ("/v1/models/hybrid/activate", {"version": 2}, 2),
        ):
            began = time.monotonic()
            asked = asyncio.create_task(asyncio.to_thread(served.client.post, path, json=body))
            found = await asyncio.gather(*(until(client, version) for client in clients))
            assert (await asked).status_code == 200
            last, slowest = max(at for at, _ in found) - began, max(longest for _, longest in found)
            told.append(f"{last:5.2f} s to hybrid {version}, slowest answer {slowest:.2f} s")
            await asyncio.sleep(1.0 + number / options.rounds)
        print(f"{number:3d}  {'; '.join(told)}")
    for client in clients:
        await client.aclose()


async def until(client: httpx.AsyncClient, version: int) -> tuple[float, float]:
    """When a connection first had an answer of a version, and its slowest answer until then."""
    end, slowest = time.monotonic() + _LONGEST_SECONDS, 0.0
    path = recommendations_path("u", explain="none")
    while (sent := time.monotonic()) < end:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        slowest = max(slowest, time.monotonic() - sent)
        if answer.json()["versions"]["hybrid"] == version:
            return time.monotonic(), slowest
        await asyncio.sleep(_PAUSE_SECONDS)
    raise SystemExit(f"hybrid {version} was not served within {_LONGEST_SECONDS:g} s")


def reached(served: Service) -> list[int]:
    """How many connections each process of the service has."""
    port = served.client.base_url.port
    counts = [
        sum(c.laddr.port == port and c.status == "ESTABLISHED" for c in each.net_connections())
        for each in psutil.Process(served.pid).children(recursive=True)
    ]
    return [count for count in counts if count]


if __name__ == "__main__":
    sys.exit(main())
