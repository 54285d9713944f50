"""Sessions with Neo4j: one driver, deadlines, and what is done again when a connection was lost.

One driver per event loop, opened by `open` and closed by `close`. When Neo4j was away a new one
takes its place; the old one ends with the writes on it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, LiteralString, TypeVar

import neo4j

from loaders.catalogue import Query, catalogue, with_one_parameter
from loaders.errors import Neo4jError
from loaders.gateway import Neo4jAddress, Row, checked
from recsvc.graph.circuit_breaker import CircuitBreaker
from recsvc.graph.read_coalescing import CoalescedReads
from recsvc.graph.rows import UNKNOWN, State

WRITE_SECONDS = 10.0
"""Deadline of a write, unless another one is set."""
_CONNECTIONS = 100
_DELETED = "Neo.ClientError.Statement.EntityNotFound"
_RETIRING_SECONDS = 0.05
_RESTORED_SECONDS = 60.0
"""After so long a leader that does not have a commit never had it: it is an older database."""
_ALONE = 0.125
"""Share of the deadline of a read that a follower has before the leader is asked too."""

LastStep = Callable[[list[list[Row]]], tuple[Query, Mapping[str, Any]] | None]
"""What a transaction does at its end, given the rows of its queries; None: nothing."""

_T = TypeVar("_T")
_Key = TypeVar("_Key")


class Sessions:
    """Asynchronous queries with a deadline each.

    Attributes:
        address: where Neo4j is.
        timeout_seconds: the deadline of reads; those in `one_request` have it together.
        write_timeout_seconds: the deadline of a write.
    """

    def __init__(
        self,
        address: Neo4jAddress,
        *,
        timeout_seconds: float,
        write_timeout_seconds: float = WRITE_SECONDS,
    ) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self.write_timeout_seconds = max(timeout_seconds, write_timeout_seconds)
        self._driver: neo4j.AsyncDriver | None = None
        self._writes_on = Counter[neo4j.AsyncDriver]()
        self._retiring: set[asyncio.Task[None]] = set()
        self._breaker = CircuitBreaker(address.shown, self._probe)
        self._caught_up = 0.0
        self._home = address.database

    def one_request(self) -> AbstractContextManager[None]:
        """Everything read in the block has one deadline."""
        return self._breaker.one_request()

    @property
    def away(self) -> bool:
        """Whether Neo4j is known not to answer: nobody waits for it."""
        return self._breaker.away

    async def open(self) -> None:
        """Make the driver; connections are opened when they are needed."""
        self._caught_up = self._caught_up or asyncio.get_running_loop().time()
        self._driver = neo4j.AsyncGraphDatabase.driver(
            self.address.uri,
            auth=self.address.auth,
            max_connection_pool_size=_CONNECTIONS,
            connection_timeout=self.timeout_seconds,
            connection_acquisition_timeout=self.timeout_seconds,
            # Below the deadline, so that a server that is away is told from one that is slow.
            max_transaction_retry_time=self.timeout_seconds / 4,
            notifications_min_severity="OFF",
            user_agent="recsvc",
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._breaker.close()
        await asyncio.gather(*self._retiring)
        if self._driver is not None:
            await self._driver.close()

    async def _run(
        self, query: Query, *, timeout_seconds: float | None = None, **parameters: Any
    ) -> list[Row]:
        seconds = timeout_seconds or self.timeout_seconds
        return (await self._run_after(query, parameters, UNKNOWN, seconds))[0]

    async def _run_after(
        self, query: Query, parameters: Mapping[str, Any], after: State, seconds: float
    ) -> tuple[list[Row], State]:
        """The rows of a read that sees all that was committed before a state, and its own state.

        Where both are the same, the rows are those of that state: Neo4j tells the newest commit
        when a read ends, and waits for commits up to a bookmark that it is given.
        """
        self._breaker.refuse_if_away()
        return await self._asked(query, parameters, seconds, after)

    async def _shared(self, name: str, reads: CoalescedReads[_Key, _T], key: _Key) -> _T:
        """What is read for one request, maybe together with what others want."""
        self._breaker.refuse_if_away()
        async with self._breaker.deadline(catalogue()[name], self.timeout_seconds):
            return await reads.ask(key)

    async def _probe(self) -> None:
        """Ask on a new connection: none of the old ones may work, and waiting on each is long."""
        old = self._opened()
        await self.open()
        if self._writes_on[old]:
            self._retire_later(old)
        else:
            await self._retire(old)
        query = catalogue()["serve/user_evidence"]
        async with self._breaker.deadline(query, self.timeout_seconds):
            await self._opened().verify_connectivity()
        with suppress(Neo4jError):  # other servers may answer reads
            await self._catch_up()

    async def catch_up(self) -> None:
        """Have reads see from now on what the leader of a cluster has committed until now.

        The name of the database is noted: to ask for that of an unnamed one, the driver knows no
        other server than the one in the address.

        Raises:
            Neo4jError: there is no leader, or it does not answer in time.
        """
        self._breaker.refuse_if_away()
        await self._catch_up()

    async def _catch_up(self) -> None:
        if not (self._routed and self.address.writes):
            return
        before, clock = self._committed(), asyncio.get_running_loop().time
        restored = clock() > self._caught_up + _RESTORED_SECONDS
        bookmarks = neo4j.Bookmarks.from_raw_values(UNKNOWN if restored else before)

        query = catalogue()["serve/newest_commit"]

        async def nothing(session: neo4j.AsyncSession) -> None:
            result = await session.run(neo4j.Query(query.text, timeout=self.timeout_seconds))
            self._home = (await result.consume()).database
            await self._note(before, session)

        async with self._breaker.deadline(query, self.timeout_seconds, writes=True):
            await self._in_session(nothing, bookmarks=bookmarks)
        self._caught_up = clock()

    @property
    def _routed(self) -> bool:
        """Whether one of several servers may answer."""
        return self.address.commits is not None

    def _committed(self) -> State:
        """The bookmarks of what every read has to see; none where one server answers all."""
        commits = self.address.commits
        return UNKNOWN if commits is None else State(commits.get_bookmarks())

    async def _note(self, before: State, session: neo4j.AsyncSession) -> None:
        """Have every read from now on see what a session saw, which began after some commits."""
        if (commits := self.address.commits) is not None:
            bookmarks = (await session.last_bookmarks()).raw_values
            await asyncio.to_thread(commits.update_bookmarks, before, bookmarks)

    @contextmanager
    def _kept_open(self) -> Generator[None]:
        """Have the driver closed no earlier than the block ends, which writes with it."""
        driver = self._opened()
        self._writes_on[driver] += 1
        try:
            yield
        finally:
            self._writes_on[driver] -= 1

    def _retire_later(self, driver: neo4j.AsyncDriver) -> None:
        """Close a driver when the writes on it are over: cut off, they would fail for nothing."""

        async def wait() -> None:
            while self._writes_on[driver]:  # noqa: ASYNC110 - rare, and no write has to tell
                await asyncio.sleep(_RETIRING_SECONDS)
            await self._retire(driver)

        task = asyncio.create_task(wait())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, driver: neo4j.AsyncDriver) -> None:
        del self._writes_on[driver]
        with suppress(TimeoutError, RuntimeError):  # the latter as in `_in_session`
            async with asyncio.timeout(self.timeout_seconds):
                await driver.close()

    async def _asked(
        self,
        query: Query,
        parameters: Mapping[str, Any],
        seconds: float,
        after: State = UNKNOWN,
    ) -> tuple[list[Row], State]:
        if not self.address.writes:
            kept = await asyncio.to_thread(self.address.rows_from_disk, query, parameters)
            if kept is not None:
                return kept, UNKNOWN
        async with self._breaker.deadline(query, seconds):
            try:
                return await self._read(query, parameters, seconds, after)
            except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError) as error:
                if not (error.is_retryable() or _was_deleted_meanwhile(error)):
                    raise
            (rows,) = await self._transact([(query, parameters)], seconds)
            return rows, UNKNOWN

    async def _read(
        self, query: Query, parameters: Mapping[str, Any], seconds: float, after: State
    ) -> tuple[list[Row], State]:
        """One read: in a cluster of a follower, and of the leader too where that takes long.

        The follower may be far behind, or silent. See Dean & Barroso 2013, "The Tail at Scale",
        hedged requests.
        """

        def read(access: str) -> Coroutine[Any, Any, tuple[list[Row], State]]:
            return self._read_once(query, parameters, seconds, after, access)

        if not self._routed:
            return await read(neo4j.READ_ACCESS)
        follower = asyncio.create_task(read(neo4j.READ_ACCESS))
        tasks = [follower]
        try:
            await asyncio.wait(tasks, timeout=seconds * _ALONE)
            if not follower.done():
                tasks.append(asyncio.create_task(read(neo4j.WRITE_ACCESS)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            answered = [task for task in tasks if task.done() and task.exception() is None]
            return await (answered[0] if answered else follower)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_once(
        self,
        query: Query,
        parameters: Mapping[str, Any],
        seconds: float,
        after: State,
        access: str,
    ) -> tuple[list[Row], State]:
        """One read without a transaction around it: half the messages, and no second try."""

        async def work(session: neo4j.AsyncSession) -> tuple[list[Row], State]:
            text = neo4j.Query(self._text(query), timeout=seconds)
            result = await session.run(text, {"all": checked(query, parameters)})
            rows = [dict(record.items()) async for record in result]
            return rows, State((await session.last_bookmarks()).raw_values)

        bookmarks = neo4j.Bookmarks.from_raw_values(after | self._committed())
        return await self._in_session(work, default_access_mode=access, bookmarks=bookmarks)

    def _text(self, query: Query) -> LiteralString:
        return with_one_parameter(self.address.statement(query))

    async def _in_session(
        self, work: Callable[[neo4j.AsyncSession], Awaitable[_T]], **options: Any
    ) -> _T:
        """What some work in a session comes to.

        To write on a connection that the server reset is a RuntimeError in uvloop. The driver does
        not know it and would count the connection as in use for ever: here it is dropped.
        """
        for _ in range(_CONNECTIONS + 1):
            async with self._opened().session(database=self._home, **options) as session:
                try:
                    return await work(session)
                except RuntimeError:
                    session.cancel()
        raise neo4j.exceptions.ServiceUnavailable("every connection had been reset")

    def _opened(self) -> neo4j.AsyncDriver:
        if self._driver is None:
            raise RuntimeError("Store.open() has not been called")
        return self._driver

    async def _transact(
        self,
        steps: Sequence[tuple[Query, Mapping[str, Any]]],
        seconds: float,
        check: Callable[[list[Row]], None] = lambda _: None,
        last_step: LastStep | None = None,
    ) -> list[list[Row]]:
        """The rows of each query; all are run in one transaction.

        One that writes waits for the other writers, as those of `loaders.gateway` do. Where
        `check` raises, all is rolled back. `last_step` is run at the end.
        """
        writing = any(query.mode == "write" for query, _ in steps)

        @neo4j.unit_of_work(timeout=seconds)
        async def work(transaction: neo4j.AsyncManagedTransaction) -> list[list[Row]]:
            answers: list[list[Row]] = []
            if writing:
                lock = catalogue()["ingest/write_lock"]
                await transaction.run(self.address.statement(lock))
            for query, parameters in steps:
                values = {"all": checked(query, parameters)}
                result = await transaction.run(self._text(query), values)
                answers.append([dict(record.items()) async for record in result])
                check(answers[-1])
            if last_step is not None and (step := last_step(answers)) is not None:
                await transaction.run(self._text(step[0]), {"all": checked(*step)})
            return answers

        before = self._committed()
        patience = {"max_transaction_retry_time": seconds / 2} if writing and self._routed else {}

        async def managed(session: neo4j.AsyncSession) -> list[list[Row]]:
            if not writing:
                return await session.execute_read(work)
            answers = await session.execute_write(work)
            await self._note(before, session)  # and nobody has heard of it yet
            return answers

        bookmarks = neo4j.Bookmarks.from_raw_values(before)
        return await self._in_session(managed, bookmarks=bookmarks, **patience)


def _was_deleted_meanwhile(
    error: neo4j.exceptions.DriverError | neo4j.exceptions.Neo4jError,
) -> bool:
    """Whether a read met something that another transaction was deleting."""
    return isinstance(error, neo4j.exceptions.Neo4jError) and error.code == _DELETED
