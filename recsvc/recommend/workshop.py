"""Where large work of a request is done, so that the event loop goes on answering others.

One thread, because threads of Python take turns: a second one would make the loop wait longer for
its own, and no work ends sooner.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from recsvc.errors import BusyError

MOST_WAITING: Final = 200
"""Pieces of large work that wait for one process at a time."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workshop:
    """Does work now where it is small, and in a thread of its own where it is large.

    Args:
        most_waiting: how much large work may wait.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recsvc-large")
        self._most = most_waiting
        self._waiting = 0

    async def do(
        self, large: bool, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """What some work comes to.

        Raises:
            BusyError: too much large work waits already.
        """
        if not large:
            return work(*args, **kwargs)
        if self._waiting >= self._most:
            raise BusyError("too much is asked for at the same time: ask again later")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))
        finally:
            self._waiting -= 1


WORKSHOP: Final = Workshop()
"""That of this process."""
