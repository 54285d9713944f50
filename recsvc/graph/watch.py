"""A look at Neo4j that is taken again and again, for as long as a service runs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from loaders.errors import Neo4jError

WATCH_SECONDS = 1.0
_CLOSING_SECONDS = 3.0


class Watch:
    """Looks every `WATCH_SECONDS`; a look that fails is taken again.

    Args:
        look: what to do each time; what is not a `Neo4jError` ends the watch.
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
            with contextlib.suppress(Neo4jError):  # it is looked at again soon
                await self._look()
