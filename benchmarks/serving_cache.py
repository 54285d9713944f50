"""What an answer costs that was made a moment ago, against making it again.

    python benchmarks/serving_cache.py [--seconds 10] [--workers 2] [--users 50]

It needs a Neo4j with Last.fm loaded and refreshed (`make demo`), and wrk. It only reads, and starts
services of its own. Neo4j, the service and wrk run on the same machine; the processor time says
what of it was the service's.
"""

import argparse
import os

import httpx
from _environment import describe

from benchmarks._service import (
    processor_seconds,
    recommendations_path,
    service,
    users_with_interactions,
)
from benchmarks._wrk import require_wrk, wrk
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import neo4j_address
from recsvc.settings import load_settings

CONNECTIONS = (16, 64)


def main() -> None:
    """Print both, and their ratio, at each number of connections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--users", type=int, default=50)
    options = parser.parse_args()
    require_wrk()
    with Neo4jGateway(neo4j_address(load_settings())) as gateway:
        users = users_with_interactions(gateway)[: options.users]
    print(describe())
    print(f"{options.workers} processes, {len(users)} users, load before: "
          f"{os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    paths = [recommendations_path(user) for user in users]
    found: dict[str, dict[int, tuple[float, float]]] = {"kept": {}, "made each time": {}}
    for what, seconds in (("kept", "3600"), ("made each time", "0")):
        environment = {"RECSVC_ANSWER_CACHE_SECONDS": seconds}
        with service(environment, "--workers", str(options.workers)) as running:
            url = str(running.client.base_url)
            _ask_all(url, paths)
            for connections in CONNECTIONS:
                before = processor_seconds(running.pid)
                load = wrk(url, paths, connections, options.seconds)
                used = 1000.0 * (processor_seconds(running.pid) - before) / max(1, load.count)
                found[what][connections] = load.rate, used
                print(
                    f"{what}, {connections} connections: {load.rate:,.0f} requests/s, "
                    f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, {load.failed} failed; "
                    f"{used:.2f} ms of the service's processor time each", flush=True,
                )  # fmt: skip
    for connections in CONNECTIONS:
        kept, made = (found[what][connections] for what in found)
        print(f"{connections} connections: {kept[0] / made[0]:.1f} times the requests, "
              f"{made[1] / kept[1]:.1f} times less processor time")  # fmt: skip


def _ask_all(url: str, paths: list[str]) -> None:
    """Have each process answer for each user once; a connection stays with one process."""
    for _ in range(8):
        with httpx.Client(base_url=url, timeout=30) as client:
            for path in paths:
                client.get(path).raise_for_status()


if __name__ == "__main__":
    main()
