"""What one machine can hold: a graph of any size, read, learned from, packed and served.

    python benchmarks/refresh_at_size.py [INTERACTIONS …] [--out FILE]

By default 1, 2 and 50 million interactions; the last are of 1 million users and 500,000 items. The
graphs are those of `_made_graph.py`. Each size has a Neo4j and a process of its own, and goes
through a bulk ingest, extract, ridge and its rows, PageRank, the rows of every meta-path, the
packed snapshot, and answers from its files. Each step is printed with its seconds and the most
memory that the process held, and written to FILE as a line of JSON, as soon as it is done.

A step begins only where the memory that it is expected to take is there: as much more for each
interaction as from the one size before to the other. Where it is not, or where the process is
killed, the rest of that size is worked out from the sizes before, and marked with ~.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import scipy.sparse as sp
from _environment import describe
from rich.console import Console
from rich.table import Table

from benchmarks._made_graph import made_graph, write_tables
from loaders.extract import ItemDetails, extract_details, extract_graph
from loaders.gateway import Neo4jGateway
from loaders.ingest.bulk import bulk_ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables
from loaders.types import HeteroGraph
from recsvc.blend.blend import Blend
from recsvc.blend.fit import Journal, Parts, row_signals
from recsvc.blend.options import BlendOptions
from recsvc.blend.parts import Fitted
from recsvc.evidence import Evidence, EvidenceNode, evidence_matrix
from recsvc.models import MODELS, FitRun, TrainingData
from recsvc.models._memory import available_bytes
from recsvc.models.parts import as_part
from recsvc.refresh.candidate import snapshot_of
from recsvc.refresh.run_journal import forget_peak, peak_bytes
from recsvc.settings import load_settings
from recsvc.signals.popularity import popularity_prior
from recsvc.snapshot.arrays import Snapshot, load, pack
from recsvc.snapshot.folders import unpack

SIZES = (1_000_000, 2_000_000, 50_000_000)
MODEL = "ridge"
ANSWERS, K = 200, 10
_HEAP_MEGABYTES = 2048


@dataclass(frozen=True)
class Step:
    """One step of one size."""

    name: str
    seconds: float
    bytes: float
    measured: bool = True


Curve = Mapping[int, Sequence[Step]]
"""The steps that were measured, by size."""


class NoMemoryError(Exception):
    """A step is expected to take more memory than there is."""


@dataclass
class Measured(Journal):
    """Prints each step, and lets none begin that would not fit.

    Attributes:
        expected: bytes by step.
        file: where the lines go.
        size: interactions.
    """

    expected: Mapping[str, float]
    file: TextIO
    size: int

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """One step."""
        self.require(name)
        forget_peak()
        began = time.perf_counter()
        yield
        self.note(name, time.perf_counter() - began, peak_bytes() or 0)

    def require(self, name: str) -> None:
        """See that the memory is there that a step is expected to take.

        Raises:
            NoMemoryError: it is not.
        """
        forget_peak()
        needed, free = self.expected.get(name, 0.0), available_bytes("cpu") + (peak_bytes() or 0)
        if needed > free:
            raise NoMemoryError(
                f"there is not the memory for {name}: about {needed / 2**30:.1f} GiB are needed "
                f"and {free / 2**30:.1f} are free"
            )

    def note(self, name: str, seconds: float, peak: int) -> None:
        """Write down a step."""
        print(f"{self.size:,}: {name}: {seconds:.1f} s, {peak / 2**30:.2f} GiB", flush=True)
        step = {"size": self.size, "name": name, "seconds": seconds, "bytes": peak}
        self.file.write(json.dumps(step) + "\n")
        self.file.flush()


def main() -> None:
    """Measure each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("interactions", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--out", type=Path, default=Path("refresh_at_size.jsonl"))
    parser.add_argument("--one", action="store_true", help="measure one size; FILE has the others")
    parser.add_argument("--tables", type=Path, help="write the tables of one size, and no more")
    options = parser.parse_args()
    sizes: list[int] = sorted(options.interactions)
    if options.tables:
        write_tables(made_graph(sizes[0]), options.tables)
        print(peak_bytes() or 0)
        return
    if options.one:
        sys.exit(_measure(sizes[0], options.out))
    print(describe(), flush=True)
    options.out.unlink(missing_ok=True)
    for size in sizes:
        command = [sys.executable, __file__, "--one", str(size), "--out", str(options.out)]
        code = subprocess.run(command, check=False).returncode
        if code:
            print(f"{size:,}: ended early ({code})", flush=True)
    curve = _read(options.out)
    if curve:
        Console(width=160).print(_table({size: _whole(size, curve) for size in sizes}))


def _measure(size: int, out: Path) -> int:
    """All steps of one size; 1 where memory would not suffice for one."""
    before = {n: steps for n, steps in _read(out).items() if n < size}
    expected = {step.name: step.bytes for step in _modelled(size, before)}
    with out.open("a") as file:
        try:
            _run(Measured(expected, file, size))
        except NoMemoryError as error:
            print(f"{size:,}: {error}", flush=True)
            return 1
    return 0


def _run(journal: Measured) -> None:
    installed = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path()) / ".recsvc")))
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_server(installed, heap_megabytes=_HEAP_MEGABYTES) as server,
    ):
        home = Path(folder)
        tables = home / "tables"
        tables.mkdir()
        journal.require("graph is made")
        began = time.perf_counter()
        peak = _make_apart(journal.size, tables)
        journal.note("graph is made", time.perf_counter() - began, peak)
        with journal.step("bulk ingest"):
            bulk_ingest(server, FolderTables(tables), rejects=home / "rejects.csv")
        with Neo4jGateway(server.address()) as gateway, journal.step("extract"):
            graph = extract_graph(gateway)
            details = extract_details(gateway, graph.items, graph.categories)
        _learn_and_serve(journal, graph, details, home / "snapshot")


def _learn_and_serve(
    journal: Measured, graph: HeteroGraph, details: ItemDetails, folder: Path
) -> None:
    options = BlendOptions(models=(MODEL,))
    with journal.step("evidence"):
        evidence = evidence_matrix(graph, load_settings().events, now=time.time())
    data = TrainingData(graph, evidence)
    with journal.step(f"options of {MODEL}"):
        chosen = MODELS[MODEL].resolved(data, MODELS[MODEL].options_of({}), 0)
    with journal.step(MODEL):
        model, report = MODELS[MODEL].fit(data, chosen, FitRun(0))
    fitted = as_part(model, report, graph.items, options.kernel_size, journal)
    del model
    kinds = graph.interactions.events
    parts = Parts(options, kinds, _no_fit, None, journal)
    signals, _cut = row_signals(parts, graph, evidence)
    every = (fitted.signal(MODEL, graph.items), *signals)
    blend = Blend(every, (1.0,) * len(every), popularity_prior(evidence), 0.1)
    with journal.step("snapshot"):
        numbers = {"hybrid": 1}
        content, sha256 = pack(snapshot_of(graph, details, evidence, blend, numbers, kinds))
        unpack(content, sha256, folder)
    asked = _asked(graph, evidence)
    del blend, every, signals, fitted, content, evidence, data, graph
    with journal.step("load"):
        snapshot = load(folder)
    with journal.step(f"{ANSWERS} answers"):
        times = [_answer(snapshot, each) for each in asked]
    p50, p99 = np.percentile(times, [50, 99])
    print(f"{journal.size:,}: scores and the {K} best: p50 {1e3 * p50:.1f} ms, p99 {1e3 * p99:.1f}",
          flush=True)  # fmt: skip


def _no_fit(*_given: object, **_more: object) -> Fitted:
    raise AssertionError("rows alone are made")


def _make_apart(size: int, tables: Path) -> int:
    """Write the tables, in a process whose memory is given back; the most that it took."""
    command = [sys.executable, __file__, str(size), "--tables", str(tables)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def _asked(graph: HeteroGraph, evidence: sp.csr_matrix) -> list[Evidence]:
    """What some users did and follow."""
    follows = graph.follows.matrix(len(graph.users), len(graph.users), weighted=False)
    found: list[Evidence] = []
    for user in np.random.default_rng(0).integers(len(graph.users), size=ANSWERS).tolist():
        own = [graph.items[row] for row in evidence[user].indices.tolist()]
        nodes = [EvidenceNode("item", one, 1.0, "interaction") for one in own]
        followed = follows[user].indices.tolist()
        nodes += [EvidenceNode("user", graph.users[row], 1.0) for row in followed]
        found.append(Evidence(tuple(nodes), frozenset(own)))
    return found


def _answer(snapshot: Snapshot, evidence: Evidence) -> float:
    began = time.perf_counter()
    allowed = np.ones(len(snapshot.items), bool)
    allowed[snapshot.items.rows(list(evidence.seen))] = False
    snapshot.blend.score(evidence).best(allowed, K)
    return time.perf_counter() - began


def _read(out: Path) -> dict[int, list[Step]]:
    found: dict[int, list[Step]] = {}
    with suppress(FileNotFoundError):
        for line in out.read_text().splitlines():
            row = json.loads(line)
            found.setdefault(row["size"], []).append(
                Step(row["name"], row["seconds"], row["bytes"])
            )
    return found


def _modelled(size: int, before: Curve) -> list[Step]:
    """The steps of a size by those of the largest one before; seconds by how they grew to it."""
    if not before:
        return []
    *_, large = sizes = sorted(before)
    small = {step.name: step for step in before[sizes[-2]]} if len(sizes) > 1 else {}
    found: list[Step] = []
    for step in before[large]:
        growth, each = 1.0, step.bytes / large
        if step.name in small:
            other = small[step.name]
            each = max(0.0, step.bytes - other.bytes) / (large - sizes[-2])
            if min(other.seconds, step.seconds) > 0.0:
                growth = math.log(step.seconds / other.seconds) / math.log(large / sizes[-2])
        seconds = step.seconds * (size / large) ** min(2.0, max(1.0, growth))
        memory = step.bytes + each * (size - large)
        found.append(Step(step.name, seconds, memory, measured=False))
    return found


def _whole(size: int, curve: Curve) -> list[Step]:
    """What was measured of a size, and the rest as it is modelled."""
    own = list(curve.get(size, ()))
    names = {step.name for step in own}
    before = {n: steps for n, steps in curve.items() if n < size}
    return own + [step for step in _modelled(size, before) if step.name not in names]


def _table(found: Mapping[int, Sequence[Step]]) -> Table:
    table = Table("step", *(head for n in found for head in (f"{n / 1e6:g} M, s", "GiB")))
    for name in dict.fromkeys(step.name for steps in found.values() for step in steps):
        cells: list[str] = []
        for steps in found.values():
            one = next((step for step in steps if step.name == name), None)
            mark = "" if one is None or one.measured else "~"
            cells += (
                ["", ""]
                if one is None
                else [f"{mark}{one.seconds:.1f}", f"{mark}{one.bytes / 2**30:.2f}"]
            )
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main()
