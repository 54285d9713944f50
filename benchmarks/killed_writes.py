"""kill -9 of Neo4j while a service takes writes: none that was acknowledged is lost, none twice.

In each round, writers send events and items without a pause. Neo4j is killed at a random moment
and started again. A writer sends a request again, with the same ids, until it is acknowledged, as
a client does that got no answer. When all are acknowledged, the graph is compared:

    for each user u and item i    r(u, i).count = events of u with i that were acknowledged
    for each item of a writer     its revision  = that of the last acknowledged PUT

A count below it is a lost write, and one above it a write that counted twice.

    python benchmarks/killed_writes.py --rounds 50
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from _environment import describe

from benchmarks._service import service
from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, scratch_server
from loaders.schema import apply_schema
from loaders.shared_files import checkout_root

_ITEMS = 20
_PATIENCE_SECONDS = 300.0
_COUNTS = Query(
    "benchmarks/counts", "How often each user did something with each item.", "read", {}, {},
    "MATCH (u:User)-[r:INTERACTED]->(i:Item) "
    "RETURN u.user_id AS user, i.item_id AS item, r.count AS count",
)  # fmt: skip
_REVISIONS = Query(
    "benchmarks/revisions", "What was last put of each item.", "read", {}, {},
    "MATCH (i:Item) WHERE i.revision IS NOT NULL RETURN i.item_id AS item, i.revision AS revision",
)  # fmt: skip


def main() -> int:
    """Run the rounds; returns 1 if a write was lost, counted twice or got another status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(describe(), flush=True)
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(scratch_server(home, heap_megabytes=512))
        with Neo4jGateway(server.address()) as gateway:
            apply_schema(gateway)
        running = stack.enter_context(service(_environment(server, folder), until="/health/live"))
        writers = [Writer(str(running.client.base_url), n) for n in range(options.writers)]
        wrong = 0
        for number in range(1, options.rounds + 1):
            moment = chance.uniform(0.2, 2.0)
            seconds = _round(server, writers, moment)
            lost, twice, unexpected = _compared(server, writers)
            wrong += bool(lost or twice or unexpected)
            print(
                f"{number:3d}  killed after {moment:4.2f} s, writes again {seconds:4.1f} s after "
                f"Neo4j: {_told(writers)}, {lost} lost, {twice} twice, other answers: "
                f"{dict(unexpected) or 'none'}",
                flush=True,
            )
    print(f"{options.rounds - wrong} of {options.rounds} rounds without a lost or doubled write")
    return 1 if wrong else 0


@dataclass
class Writer:
    """Sends one write after the other, each until it is acknowledged.

    Attributes:
        url: of the service.
        number: which writer it is; it has a user and an item of its own.
        acknowledged: events by user and item.
        revision: of its item, as it was last acknowledged.
        writes: acknowledged ones.
        resent: those that had to be sent again.
        there_already: those of them whose events were in the graph when they came again.
        unexpected: answers that are neither success nor 503, by status.
    """

    url: str
    number: int
    acknowledged: Counter[tuple[str, str]] = field(default_factory=Counter)
    revision: int = 0
    writes: int = 0
    resent: int = 0
    there_already: int = 0
    unexpected: Counter[str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        """Write until it is said to stop, and what was begun to its end."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not stop.is_set():
                if self.writes % 5 == 4:
                    self._put_item(client)
                else:
                    self._send_events(client)

    def _send_events(self, client: httpx.Client) -> None:
        user = f"u{self.number}"
        events = [
            {"event_id": f"{user}-{self.writes}-{n}", "user_id": user, "event": "view",
             "item_id": f"i{(self.writes + n) % _ITEMS}"}
            for n in range(1 + self.writes % 3)
        ]  # fmt: skip
        again, answer = self._until_acknowledged(client, "POST", "/v1/events", {"events": events})
        self.there_already += again and answer["new"] < len(events)
        self.acknowledged.update((user, event["item_id"]) for event in events)

    def _put_item(self, client: httpx.Client) -> None:
        revision = self.revision + 1
        path = f"/v1/items/own{self.number}"
        self._until_acknowledged(client, "PUT", path, {"revision": revision})
        self.revision = revision

    def _until_acknowledged(
        self, client: httpx.Client, method: str, path: str, body: dict[str, Any]
    ) -> tuple[bool, dict[str, Any]]:
        """Whether the write had to be sent again, and its answer."""
        deadline, tries = time.monotonic() + _PATIENCE_SECONDS, 0
        while time.monotonic() < deadline:
            tries += 1
            try:
                answer = client.request(method, path, json=body)
            except httpx.TransportError as error:
                self.unexpected[type(error).__name__] += 1
            else:
                if answer.is_success:
                    self.writes += 1
                    self.resent += tries > 1
                    return tries > 1, answer.json()
                if answer.status_code != 503:
                    self.unexpected[str(answer.status_code)] += 1
            time.sleep(0.1)
        raise RuntimeError(f"{method} {path} was not acknowledged in {_PATIENCE_SECONDS:.0f} s")


def _round(server: LocalNeo4j, writers: list[Writer], moment: float) -> float:
    """Kill Neo4j under the writers; the seconds from its start until each has written again."""
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in writers]
    for thread in threads:
        thread.start()
    try:
        _until_all_wrote(writers, threads)
        time.sleep(moment)
        _kill(server)
        server.up()
        started = time.monotonic()
        _until_all_wrote(writers, threads)
        return time.monotonic() - started
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _until_all_wrote(writers: list[Writer], threads: list[threading.Thread]) -> None:
    before = [each.writes for each in writers]
    while any(each.writes < b + 2 for each, b in zip(writers, before, strict=True)):
        if not all(thread.is_alive() for thread in threads):
            raise RuntimeError("a writer ended: see above")
        time.sleep(0.02)


def _kill(server: LocalNeo4j) -> None:
    pid = server.status().pid
    assert pid is not None, "the server is a process of this machine"
    os.kill(pid, signal.SIGKILL)
    while psutil.pid_exists(pid):  # it takes a moment to die
        time.sleep(0.02)


def _compared(server: LocalNeo4j, writers: list[Writer]) -> tuple[int, int, Counter[str]]:
    """Lost writes, those that counted twice, and answers that nobody expects."""
    with Neo4jGateway(server.address()) as gateway:
        rows = gateway.run(_COUNTS)
        revisions = {row["item"]: row["revision"] for row in gateway.run(_REVISIONS)}
    stored = Counter({(row["user"], row["item"]): row["count"] for row in rows})
    expected = sum((each.acknowledged for each in writers), Counter[tuple[str, str]]())
    overwritten = sum(revisions.get(f"own{w.number}", 0) != w.revision for w in writers)
    lost, twice = (expected - stored).total() + overwritten, (stored - expected).total()
    return lost, twice, sum((each.unexpected for each in writers), Counter[str]())


def _told(writers: list[Writer]) -> str:
    writes, resent, there = (
        sum(getattr(each, name) for each in writers)
        for name in ("writes", "resent", "there_already")
    )
    return f"{writes:,} acknowledged, {resent} sent again, {there} of them were there already"


def _environment(server: LocalNeo4j, folder: str) -> dict[str, str]:
    address = server.address()
    return {
        "RECSVC_HOME": folder,
        "RECSVC_NEO4J_URI": address.uri,
        "RECSVC_NEO4J_USER": address.user,
        "RECSVC_NEO4J_PASSWORD": address.password,
        "RECSVC_REQUEST_TIMEOUT_SECONDS": "20",  # a Neo4j that has just started plans for seconds
    }


if __name__ == "__main__":
    sys.exit(main())
