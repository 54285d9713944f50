"""The folder of a refresh: what is resumed, what is given up, what is noted."""

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import structlog

from loaders.lease import FencedGateway
from recsvc.errors import RefreshError
from recsvc.evaluation.metrics import Estimate
from recsvc.json_log import configure_json_log
from recsvc.refresh.lease import Lease
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.refresh.run_journal import (
    RUN_NAME,
    clear_marked,
    forget_unfinished,
    new_name,
    newest_manifests,
    opened_run,
    read_manifest,
    run_of,
)
from recsvc.refresh.run_manifest import RunIdentity, VersionBefore
from recsvc.service.refreshes import Refreshes
from tests.waiting import until_then

NEW = Estimate(0.5, 0.25, 0.75)
IDENTITY = RunIdentity(options={"models": ["a"], "seed": 0})


class Runs:
    """Runs below one folder; every run is known to the graph unless said otherwise."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def names(self) -> set[str]:
        return {path.name for path in (self.home / "refreshes").glob("*")}

    def open(self, identity: RunIdentity = IDENTITY, known: set[str] | None = None) -> Any:
        known = self.names() if known is None else known
        return opened_run(self.home, identity, known, (), new_name())

    def begun(self, **kept: Any) -> str:
        """The name of a run that was ended in the middle, with what its steps made."""
        with self.open(RunIdentity(options={"only": "this one"}), set()) as run:
            run.note(identity=IDENTITY)
            for name, value in kept.items():
                run.kept(name, lambda value=value: value)
        return run.name

    def manifest(self, name: str) -> dict[str, Any]:
        return orjson.loads((self.home / "refreshes" / name / "manifest.json").read_bytes())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def never() -> Any:
    raise AssertionError("made again")


def test_an_unfinished_run_is_gone_on_with(runs: Runs) -> None:
    name = runs.begun(graph=np.arange(3))
    with runs.open() as run:
        assert run.name == name
        assert run.kept("graph", never).tolist() == [0, 1, 2]
        assert run.kept("more to do", lambda: 4) == 4
        assert run.kept("more to do", never) == 4
        run.end("activated", sha256="x")
    assert {path.name for path in run.folder.iterdir()} == {"manifest.json", "lock"}
    assert runs.manifest(name)["state"] == "activated"
    with runs.open() as run:
        assert run.name != name


@pytest.mark.parametrize("changed", [{"options": {"models": ["a"], "seed": 1}}, {}])
def test_a_run_of_something_else_is_given_up(runs: Runs, changed: dict[str, Any]) -> None:
    name = runs.begun(graph=1)
    with runs.open(RunIdentity(**changed)) as run:
        assert run.name != name
        assert run.kept("graph", lambda: 2) == 2
    assert runs.manifest(name)["state"] == "failed"
    assert not list((runs.home / "refreshes" / name).glob("*.npz"))


def test_what_the_graph_does_not_know_is_given_up(runs: Runs) -> None:
    """Another graph, or versions that failed meanwhile."""
    name = runs.begun(graph=1)
    with runs.open(known=set()) as run:
        assert run.name != name


@pytest.mark.parametrize(("hours", "same"), [(-11, True), (11, True), (-13, False), (13, False)])
def test_an_old_run_is_given_up(runs: Runs, hours: int, same: bool) -> None:
    """Also one from the future: the clock was set back."""
    name = runs.begun(graph=1)
    for path in (runs.home / "refreshes" / name).iterdir():
        os.utime(path, (time.time() + 3600 * hours,) * 2)
    with runs.open() as run:
        assert (run.name == name) == same


def test_of_several_the_newest_is_gone_on_with(runs: Runs) -> None:
    older, newer = runs.begun(), runs.begun()
    with runs.open():  # made by `begun` on its own, the older one was put away
        pass
    assert older < newer
    assert runs.manifest(older)["state"] == "failed"
    assert runs.manifest(newer)["state"] == "unfinished"


def holder(folder: Path) -> subprocess.Popen[bytes]:
    """A process that works on a run."""
    code = (
        "import sys, time, pathlib; from recsvc.refresh.run_journal import locked_run\n"
        "with locked_run(pathlib.Path(sys.argv[1])) as free:\n"
        "    print(free, flush=True); time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"True\n"
    return process


def test_a_run_of_a_living_process_is_left_alone_even_if_that_is_paused(runs: Runs) -> None:
    name = runs.begun(graph=1)
    process = holder(runs.home / "refreshes" / name)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        forget_unfinished(runs.home)
        with runs.open() as run:
            assert run.name != name
        assert runs.manifest(name)["state"] == "unfinished"
        assert (runs.home / "refreshes" / name / "graph.npz").exists()
    finally:
        process.kill()
        process.communicate()
    with runs.open() as run:  # the kernel has unlocked what the process held
        pass
    forget_unfinished(runs.home)
    assert not list((runs.home / "refreshes" / name).glob("*.npz"))


def test_a_run_that_read_what_was_deleted_meanwhile_is_cleared_and_not_resumed(runs: Runs) -> None:
    name = runs.begun(graph=1)
    folder = runs.home / "refreshes" / name
    process = holder(folder)
    try:
        assert forget_unfinished(runs.home)
        clear_marked(runs.home)
        assert (folder / "graph.npz").exists()
    finally:
        process.kill()
        process.communicate()
    with runs.open() as run:
        assert run.name != name
    assert not (folder / "graph.npz").exists()


def test_deletions_at_the_same_time_are_no_refresh_at_work(runs: Runs) -> None:
    for graph in range(30):
        runs.begun(graph=graph)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(forget_unfinished, [runs.home] * 64))
    assert not any(found)
    assert not list((runs.home / "refreshes").glob("*/deleted"))


def test_a_service_clears_what_such_a_run_left(runs: Runs) -> None:
    name = runs.begun(graph=1)
    folder = runs.home / "refreshes" / name
    process = holder(folder)
    try:
        forget_unfinished(runs.home)
    finally:
        process.kill()
        process.communicate()

    async def watched() -> None:
        watching = asyncio.create_task(Refreshes(runs.home).watch())
        await until_then(lambda: watching.done() or not (folder / "graph.npz").exists())
        watching.cancel()

    asyncio.run(watched())
    assert not (folder / "graph.npz").exists()
    assert not forget_unfinished(runs.home)


def test_what_a_run_left_that_was_killed_after_its_end_goes_with_the_next(runs: Runs) -> None:
    with runs.open() as run:
        run.note(state="activated")
        run.kept("graph", lambda: 1)
    with runs.open(known={run.name}):
        assert not (run.folder / "graph.npz").exists()
        assert runs.manifest(run.name)["state"] == "activated"


def test_the_newest_runs_are_kept_and_rubbish_is_not(runs: Runs) -> None:
    names = []
    for _ in range(7):
        with runs.open(known=set(names[-1:])) as run:
            run.end("activated")
            names.append(run.name)
    assert runs.names() == set(names[-6:])
    (runs.home / "refreshes" / names[-1] / "manifest.json").write_bytes(b'{"state": ')
    with runs.open(known=set()):
        assert names[-1] not in runs.names()


def test_what_is_damaged_is_made_again(runs: Runs) -> None:
    name = runs.begun(graph=np.arange(1000))
    path = runs.home / "refreshes" / name / "graph.npz"
    content = bytearray(path.read_bytes())
    for damaged in (b"", content[:2000], b"no archive", content[:4000] + b"x" + content[4001:]):
        path.write_bytes(damaged)
        with runs.open() as run:
            assert run.kept("graph", lambda: 5) == 5
            assert run.kept("graph", never) == 5


@pytest.fixture
def lease() -> Lease:
    gateway: Any = None
    return Lease(FencedGateway(gateway, "me", 7), 60.0, "another", forced=True)


def test_steps_and_attempts_are_noted(runs: Runs, lease: Lease) -> None:
    with runs.open() as run:
        run.attempt(lease, "the first")
        with run.step("one"):
            block = np.ones(100_000_000 // 8)  # so large that malloc always asks the kernel for it
            del block
        with run.step("one"):
            pass
        with pytest.raises(KeyboardInterrupt), run.step("two"):
            raise KeyboardInterrupt
        with run.step("three"):
            killed = runs.manifest(run.name)["steps"]
    steps = runs.manifest(run.name)["steps"]
    assert [(s["name"], s["state"]) for s in killed[2:]] == [
        ("two", "interrupted"), ("three", "running"),
    ]  # fmt: skip
    assert steps[0]["memory_bytes"] > steps[1]["memory_bytes"] + 90_000_000
    assert run.manifest.seconds["one"] == steps[0]["seconds"] + steps[1]["seconds"]
    run.note(steps=killed)
    with runs.open() as again:
        again.attempt(lease, "the second")
    manifest = runs.manifest(run.name)
    assert again.name == run.name == run_of(runs.home, "the first")
    assert run_of(runs.home, "the second") == run.name
    assert run_of(runs.home, "a third") is None
    assert [step["state"] for step in manifest["steps"][2:]] == ["interrupted", "interrupted"]
    assert [(a["fence"], a["taken_from"], a["forced"]) for a in manifest["attempts"]] == [
        (7, "another", True), (7, "another", True),
    ]  # fmt: skip


def test_a_full_disk_is_an_error_and_leaves_what_was_kept(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_more: Any) -> None:
        raise OSError(28, "No space left on device")

    with runs.open() as run:
        run.kept("graph", lambda: 1)
        monkeypatch.setattr("loaders.value_file.np.savez", full)
        with pytest.raises(OSError, match="No space"):
            run.kept("fit", lambda: 2)
        assert run.kept("graph", never) == 1
        monkeypatch.undo()
        assert run.kept("fit", lambda: 3) == 3


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [orjson.loads(line) for line in captured.err.splitlines()]


def test_each_step_is_logged_where_somebody_said_how(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()
    with runs.open() as run, run.step("extract"):
        pass
    assert logged(capsys) == []
    configure_json_log()
    with pytest.raises(KeyboardInterrupt), run.step("fit"):
        raise KeyboardInterrupt
    with run.step("write"):
        time.sleep(0.02)
    run.end("failed", error="no room")
    structlog.reset_defaults()
    lines = logged(capsys)
    assert {line["run"] for line in lines} == {run.name}
    assert [(line["event"], line.get("step"), line.get("state")) for line in lines] == [
        ("step begun", "fit", None),
        ("step ended", "fit", "interrupted"),
        ("step begun", "write", None),
        ("step ended", "write", "done"),
        ("refresh ended", None, "failed"),
    ]
    assert lines[3]["seconds"] >= 0.02
    assert lines[3]["memory_bytes"] > 2**20
    assert lines[4]["error"] == "no room"


def test_a_log_that_nobody_can_write_ends_nothing(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        configure_json_log()
        with runs.open() as run, run.step("extract"):
            pass
        structlog.reset_defaults()
        with pytest.raises(BrokenPipeError):
            broken.write("a line\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())
    assert runs.manifest(run.name)["steps"][0]["state"] == "done"


def test_manifests_are_read_by_the_names_of_runs_only(runs: Runs) -> None:
    names = [runs.begun() for _ in range(2)]
    assert all(RUN_NAME.fullmatch(name) for name in names)
    assert [manifest.run for manifest in newest_manifests(runs.home)] == names[::-1]
    found = read_manifest(runs.home, names[0])
    assert found
    assert found.run == names[0]
    for name in ("", ".", "..", f"../refreshes/{names[0]}", f"{names[0]}/", f"{names[0]}\n"):
        assert read_manifest(runs.home, name) is None


def test_what_is_noted_is_read_again_and_only_that_is_in_the_file(runs: Runs) -> None:
    with runs.open() as run:
        run.note(
            compared_with={"version": 2, "weights": "edited", "metrics": {"hybrid": {"m": NEW}}},
            metrics={"hybrid": {"ndcg@20": Estimate(np.float64(0.25), 0.125, math.nan)}},
            weights={"base": np.float32(0.5)}, counts={"users": np.int64(3)}, objections=("one",),
        )  # fmt: skip
    manifest = read_manifest(runs.home, run.name)
    assert manifest
    assert manifest.compared_with == VersionBefore(version=2, metrics={"hybrid": {"m": NEW}})
    assert manifest.metrics
    assert manifest.metrics["hybrid"]["ndcg@20"].mean == 0.25
    assert math.isnan(manifest.metrics["hybrid"]["ndcg@20"].high)
    assert (manifest.weights, manifest.counts, manifest.objections) == (
        {"base": 0.5},
        {"users": 3},
        ["one"],
    )
    assert manifest.model_fields_set == run.manifest.model_fields_set
    assert not {"change", "versions", "sha256"} & manifest.model_fields_set


def test_a_name_that_no_run_has_is_refused(tmp_path: Path) -> None:
    nobody: Any = None
    with pytest.raises(RefreshError, match=r"'\.\./x' is no name of a run"):
        refresh(nobody, RefreshOptions(), {}, home=tmp_path, name="../x")


def test_the_folder_of_the_active_version_stays_however_many_fail_after_it(runs: Runs) -> None:
    with runs.open(known=set()) as first:
        first.end("activated")
    failed: list[str] = []
    for _ in range(7):
        with runs.open(known={first.name}) as run:
            run.end("failed")
        failed.append(run.name)
    assert first.name in runs.names()
    assert failed[0] not in runs.names()
    with runs.open(known=set()):  # another version is active now
        pass
    assert first.name not in runs.names()
