"""Where large work of a request is done, so that the event loop goes on answering others.

One thread, because threads of Python take turns: a second one would make the loop wait longer for
its own, and no work ends sooner. How much waits for it is bounded: what could not end in time is
refused at once. Small work needs no room, and goes on.
"""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from recsvc.errors import BusyError
from recsvc.recommend.query import LARGE_WORK, MOST_WORK

_MOST_WAITING = 64

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workshop:
    """Does work now where it is small, and in a thread of its own where it is large.

    Attributes:
        waits: whether work waits for other machines most of the time, as with shards: then all of
            it is done in threads, many at a time.
    """

    def __init__(self) -> None:
        self.waits = False
        self._waiting = ThreadPoolExecutor(_MOST_WAITING, thread_name_prefix="recsvc-waiting")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recsvc-large")
        self._in_hand = 0

    @contextmanager
    def room(self, work: int) -> Generator[None]:
        """Count the work of a request or a batch as in hand, where it is large.

        With `MOST_WORK` in hand nothing large is taken on. With less, anything is: also what alone
        takes more.

        Args:
            work: see `RecommendationQuery.work`.

        Raises:
            BusyError: it is large, and as much as can be done is in hand.
        """
        if work <= LARGE_WORK:
            yield
            return
        if self._in_hand >= MOST_WORK:
            raise BusyError("too much is asked for at the same time: ask again later")
        self._in_hand += work
        try:
            yield
        finally:
            self._in_hand -= work

    async def do(
        self, large: bool, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """What some work comes to."""
        if not large and not self.waits:
            return work(*args, **kwargs)
        thread = self._waiting if self.waits else self._thread
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(thread, lambda: work(*args, **kwargs))


WORKSHOP: Final = Workshop()
"""That of this process."""
