"""What an answer costs that was made a moment ago, against making it again.

    python benchmarks/serving_cache.py [--seconds 10] [--workers 2] [--users 50]

It needs a Neo4j with Last.fm loaded and refreshed (`make demo`), and wrk. It only reads, and starts
services of its own. Neo4j, the service and wrk run on the same machine; the processor time says
what of it was the service's.
"""

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
from _environment import describe

from benchmarks._service import service, users_with_interactions
from loaders.gateway import Neo4jGateway
from recsvc.connect import neo4j_address
from recsvc.settings import load_settings

CONNECTIONS = (16, 64)
LATENCY = re.compile(r"(50|99)%\s+([\d.]+)(us|ms|s)")
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk found.

    Attributes:
        rate: requests a second.
        p50, p99: milliseconds.
        failed: requests without an answer, or with another status than 200.
        cost: processor time of the service, in milliseconds a request.
    """

    rate: float
    p50: float
    p99: float
    failed: int
    cost: float


def main() -> None:
    """Print both, and their ratio, at each number of connections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--users", type=int, default=50)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: install it, such as apt-get install wrk")
    with Neo4jGateway(neo4j_address(load_settings())) as gateway:
        users = users_with_interactions(gateway)[: options.users]
    print(describe())
    print(f"{options.workers} processes, {len(users)} users, load before: "
          f"{os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
    found: dict[str, dict[int, Load]] = {"kept": {}, "made each time": {}}
    for what, seconds in (("kept", "3600"), ("made each time", "0")):
        environment = {"RECSVC_ANSWER_CACHE_SECONDS": seconds}
        with service(environment, "--workers", str(options.workers)) as running:
            url, process = str(running.client.base_url), psutil.Process(running.pid)
            _ask_all(url, users)
            for connections in CONNECTIONS:
                load = _load(url, process, users, connections, options.seconds)
                found[what][connections] = load
                print(
                    f"{what}, {connections} connections: {load.rate:,.0f} requests/s, "
                    f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, {load.failed} failed; "
                    f"{load.cost:.2f} ms of the service's processor time each", flush=True,
                )  # fmt: skip
    for connections in CONNECTIONS:
        kept, made = (found[what][connections] for what in found)
        print(f"{connections} connections: {kept.rate / made.rate:.1f} times the requests, "
              f"{made.cost / kept.cost:.1f} times less processor time")  # fmt: skip


def _ask_all(url: str, users: list[str]) -> None:
    """Have each process answer for each user once; a connection stays with one process."""
    for _ in range(8):
        with httpx.Client(base_url=url, timeout=30) as client:
            for user in users:
                client.get(_path(user)).raise_for_status()


def _load(
    url: str, process: psutil.Process, users: list[str], connections: int, seconds: int
) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "paths.lua"
        paths = ", ".join(f'"{_path(user)}"' for user in users)
        script.write_text(
            f"local paths = {{{paths}}}\nlocal next = 0\n"
            "request = function() next = next % #paths + 1\n"
            'return wrk.format("GET", paths[next]) end\n'
        )
        before = _processor_seconds(process)
        report = subprocess.run(
            ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency",
             "-s", str(script), url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        used = _processor_seconds(process) - before
    times = {p: float(t) * MILLISECONDS[unit] for p, t, unit in LATENCY.findall(report)}
    count = _number(r"(\d+) requests in", report)
    failed = _number(r"Non-2xx or 3xx responses: (\d+)", report) + sum(
        int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", report)
    )
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", report)[0])
    return Load(rate, times["50"], times["99"], failed, 1000 * used / max(count, 1))


def _path(user_id: str) -> str:
    return f"/v1/users/{quote(user_id, safe='')}/recommendations"


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def _processor_seconds(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in everyone)


if __name__ == "__main__":
    main()
