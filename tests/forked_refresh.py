"""Refreshes in processes of their own, which are killed or paused; Python starts once for all.

`Forks` runs this file once; each refresh is a fork of it, which had everything imported before.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from loaders.catalogue import Query
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables, graph_from_tables
from recsvc.refresh.options import RefreshOptions
from recsvc.settings import load_settings

OPTIONS = RefreshOptions(models=("lightgcn", "walk3", "fastrp"), validation_users=30, seed=3)
EMBEDDINGS = Query(
    "tests/embeddings", "Vectors by property.", "read", {}, {},
    "MATCH (n) UNWIND keys(n) AS name WITH name, n WHERE name STARTS WITH 'embedding_' "
    "RETURN name, count(*) AS nodes ORDER BY name",
)  # fmt: skip
VERSIONS = Query(
    "tests/all_versions", "Versions.", "read", {}, {},
    "MATCH (v:EmbeddingVersion) RETURN v.model AS model, v.version AS version, "
    "v.status AS status, v.slot AS slot, v.run AS run, v.sha256 AS sha256, "
    "v.reason AS reason, COUNT { (v)-[:HAS_PART]->() } AS parts ORDER BY model, version",
)  # fmt: skip

PARTS = Query(
    "tests/parts", "Stored arrays.", "read", {}, {},
    "MATCH (:EmbeddingVersion {model: 'hybrid', status: 'active'})-[:HAS_PART]->(p) "
    "WITH p ORDER BY p.entry, p.number WITH p.entry AS entry, collect(p.content) AS parts "
    "WHERE entry ENDS WITH '.npy' RETURN entry, parts",
)  # fmt: skip


def write_graph(folder: Path, users: int = 36) -> None:
    """Three tastes; everybody has most of the 15 items of theirs."""
    rng = np.random.default_rng(0)
    rows = [
        f"u{user:03},i{item:02}"
        for user in range(users)
        for item in range(45)
        if item // 15 == user % 3 and rng.random() < 0.7
    ]
    folder.mkdir(exist_ok=True)
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows) + "\n")


def make_graph(gateway: Neo4jGateway, folder: Path, users: int = 36) -> None:
    """See `write_graph`."""
    write_graph(folder, users)
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)


def orphans(gateway: Neo4jGateway) -> list[str]:
    """Vectors and arrays that belong to no version that anybody could use."""
    versions = gateway.run(VERSIONS)
    owned = {f"embedding_{v['model']}_{v['slot']}" for v in versions if v["status"] != "failed"}
    left = [row["name"] for row in gateway.run(EMBEDDINGS) if row["name"] not in owned]
    return left + [f"parts of {v['version']}" for v in versions if _useless(v)]


def served_arrays(gateway: Neo4jGateway) -> dict[str, bytes]:
    """The arrays that the active version of the blend is served from, by name."""
    return {row["entry"]: b"".join(map(bytes, row["parts"])) for row in gateway.run(PARTS)}


def _useless(version: dict[str, Any]) -> bool:
    return version["status"] in ("failed", "building") and version["parts"] > 0


@dataclass
class Forks:
    """The process that forks.

    Attributes:
        address: where the graph is.
        process: the process.
        home: where runs have their folders.
    """

    address: Neo4jAddress
    process: subprocess.Popen[str]
    home: Path = Path()

    def start(self, **request: Any) -> int:
        """Start a refresh; returns its process id. See `_refresh` for what may be asked."""
        given = {"uri": self.address.uri, "user": self.address.user}
        given |= {"password": self.address.password, "home": str(self.home)}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(given | request) + "\n")
        self.process.stdin.flush()
        return int(self.answer()["pid"])

    def answer(self) -> dict[str, Any]:
        """What comes of it: `stopped`, or `status` with `report` or `error`."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the process that forks has ended"
        return json.loads(line)

    def refresh(self, **request: Any) -> dict[str, Any]:
        """Start a refresh and wait for its end."""
        self.start(**request)
        return self.answer()


@contextmanager
def forks(address: Neo4jAddress) -> Generator[Forks]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked_refresh"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout_root(),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield Forks(address, process)
    finally:
        process.communicate()


@dataclass
class Boundaries:
    """Where a refresh may be ended: after each file and each transaction of its own.

    Attributes:
        reached: called at each with its name.
        counts: how often each name came.
    """

    reached: Callable[[str], None]
    counts: dict[str, int] = field(default_factory=dict[str, int])

    def at(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        self.reached(f"{name} {self.counts[name]}")


def _patch(boundaries: Boundaries) -> None:
    """Tell of each value that was kept, and of each write before and after it."""
    from loaders import lease
    from recsvc.refresh import run_journal as refresh_run

    write_value = refresh_run.write_value
    run, write = lease.FencedGateway.run, lease.FencedGateway.write
    query_name = [""]

    def writes_value(path: Path, value: Any) -> None:
        write_value(path, value)
        boundaries.at(f"kept {path.stem}")

    def runs(self: Any, query: Query, **parameters: Any) -> Any:
        query_name[0] = query.name.partition("/")[2]
        return run(self, query, **parameters)

    def writes(self: Any, work: Any, **more: Any) -> Any:
        name = query_name[0] if "FencedGateway.run" in work.__qualname__ else work.__qualname__
        boundaries.at(f"before {name}")
        found = write(self, work, **more)
        boundaries.at(f"after {name}")
        return found

    refresh_run.write_value = writes_value
    lease.FencedGateway.run = runs
    lease.FencedGateway.write = writes


def _is_first_change(boundary: str) -> bool:
    """Nothing is written between one change and what is before the next."""
    return boundary.endswith(" 1") and not boundary.startswith("before ")


def _refresh(request: dict[str, Any], out: Path) -> None:
    """One refresh, in the fork.

    What may be asked: `seed`, `models`, `force`, `from_scratch`, `lease_seconds`; `passed`, the
    boundaries to pass before it kills itself at the next, and `first`, whether only the first of
    each change counts as one; `stop_at`, the boundary at which it pauses itself; `largest_file`, in
    bytes, past which every file it writes is as on a full disk.
    """
    from recsvc.refresh.pipeline import refresh

    came: list[str] = []

    def reached(name: str) -> None:
        came.append(name)
        if name == request.get("stop_at"):
            os.kill(os.getpid(), signal.SIGSTOP)
        counts = not request.get("first") or _is_first_change(name)
        if counts and "passed" in request and name not in request["passed"]:
            out.write_text(json.dumps({"boundary": name}))
            os.kill(os.getpid(), signal.SIGKILL)

    _patch(Boundaries(reached))
    chosen = {name: request[name] for name in ("seed",) if name in request}
    if "models" in request:
        chosen["models"] = tuple(request["models"])
    address = Neo4jAddress(request["uri"], request["user"], request["password"])
    with Neo4jGateway(address) as gateway:
        report = refresh(
            gateway, OPTIONS.model_copy(update=chosen), load_settings().events,
            home=Path(request["home"]), force=request.get("force", False),
            from_scratch=request.get("from_scratch", False),
            lease_seconds=request.get("lease_seconds", 60.0),
        )  # fmt: skip
    told = {"run": report.run, "sha256": report.sha256, "versions": dict(report.versions or {})}
    out.write_text(json.dumps({"report": told, "boundaries": came}))


def _child(request: dict[str, Any], out: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if "largest_file" in request:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], limits[1]))
        _refresh(request, out)
    except BaseException as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        out.write_text(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        os._exit(1)
    os._exit(0)


def _ended(pid: int, kill_after: float | None) -> int:
    """The status of a fork, when it has ended; killed after so many seconds."""
    deadline = time.monotonic() + kill_after if kill_after is not None else None
    while True:
        found, status = os.waitpid(pid, os.WUNTRACED | (os.WNOHANG if deadline else 0))
        if found and os.WIFSTOPPED(status):
            _say(stopped=True)
        elif found:
            return os.waitstatus_to_exitcode(status)
        elif deadline and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        else:
            time.sleep(0.005)


def _say(**told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _warm_up() -> None:
    """Fit a small blend: a child that is forked has loaded what is compiled."""
    from recsvc.models import MODELS, FitRun
    from recsvc.training.fit import training_data

    with TemporaryDirectory() as folder:
        write_graph(Path(folder))
        graph = graph_from_tables(FolderTables(Path(folder)), print)
    data = training_data(graph, load_settings().events)
    hybrid = MODELS["hybrid"]
    hybrid.fit(data, hybrid.options_of({"models": "fastrp,walk3"}), FitRun(seed=0))


def main() -> None:
    """Fork for each line of JSON."""
    for name in ("models.lightgcn", "refresh.pipeline"):
        import_module(f"recsvc.{name}")  # a child that is forked has them already
    _warm_up()

    for line in sys.stdin:
        request = json.loads(line)
        out = Path(request["home"]) / "out.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            _child(request, out)
        _say(pid=pid)
        status = _ended(pid, request.get("kill_after"))
        told = json.loads(out.read_text() or "{}") if out.exists() else {}  # killed as it wrote
        _say(status=status, **told)


if __name__ == "__main__":
    main()
