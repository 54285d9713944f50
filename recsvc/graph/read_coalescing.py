"""Reads of many requests that are asked together.

While one read is under way the next requests gather, so the busier the service, the more of them
share a round trip; a lone request waits for nobody. Who asks gets what was read after they asked,
so an answer is as fresh as one that was read alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Found = TypeVar("_Found")

_LONGEST_WAIT_SECONDS = 0.02
"""For the read that is under way: one may be slow, or never end."""


class CoalescedReads(Generic[_Key, _Found]):
    """What waits to be read, and the reads that are under way.

    Args:
        read: reads some keys, each once, and returns what it found for each of them.
    """

    def __init__(self, read: Callable[[Sequence[_Key]], Awaitable[Sequence[_Found]]]) -> None:
        self._read = read
        self._waiting: dict[_Key, asyncio.Future[_Found]] = {}
        self._newest: asyncio.Task[None] | None = None

    async def ask(self, key: _Key) -> _Found:
        """What is found for a key.

        Raises:
            Exception: what the read came to.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # In a context of its own: the deadline of this request is not that of the others.
            self._newest = loop.create_task(self._read_all(self._newest), context=Context())
        if key not in self._waiting:
            self._waiting[key] = loop.create_future()
        return await asyncio.shield(self._waiting[key])

    async def _read_all(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before], timeout=_LONGEST_WAIT_SECONDS)
        waiting, self._waiting = self._waiting, {}
        try:
            answers = dict(zip(waiting, await self._read(list(waiting)), strict=True))
        except Exception as error:  # whatever it is, those who wait have to hear of it
            for future in waiting.values():
                future.set_exception(error)
                future.exception()  # nobody may wait any more
        else:
            for key, future in waiting.items():
                future.set_result(answers[key])
