"""What answers cost over HTTP with live evidence, and how many a second there can be.

    python benchmarks/serving.py [--seconds 20] [--users 500] [--workers 2]
                                 [--minutes 10]

It needs a Neo4j with a data set loaded and refreshed (`make demo` for Last.fm), and wrk. It only
reads, and starts a service of its own that keeps no answers. Neo4j, the service and the load
run on the same machine.
"""

import argparse
import time

import numpy as np
import psutil
from _environment import describe

from benchmarks._open_loop import Steady, steady_load
from benchmarks._service import (
    processor_seconds,
    recommendations_path,
    service,
    users_with_interactions,
)
from benchmarks._wrk import require_wrk, wrk
from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import local_neo4j, neo4j_address
from recsvc.settings import load_settings

LEVELS = ("none", "summary", "full")
FIXED = {"none": 50, "summary": 50, "full": 20}
"""Requests a second for which latency and processor time are shown."""
LIMIT_MS = 100.0
CONNECTIONS = 16
NAIVE_USERS = 50
UNCAPPED = Query(
    "benchmark/uncapped", "", "read", {"user_id": "str"}, {},
    "MATCH (u:User {user_id: $user_id})-[:INTERACTED]->(j:Item)<-[:INTERACTED]-(v:User)"
    "-[:INTERACTED]->(i:Item) WHERE NOT (u)-[:INTERACTED]->(i)"
    " RETURN i.item_id AS id, count(*) AS paths, collect(DISTINCT j.item_id)[..3] AS because"
    " ORDER BY paths DESC LIMIT 10",
)  # fmt: skip


def main() -> None:
    """Print latency at fixed rates, the highest rates, the naive way, and memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    require_wrk()
    print(describe(), flush=True)
    with Neo4jGateway(neo4j_address(load_settings())) as gateway:
        everybody = users_with_interactions(gateway)
        users = np.random.default_rng(0).permutation(everybody)[: options.users].tolist()
        naive = _naive(gateway, users[:NAIVE_USERS])
    arguments = ("--workers", str(options.workers))
    with service({"RECSVC_ANSWER_CACHE_SECONDS": "0"}, *arguments) as served:
        url = served.client.base_url
        host, port = str(url.host), int(url.port or 80)
        paths = {
            level: [recommendations_path(user, explain=level) for user in users] for level in LEVELS
        }
        for level in LEVELS:
            steady_load(host, port, paths[level], 10, 5)  # Neo4j plans, caches fill
        server = local_neo4j(load_settings()).status().pid
        for level, rate in FIXED.items():
            before = _spent(served.pid, server)
            _show(level, load := steady_load(host, port, paths[level], rate, options.seconds))
            _show_spent(_spent(served.pid, server) - before, load.rate * options.seconds)
        for level in LEVELS:
            best = _highest(host, port, paths[level], options.seconds / 2)
            _show(f"{level}, the highest rate with p99 <= {LIMIT_MS:.0f} ms", best)
        for level in ("none", "summary"):
            load = wrk(str(url), paths[level], CONNECTIONS, options.seconds)
            print(f"{level}, {CONNECTIONS} connections: {load.rate:.0f} requests/s, "
                  f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, {load.failed} failed",
                  flush=True)  # fmt: skip
        alone = steady_load(host, port, paths["none"][:NAIVE_USERS], 5, NAIVE_USERS / 5)
        print(f"one uncapped Cypher query instead: p50 {naive:.0f} ms, "
              f"{naive / alone.p50:.1f} times our p50 of {alone.p50:.1f} ms",
              flush=True)  # fmt: skip
        _growth(host, port, paths["summary"], served.pid, options.minutes)


def _naive(gateway: Neo4jGateway, users: list[str]) -> float:
    """Median milliseconds of the answer as one query."""
    times: list[float] = []
    for user in users:
        started = time.perf_counter()
        gateway.run(UNCAPPED, user_id=user)
        times.append(1000.0 * (time.perf_counter() - started))
    return float(np.median(times))


def _spent(*pids: int | None) -> np.ndarray:
    """Processor seconds of processes up to now; NaN for one that is not on this machine."""
    return np.array([processor_seconds(pid) if pid else np.nan for pid in pids])


def _show_spent(seconds: np.ndarray, answers: float) -> None:
    service, server = 1000.0 * seconds / answers
    print(f"  processor time of an answer: {service:.1f} ms of the service, {server:.1f} of Neo4j",
          flush=True)  # fmt: skip


def _highest(host: str, port: int, paths: list[str], seconds: float) -> Steady:
    """The highest rate that holds, to 10%: doubled until it does not, then halved between."""
    low, high = Steady(0.0, 0.0, 0.0, 0), np.inf
    while high > 1.1 * max(low.rate, 1.0):
        rate = (low.rate + high) / 2.0 if np.isfinite(high) else max(20.0, 2.0 * low.rate)
        found = steady_load(host, port, paths, rate, seconds)
        if found.p99 <= LIMIT_MS and not found.failed:
            low = found
        else:
            high = rate
    return low


def _growth(host: str, port: int, paths: list[str], pid: int, minutes: float) -> None:
    first = psutil.Process(pid)
    processes = [first, *first.children(recursive=True)]
    before = sum(process.memory_full_info().uss for process in processes)
    steady_load(host, port, paths, 50, 60.0 * minutes)
    after = [process.memory_full_info() for process in processes]
    unique = sum(each.uss for each in after)
    print(f"memory of {len(processes)} processes: {max(each.rss for each in after) / 2**20:.0f} "
          f"MiB RSS of the largest, {unique / 2**20:.0f} unique to them together; "
          f"{(unique - before) / 2**20:+.1f} MiB over {minutes:g} minutes at 50 requests/s",
          flush=True)  # fmt: skip


def _show(what: str, load: Steady) -> None:
    print(f"{what}: {load.rate:.0f} requests/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, "
          f"{load.failed} failed", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
