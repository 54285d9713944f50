"""A look at Neo4j that is taken again and again, for as long as a service runs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from loaders.errors import Neo4jError

WATCH_SECONDS = 1.0
_CLOSING_SECONDS = 6.0

_log = structlog.get_logger()


class Watch:
    """Looks every `WATCH_SECONDS`; a look that fails is taken again.

    Args:
        look: what to do each time. What is not a `Neo4jError` is logged.
    """

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        self._look = look
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first look comes after `WATCH_SECONDS`."""
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more.

        A look that is under way may end: where it is cut off while the driver connects, the driver
        leaves the socket open.
        """
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await self._task

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._stopping.wait()
                return
            try:
                await self._look()
            except Neo4jError:
                continue  # it is looked at again soon
            except Exception:
                # Somebody may have stored by hand what nobody thought of: others are still seen.
                _log.exception("a look at what is stored failed")
