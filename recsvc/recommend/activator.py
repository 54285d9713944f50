"""What a service makes active, and the SIMILAR relationships of it afterwards.

The flip is one short transaction, and answers follow it at once. To replace the relationships takes
a minute where there are many items, so that is done behind it: of one version at a time, and of
those that wait only of the newest.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import structlog

from loaders.errors import Neo4jError
from loaders.gateway import Gateway, Neo4jGateway
from recsvc.errors import SnapshotError
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.snapshot.activation import activate, roll_back, stored_snapshot, write_neighbours

_FLIP_SECONDS = 30.0
"""Deadline of an activation, which waits for the other writers."""
_RETRY_SECONDS = 5.0

_log = structlog.get_logger()


class Activator:
    """The activations of one service.

    Args:
        store: where Neo4j is.
        serving: what serves the active version.
    """

    def __init__(self, store: Store, serving: ActiveSnapshot) -> None:
        self._store = store
        self._serving = serving
        self._wanted: int | None = None
        self._superseded = threading.Event()
        self._pause = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Leave the relationships as they are: the next activation replaces them."""
        self._wanted = None
        self._superseded.set()
        self._pause.set()
        if self._writer is not None:
            await self._writer

    async def activate(self, model: str, version: int) -> dict[str, int]:
        """See `recsvc.snapshot.activation.activate`; this process serves them when it returns."""
        return await self._flipped(lambda gateway: activate(gateway, model, version))

    async def roll_back(self, model: str) -> dict[str, int]:
        """See `recsvc.snapshot.activation.roll_back`; this process serves them when it returns."""
        return await self._flipped(lambda gateway: roll_back(gateway, model))

    async def _flipped(self, flip: Callable[[Gateway], dict[str, int]]) -> dict[str, int]:
        def run() -> dict[str, int]:
            address = self._store.address
            with Neo4jGateway(address, query_timeout_seconds=_FLIP_SECONDS) as gateway:
                return flip(gateway)

        versions = await asyncio.to_thread(run)
        with contextlib.suppress(Neo4jError, SnapshotError, OSError):  # it is tried each second
            await self._serving.reload()
        self._want_neighbours(versions["hybrid"])
        return versions

    def _want_neighbours(self, version: int) -> None:
        self._wanted = version
        self._superseded.set()
        self._pause.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_wanted())

    async def _write_wanted(self) -> None:
        while self._wanted is not None:
            version = self._wanted
            self._superseded.clear()
            self._pause.clear()
            try:
                await asyncio.to_thread(self._write, version)
            except _SupersededError:
                continue
            except Neo4jError as error:
                _log.warning("SIMILAR could not be replaced yet", hybrid=version, reason=str(error))
                await self._rest()
                continue
            except SnapshotError as error:
                _log.warning("SIMILAR cannot be replaced", hybrid=version, reason=str(error))
            else:
                _log.info("SIMILAR replaced", hybrid=version)
            if self._wanted == version:
                self._wanted = None

    async def _rest(self) -> None:
        """Until the next try, or until something else is wanted."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pause.wait(), _RETRY_SECONDS)

    def _write(self, version: int) -> None:
        """Write those of a version; nothing once another one is active."""

        def told(_what: str, _done: int, _total: int) -> None:
            if self._superseded.is_set():
                raise _SupersededError

        with Neo4jGateway(self._store.address) as gateway:
            snapshot = self._serving.snapshot
            if snapshot.versions["hybrid"] != version:
                snapshot = stored_snapshot(gateway, version)
            write_neighbours(gateway, snapshot, told)


class _SupersededError(Exception):
    """Ends the writing; never leaves this module."""
