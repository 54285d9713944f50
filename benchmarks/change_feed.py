"""What the feed of changes costs a write: events per second without it and with it, by turns.

A Neo4j of its own, made anew. Two ways to write: a request of 1,000 events after the other, and
requests of one event from 64 callers, which share transactions. Rounds alternate; the ratio is of
the medians.

    python benchmarks/change_feed.py --rounds 7
"""

import argparse
import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from _environment import describe

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import scratch_server
from loaders.schema import apply_schema
from loaders.shared_files import checkout_root
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.graph_writer import GraphWriter

_USERS, _ITEMS, _CALLERS = 2_000, 5_000, 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(describe())
    home = Path(os.environ.get("RECSVC_HOME") or (checkout_root() or Path()) / ".recsvc")
    with scratch_server(home, heap_megabytes=1024) as server:
        with Neo4jGateway(server.address()) as gateway:
            apply_schema(gateway)
        for name, write, events in (
            ("1,000 events in a request", _in_large_requests, 10_000),
            (f"one event in a request, {_CALLERS} callers", _in_small_requests, 4_000),
        ):
            asyncio.run(_compare(server.address(), name, write, events, rounds))


_Write = Callable[[GraphWriter, list[dict[str, Any]]], Awaitable[None]]


async def _compare(
    address: Neo4jAddress, name: str, write: _Write, events: int, rounds: int
) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(-1, rounds):
        for keeps in (False, True) if number % 2 else (True, False):
            rate = await _rate(address, write, events, keeps=keeps)
            if number >= 0:  # the first round warms up
                rates[keeps].append(rate)
    without, with_it = (statistics.median(rates[keeps]) for keeps in (False, True))
    print(
        f"{name}: {without:,.0f} events/s without the feed ({min(rates[False]):,.0f} to "
        f"{max(rates[False]):,.0f}), {with_it:,.0f} with it ({min(rates[True]):,.0f} to "
        f"{max(rates[True]):,.0f}), ratio {with_it / without:.2f}",
        flush=True,
    )


async def _rate(address: Neo4jAddress, write: _Write, count: int, *, keeps: bool) -> float:
    store = Store(address, timeout_seconds=60.0, write_timeout_seconds=60.0)
    store.keeps_changes = keeps
    await store.open()
    writer = GraphWriter(store, cast(ActiveSnapshot, None))
    now = datetime.now(UTC)
    rows = [
        {
            "event_id": uuid.uuid4().hex,
            "user_id": f"u{n * 7919 % _USERS}",
            "item_id": f"i{n * 104_729 % _ITEMS}",
            "event": "view",
            "value": None,
            "timestamp": now,
        }
        for n in range(count)
    ]
    await writer.add_events([{**rows[0], "event_id": uuid.uuid4().hex}])  # connects
    began = time.perf_counter()
    await write(writer, rows)
    seconds = time.perf_counter() - began
    await writer.stop()
    await store.close()
    return count / seconds


async def _in_large_requests(writer: GraphWriter, rows: list[dict[str, Any]]) -> None:
    for first in range(0, len(rows), 1_000):
        await writer.add_events(rows[first : first + 1_000])


async def _in_small_requests(writer: GraphWriter, rows: list[dict[str, Any]]) -> None:
    waiting = iter(rows)

    async def call() -> None:
        for row in waiting:
            await writer.add_events([row])

    await asyncio.gather(*(call() for _ in range(_CALLERS)))


if __name__ == "__main__":
    main()
