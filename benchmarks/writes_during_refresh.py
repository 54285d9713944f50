"""Events that are posted at a steady rate for the whole length of a refresh on Last.fm.

None may be refused. Printed are the waits, by step of the refresh, and the longest transactions of
the refresh that can keep a writer waiting. With `--undeclared` one meta-path is run by Neo4j for
validation, as a file is that declares no walk.

    python benchmarks/writes_during_refresh.py --per-second 4
"""

import argparse
import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from _environment import describe

from benchmarks._service import USERS, service
from loaders.catalogue import Query, catalogue
from loaders.datasets import open_source
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from recsvc.signals import metapath

ITEMS = Query("benchmark/items", "", "read", {}, {}, "MATCH (i:Item) RETURN i.item_id AS id")


class Timed(Neo4jGateway):
    """Notes how long its write transactions took, by the last query of each."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def write(self, work: Callable[..., Any], *, timeout_seconds: float | None = None) -> Any:
        """See `Gateway.write`."""
        return self._timed(super().write, work, timeout_seconds=timeout_seconds)

    def run_rolled_back(
        self, work: Callable[..., Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """See `Gateway.run_rolled_back`."""
        return self._timed(super().run_rolled_back, work, timeout_seconds=timeout_seconds)

    def _timed(self, run: Callable[..., Any], work: Callable[..., Any], **more: Any) -> Any:
        begun, last = [0.0], [""]

        def noted(transaction: Any) -> Any:
            begun[0] = time.perf_counter()  # the lock of all writers is held from here on
            return work(_Named(transaction, last))

        found = run(noted, **more)
        self.seconds[last[0]].append(time.perf_counter() - begun[0])
        return found


@dataclass
class _Named:
    transaction: Any
    last: list[str]

    def run(self, query: Query, **parameters: Any) -> Any:
        self.last[0] = query.name.partition("[")[0]
        return self.transaction.run(query, **parameters)


@dataclass
class Writer:
    """Posts at a steady rate, each post from a thread of its own: a late answer delays no other."""

    client: httpx.Client
    users: list[str]
    items: list[str]
    per_second: float
    step: str = "begin"
    found: list[tuple[str, int, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def at_work(self) -> Generator[None]:
        """Post until the block ends, and wait for the last answers."""
        ended, posts = threading.Event(), list[threading.Thread]()
        rng = np.random.default_rng(0)

        def work() -> None:
            for number in itertools.count():
                if ended.wait(1.0 / self.per_second):
                    return
                user, item = rng.integers(len(self.users)), rng.integers(len(self.items))
                event = {"event_id": str(number), "user_id": self.users[user]}
                event |= {"item_id": self.items[item], "event": "interaction"}
                posts.append(threading.Thread(target=self._post, args=(event,)))
                posts[-1].start()

        loop = threading.Thread(target=work)
        loop.start()
        try:
            yield
        finally:
            ended.set()
            loop.join()
            for post in posts:
                post.join()

    def _post(self, event: dict[str, Any]) -> None:
        step, began = self.step, time.perf_counter()
        try:
            status = self.client.post("/v1/events", json=[event]).status_code
        except httpx.HTTPError:
            status = 0
        self.found.append((step, status, time.perf_counter() - began))

    def told(self, what: str, _done: int, _total: int) -> None:
        """A `Progress`: the step of the refresh that is at work."""
        self.step = what


def main() -> int:
    """Ingest, serve, refresh while posting, print; 1 where a post was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-second", type=float, default=4.0)
    parser.add_argument("--undeclared", action="store_true", help="one path is run by Neo4j")
    parser.add_argument("--model", action="append", help="models; those of a refresh by default")
    options = parser.parse_args()
    print(describe())
    root = checkout_root() or Path.cwd()
    home = Path(os.environ.get("RECSVC_HOME", str(root / ".recsvc")))
    chosen = RefreshOptions(models=tuple(options.model)) if options.model else RefreshOptions()
    if options.undeclared:
        undeclare("metapaths/item_user_item")
    with tempfile.TemporaryDirectory() as folder, scratch_server(home) as server:
        address = server.address()
        with Timed(address) as gateway:
            tables = open_source("lastfm", root.parent / "shared/data/hetrec2011-lastfm-2k")
            ingest(gateway, tables, rejects=Path(folder) / "rejects.csv")
            users, items = ([row["id"] for row in gateway.run(q)] for q in (USERS, ITEMS))
            environment = {
                "RECSVC_HOME": folder, "RECSVC_NEO4J_URI": address.uri,
                "RECSVC_NEO4J_USER": address.user, "RECSVC_NEO4J_PASSWORD": address.password,
            }  # fmt: skip
            events = load_settings().events
            first = RefreshOptions(models=("fastrp",))
            refresh(gateway, first, events, home=Path(folder))  # something to serve
            gateway.seconds.clear()
            with service(environment) as served:
                writer = Writer(served.client, users, items, options.per_second)
                began = time.perf_counter()
                with writer.at_work():
                    refresh(
                        gateway, chosen, events, home=Path(folder), force=True,
                        progress=writer.told,
                    )  # fmt: skip
                report(writer, gateway, time.perf_counter() - began)
    return int(any(status != 200 for _, status, _ in writer.found))


def undeclare(name: str) -> None:
    """Have Neo4j run a meta-path, as if its file declared no walk."""
    queries = {k: replace(q, walk=None) if k == name else q for k, q in catalogue().items()}

    class Undeclared(dict[str, Query]):
        def folder(self, prefix: str) -> list[Query]:
            return [query for key, query in self.items() if key.startswith(f"{prefix}/")]

    found = Undeclared(queries)
    metapath.catalogue = lambda: found


def report(writer: Writer, gateway: Timed, seconds: float) -> None:
    """Print what came of it."""
    waits = np.array([wait for _, _, wait in writer.found])
    refused = sum(status != 200 for _, status, _ in writer.found)
    print(f"refresh {seconds:.0f} s, {len(waits)} posts, {refused} refused")
    print(
        f"wait: median {1000 * np.median(waits):.0f} ms, 99% {1000 * np.quantile(waits, 0.99):.0f} "
        f"ms, longest {1000 * waits.max():.0f} ms"
    )
    by_step: defaultdict[str, list[float]] = defaultdict(list)
    for step, _, wait in writer.found:
        by_step[step].append(wait)
    for step, own in sorted(by_step.items(), key=lambda each: -max(each[1]))[:12]:
        print(f"  {step}: {len(own)} posts, longest {1000 * max(own):.0f} ms")
    print("write transactions of the refresh, the longest of each kind:")
    for name, own in sorted(gateway.seconds.items(), key=lambda each: -max(each[1]))[:15]:
        print(f"  {name or 'nothing'}: {len(own)}, longest {1000 * max(own):.0f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
