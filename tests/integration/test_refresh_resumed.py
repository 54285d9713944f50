"""Refreshes that are ended, paused or started twice: one writes, and it ends as if undisturbed."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from loaders.catalogue import Query
from loaders.errors import Neo4jUnavailableError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.lease import FencedGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.errors import RefreshError
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import load_settings
from tests.forked_refresh import (
    OPTIONS,
    VERSIONS,
    Forks,
    make_graph,
    orphans,
    served_arrays,
)
from tests.graph_hash import graph_hash
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j

QUICK = OPTIONS.model_copy(update={"models": ("fastrp", "walk3")})
EVENTS = load_settings().events


@pytest.fixture
def forked(forking: Forks, tmp_path: Path) -> Forks:
    return replace(forking, home=tmp_path / "home")


@pytest.fixture
def graph(gateway: Neo4jGateway, tmp_path: Path) -> Neo4jGateway:
    make_graph(gateway, tmp_path / "tables")
    return gateway


def statuses(gateway: Neo4jGateway) -> dict[str, list[str]]:
    """Statuses of the versions of each model, in their order."""
    found: dict[str, list[str]] = {}
    for row in gateway.run(VERSIONS):
        found.setdefault(row["model"], []).append(row["status"])
    return found


def manifests(home: Path) -> list[dict[str, Any]]:
    paths = sorted((home / "refreshes").glob("*/manifest.json"))
    return [orjson.loads(path.read_bytes()) for path in paths]


def killed_everywhere(forked: Forks, **request: Any) -> tuple[list[str], dict[str, Any]]:
    """One refresh, killed at each boundary in turn and resumed."""
    passed: list[str] = []
    while True:
        told = forked.refresh(passed=passed, force=True, **request)
        if told["status"] != -signal.SIGKILL:
            return passed, told
        passed.append(told["boundary"])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True)
@pytest.mark.parametrize(
    ("models", "first"),
    [
        pytest.param(["fastrp"], True, id="first"),
        pytest.param(list(OPTIONS.models), False, id="every"),
    ],
)
def test_killed_at_every_boundary_it_makes_the_same(
    graph: Neo4jGateway, forked: Forks, tmp_path: Path, models: list[str], first: bool
) -> None:
    undisturbed = forked.refresh(home=str(tmp_path / "other"), models=models)
    expected = graph_hash_without_times(graph)
    make_empty(graph)
    make_graph(graph, tmp_path / "tables")
    passed, told = killed_everywhere(forked, models=models, first=first)
    assert told["status"] == 0, told
    fit = f"kept fit-{models[0]}-for-validation 1"
    assert {"kept graph 1", fit, "kept weights 1"} <= set(passed)
    assert {"after mark_ready.<locals>.mark 1", "after activate.<locals>.flip 1"} <= set(passed)
    assert first or {"before activate.<locals>.flip 1", "before similar 1"} <= set(passed)
    assert told["report"]["sha256"] == undisturbed["report"]["sha256"]
    assert told["report"]["versions"] == undisturbed["report"]["versions"]
    assert graph_hash_without_times(graph) == expected
    assert orphans(graph) == []
    *others, manifest = manifests(forked.home)
    # Those were killed before the graph knew of them.
    assert {(m["state"], tuple(s["name"] for s in m["steps"])) for m in others} == {
        ("failed", ("begin",))
    }
    assert manifest["state"] == "activated"
    assert manifest["compared_with"] is None  # not with itself, once it is active
    assert len(manifest["attempts"]) > (10 if first else 20)
    fits = [s["state"] for s in manifest["steps"] if s["name"] == f"fit {models[0]}"]
    assert fits.count("done") == 1


def make_empty(gateway: Neo4jGateway) -> None:
    gateway.run(Query("tests/empty", "", "write", {}, {}, "MATCH (n) DETACH DELETE n"))


def graph_hash_without_times(gateway: Neo4jGateway) -> str:
    """Of everything but the lease and when, by whom and how fast versions were made."""
    strip = Query(
        "tests/strip", "", "write", {}, {},
        "MATCH (l:RefreshLease) DETACH DELETE l WITH count(*) AS gone MATCH (v:EmbeddingVersion) "
        "REMOVE v.run, v.seconds, v.started_at, v.ready_at, v.activated_at, v.graph_at",
    )  # fmt: skip
    gateway.run(strip)
    return graph_hash(gateway)


@pytest.mark.long
@pytest.mark.parametrize(
    "at",
    [
        "before begin_version.<locals>.begin 2",
        "before item_vectors[fastrp,a] 1",
        "before activate.<locals>.flip 1",
        "before similar 1",
    ],
)
def test_one_that_was_paused_and_comes_back_never_writes(
    graph: Neo4jGateway, forked: Forks, at: str
) -> None:
    pid = forked.start(stop_at=at, models=list(QUICK.models), lease_seconds=1.0)
    assert forked.answer() == {"stopped": True}
    # The lease runs out; its run is locked by a process that is still there.
    report = refresh(graph, QUICK, EVENTS, home=forked.home, lease_seconds=1.0)
    before = graph_hash(graph)
    os.kill(pid, signal.SIGCONT)
    told = forked.answer()
    assert told["status"] == 1
    assert told["error"].startswith("LeaseLostError")
    assert graph_hash(graph) == before
    assert orphans(graph) == []
    assert statuses(graph)["hybrid"][-1] == "active"
    lost, won = manifests(forked.home)
    assert (lost["state"], won["state"], won["run"]) == ("failed", "activated", report.run)
    assert won["attempts"][0]["taken_from"] == lost["attempts"][0]["holder"]


@pytest.mark.long
def test_of_two_at_once_exactly_one_writes(
    graph: Neo4jGateway, neo4j_address: Neo4jAddress, tmp_path: Path
) -> None:
    came: list[RunManifest | BaseException] = []
    together, refused = threading.Barrier(2), threading.Event()

    def progress(what: str, _done: int, _total: int) -> None:
        if what.startswith("extract"):  # the holder of the lease works until the other ended
            assert refused.wait(PATIENCE_SECONDS)

    def run() -> None:
        with Neo4jGateway(neo4j_address) as own:
            together.wait()
            try:
                report = refresh(
                    own, QUICK, EVENTS, home=tmp_path / "h", lease_seconds=6.0, progress=progress
                )
                came.append(report)
            except RefreshError as error:
                refused.set()
                came.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (error,) = [each for each in came if isinstance(each, RefreshError)]
    assert "another refresh is running" in str(error)
    assert statuses(graph) == {"fastrp": ["active"], "hybrid": ["active"]}
    assert len(manifests(tmp_path / "h")) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("lost_at", "left"), [("writeback/snapshot_parts", "building"), ("delete/deletions", "ready")]
)
def test_what_is_never_gone_on_with_fails_and_leaves_nothing(
    graph: Neo4jGateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost_at: str,
    left: str,
) -> None:
    refresh(graph, QUICK, EVENTS, home=tmp_path)
    both = QUICK.model_copy(update={"models": ("fastrp", "svd")})
    with monkeypatch.context() as patched:
        lose_neo4j_at(patched, lost_at)
        with pytest.raises(Neo4jUnavailableError):
            refresh(graph, both, EVENTS, home=tmp_path)
    assert statuses(graph) == {
        "svd": [left], "fastrp": ["active", left], "hybrid": ["active", left],
    }  # fmt: skip
    assert manifests(tmp_path)[1]["state"] == "unfinished"
    # Something else is asked for, so the run is not resumed.
    refresh(graph, QUICK.model_copy(update={"seed": 9}), EVENTS, home=tmp_path)
    assert statuses(graph) == {
        "svd": ["failed"], "fastrp": ["retired", "failed", "active"],
        "hybrid": ["retired", "failed", "active"],
    }  # fmt: skip
    assert orphans(graph) == []
    failed = [row for row in graph.run(VERSIONS) if row["status"] == "failed"]
    assert all(row["reason"].startswith("left unfinished") for row in failed)
    assert {row["slot"] for row in failed} == {None}
    assert [m["state"] for m in manifests(tmp_path)] == ["activated", "failed", "activated"]


def lose_neo4j_at(patched: pytest.MonkeyPatch, name: str) -> None:
    run = FencedGateway.run

    def runs(self: FencedGateway, query: Query, **parameters: Any) -> Any:
        if query.name == name:
            raise Neo4jUnavailableError("gone")
        return run(self, query, **parameters)

    patched.setattr(FencedGateway, "run", runs)


@pytest.mark.parametrize(
    "lost_at",
    [
        "writeback/snapshot_parts",
        "delete/deletions",
        pytest.param("writeback/drop_parts", marks=pytest.mark.long),
        pytest.param("writeback/similar", marks=pytest.mark.long),
    ],
)
def test_when_neo4j_comes_back_it_goes_on_with_the_same_versions(
    graph: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost_at: str
) -> None:
    with monkeypatch.context() as patched:
        lose_neo4j_at(patched, lost_at)
        with pytest.raises(Neo4jUnavailableError):
            refresh(graph, QUICK, EVENTS, home=tmp_path)
    report = refresh(graph, QUICK, EVENTS, home=tmp_path)
    assert report.versions == {"hybrid": 1, "fastrp": 1}
    assert statuses(graph) == {"fastrp": ["active"], "hybrid": ["active"]}
    (manifest,) = manifests(tmp_path)
    names = [step["name"] for step in manifest["steps"]]
    assert names.count("fit fastrp") == names.count("extract") == 1
    assert orphans(graph) == []


def test_an_error_that_would_come_again_is_not_gone_on_with(
    graph: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any, **_more: Any) -> None:
        raise ZeroDivisionError("broken")

    with monkeypatch.context() as patched:
        patched.setattr("recsvc.refresh.pipeline.nearest_items", broken)
        patched.setattr("recsvc.refresh.pipeline.pack", broken)
        with pytest.raises(ZeroDivisionError):
            refresh(graph, QUICK, EVENTS, home=tmp_path)
    assert statuses(graph) == {"fastrp": ["failed"], "hybrid": ["failed"]}
    assert refresh(graph, QUICK, EVENTS, home=tmp_path).versions == {"hybrid": 2, "fastrp": 2}
    assert [m["state"] for m in manifests(tmp_path)] == ["failed", "activated"]


def test_a_full_disk_is_said_and_gone_on_after(
    graph: Neo4jGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsvc.refresh import run_journal as refresh_run

    write_value = refresh_run.write_value

    def full(path: Path, value: Any) -> None:
        if path.stem == "weights":
            raise OSError(28, "No space left on device")
        write_value(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(refresh_run, "write_value", full)
        with pytest.raises(RefreshError, match=r"No space left.*the same command goes on"):
            refresh(graph, QUICK, EVENTS, home=tmp_path)
    assert refresh(graph, QUICK, EVENTS, home=tmp_path).versions["hybrid"] == 1
    (manifest,) = manifests(tmp_path)
    assert [s["name"] for s in manifest["steps"]].count("extract") == 1


@pytest.mark.long
def test_a_fit_goes_on_after_its_last_epoch_and_gives_the_same(
    graph: Neo4jGateway, tmp_path: Path
) -> None:
    options = OPTIONS.model_copy(update={"models": ("lightgcn",), "fine_tune_below": 0.0})
    fit = "fit lightgcn for validation"
    refresh(graph, options, EVENTS, home=tmp_path)
    expected = served_arrays(graph)
    epochs: list[int] = []

    def interrupt(what: str, done: int, _total: int) -> None:
        if (what, done) == (fit, 4):
            raise KeyboardInterrupt

    def listen(what: str, done: int, total: int) -> None:
        if what == fit and (done, total) not in ((0, 0), (1, 1)):
            epochs.append(done)

    with pytest.raises(KeyboardInterrupt):
        refresh(graph, options, EVENTS, home=tmp_path, progress=interrupt)
    assert manifests(tmp_path)[1]["error"].startswith("KeyboardInterrupt")
    report = refresh(graph, options, EVENTS, home=tmp_path, progress=listen)
    assert epochs[0] == 4
    assert report.versions == {"hybrid": 2, "lightgcn": 2}
    assert served_arrays(graph) == expected
    manifest = manifests(tmp_path)[1]
    assert (manifest["state"], manifest["error"]) == ("activated", None)
    assert [s["state"] for s in manifest["steps"] if s["name"] == fit] == ["interrupted", "done"]
