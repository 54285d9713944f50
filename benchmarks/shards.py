"""Lists of one process, and of shards in processes of their own that are asked over HTTP.

    python benchmarks/shards.py [--items 100000] [--users 40] [--shards 1 2 4]

The items are those of benchmarks/scoring_size.py. Every list is made without Neo4j: the items are
said to be available. All processes are on this machine and share its cores, so what is measured is
what asking costs, not what more machines gain. The last line says whether all answers were the
same.
"""

import argparse
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import numpy as np
import scipy.sparse as sp
import uvicorn
from _environment import describe
from threadpoolctl import threadpool_limits

from benchmarks.scoring_size import COMMUNITIES, made_blend, made_evidence
from loaders.types import IdMap
from recsvc.answer import ExplainLevel
from recsvc.blend.item_range import ItemRange
from recsvc.blend.shards import item_ranges
from recsvc.errors import ShardAwayError
from recsvc.evidence import Evidence
from recsvc.graph.rows import LiveItem
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.served_items import ServedItems
from recsvc.recommend.shard_client import HttpShard, ItemShards
from recsvc.service.shard_app import create_shard_app
from recsvc.snapshot.arrays import Snapshot

VERSION = "made"
LEVELS: tuple[ExplainLevel, ...] = ("none", "full")
WARM_UP = 3


class Held(ServedItems):
    """Items that were made here, not read from Neo4j."""

    def __init__(self, items: ItemRange) -> None:
        self._items = {VERSION: items}

    async def start(self) -> None:
        """Nothing is watched."""

    async def stop(self) -> None:
        """Nothing is watched."""


def main() -> None:
    """Print the times of one process and of shards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    threadpool_limits(1, user_api="blas")  # as the service does
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}", flush=True)
    rng = np.random.default_rng(0)
    ids = IdMap([f"{n:07}" for n in range(options.items)])
    community = rng.integers(0, COMMUNITIES, options.items)
    users = [made_evidence(rng, ids, community) for _ in range(options.users)]
    blend, items = made_blend(rng, ids, community), options.items
    snapshot = Snapshot(
        {}, ids, IdMap([]), IdMap([]), np.zeros(0, np.int64), np.ones(items, np.int64),
        ("",) * items, np.ones(items, bool), sp.csr_matrix(np.zeros((items, 0), bool)), blend,
    )  # fmt: skip
    expected = measured("one process", snapshot.with_bounds(), users)
    same = True
    for shards in options.shards:
        with running([ItemRange.of(blend, *each) for each in item_ranges(items, shards)]) as asked:
            divided = replace(blend, shards=ItemShards(asked).of(VERSION, items))
            told = measured(f"{shards} shards", replace(snapshot, blend=divided), users)
            same &= told == expected
    print(f"all answers are the same: {same}")


@contextmanager
def running(ranges: list[ItemRange]) -> Generator[list[HttpShard]]:
    """Shards in processes of their own, from when they answer."""
    forked = multiprocessing.get_context("fork")
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in ranges]
    processes = [
        forked.Process(target=serve, args=(own, listening), daemon=True)
        for own, listening in zip(ranges, sockets, strict=True)
    ]
    for process in processes:
        process.start()
    shards = [HttpShard(f"http://127.0.0.1:{s.getsockname()[1]}", None, 60.0) for s in sockets]
    try:
        for shard in shards:
            until(lambda shard=shard: shard.has(VERSION))
        yield shards
    finally:
        for process in processes:
            process.terminate()
            process.join()


def serve(items: ItemRange, listening: socket.socket) -> None:
    """Be a shard."""
    config = uvicorn.Config(create_shard_app(Held(items), None), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


def until(answers: Callable[[], bool]) -> None:
    """Wait until a shard answers."""
    for _ in range(600):
        try:
            if answers():
                return
        except ShardAwayError:
            pass
        time.sleep(0.1)
    raise SystemExit("a shard did not start")


def measured(name: str, snapshot: Snapshot, users: list[Evidence]) -> list[object]:
    """Print how long lists take; what they are."""
    answers: list[object] = []
    for level in LEVELS:
        times: list[float] = []
        for user in users:
            started = perf_counter()
            answers.append(answered(snapshot, user, level))
            times.append((perf_counter() - started) * 1000)
        p50, p95 = np.percentile(times[WARM_UP:], [50, 95])
        print(f"{name}, explain={level}: p50 {p50:.1f} ms, p95 {p95:.1f}", flush=True)
    return answers


def answered(snapshot: Snapshot, evidence: Evidence, level: ExplainLevel) -> object:
    """One list, with its counterfactuals where all is explained."""
    listing = Listing(snapshot, Asker(None, evidence), RecommendationQuery(explain=level))
    while not listing.settle(rows := listing.assume(), [LiveItem(None, True)] * len(rows)):
        pass
    exact = listing.exact()
    removals = listing.removals(exact) if level == "full" else ()
    assert not listing.lacks_shards
    return exact.items.tolist(), exact.scores.tolist(), removals


if __name__ == "__main__":
    main()
