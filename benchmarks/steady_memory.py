"""The memory of a service under an hour of mixed load: it should not grow.

Callers ask for lists with and without explanations, neighbours, searches and exports, and write
events, items and users that they delete again, of ever new ids. The memory that only the service
has (USS) is read every few seconds. The first third is for what fills once: kept answers, what
Python and the libraries allocate at first use. Of the rest:

    growth = median of the last sixth − median of the first sixth, in MiB

    python benchmarks/steady_memory.py --minutes 60
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
from _environment import describe

from benchmarks._service import Service, service
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from tests.taste_tables import write_tables

_OPTIONS = RefreshOptions(models=("fastrp", "walk3"), validation_users=60)
_MEBIBYTE = 2**20


def main() -> int:
    """Run the load; returns 1 if memory grew by more than 16 MiB or an answer was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--per-second", type=float, default=20.0, help="requests of all callers")
    options = parser.parse_args()
    print(describe(), flush=True)
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(scratch_server(home, heap_megabytes=512))
        address = server.address()
        _make_graph(address, folder)
        running = stack.enter_context(service(_environment(address, folder)))
        statuses: Counter[int] = Counter()
        sizes = _under_load(running, options, statuses)
    return _told(sizes, statuses)


def _make_graph(address: Neo4jAddress, folder: Path) -> None:
    (folder / "tables").mkdir()
    write_tables(folder / "tables")
    with Neo4jGateway(address) as gateway:
        ingest(gateway, FolderTables(folder / "tables"), rejects=folder / "rejects.csv")
        refresh(gateway, _OPTIONS, load_settings().events, home=folder)


def _environment(address: Neo4jAddress, folder: Path) -> dict[str, str]:
    return {
        "RECSVC_HOME": str(folder),
        "RECSVC_NEO4J_URI": address.uri,
        "RECSVC_NEO4J_USER": address.user,
        "RECSVC_NEO4J_PASSWORD": address.password,
        "RECSVC_REQUEST_TIMEOUT_SECONDS": "20",
    }


def _under_load(
    running: Service, options: argparse.Namespace, statuses: Counter[int]
) -> list[tuple[float, float]]:
    """Seconds since the start, and MiB of the service."""
    stop, started = threading.Event(), time.monotonic()
    pause = options.callers / options.per_second
    callers = [
        threading.Thread(target=_call, args=(running, number, pause, stop, statuses))
        for number in range(options.callers)
    ]
    for caller in callers:
        caller.start()
    sizes: list[tuple[float, float]] = []
    process, seconds = psutil.Process(running.pid), options.minutes * 60
    while (now := time.monotonic() - started) < seconds:
        sizes.append((now, process.memory_full_info().uss / _MEBIBYTE))
        if len(sizes) % 60 == 1:
            told = f"{now / 60:5.1f} min: {sizes[-1][1]:6.1f} MiB, {statuses.total():,} answers"
            print(told, flush=True)
        time.sleep(max(1.0, seconds / 720))
    stop.set()
    for caller in callers:
        caller.join()
    return sizes


def _call(
    running: Service, number: int, pause: float, stop: threading.Event, statuses: Counter[int]
) -> None:
    with httpx.Client(base_url=running.client.base_url, timeout=60) as client:
        for turn in itertools.count():
            for method, path, body in _requests(number, turn):
                if stop.is_set():
                    return
                answer = client.request(method, path, json=body)
                statuses[answer.status_code] += 1
                time.sleep(pause)


def _requests(number: int, turn: int) -> list[tuple[str, str, object]]:
    """A turn of a caller: reads of users by turns, and writes of a user and an item of its own."""
    user, own = f"u{(turn * 7 + number) % 100}", f"new-{number}-{turn}"
    lists, event = f"/v1/users/{user}/recommendations", {"user_id": own, "item_id": "i3"}
    return [
        ("GET", lists, None),
        ("GET", f"{lists}?explain=summary&k=20", None),
        ("GET", f"{lists}?explain=full", None),
        ("GET", f"/v1/items/i{turn % 50}/similar", None),
        ("GET", f"/v1/items?search=i{turn % 50}", None),
        ("POST", "/v1/events", {"events": [{**event, "event_id": own, "event": "listen"}]}),
        ("PUT", f"/v1/items/{own}", {"title": own, "categories": ["c1"]}),
        ("GET", f"/v1/users/{own}/recommendations?explain=full", None),
        ("POST", "/v1/recommendations", {"evidence": [{"item_id": f"i{turn % 50}"}]}),
        ("GET", f"/v1/users/{user}/evidence", None),
        ("GET", f"/v1/users/{own}/export", None),
        ("GET", f"/v1/users/nobody-{own}/recommendations", None),
        ("GET", "/metrics", None),
        ("DELETE", f"/v1/users/{own}", None),
        ("DELETE", f"/v1/items/{own}", None),
    ]


def _told(sizes: list[tuple[float, float]], statuses: Counter[int]) -> int:
    steady = [size for _, size in sizes[len(sizes) // 3 :]]
    sixth = max(1, len(steady) // 6)
    first, last = statistics.median(steady[:sixth]), statistics.median(steady[-sixth:])
    faults = sum(count for status, count in statuses.items() if status >= 500)
    print(
        f"{sizes[-1][0] / 60:.1f} minutes, {statuses.total():,} answers by status "
        f"{dict(sorted(statuses.items()))}: "
        f"{first:.1f} MiB after the first third, {last:.1f} MiB at the end, "
        f"growth {last - first:+.1f} MiB"
    )
    return 1 if last - first > 16.0 or faults else 0


if __name__ == "__main__":
    sys.exit(main())
