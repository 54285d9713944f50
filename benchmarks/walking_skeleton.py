"""What the whole way costs on Last.fm: extract, requests, memory, start.

    python benchmarks/walking_skeleton.py [--users 200]

It needs a Neo4j with Last.fm loaded and refreshed (`make demo`). It only reads, and starts a
service of its own. Neo4j, the service and the load run on the same machine.
`recsvc refresh` prints what training and write-back cost.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import psutil
from _environment import describe

from benchmarks._service import service
from loaders.catalogue import Query
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import neo4j_address
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
        _serve(users)


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


def _serve(users: list[str]) -> None:
    with service({"RECSVC_ANSWER_CACHE_SECONDS": "0"}) as served:
        print(f"service ready after {served.seconds:.2f} s", flush=True)
        for level in ("none", "summary", "full"):
            _requests(served.client, users, level)
        memory = psutil.Process(served.pid).memory_full_info()
        print(f"service memory: {memory.rss / 2**20:.0f} MiB RSS, {memory.uss / 2**20:.0f} unique")


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
