"""Events of many callers in shared transactions, against one transaction for each request.

Both go through the same store to the same Neo4j in one run, one event a request, by turns.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import scratch_server
from loaders.schema import apply_schema
from recsvc.graph.group_commit import GroupCommit
from recsvc.graph.store import Store
from recsvc.recommend.graph_writer import count_new

CALLERS = (1, 8, 64)
_SECONDS = 6.0
_number = itertools.count()

Post = Callable[[list[dict[str, Any]]], Awaitable[int]]


class Counted:
    """A store whose transactions are counted."""

    def __init__(self, store: Store) -> None:
        self.transactions = 0
        self._store = store

    async def alone(self, rows: list[dict[str, Any]]) -> int:
        """One transaction for one request."""
        self.transactions += 1
        return len(await self._store.add_events(rows))

    async def together(self, requests: Any) -> list[int]:
        """One transaction for many requests."""
        self.transactions += 1
        rows = [row for request in requests for row in request]
        return count_new(requests, await self._store.add_events(rows))


async def measure(post: Post, callers: int, seconds: float) -> dict[str, float]:
    """Requests a second and their median time, with so many callers at a time."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (started := time.perf_counter()) < end:
            assert await post([event()]) == 1
            times.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    per_second = len(times) / (time.perf_counter() - started)
    times.sort()
    return {
        "requests": len(times),
        "requests_per_second": round(per_second, 1),
        "median_ms": round(times[len(times) // 2] * 1000, 2),
        "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 2),
    }


def event() -> dict[str, Any]:
    """A new event of one of 2,000 users with one of 20,000 items."""
    n = next(_number)
    return {
        "event_id": f"bench {time.time_ns()} {n}",
        "user_id": f"u{n * 7919 % 2_000}",
        "item_id": f"i{n * 104_729 % 20_000}",
        "event": "view",
        "value": None,
        "timestamp": datetime.now(UTC),
    }


async def _compare(address: Neo4jAddress, seconds: float) -> None:
    """Print the comparison for each number of callers."""
    store = Store(address, timeout_seconds=30.0)
    await store.open()
    await Counted(store).alone([event()])
    try:
        for callers in CALLERS:
            alone, shared = Counted(store), Counted(store)
            group = GroupCommit(shared.together, timeout_seconds=30.0)

            async def grouped(
                rows: list[dict[str, Any]], group: GroupCommit[Any, int] = group
            ) -> int:
                return await group.submit(rows, rows=len(rows))

            rounds: dict[str, list[dict[str, float]]] = {"alone": [], "together": []}
            for _ in range(2):
                rounds["alone"].append(await measure(alone.alone, callers, seconds / 2))
                rounds["together"].append(await measure(grouped, callers, seconds / 2))
            await group.close()
            best = {k: max(v, key=lambda r: r["requests_per_second"]) for k, v in rounds.items()}
            made = {k: sum(r["requests"] for r in v) for k, v in rounds.items()}
            used = {"alone": alone.transactions, "together": shared.transactions}
            shown = ", ".join(
                f"{name} {figures['requests_per_second']:,.0f} requests/s, median "
                f"{figures['median_ms']:.0f} ms, {made[name] / used[name]:.1f} a transaction"
                for name, figures in best.items()
            )
            ratio = best["together"]["requests_per_second"] / best["alone"]["requests_per_second"]
            print(f"  {callers} callers: {shown}; ratio {ratio:.1f}", flush=True)
    finally:
        await store.close()


def group_commit(home: Path) -> None:
    """Compare on an empty Neo4j that is removed afterwards."""
    with scratch_server(home) as server:
        with Neo4jGateway(server.address()) as gateway:
            apply_schema(gateway)
        asyncio.run(_compare(server.address(), _SECONDS))
