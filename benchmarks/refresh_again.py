"""A whole refresh after few new interactions: going on from the active version, and from scratch.

    python benchmarks/refresh_again.py [--share 0.02]

Last.fm without a random share of its interactions is refreshed once. These come, and it is
refreshed again, twice: by going on from the active version, and from scratch. All go through a
Neo4j of their own, from reading the graph to activation and SIMILAR, one after the other.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from _environment import describe
from rich.console import Console
from rich.table import Table

from benchmarks._accuracy_data import DATA
from loaders.catalogue import Query
from loaders.datasets import open_source
from loaders.gateway import Gateway, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import load_settings

TAKE_AWAY = Query(
    "benchmark/take_away", "", "write", {"share": "float"}, {"taken": "int"},
    "MATCH (u:User)-[did:INTERACTED]->(i:Item) WITH u, i, did ORDER BY u.user_id, i.item_id "
    "WITH collect(did) AS list UNWIND range(0, size(list) - 1) AS n WITH list[n] AS did, n "
    "WHERE toInteger((n + 1) * $share) > toInteger(n * $share) "
    "DELETE did RETURN count(*) AS taken",
)  # fmt: skip
"""Every so manieth, in the order of ids: of each user about the same share."""


def main() -> None:
    """Print the seconds of each step of both, their ratio, and what the gate compared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=0.02, help="of the interactions, that come")
    share: float = parser.parse_args().share
    print(describe(), flush=True)
    installed = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path()) / ".recsvc")))
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_server(installed, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        home = Path(folder)
        tables = open_source("lastfm", DATA / "hetrec2011-lastfm-2k")
        ingest(gateway, tables, rejects=home / "rejects")
        (row,) = gateway.run(TAKE_AWAY, share=share)
        print(f"{row['taken']:,} interactions are to come", flush=True)
        _timed(gateway, home, "first")
        ingest(gateway, tables, rejects=home / "rejects")
        tuned = _timed(gateway, home, "fine-tuned")
        anew = _timed(gateway, home, "from scratch", from_scratch=True)
        _print(tuned, anew)


def _timed(
    gateway: Gateway, home: Path, what: str, *, from_scratch: bool = False
) -> tuple[float, RunManifest]:
    began = time.perf_counter()
    events = load_settings().events
    report = refresh(gateway, RefreshOptions(), events, home=home, from_scratch=from_scratch)
    seconds = time.perf_counter() - began
    print(f"{what}: {seconds:.1f} s; {report.start}; change {report.change}", flush=True)
    return seconds, report


def _print(tuned: tuple[float, RunManifest], anew: tuple[float, RunManifest]) -> None:
    table = Table("step", "fine-tuned, s", "from scratch, s")
    for step, seconds in anew[1].seconds.items():
        table.add_row(step, f"{tuned[1].seconds.get(step, 0.0):.1f}", f"{seconds:.1f}")
    for step in tuned[1].seconds.keys() - anew[1].seconds.keys():
        table.add_row(step, f"{tuned[1].seconds[step]:.1f}", "")
    Console().print(table)
    print(f"ratio {anew[0] / tuned[0]:.1f}")


if __name__ == "__main__":
    main()
