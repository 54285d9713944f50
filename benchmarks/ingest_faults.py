"""kill -9 of the loader, or of Neo4j, at random moments; then the same command again.

Each round empties the graph, starts `recsvc ingest`, kills it or its Neo4j at a random moment of
the load, starts Neo4j again where it was killed, and runs the same command to its end. The hash
over the whole graph has to be that of a load nobody disturbed.

    python benchmarks/ingest_faults.py --rounds 20
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from _environment import describe

from loaders.catalogue import Query
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, scratch_server
from loaders.shared_files import checkout_root
from tests.graph_hash import graph_hash

_DELETE_ALL = Query(
    "benchmarks/delete_all", "Empties the database.", "autocommit", {}, {},
    "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS",
)  # fmt: skip
_COMMAND_SECONDS = 300.0


def main() -> int:
    """Run the rounds; returns 1 if one of them gave another graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=60_000, help="rows of interactions")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(describe())
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    with tempfile.TemporaryDirectory() as folder, scratch_server(home) as server:
        tables = Path(folder, "tables")
        write_tables(tables, options.rows, options.seed)
        rounds = Rounds(server, tables, Path(folder, "home"))
        seconds, expected = rounds.undisturbed()
        print(f"undisturbed: {seconds:.1f} s, hash {expected}")
        wrong = 0
        for number in range(1, options.rounds + 1):
            victim = ("loader", "Neo4j")[number % 2]
            moment = chance.uniform(0.0, seconds)
            found, before = rounds.disturbed(victim, moment)
            wrong += found != expected
            says = "equal" if found == expected else f"DIFFERENT: {found}"
            print(
                f"{number:3d}  {victim:6} killed after {moment:5.2f} s, {before:7,} things: {says}"
            )
    print(f"{options.rounds - wrong} of {options.rounds} rounds gave the same graph")
    return 1 if wrong else 0


def write_tables(folder: Path, rows: int, seed: int) -> None:
    """Tables with every kind of thing: nodes with properties, links, totals, events with ids."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    users, items = max(rows // 40, 10), max(rows // 60, 10)
    user, item = rng.integers(users, size=rows), rng.integers(items, size=rows)
    second = rng.integers(1_000_000_000, 1_700_000_000, size=rows)
    # A third has ids, and a tenth of those come twice.
    event_id = np.where(np.arange(rows) % 3 == 0, np.arange(rows) // 3 % (rows * 3 // 10), -1)
    names = ["view", "cart", "purchase"]
    pl.DataFrame(
        {
            "user_id": [f"u{n}" for n in user],
            "item_id": [f"i{n}" for n in item],
            "event": [names[n] for n in rng.integers(3, size=rows)],
            "value": np.round(rng.random(rows), 3),
            "timestamp": second,
            "device": [("phone", "tablet")[n] for n in rng.integers(2, size=rows)],
            "event_id": [f"e{n}" if n >= 0 else None for n in event_id],
        }
    ).write_csv(folder / "interactions.csv")
    pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(items)],
            "title": [f"Item {n}" for n in range(items)],
            "price": [str(n) for n in range(items)],
        }
    ).write_csv(folder / "items.csv")
    pl.DataFrame(
        {
            "category_id": [f"c{n}" for n in range(50)],
            "parent_id": [f"c{n // 7}" if n >= 7 else None for n in range(50)],
        }
    ).write_csv(folder / "categories.csv")
    pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(items)],
            "category_id": [f"c{n % 50}" for n in range(items)],
        }
    ).write_csv(folder / "item_categories.csv")
    pl.DataFrame(
        {
            "follower_id": [f"u{n}" for n in range(users)],
            "followee_id": [f"u{(n * 7 + 1) % users}" for n in range(users)],
        }
    ).filter(pl.col("follower_id") != pl.col("followee_id")).write_csv(folder / "follows.csv")


class Rounds:
    """One server, one data set, loaded again and again."""

    def __init__(self, server: LocalNeo4j, tables: Path, home: Path) -> None:
        self._server = server
        self._tables = tables
        self._home = home

    def undisturbed(self) -> tuple[float, str]:
        """Seconds of a load, and the hash of what it made."""
        self._empty()
        started = time.perf_counter()
        self._finish(self._ingest())
        return time.perf_counter() - started, self._hash()

    def disturbed(self, victim: str, moment: float) -> tuple[str, int]:
        """The hash after a kill and the same command again, and what was there in between."""
        self._empty()
        loading = self._ingest()
        time.sleep(moment)
        if victim == "loader":
            loading.kill()
        else:
            pid = self._server.status().pid
            assert pid is not None, "the server is a process of this machine"
            os.kill(pid, signal.SIGKILL)
            while psutil.pid_exists(pid):  # it takes a moment to die
                time.sleep(0.05)
        loading.communicate(timeout=_COMMAND_SECONDS)
        self._server.up()
        before = self._things()
        self._finish(self._ingest())
        return self._hash(), before

    def _ingest(self) -> subprocess.Popen[bytes]:
        address = self._address()
        return subprocess.Popen(
            [sys.executable, "-m", "recsvc", "ingest", str(self._tables)],
            env={
                **os.environ,
                "RECSVC_HOME": str(self._home),
                "RECSVC_NEO4J_URI": address.uri,
                "RECSVC_NEO4J_USER": address.user,
                "RECSVC_NEO4J_PASSWORD": address.password,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def _finish(self, loading: subprocess.Popen[bytes]) -> None:
        _, said = loading.communicate(timeout=_COMMAND_SECONDS)
        if loading.returncode != 0:
            raise RuntimeError(f"the load failed: {said.decode(errors='replace')}")

    def _address(self) -> Neo4jAddress:
        return self._server.address()

    def _empty(self) -> None:
        with Neo4jGateway(self._address()) as gateway:
            gateway.run(_DELETE_ALL)

    def _hash(self) -> str:
        with Neo4jGateway(self._address()) as gateway:
            return graph_hash(gateway)

    def _things(self) -> int:
        count = Query(
            "benchmarks/things", "Nodes and relationships.", "read", {}, {"n": "int"},
            "RETURN COUNT { () } + COUNT { ()-[]->() } AS n",
        )  # fmt: skip
        with Neo4jGateway(self._address()) as gateway:
            return gateway.run(count)[0]["n"]


if __name__ == "__main__":
    sys.exit(main())
