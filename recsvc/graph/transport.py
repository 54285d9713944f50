"""How reads and writes get to Neo4j: connections, deadlines, planning, the schema.

One driver per event loop, opened by `open` and closed by `close`. The first writer has the
schema made, and all others wait for that.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import Any, LiteralString, TypeVar

import neo4j
import structlog

from loaders.catalogue import Query, catalogue, with_one_parameter
from loaders.errors import (
    ForeignGraphError,
    Neo4jAwayError,
    Neo4jError,
    Neo4jServerError,
    Neo4jUnavailableError,
    QueryError,
)
from loaders.gateway import Neo4jAddress, Neo4jGateway, Row, checked, taken
from loaders.schema import FullText, apply_schema, full_text_names
from recsvc.graph.circuit_breaker import Patience
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.graph.read_coalescing import SharedReads
from recsvc.graph.rows import UNKNOWN, State

WRITE_SECONDS = 10.0
"""Deadline of a write, unless another one is set."""
_CONNECTIONS = 100
_PLANNING_SECONDS = 30.0
_DELETED = "Neo.ClientError.Statement.EntityNotFound"
_RETIRING_SECONDS = 0.05
_LINE = re.compile(r"\bline (\d+),")
_NO_SCHEMA = "a constraint or index that writes need cannot be made in the graph database"

_T = TypeVar("_T")
_Key = TypeVar("_Key")

_log = structlog.get_logger()


class Transport:
    """Asynchronous reads and writes with a deadline each.

    Attributes:
        address: where Neo4j is.
        timeout_seconds: the deadline of reads; those in `one_request` have it together.
        write_timeout_seconds: the deadline of a write.
        write_trouble: why the last write failed, or the last try to write, where the server's side
            was at fault.
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
        self.write_trouble: str | None = None
        self._refusal: str | None = None
        self._driver: neo4j.AsyncDriver | None = None
        self._writes_on = Counter[neo4j.AsyncDriver]()
        self._retiring: set[asyncio.Task[None]] = set()
        self._patience = Patience(address.shown, self._probe)
        self._planning: asyncio.Task[None] | None = None
        self._plans_paths = False
        self._left_out: set[str] = set()
        self._schema: asyncio.Task[FullText] | None = None
        self._full_text: FullText | None = None

    def one_request(self) -> AbstractContextManager[None]:
        """Everything read in the block has one deadline."""
        return self._patience.one_request()

    @property
    def away(self) -> bool:
        """Whether Neo4j is known not to answer: nobody waits for it."""
        return self._patience.away

    @property
    def _writes_nodes(self) -> bool:
        """Whether users, items and what is between them are ever written for a request."""
        graph = self.address.graph
        return graph is None or graph.map.writes == "all"

    async def open(self) -> None:
        """Make the driver; connections are opened when they are needed."""
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
        await self._patience.close()
        if self._planning is not None:
            self._planning.cancel()
        await asyncio.gather(*self._retiring)
        if self._driver is not None:
            await self._driver.close()

    async def warm_up(self) -> None:
        """Let Neo4j plan the queries of requests, which takes it a second each the first time.

        Raises:
            Neo4jError: it does not answer, or cannot do it.
        """
        self._patience.refuse_if_away()
        await self._plan_evidence()
        await self._plan_paths()
        await self._plan_writes()

    async def _plan_evidence(self) -> None:
        await self._asked(
            catalogue()["serve/user_evidence"],
            {"user_ids": [""], "limit": 1, "seen_limit": 1},
            _PLANNING_SECONDS,
        )
        named = {"category_ids": [""]}
        for name, parameters in (
            ("serve/live_items", named | {"item_ids": [""]}),
            ("serve/category_items", named | {"limit": 1}),
        ):
            await self._asked(catalogue()[name], parameters, _PLANNING_SECONDS)

    async def _plan_paths(self) -> None:
        parameters = path_parameters([("", "")], "", [""], limit=1)
        for file in catalogue().folder("explain"):
            name = file.name.removeprefix("explain/")
            await self._plan_file(file, catalogue()[f"serve/paths[{name}]"], parameters)
        for file in catalogue().folder("metapaths"):
            name = file.name.removeprefix("metapaths/")
            whole = catalogue()[f"extract/metapath_rows[{name}]"]
            await self._plan_file(file, whole, {"evidence_ids": [""], "kinds": [""]})

    async def _plan_file(self, file: Query, whole: Query, parameters: Mapping[str, Any]) -> None:
        """Have a query planned that is in a file which anybody may add, or leave the file out."""
        try:
            await self._asked(whole, taken(whole, parameters), _PLANNING_SECONDS)
        except QueryError as error:
            if file.name not in self._left_out:
                told = await self._said_of(file, parameters, error)
                _log.error("query left out", file=f"cypher/{file.name}.cypher", reason=told)
            self._left_out.add(file.name)

    async def _said_of(self, query: Query, parameters: Mapping[str, Any], error: QueryError) -> str:
        """What Neo4j says of a file on its own, by the lines of the file."""
        try:
            await self._asked(query, taken(query, parameters), _PLANNING_SECONDS)
        except QueryError as own:
            error = own
        return _LINE.sub(lambda line: f"line {int(line[1]) + query.first_line - 1},", str(error))

    def _has(self, name: str) -> bool:
        """Whether there is a query of a name, and Neo4j takes it."""
        return name in catalogue() and name not in self._left_out

    async def _plan_writes(self) -> None:
        """Plan what writes, with the schema there; nothing is written, and nobody is locked out."""
        if not self._writes_nodes:
            return  # nothing is written for a request
        try:
            await self._schema_made()
        except Neo4jAwayError as error:
            self.write_trouble = error.reason
            raise
        for query in writes():
            try:
                self.address.statement(query)
            except ForeignGraphError:
                continue  # somebody else's graph does not take it

            async def explain(session: neo4j.AsyncSession, query: Query = query) -> None:
                text = neo4j.Query("EXPLAIN " + self._text(query), timeout=_PLANNING_SECONDS)
                given = {"all": {}} if query.params else {}
                await (await session.run(text, given)).consume()

            async with self._patience.deadline(query, _PLANNING_SECONDS, writes=True):
                await self._in_session(explain)

    async def try_to_write(self) -> None:
        """Take in whether the database lets itself be written, before a caller meets it.

        What it is made to write is rolled back, so a full disk is not noticed.

        Raises:
            Neo4jError: nothing is known of that: it does not answer.
        """
        if not self._writes_nodes:
            return  # nothing is written for a request
        self._patience.refuse_if_away()
        query = catalogue()["write/try_write"]

        async def undone(session: neo4j.AsyncSession) -> None:
            async with await session.begin_transaction(timeout=self.timeout_seconds) as transaction:
                await (await transaction.run(self.address.statement(query))).consume()
                await transaction.rollback()

        try:
            async with self._patience.deadline(query, self.timeout_seconds, writes=True):
                await self._in_session(undone)
        except Neo4jServerError as error:
            self._refusal = self.write_trouble = error.reason
        else:
            if self.write_trouble == self._refusal:
                self.write_trouble = None
            self._refusal = None

    async def _schema_made(self) -> FullText:
        """Wait until the constraints and indexes are there; the first who asks has them made.

        Returns:
            The names of the full-text indexes, by label.

        Raises:
            Neo4jError: they cannot be made.
        """
        task = self._schema
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._schema = asyncio.create_task(asyncio.to_thread(self._make_schema))
            task.add_done_callback(_heard)
        try:
            return await asyncio.shield(task)
        except QueryError as error:
            raise Neo4jServerError(str(error), reason=_NO_SCHEMA) from error

    def _make_schema(self) -> FullText:
        with Neo4jGateway(self.address, connect_timeout_seconds=self.timeout_seconds) as gateway:
            return apply_schema(gateway)

    async def _full_text_names(self) -> FullText:
        """The names of the full-text indexes, by label: one may have been there before ours."""
        if self._full_text is None:
            self._full_text = full_text_names(await self._run(catalogue()["ingest/indexes"]))
        return self._full_text

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
        self._patience.refuse_if_away()
        return await self._asked(query, parameters, seconds, after)

    async def _shared(self, name: str, reads: SharedReads[_Key, _T], key: _Key) -> _T:
        """What is read for one request, maybe together with what others want."""
        self._patience.refuse_if_away()
        async with self._patience.deadline(catalogue()[name], self.timeout_seconds):
            return await reads.ask(key)

    async def _write(
        self,
        steps: Sequence[tuple[Query, Mapping[str, Any]]],
        check: Callable[[list[Row]], None] = lambda _: None,
    ) -> list[list[Row]]:
        """The rows of each query; they are committed together when this returns.

        Args:
            steps: the queries and their parameters.
            check: told the rows of each; where it raises, all is rolled back.

        Raises:
            Neo4jError: the graph cannot be written in time.
        """
        for query, parameters in steps:  # refused before anything is waited for
            self.address.statement(query)
            self.address.check_written(query, parameters)
        self._patience.refuse_if_away(to_write=True)
        seconds = self.write_timeout_seconds
        try:
            async with self._patience.deadline(steps[0][0], seconds, writes=True):
                await self._schema_made()
                with self._kept_open():
                    answers = await self._transact(steps, seconds, check)
        except Neo4jAwayError as error:
            self.write_trouble = error.reason
            raise
        self.write_trouble = None
        return answers

    async def _probe(self) -> None:
        """Ask on a new connection: none of the old ones may work, and waiting on each is long."""
        old = self._opened()
        await self.open()
        if self._writes_on[old]:
            self._retire_later(old)
        else:
            await self._retire(old)
        query = catalogue()["serve/user_evidence"]
        async with self._patience.deadline(query, self.timeout_seconds):
            await self._opened().verify_connectivity()
        # It may have been started again, and has planned nothing then; it may be another one. What
        # each answer needs comes first.
        self._schema = self._full_text = None
        await self._plan_evidence()
        if self._planning is not None:
            self._planning.cancel()
        self._plans_paths = True
        self._planning = asyncio.create_task(self._plan_the_rest())

    async def _plan_the_rest(self) -> None:
        with suppress(Neo4jError):
            await self._plan_paths()
        self._plans_paths = False
        with suppress(Neo4jError):
            await self._plan_writes()

    def _refuse_paths_while_planned(self) -> None:
        if self._plans_paths and self._planning is not None and not self._planning.done():
            raise Neo4jUnavailableError(
                f"Neo4j at {self.address.shown} answers again and plans its queries of paths first"
            )

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
        async with self._patience.deadline(query, seconds):
            try:
                return await self._read_once(query, parameters, seconds, after)
            except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError) as error:
                if not (error.is_retryable() or _was_deleted_meanwhile(error)):
                    raise
            (rows,) = await self._transact([(query, parameters)], seconds)
            return rows, UNKNOWN

    async def _read_once(
        self, query: Query, parameters: Mapping[str, Any], seconds: float, after: State
    ) -> tuple[list[Row], State]:
        """One read without a transaction around it: half the messages, and no second try."""

        async def work(session: neo4j.AsyncSession) -> tuple[list[Row], State]:
            text = neo4j.Query(self._text(query), timeout=seconds)
            result = await session.run(text, {"all": checked(query, parameters)})
            rows = [dict(record.items()) async for record in result]
            return rows, State((await session.last_bookmarks()).raw_values)

        bookmarks = neo4j.Bookmarks.from_raw_values(after)
        return await self._in_session(
            work, default_access_mode=neo4j.READ_ACCESS, bookmarks=bookmarks
        )

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
            async with self._opened().session(database=self.address.database, **options) as session:
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
    ) -> list[list[Row]]:
        """The rows of each query; all are run in one transaction.

        One that writes waits for the other writers, as those of `loaders.gateway` do. Where
        `check` raises, all is rolled back.
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
            return answers

        async def managed(session: neo4j.AsyncSession) -> list[list[Row]]:
            return await (session.execute_write if writing else session.execute_read)(work)

        return await self._in_session(managed)


def _heard(task: asyncio.Task[Any]) -> None:
    """Take in how a task ended that nobody may wait for any more."""
    if not task.cancelled():
        task.exception()


@cache
def writes() -> tuple[Query, ...]:
    """The queries that write for a request: the longest to plan come first."""
    lock, events = catalogue()["ingest/write_lock"], catalogue()["ingest/events"]
    others = (*catalogue().folder("write"), *catalogue().folder("delete"))
    return (events, lock, *(query for query in others if query.mode == "write"))


def _was_deleted_meanwhile(
    error: neo4j.exceptions.DriverError | neo4j.exceptions.Neo4jError,
) -> bool:
    """Whether a read met something that another transaction was deleting."""
    return isinstance(error, neo4j.exceptions.Neo4jError) and error.code == _DELETED
