"""A bulk ingest and a whole refresh of made graphs of several sizes: seconds and memory by step.

    python benchmarks/refresh_growth.py [INTERACTIONS …]

The graphs are those of `_made_graph.py`, by default of 0.1, 0.5, 1 and 5 million interactions, each
in a Neo4j and a process of its own, with default options. The growth of a step is the power of
the number of interactions that its time goes with, between the two largest sizes and between the
largest and that of 0.5 million if it is there. Memory is the most that the process of the refresh
held while the step ran; Neo4j has a Java heap of 2 GiB besides.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from _environment import describe
from rich.console import Console
from rich.table import Table

from benchmarks._made_graph import made_graph, write_tables
from loaders.gateway import Neo4jGateway
from loaders.ingest.bulk import bulk_ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.settings import load_settings

SIZES = (100_000, 500_000, 1_000_000, 5_000_000)
FROM = 500_000
_HEAP_MEGABYTES = 2048


def main() -> None:
    """Measure each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("interactions", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--one", action="store_true", help="measure one size and print JSON")
    options = parser.parse_args()
    sizes: list[int] = options.interactions
    if options.one:
        print(json.dumps(_measured(sizes[0])))
        return
    print(describe(), flush=True)
    found: dict[int, dict[str, dict[str, float]]] = {}
    for size in sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[size] = json.loads(done.stdout.splitlines()[-1])
        whole = found[size]["all of it"]
        print(f"{size:,}: {whole['seconds']:.0f} s, {whole['gibibytes']:.2f} GiB", flush=True)
    Console(width=160).print(_table(found))


def _measured(size: int) -> dict[str, dict[str, float]]:
    """Seconds and GiB of each step, of the ingest and of everything."""
    installed = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path()) / ".recsvc")))
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_server(installed, heap_megabytes=_HEAP_MEGABYTES) as server,
    ):
        home, tables = Path(folder), Path(folder) / "tables"
        tables.mkdir()
        write_tables(made_graph(size), tables)
        began = time.perf_counter()
        bulk_ingest(server, FolderTables(tables), rejects=home / "rejects.csv")
        ingested = time.perf_counter() - began
        with Neo4jGateway(server.address()) as gateway:
            manifest = refresh(gateway, RefreshOptions(), load_settings().events, home=home)
        whole = time.perf_counter() - began
    steps: dict[str, dict[str, float]] = {"bulk ingest": {"seconds": ingested, "gibibytes": 0.0}}
    for step in manifest.steps:
        entry = steps.setdefault(step.name, {"seconds": 0.0, "gibibytes": 0.0})
        entry["seconds"] += step.seconds or 0.0
        entry["gibibytes"] = max(entry["gibibytes"], (step.memory_bytes or 0) / 2**30)
    most = max(entry["gibibytes"] for entry in steps.values())
    between = whole - sum(entry["seconds"] for entry in steps.values())
    steps["between the steps"] = {"seconds": between, "gibibytes": most}
    return steps | {"all of it": {"seconds": whole, "gibibytes": most}}


def _table(found: Mapping[int, Mapping[str, Mapping[str, float]]]) -> Table:
    sizes = sorted(found)
    table = Table("step", *(f"{size / 1e6:g} M, s" for size in sizes))
    pairs = _pairs(sizes)
    for low, high in pairs:
        table.add_column(f"growth {low / 1e6:g}-{high / 1e6:g} M", justify="right")
    table.add_column(f"GiB at {sizes[-1] / 1e6:g} M", justify="right")
    for step in found[sizes[-1]]:
        seconds = {size: found[size].get(step, {}).get("seconds", 0.0) for size in sizes}
        growth = [
            f"{math.log(seconds[b] / seconds[a]) / math.log(b / a):.2f}"
            if seconds[a] and seconds[b]
            else ""
            for a, b in pairs
        ]
        memory = f"{found[sizes[-1]][step]['gibibytes']:.2f}"
        table.add_row(step, *(f"{seconds[size]:.1f}" for size in sizes), *growth, memory)
    return table


def _pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    pairs = [(sizes[-2], sizes[-1])] if len(sizes) > 1 else []
    if FROM in sizes[:-2]:
        pairs.append((FROM, sizes[-1]))
    return pairs


if __name__ == "__main__":
    main()
