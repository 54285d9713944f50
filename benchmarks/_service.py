"""A `recsvc serve` of a benchmark's own, and what the benchmarks of it share."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import psutil

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway

USERS = Query(
    "benchmark/users", "", "read", {}, {},
    "MATCH (u:User) WHERE EXISTS { (u)-[:INTERACTED]->() } WITH u.user_id AS id"
    " ORDER BY id RETURN id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        client: speaks to it.
        pid: of its first process.
        seconds: from its start to its first ready answer.
    """

    client: httpx.Client
    pid: int
    seconds: float

    def recommend(self, user_id: str, **parameters: Any) -> dict[str, Any]:
        """One answer.

        Raises:
            AssertionError: it has another status than 200.
        """
        answer = self.client.get(recommendations_path(user_id), params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def service(
    environment: Mapping[str, str], *arguments: str, until: str = "/health/ready"
) -> Generator[Service]:
    """Start `recsvc serve` on a free port, until this address answers; it is stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "recsvc", "serve", *arguments],
        env={**os.environ, **environment, "RECSVC_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _until_ready(client, until)
            yield Service(client, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _until_ready(client: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise SystemExit("the service did not become ready")


def users_with_interactions(gateway: Neo4jGateway) -> list[str]:
    """The ids of all users who did something, in order."""
    return [row["id"] for row in gateway.run(USERS)]


def recommendations_path(user_id: str, **parameters: Any) -> str:
    """The address of a user's recommendations."""
    query = urlencode(parameters, doseq=True)
    return f"/v1/users/{quote(user_id, safe='')}/recommendations" + (f"?{query}" if query else "")


def processor_seconds(pid: int) -> float:
    """Processor time of a process and those it started, in seconds."""
    process = psutil.Process(pid)
    everyone = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in everyone)
