"""What the whole way costs on Last.fm: extract, requests, exactness, memory, start.

    python benchmarks/walking_skeleton.py [--users 200]

It needs a Neo4j with Last.fm loaded and refreshed (`make demo`). It only reads, and starts a
service of its own. Neo4j, the service and the load run on the same machine.
`recsvc refresh` prints what training and write-back cost.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import psutil
from _environment import describe

from loaders.catalogue import Query
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from recsvc.connect import neo4j_address
from recsvc.settings import load_settings

ROUNDS = 5

STREAM = Query(
    "benchmark/stream", "One record for each relationship.", "read", {}, {},
    "MATCH (u:User)-[r:INTERACTED]->(i:Item) RETURN u.user_id, i.item_id, r.event, r.weight,"
    " r.last_at UNION ALL MATCH (a:User)-[:FOLLOWS]->(b:User) RETURN a.user_id AS `u.user_id`,"
    " b.user_id AS `i.item_id`, null AS `r.event`, 1.0 AS `r.weight`, null AS `r.last_at`"
    " UNION ALL MATCH (i:Item)-[r:IN_CATEGORY]->(c:Category) RETURN i.item_id AS `u.user_id`,"
    " c.category_id AS `i.item_id`, null AS `r.event`, r.weight AS `r.weight`,"
    " null AS `r.last_at`",
)  # fmt: skip


def main() -> None:
    """Print every figure with its median and range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=200)
    options = parser.parse_args()
    print(describe(), flush=True)
    with Neo4jGateway(neo4j_address(load_settings())) as gateway:
        _extract(gateway)
        users = [
            row["id"]
            for row in gateway.run(
                Query("benchmark/users", "", "read", {"n": "int"}, {},
                      "MATCH (u:User) RETURN u.user_id AS id ORDER BY rand() LIMIT $n"),
                n=options.users,
            )
        ]  # fmt: skip
        _serve(gateway, users)


def _extract(gateway: Neo4jGateway) -> None:
    collected: list[float] = []
    streamed: list[float] = []
    for _ in range(ROUNDS):
        seconds, graph = _timed(lambda: extract_graph(gateway))
        count = len(graph.interactions) + len(graph.follows) + len(graph.in_category)
        collected.append(count / seconds)
        seconds, rows = _timed(lambda: gateway.run(STREAM))
        assert len(rows) == count
        streamed.append(count / seconds)
    _show("extract to arrays, relationships/s", collected)
    _show("one record each, relationships/s", streamed)
    _show("ratio", [a / b for a, b in zip(collected, streamed, strict=True)])


def _serve(gateway: Neo4jGateway, users: list[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "recsvc", "serve"],
        env={**os.environ, "RECSVC_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _until_ready(client)
            print(f"service ready after {time.perf_counter() - started:.2f} s", flush=True)
            for level in ("none", "summary", "full"):
                _requests(client, users, level)
            _paths_and_sums(gateway, client, users)
        memory = psutil.Process(process.pid).memory_full_info()
        print(f"service memory: {memory.rss / 2**20:.0f} MiB RSS, {memory.uss / 2**20:.0f} unique")
    finally:
        process.terminate()
        process.wait(timeout=20)


def _until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise SystemExit("the service did not become ready")


def _requests(client: httpx.Client, users: list[str], level: str) -> None:
    for user in users[:30]:
        client.get(f"/v1/users/{user}/recommendations", params={"explain": level})
    times: list[float] = []
    for user in users:
        seconds, answer = _timed(
            lambda user=user: client.get(
                f"/v1/users/{user}/recommendations", params={"explain": level}
            )
        )
        assert answer.status_code == 200
        times.append(seconds * 1000)
    p50, p99 = np.percentile(times, [50, 99])
    print(f"request, explain={level}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, one at a time, "
          f"{len(times)} users", flush=True)  # fmt: skip


def _paths_and_sums(gateway: Neo4jGateway, client: httpx.Client, users: list[str]) -> None:
    """Sums of full answers, and whether the graph draws every path that they show."""
    worst = 0.0
    shown = drawn = 0
    for user in users:
        answer = client.get(f"/v1/users/{user}/recommendations", params={"explain": "full"}).json()
        for item in answer["items"]:
            explanation = item["explanation"]
            listed = sum(part["value"] for part in explanation["contributions"])
            for total in (listed + explanation["remainder"], sum(item["signals"].values())):
                worst = max(worst, abs(total / item["score"] - 1))
            shown += len(explanation["paths"])
            drawn += len(_drawn(gateway, explanation["cypher"]))
    print(f"{len(users)} users, full answers: largest relative error of a sum {worst:.1e}; "
          f"of {shown} paths Neo4j draws {drawn}", flush=True)  # fmt: skip


def _drawn(gateway: Neo4jGateway, cypher: str) -> list[Any]:
    return gateway.run(Query("benchmark/cypher", "", "read", {}, {}, cypher)) if cypher else []


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _show(what: str, values: list[float]) -> None:
    print(
        f"{what}: median {statistics.median(values):,.1f} "
        f"({min(values):,.1f} to {max(values):,.1f}, {len(values)} runs)",
        flush=True,
    )


if __name__ == "__main__":
    main()
