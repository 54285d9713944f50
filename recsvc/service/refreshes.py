"""Refreshes that are asked for over HTTP: each is a process of its own, and survives this one."""

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from loaders.errors import Neo4jError
from loaders.files import file_lock
from loaders.tracing import TRACEPARENT, traceparent
from recsvc.errors import BusyError, NotFoundError, RefreshError, RefreshRunningError
from recsvc.recommend.engine import Engine
from recsvc.refresh.process import page_command, refresh_command
from recsvc.refresh.run_journal import (
    clear_marked,
    new_name,
    newest_manifests,
    read_manifest,
    run_of,
)
from recsvc.refresh.run_manifest import RunManifest, RunOutcome, State
from recsvc.service.refresh_schemas import RefreshDocument

_BEGIN_SECONDS = 120.0
"""How long a process may take until its refresh has begun; a lost lease is waited for in it."""
_PAGE_SECONDS = 60.0
_MOST_PAGES = 8
"""Pages that are made or waited for at the same time."""
_LOOK_SECONDS = 0.1
_CLEAR_SECONDS = 15.0
_SHOWN = 20

_log = structlog.get_logger()


class Refreshes:
    """The refreshes of one `RECSVC_HOME`, of which every process of the service can tell.

    Args:
        home: `RECSVC_HOME`.
        command: the command line of a refresh, see `recsvc.refresh.process.refresh_command`.
    """

    def __init__(self, home: Path, command: Callable[..., list[str]] = refresh_command) -> None:
        self._home = home
        self._command = command
        self._page_turn = asyncio.Lock()
        self._pages_asked = 0

    async def begin(
        self, engine: Engine, models: Sequence[str], *, force: bool, from_scratch: bool
    ) -> str:
        """Start a refresh; the name of its run, once it works on it.

        Args:
            engine: tells who refreshes.
            models: that the blend is made of; none for the default.
            force: take over from a running refresh.
            from_scratch: learn everything anew.

        Raises:
            RefreshRunningError: somebody refreshes.
            RefreshError: it ended before it began.
            Neo4jError: the graph cannot be read in time.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        with file_lock(self._home / "refresh-start", wait=False) as free:
            if not free:
                raise RefreshRunningError("another refresh is being started: ask for its end")
            if not force:
                await _refuse_second(engine)
            name = new_name()
            command = self._command(models, force=force, from_scratch=from_scratch, run=name)
            process = await asyncio.to_thread(_start, command)
            # What has ended is to be gone.
            threading.Thread(target=process.wait, daemon=True).start()
            run = await self._begun(process, name)
        if run is not None:
            return run
        _log.error("refresh process failed", exit_code=process.returncode)
        await _refuse_second(engine)
        raise RefreshError(
            "the refresh could not begin: the log says why, above this request; then ask again"
        )

    async def watch(self) -> None:
        """Remove, from time to time, what killed refreshes left of what was deleted meanwhile."""
        while True:
            try:
                await asyncio.to_thread(clear_marked, self._home)
            except OSError as error:
                _log.warning("what a killed refresh left stays for now", reason=str(error))
            await asyncio.sleep(_CLEAR_SECONDS)

    async def document(self, engine: Engine, name: str) -> RefreshDocument:
        """What is known of a run.

        Raises:
            NotFoundError: there is no such run.
        """
        manifest = read_manifest(self._home, name)
        if manifest is None:
            raise NotFoundError(f"no refresh {name!r}: the newest five that have ended are kept")
        return _document(manifest, await _is_running(engine, manifest))

    async def page(self, name: str) -> bytes:
        """The page of a run, as HTML; one at a time.

        Raises:
            NotFoundError: there is no such run, or it has not ended.
            BusyError: too many pages are asked for at the same time.
            RefreshError: it could not be made.
        """
        manifest = read_manifest(self._home, name)
        if manifest is None or manifest.state == "unfinished":
            raise NotFoundError(f"no page of a refresh {name!r}: there is one when a run has ended")
        if self._pages_asked >= _MOST_PAGES:
            raise BusyError("too many pages are asked for at the same time: ask again later")
        self._pages_asked += 1
        try:
            async with self._page_turn:
                return await asyncio.to_thread(_output, page_command(self._home, name))
        except subprocess.SubprocessError as error:
            _log.error("page of a refresh not made", run=name, reason=str(error))
            raise RefreshError(
                "the page of the refresh could not be made: the log of the service says more"
            ) from None
        finally:
            self._pages_asked -= 1

    async def newest(self, engine: Engine) -> list[RefreshDocument]:
        """What is known of each run that is kept, the newest first."""
        manifests = await asyncio.to_thread(lambda: list(newest_manifests(self._home)))
        return [_document(each, await _is_running(engine, each)) for each in manifests[:_SHOWN]]

    def last_state(self) -> State | None:
        """The state of the newest run; None where there was none."""
        return next((manifest.state for manifest in newest_manifests(self._home)), None)

    async def _begun(self, process: "subprocess.Popen[bytes]", name: str) -> str | None:
        """The run that a process works on, which calls it `name`; None where it ended before."""
        deadline = time.monotonic() + _BEGIN_SECONDS
        ended = False
        while not ended:
            ended = process.poll() is not None  # before the look: it may have begun and ended
            if run := run_of(self._home, name):
                return run
            if time.monotonic() > deadline:
                process.send_signal(signal.SIGINT)
                return None
            await asyncio.sleep(_LOOK_SECONDS)
        return None


def _start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """What it logs goes where the log of the service goes; no signal for the service reaches it."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **_span_above()},
    )  # fmt: skip


def _span_above() -> dict[str, str]:
    """The variable by which the spans of the process come below the one of this request."""
    above = traceparent()
    return {TRACEPARENT.upper(): above} if above else {}


def _output(command: Sequence[str]) -> bytes:
    """What a process writes; to load here what draws would hold up other answers."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
        timeout=_PAGE_SECONDS,
    ).stdout  # fmt: skip


async def _refuse_second(engine: Engine) -> None:
    holder = await engine.refresh_holder()
    if holder is not None:
        raise RefreshRunningError(
            f"another refresh is running ({holder}): wait for its end, or take over with force"
        )


async def _is_running(engine: Engine, manifest: RunManifest) -> bool | None:
    """Whether somebody works on a run; None where Neo4j, which knows, cannot be asked."""
    if manifest.state != "unfinished" or not manifest.attempts:
        return False
    try:
        return await engine.refresh_holder() == manifest.attempts[-1].holder
    except Neo4jError:
        return None


def _document(manifest: RunManifest, running: bool | None) -> RefreshDocument:
    address = f"/v1/refreshes/{manifest.run}/report"
    return RefreshDocument(
        **{name: getattr(manifest, name) for name in RunOutcome.model_fields},
        id=manifest.run,
        running=running,
        models=manifest.identity.options.get("models", []),
        report=None if manifest.state == "unfinished" else address,
    )
