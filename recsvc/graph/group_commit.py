"""Requests of many callers, committed together (group commit).

One task takes everything that waits into one transaction. While that commits the next requests
gather, so the busier the service, the more of them share a transaction, and a lone request waits
for nobody. A request is answered once it is committed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from loaders.errors import (
    ForeignGraphError,
    Neo4jServerError,
    Neo4jTimeoutError,
    QueryError,
)
from loaders.tracing import query_span

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Waiting(Generic[_Request, _Answer]):
    request: _Request
    rows: int
    answer: "asyncio.Future[_Answer]"


class GroupCommit(Generic[_Request, _Answer]):
    """A queue of requests and the one task that commits them, in their order.

    Args:
        commit: commits requests in one transaction and returns an answer for each.
        timeout_seconds: how long a request waits for its answer.
        rows_per_commit: rows of one transaction; a request is never split.
        rows_waiting: rows that may wait; more are refused.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[_Request]], Awaitable[Sequence[_Answer]]],
        *,
        timeout_seconds: float,
        rows_per_commit: int = 2_000,
        rows_waiting: int = 20_000,
    ) -> None:
        self._commit = commit
        self._timeout_seconds = timeout_seconds
        self._rows_per_commit = rows_per_commit
        self._rows_waiting = rows_waiting
        self._queue: deque[_Waiting[_Request, _Answer]] = deque()
        self._waiting = 0
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, request: _Request, *, rows: int = 1) -> _Answer:
        """The answer to a request, once it is committed.

        Raises:
            Neo4jTimeoutError: too much waits, or the deadline passed; the request may have been
                committed then.
            Neo4jError: the graph cannot be written.
        """
        if self._closed or self._waiting + rows > self._rows_waiting:
            why = (
                "the service stops" if self._closed else f"{self._waiting} rows wait to be written"
            )
            raise Neo4jTimeoutError(f"{why}, at most {self._rows_waiting} may: send it again later")
        entry = _Waiting(request, rows, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        self._waiting += rows
        if self._writer is None or self._writer.done():
            # In a context of its own: it goes on for requests that come later.
            self._writer = asyncio.create_task(self._write(), context=Context())
        try:
            with query_span("commit"):
                async with asyncio.timeout(self._timeout_seconds):
                    return await entry.answer
        except TimeoutError:
            raise Neo4jTimeoutError(
                f"not committed within {self._timeout_seconds:g} s: send it again"
            ) from None

    async def close(self) -> None:
        """Take no more requests, and commit those that wait."""
        self._closed = True
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        """Commit until nothing waits."""
        while self._queue:
            batch = [entry for entry in self._taken() if not entry.answer.done()]
            if batch:
                await self._answer(batch)

    def _taken(self) -> Iterator[_Waiting[_Request, _Answer]]:
        """What waits, up to the rows of one transaction."""
        room = self._rows_per_commit
        while self._queue and (room == self._rows_per_commit or self._queue[0].rows <= room):
            entry = self._queue.popleft()
            self._waiting -= entry.rows
            room -= entry.rows
            yield entry

    async def _answer(self, batch: Sequence[_Waiting[_Request, _Answer]]) -> None:
        try:
            answers = await self._commit([entry.request for entry in batch])
        except (QueryError, Neo4jServerError, ForeignGraphError) as error:
            # One of them may be at fault, or something it needs was deleted at this moment: each
            # half gets a transaction of its own, until the others have come through.
            _log.warning("a batch of writes was refused", requests=len(batch), reason=str(error))
            middle = (len(batch) + 1) // 2
            for half in (batch[:middle], batch[middle:]):
                if len(half) > 1:
                    await self._answer(half)
                elif half:
                    await self._answer_alone(half[0])
        except Exception as error:  # whatever it is, those who wait have to hear of it
            _fail(batch, error)
        else:
            for entry, answer in zip(batch, answers, strict=True):
                if not entry.answer.done():
                    entry.answer.set_result(answer)

    async def _answer_alone(self, entry: _Waiting[_Request, _Answer]) -> None:
        try:
            (answer,) = await self._commit([entry.request])
        except Exception as error:  # whatever it is, the one who waits has to hear of it
            _fail([entry], error)
        else:
            if not entry.answer.done():
                entry.answer.set_result(answer)


def _fail(batch: Iterable[_Waiting[Any, Any]], error: Exception) -> None:
    for entry in batch:
        if not entry.answer.done():
            entry.answer.set_exception(error)
