"""The folder of one refresh: what it was asked, its steps, and what finished steps made.

    RECSVC_HOME/refreshes/<run>/
      manifest.json     what is known of the run; it stays
      lock              locked by the process that works on the run, and by its end unlocked
      <name>.npz        what a step made, and the checkpoint of a fit; gone when the run has ended
      deleted           something was deleted that the run has read; gone when the run has ended
      state.npz         what the next refresh can go on from, see `recsvc.refresh.fine_tuning_state`

Beside the runs, `deletions` is locked by the deletion that goes through them.

The next refresh with the same options resumes an interrupted run. A paused process still has the
lock, so another that takes over from it starts anew in a folder of its own, and the two never write
into the same files.
"""

import contextlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import structlog
from pydantic import ValidationError

from loaders.files import file_lock, write_bytes
from loaders.tracing import span
from loaders.value_file import read_value, write_value
from recsvc.refresh.lease import Lease
from recsvc.refresh.run_manifest import RunAttempt, RunIdentity, RunManifest, RunStep, State

RUN_NAME: Final = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{6}", re.ASCII)
"""What the name of a run looks like; names sort by the time they were made."""

MANIFEST: Final = "manifest.json"
STATE_FILE: Final = "state.npz"

_T = TypeVar("_T")
_MARK = "deleted"
"""The file that says: something was deleted from the graph that the run has read."""
_KEPT_RUNS = 5
_RESUMABLE_SECONDS = 12 * 3600.0
"""A run that nobody has worked on for longer is not resumed: the graph has moved on."""

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class RefreshRun:
    """One run, from its first attempt to its end.

    Attributes:
        folder: where it is; its name is the name of the run.
        manifest: what is known of it.
        classes: the dataclasses that steps may make.
    """

    folder: Path
    manifest: RunManifest
    classes: tuple[type[Any], ...] = ()

    @property
    def name(self) -> str:
        """The name of the run, which its versions in the graph carry too."""
        return self.folder.name

    def attempt(self, lease: Lease, name: str) -> None:
        """Note who works on it from now on, and what they call it, see `run_of`."""
        for step in self.manifest.steps:
            if step.state == "running":
                step.state = "interrupted"
        attempt = RunAttempt(
            name=name, at=_now(), holder=lease.gateway.holder, fence=lease.gateway.fence,
            taken_from=lease.taken_from, forced=lease.forced,
        )  # fmt: skip
        self.note(error=None, attempts=[*self.manifest.attempts, attempt])
        self.tell("refresh begun", fence=lease.gateway.fence, taken_from=lease.taken_from)

    def note(self, **facts: Any) -> None:
        """Write facts into the manifest.

        Raises:
            OSError: it cannot be written.
        """
        for name, value in facts.items():
            setattr(self.manifest, name, value)
        text = self.manifest.model_dump_json(indent=2, exclude_unset=True)
        write_bytes(self.folder / MANIFEST, text.encode())

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Note when the block began, how long it took and the most memory it held."""
        entry = RunStep(
            name=name, state="running", started_at=_now(), attempt=len(self.manifest.attempts),
            seconds=None, memory_bytes=None,
        )  # fmt: skip
        self.note(steps=[*self.manifest.steps, entry])
        self.tell("step begun", step=name)
        started = time.perf_counter()
        forget_peak()
        try:
            with span(name):
                yield
            entry.state = "done"
        except BaseException:
            entry.state = "interrupted"
            raise
        finally:
            entry.seconds = time.perf_counter() - started
            entry.memory_bytes = peak_bytes()
            told = entry.model_dump(include={"state", "seconds", "memory_bytes"})
            self.tell("step ended", step=name, **told)
            self.note()

    def kept(self, name: str, make: Callable[[], _T]) -> _T:
        """What an earlier attempt made, else what `make` makes, which is kept for a later one.

        Raises:
            OSError: it cannot be written.
        """
        path = step_file(self.folder, name)
        # What is damaged is made again.
        with contextlib.suppress(OSError, ValueError):
            return read_value(path, self.classes)
        made = make()
        write_value(path, made)
        return made

    def checkpoint(self, name: str) -> Path:
        """The file in which a fit keeps where it stands."""
        return step_file(self.folder, f"{name} checkpoint")

    def clear(self) -> None:
        """Remove what steps have made."""
        _clear(self.folder)

    def end(self, state: State, **facts: Any) -> None:
        """Note how the run ended, and remove what its steps made.

        Raises:
            OSError: the folder cannot be written.
        """
        self.note(state=state, finished_at=_now(), **facts)
        self.tell("refresh ended", state=state, error=self.manifest.error)
        self.clear()

    def tell(self, event: str, *, level: Literal["info", "warning"] = "info", **facts: Any) -> None:
        """Log, where somebody said how; a program that only calls a refresh has not."""
        if structlog.is_configured():
            with contextlib.suppress(OSError):  # its reader has gone
                getattr(_log, level)(event, run=self.name, **facts)


def step_file(folder: Path, name: str) -> Path:
    """The file of what a step made."""
    return folder / f"{name.replace(' ', '-')}.npz"


def new_name() -> str:
    """A name for a run that no other has."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"


@contextmanager
def opened_run(
    home: Path,
    identity: RunIdentity,
    unfinished: Collection[str],
    classes: Iterable[type[Any]],
    name: str,
) -> Generator[RefreshRun]:
    """The newest unfinished run of the same identity that nobody works on, else a new one.

    Other unfinished runs are given up. Of all others the newest are kept, and the one whose version
    is active, however many have failed since: the next refresh goes on from there.

    Args:
        home: `RECSVC_HOME`.
        identity: what must be the same for a run to be resumed.
        unfinished: names of the runs whose version has not failed and not been replaced.
        classes: the dataclasses that steps may make.
        name: of the run, if it is a new one.

    Raises:
        OSError: the folder cannot be written.
    """
    with contextlib.ExitStack() as locks:
        chosen: RefreshRun | None = None
        for number, folder in enumerate(_folders(home)):
            with contextlib.ExitStack() as lock:
                if not lock.enter_context(locked_run(folder)):
                    continue
                manifest = _manifest(folder)
                fits = manifest is not None and _resumable(folder, manifest, identity)
                if chosen is None and manifest and fits and folder.name in unfinished:
                    chosen = RefreshRun(folder, manifest, tuple(classes))
                    locks.push(lock.pop_all())
                else:
                    keep = number < _KEPT_RUNS or folder.name in unfinished
                    _put_away(folder, manifest, keep=keep)
        if chosen is None:
            chosen = _new_run(home, name, identity, tuple(classes))
            locks.enter_context(locked_run(chosen.folder))
        yield chosen


def read_manifest(home: Path, name: str) -> RunManifest | None:
    """What is known of a run; None where there is no such run, whatever the name holds."""
    if RUN_NAME.fullmatch(name) is None:
        return None
    return _manifest(home / "refreshes" / name)


def newest_manifests(home: Path) -> Iterator[RunManifest]:
    """What is known of each run, the newest first."""
    for folder in _folders(home):
        manifest = _manifest(folder)
        if manifest is not None:
            yield manifest


def run_of(home: Path, name: str) -> str | None:
    """The run of an attempt: the new one of that name, or the older one that it resumes.

    None where it has not begun.
    """
    for manifest in newest_manifests(home):
        if any(attempt.name == name for attempt in manifest.attempts):
            return manifest.run
    return None


def forget_unfinished(home: Path) -> bool:
    """Remove what steps of unfinished runs have made: it holds ids of users and what these did.

    Such a run starts again from its first step. One that somebody works on is marked: where it is
    killed, `clear_marked` removes what it made, and nobody resumes it.

    Returns:
        Whether somebody works on one.
    """
    at_work = False
    with deletions_locked(home):
        for folder in _folders(home):
            with locked_run(folder) as free:
                if free:
                    _clear(folder)
                else:
                    at_work = True
                    (folder / _MARK).touch(mode=0o600)
    return at_work


def clear_marked(home: Path) -> None:
    """Remove what killed runs have made that were at work when something was deleted.

    Raises:
        OSError: it cannot be removed.
    """
    with deletions_locked(home):
        for folder in _folders(home):
            if (folder / _MARK).exists():
                with locked_run(folder) as free:
                    if free:
                        _clear(folder)


def ended_runs(home: Path) -> list[Path]:
    """The folders of the runs whose versions were activated, the newest first."""
    return [
        folder
        for folder in _folders(home)
        if (manifest := _manifest(folder)) is not None and manifest.state == "activated"
    ]


def _folders(home: Path) -> list[Path]:
    """The folders of all runs, the newest first."""
    return sorted((home / "refreshes").glob("*/"), reverse=True)


def _new_run(
    home: Path, name: str, identity: RunIdentity, classes: tuple[type[Any], ...]
) -> RefreshRun:
    manifest = RunManifest(
        run=name, state="unfinished", begun_at=_now(), identity=identity, attempts=[], steps=[]
    )
    run = RefreshRun(home / "refreshes" / name, manifest, classes)
    run.folder.mkdir(parents=True)
    run.note()
    return run


def _clear(folder: Path) -> None:
    """Remove what the steps of a run have made."""
    for path in (*folder.glob("*.npz"), *folder.glob("*.part")):
        if path.name != STATE_FILE:
            path.unlink(missing_ok=True)
    for place in folder.glob("*/"):
        shutil.rmtree(place, ignore_errors=True)
    (folder / _MARK).unlink(missing_ok=True)  # last: then all of it is gone


def _resumable(folder: Path, manifest: RunManifest, identity: RunIdentity) -> bool:
    if manifest.state != "unfinished" or manifest.identity != identity:
        return False
    if (folder / _MARK).exists():
        return False
    written = max(path.stat().st_mtime for path in folder.iterdir())
    return abs(time.time() - written) < _RESUMABLE_SECONDS


def _put_away(folder: Path, manifest: RunManifest | None, *, keep: bool) -> None:
    if manifest is None or not keep:
        shutil.rmtree(folder, ignore_errors=True)
    elif manifest.state == "unfinished":
        RefreshRun(folder, manifest).end("failed", error="given up: a later refresh began anew")
    else:  # its process may have been killed when it had noted its end
        _clear(folder)


def _manifest(folder: Path) -> RunManifest | None:
    """None where there is none, or it is damaged."""
    try:
        return RunManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def locked_run(folder: Path, *, wait: bool = False) -> AbstractContextManager[bool]:
    """Hold the lock of the run that has a folder; see `file_lock`."""
    return file_lock(folder / "lock", wait=wait)


def deletions_locked(home: Path) -> AbstractContextManager[object]:
    """One deletion after the other goes through the runs below one `RECSVC_HOME`.

    Each holds the lock of every run for a moment, which another would take for a refresh at work.
    """
    folder = home / "refreshes"
    return file_lock(folder / "deletions") if folder.is_dir() else contextlib.nullcontext()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def forget_peak() -> None:
    """Have Linux count the peak of this process's memory from now on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The most memory this process held since `forget_peak`; None where no system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
