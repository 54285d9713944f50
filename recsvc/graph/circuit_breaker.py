"""How long anybody waits for Neo4j.

All reads of one request share one deadline. Once Neo4j has been silent for the whole of a request,
nobody waits for it until it answers again: a circuit breaker (Nygard, Release It!, "Stability
Patterns"). The trial calls of this one are made in the background, so that no request pays for
them.

A write has a longer deadline of its own, and one that is late says nothing of Neo4j: it may be
large, wait for other writers, or for a cluster to elect a leader. So it does not open the circuit
breaker, and where that is open because Neo4j is slow, and not because no connection can be had,
writes are tried all the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, ContextVar

import structlog

from loaders.catalogue import Query
from loaders.driver_errors import translated_errors
from loaders.errors import (
    Neo4jAwayError,
    Neo4jError,
    Neo4jTimeoutError,
    Neo4jUnavailableError,
    NoLeaderError,
)
from loaders.tracing import query_span

_PAUSE_SECONDS = 0.5
"""Between two tries to reach a Neo4j that is away."""
_CLOSING_SECONDS = 3.0
_SILENT = (Neo4jUnavailableError, Neo4jTimeoutError)
"""What a Neo4j that answers does not raise; the other errors are answers, and come at once."""

_began_var: ContextVar[float | None] = ContextVar("began", default=None)
"""Time of the event loop when the request began; unset outside of one."""

_log = structlog.get_logger()


class CircuitBreaker:
    """The deadlines of one store, and whether its Neo4j is known to be away.

    Args:
        uri: where Neo4j is, for messages.
        probe: asks it anything; raises a `Neo4jError` where it does not answer.
    """

    def __init__(self, uri: str, probe: Callable[[], Awaitable[object]]) -> None:
        self._uri = uri
        self._probe = probe
        self._answered = float("-inf")
        self._probing: asyncio.Task[None] | None = None
        self._unreachable = False
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """Stop trying to reach Neo4j.

        A try that is under way may end: cut off, it would leave its connection open.
        """
        self._closing.set()
        if self._probing is not None:
            _, late = await asyncio.wait([self._probing], timeout=_CLOSING_SECONDS)
            for task in late:
                task.cancel()

    @contextmanager
    def one_request(self) -> Generator[None]:
        """Let the deadlines of everything in the block run from its beginning."""
        token = _began_var.set(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            _began_var.reset(token)

    @property
    def away(self) -> bool:
        """Whether Neo4j is known not to answer."""
        return self._probing is not None and not self._probing.done()

    def refuse_if_away(self, *, to_write: bool = False) -> None:
        """Spare the caller a wait that is known to be in vain.

        Args:
            to_write: the caller waits for longer than a request does: only a Neo4j that no
                connection can be had to is not waited for.

        Raises:
            Neo4jUnavailableError: Neo4j has not answered since it was last tried.
        """
        if self.away and (self._unreachable or not to_write):
            raise Neo4jUnavailableError(
                f"Neo4j at {self._uri} has stopped to answer: it is asked again every "
                f"{_PAUSE_SECONDS:g} s, and requests go without it until it answers"
            )

    @asynccontextmanager
    async def deadline(
        self, query: Query, seconds: float, *, writes: bool = False
    ) -> AsyncGenerator[None]:
        """End the block when its time, or that of the request around it, is over.

        Args:
            query: what is asked.
            seconds: the deadline.
            writes: whether it writes, which may take its time.

        Raises:
            Neo4jTimeoutError: the time is over.
            Neo4jError: Neo4j failed in the block.
        """
        clock = asyncio.get_running_loop().time
        began = _began_var.get() or clock()
        if clock() >= began + seconds:  # a read that is begun and cut off costs its connection
            raise self._late(query, seconds)
        try:
            async with asyncio.timeout_at(began + seconds):
                with query_span(query.name), translated_errors(self._uri, query):
                    yield
        except TimeoutError:
            late = self._late(query, seconds)
            if not writes:
                self._went_unanswered(began, late)
            raise late from None
        except _SILENT as error:
            if not (writes and isinstance(error, Neo4jTimeoutError | NoLeaderError)):
                self._went_unanswered(began, error)
            raise
        self._answered = clock()

    def _late(self, query: Query, seconds: float) -> Neo4jTimeoutError:
        return Neo4jTimeoutError(
            f"Neo4j at {self._uri} did not answer cypher/{query.name} within {seconds:g} s"
        )

    def _went_unanswered(self, began: float, error: Neo4jAwayError) -> None:
        """Take in that something failed, in a request that began at this time.

        It may be one slow query. Neo4j is away when it has answered nobody since then.
        """
        if self._answered >= began or self.away:
            return
        self._unreachable = isinstance(error, Neo4jUnavailableError)
        _log.warning(
            "Neo4j does not answer: requests go without it", uri=self._uri, reason=str(error)
        )
        # In a context of its own: the request's deadline is not the probe's.
        self._probing = asyncio.get_running_loop().create_task(
            self._until_it_answers(), context=Context()
        )

    async def _until_it_answers(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _PAUSE_SECONDS)
                return
            try:
                await self._probe()
            except _SILENT as error:
                self._unreachable = isinstance(error, Neo4jUnavailableError)
                continue
            except Neo4jError as error:
                _log.warning("Neo4j answers, with an error", uri=self._uri, reason=str(error))
            else:
                _log.info("Neo4j answers again", uri=self._uri)
            return
