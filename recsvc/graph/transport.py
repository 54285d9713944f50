"""What is planned and made ahead, so that reads and writes of requests are in time.

The first writer has the schema made, and all others wait for that.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import neo4j
import structlog

from loaders.catalogue import Query, catalogue
from loaders.errors import (
    ForeignGraphError,
    Neo4jAwayError,
    Neo4jError,
    Neo4jServerError,
    Neo4jUnavailableError,
    NoLeaderError,
    QueryError,
)
from loaders.gateway import Row, checked, taken
from loaders.graph_map import GraphMap
from loaders.schema import FullText, apply_schema, full_text_names
from recsvc.graph.pasteable_cypher import path_parameters
from recsvc.graph.sessions import LastStep, Sessions
from recsvc.graph.unreadable import UnreadNotes

_PLANNING_SECONDS = 30.0
_SCHEMA_SECONDS = 600.0
_LINE = re.compile(r"\bline (\d+),")
_NO_SCHEMA = "a constraint or index that writes need cannot be made in the graph database"


_log = structlog.get_logger()


class Transport(Sessions):
    """Reads and writes, whose queries are planned ahead and whose schema is made.

    Attributes:
        write_trouble: why the last write failed, or the last try to write, where the server's side
            was at fault.
    """

    write_trouble: str | None = None
    _refusal: str | None = None
    _planning: asyncio.Task[None] | None = None
    _plans_paths = False
    _left_out: frozenset[str] = frozenset()
    _schema: asyncio.Task[FullText] | None = None
    _full_text: FullText | None = None

    @cached_property
    def _schema_steps(self) -> set[Future[list[Row]]]:
        return set()

    @cached_property
    def unread(self) -> UnreadNotes:
        """What was met that cannot be read."""
        return UnreadNotes()

    @property
    def _writes_nodes(self) -> bool:
        """Whether users, items and what is between them are ever written for a request."""
        graph = self.address.graph
        return graph is None or graph.map.writes == "all"

    async def close(self) -> None:
        """Close every connection."""
        await self._breaker.close()  # whose probe may begin to plan
        if self._planning is not None:
            self._planning.cancel()
        for step in tuple(self._schema_steps):
            step.cancel()
        await super().close()

    async def warm_up(self) -> None:
        """Let Neo4j plan the queries of requests, which takes it a second each the first time.

        Raises:
            Neo4jError: it does not answer, or cannot do it.
        """
        self._breaker.refuse_if_away()
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
            self._left_out |= {file.name}

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

            async with self._breaker.deadline(query, _PLANNING_SECONDS, writes=True):
                await self._in_session(explain)

    async def try_to_write(self) -> None:
        """Take in whether the database lets itself be written, before a caller meets it.

        What it is made to write is rolled back, so a full disk is not noticed.

        Raises:
            Neo4jError: nothing is known of that: it does not answer.
        """
        if not self._writes_nodes:
            return  # nothing is written for a request
        self._breaker.refuse_if_away()
        query = catalogue()["write/try_write"]

        async def undone(session: neo4j.AsyncSession) -> None:
            async with await session.begin_transaction(timeout=self.timeout_seconds) as transaction:
                await (await transaction.run(self.address.statement(query))).consume()
                await transaction.rollback()

        try:
            async with self._breaker.deadline(query, self.timeout_seconds, writes=True):
                await self._in_session(undone)
        except (Neo4jServerError, NoLeaderError) as error:
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
            task = self._schema = asyncio.create_task(self._make_schema())
            task.add_done_callback(_heard)
        try:
            return await asyncio.shield(task)
        except QueryError as error:
            raise Neo4jServerError(str(error), reason=_NO_SCHEMA) from error

    async def _make_schema(self) -> FullText:
        """Make it in a thread, whose queries are run here: it ends where one is cut off."""
        loop, graph = asyncio.get_running_loop(), self.address.graph

        def run(query: Query, parameters: Mapping[str, Any]) -> list[Row]:
            step = asyncio.run_coroutine_threadsafe(self._schema_step(query, parameters), loop)
            self._schema_steps.add(step)
            try:
                return step.result()
            except CancelledError:
                raise Neo4jUnavailableError(f"Neo4j at {self.address.shown} is left") from None
            finally:
                self._schema_steps.discard(step)

        gateway = _InLoop(graph.map if graph is not None else None, run)
        return await asyncio.to_thread(apply_schema, gateway)

    async def _schema_step(self, query: Query, parameters: Mapping[str, Any]) -> list[Row]:
        async def work(session: neo4j.AsyncSession) -> list[Row]:
            text = neo4j.Query(self.address.statement(query), timeout=_SCHEMA_SECONDS)
            result = await session.run(text, checked(query, parameters))
            return [dict(record.items()) async for record in result]

        async with self._breaker.deadline(query, _SCHEMA_SECONDS, writes=True):
            return await self._in_session(work)

    async def _full_text_names(self) -> FullText:
        """The names of the full-text indexes, by label: one may have been there before ours."""
        if self._full_text is None:
            self._full_text = full_text_names(await self._run(catalogue()["ingest/indexes"]))
        return self._full_text

    async def _write(
        self,
        steps: Sequence[tuple[Query, Mapping[str, Any]]],
        check: Callable[[list[Row]], None] = lambda _: None,
        last_step: LastStep | None = None,
    ) -> list[list[Row]]:
        """The rows of each query; they are committed together when this returns.

        Args:
            steps: the queries and their parameters.
            check: told the rows of each; where it raises, all is rolled back.
            last_step: what is done at the end, whose rows are left out.

        Raises:
            Neo4jError: the graph cannot be written in time.
        """
        for query, parameters in steps:  # refused before anything is waited for
            self.address.statement(query)
            self.address.check_written(query, parameters)
        self._breaker.refuse_if_away(to_write=True)
        seconds = self.write_timeout_seconds
        try:
            async with self._breaker.deadline(steps[0][0], seconds, writes=True):
                await self._schema_made()
                with self._kept_open():
                    answers = await self._transact(steps, seconds, check, last_step)
        except Neo4jAwayError as error:
            self.write_trouble = error.reason
            raise
        self.write_trouble = None
        return answers

    async def _probe(self) -> None:
        """See `Sessions._probe`; then have queries planned."""
        await super()._probe()
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


@dataclass(frozen=True, slots=True)
class _InLoop:
    """Of a gateway what makes the schema, see `loaders.schema.SchemaGateway`.

    Attributes:
        graph: how the graph is mapped.
        asked: runs a query.
    """

    graph: GraphMap | None
    asked: Callable[[Query, Mapping[str, Any]], list[Row]]

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """See `Gateway.run`."""
        return self.asked(query, parameters)


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
