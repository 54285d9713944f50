"""How many answers a second a service gives to 1, 16 and 64 connections, and how late they are.

    python benchmarks/serving_connections.py [--seconds 15] [--users 500] [--workers 1]
                                             [--explain none]

It needs a Neo4j with a data set loaded and refreshed (`make demo` for Last.fm), and wrk. It only
reads, and starts a service of its own that keeps no answers. Neo4j, the service and wrk run on the
same machine; the processor time says what of it was whose, whatever else the machine does.
"""

import argparse
import os

import numpy as np
from _environment import describe

from benchmarks._service import (
    processor_seconds,
    recommendations_path,
    service,
    users_with_interactions,
)
from benchmarks._wrk import require_wrk, wrk
from loaders.gateway import Neo4jGateway
from recsvc.commands.connecting import local_neo4j, neo4j_address
from recsvc.settings import load_settings

CONNECTIONS = (1, 16, 64)


def main() -> None:
    """Print a line for each number of connections."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--explain", default="none")
    options = parser.parse_args()
    require_wrk()
    settings = load_settings()
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        everybody = users_with_interactions(gateway)
    users = np.random.default_rng(0).permutation(everybody)[: options.users].tolist()
    print(describe())
    print(f"{options.workers} processes, {len(users)} users, explain={options.explain}, "
          f"load before: {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    paths = [recommendations_path(user, explain=options.explain) for user in users]
    server = local_neo4j(settings).status().pid
    with service(
        {"RECSVC_ANSWER_CACHE_SECONDS": "0"}, "--workers", str(options.workers)
    ) as running:
        url = str(running.client.base_url)
        wrk(url, paths, 16, options.seconds)  # Neo4j plans, caches fill
        for connections in CONNECTIONS:
            pids = (running.pid, server)
            before = [processor_seconds(pid) if pid else np.nan for pid in pids]
            load = wrk(url, paths, connections, options.seconds)
            after = [processor_seconds(pid) if pid else np.nan for pid in pids]
            own, neo4j = 1000.0 * np.subtract(after, before) / max(1, load.count)
            print(f"{connections} connections: {load.rate:.0f} requests/s, p50 {load.p50:.1f} ms, "
                  f"p99 {load.p99:.1f} ms, {load.failed} failed; processor time of an answer: "
                  f"{own:.2f} ms of the service, {neo4j:.2f} of Neo4j", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
