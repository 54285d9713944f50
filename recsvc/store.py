"""Everything a request reads from and writes to Neo4j.

Every call has a deadline (`recsvc.patience`). One driver per event loop, opened by `open` and
closed by `close`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC
from typing import Any, TypeVar, cast

import neo4j
import orjson
import structlog

from loaders.catalogue import Query, catalogue, with_one_parameter
from loaders.errors import Neo4jError, Neo4jUnavailableError, QueryError, SumBeyondError
from loaders.gateway import Gateway, Neo4jAddress, Row, checked
from loaders.limits import MAX_AMOUNT, MAX_LINKS
from loaders.parts import Part, PartName
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.evidence import EVIDENCE_KINDS, EvidenceKind
from recsvc.path_query import path_parameters
from recsvc.patience import Patience
from recsvc.search_query import words_query
from recsvc.shared_reads import SharedReads
from recsvc.stored import (
    ActiveVersion,
    FoundPath,
    PendingDeletions,
    StoredNode,
    StoredUser,
    active_version,
    event_row,
    found_path,
    pending_of,
    stored_user,
)

SEEN_LIMIT = 50_000
Step = tuple[str, Mapping[str, Any]]
"""Name of a query and its parameters."""

_T = TypeVar("_T")
_Key = TypeVar("_Key")
_CONNECTIONS = 100
_JSON = ("options", "metrics", "signal_metrics")
_VERSIONS_LIMIT = 200
_PLANNING_SECONDS = 30.0
_LINE = re.compile(r"\bline (\d+),")
_log = structlog.get_logger()


class Store:
    """Asynchronous reads and writes with a deadline each.

    Attributes:
        address: where Neo4j is.
        timeout_seconds: the deadline; reads in `one_request` have it together.
    """

    def __init__(self, address: Neo4jAddress, *, timeout_seconds: float) -> None:
        self.address = address
        self.timeout_seconds = timeout_seconds
        self._driver: neo4j.AsyncDriver | None = None
        self._patience = Patience(address.uri, self._probe)
        self._planning: asyncio.Task[None] | None = None
        self._left_out: set[str] = set()
        self._users = SharedReads(self._read_users)
        self._live_items = SharedReads(self._read_live_items)

    def one_request(self) -> AbstractContextManager[None]:
        """Everything read in the block has one deadline."""
        return self._patience.one_request()

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
        if self._driver is not None:
            await self._driver.close()

    async def warm_up(self) -> None:
        """Let Neo4j plan the queries of a request, which takes it a second the first time.

        Raises:
            Neo4jError: it does not answer.
        """
        self._patience.refuse_if_away()
        await self._plan_evidence()
        await self._plan_paths()

    async def _plan_evidence(self) -> None:
        await self._asked(
            catalogue()["serve/user_evidence"],
            {"user_ids": [""], "limit": 1, "seen_limit": 1},
            _PLANNING_SECONDS,
        )
        await self._asked(catalogue()["serve/live_items"], {"item_ids": [""]}, _PLANNING_SECONDS)

    async def _plan_paths(self) -> None:
        parameters = path_parameters([("", "")], "", limit=1)
        for file in catalogue().folder("explain"):
            name = file.name.removeprefix("explain/")
            await self._plan_file(file, catalogue()[f"serve/paths[{name}]"], parameters)
        for file in catalogue().folder("metapaths"):
            name = file.name.removeprefix("metapaths/")
            whole = catalogue()[f"extract/metapath_rows[{name}]"]
            await self._plan_file(file, whole, {"evidence_ids": [""]})

    async def _plan_file(self, file: Query, whole: Query, parameters: Mapping[str, Any]) -> None:
        """Have a query planned that is in a file which anybody may add, or leave the file out."""
        try:
            await self._asked(whole, parameters, _PLANNING_SECONDS)
        except QueryError as error:
            if file.name not in self._left_out:
                told = await self._said_of(file, parameters, error)
                _log.error("query left out", file=f"cypher/{file.name}.cypher", reason=told)
            self._left_out.add(file.name)

    async def _said_of(self, query: Query, parameters: Mapping[str, Any], error: QueryError) -> str:
        """What Neo4j says of a file on its own, by the lines of the file."""
        try:
            await self._asked(query, parameters, _PLANNING_SECONDS)
        except QueryError as own:
            error = own
        return _LINE.sub(lambda line: f"line {int(line[1]) + query.first_line - 1},", str(error))

    async def user(self, user_id: str, *, limit: int) -> StoredUser:
        """What the graph knows about a user.

        Raises:
            NotFoundError: there is no such user.
            Neo4jError: the graph cannot be read in time.
        """
        found = await self._shared("serve/user_evidence", self._users, (user_id, limit))
        if found is None:
            raise NotFoundError(f"no user {user_id!r} in the graph")
        return found

    async def _read_users(self, asked: Sequence[tuple[str, int]]) -> list[StoredUser | None]:
        rows = await self._run(
            catalogue()["serve/user_evidence"],
            user_ids=list({user_id for user_id, _ in asked}),
            limit=max(limit for _, limit in asked),
            seen_limit=SEEN_LIMIT,
        )
        row_of = {row["user_id"]: row for row in rows}
        return [stored_user(row_of[u], limit) if u in row_of else None for u, limit in asked]

    async def known(self, named: Sequence[tuple[EvidenceKind, str]]) -> set[tuple[str, str]]:
        """Those of some users, items and categories that there are."""
        ids = {kind: [each for k, each in named if k == kind] for kind in EVIDENCE_KINDS}
        query = catalogue()["serve/known"]
        (row,) = await self._run(
            query, user_ids=ids["user"], item_ids=ids["item"], category_ids=ids["category"]
        )
        return {(kind, each) for kind in EVIDENCE_KINDS for each in row[f"{kind}_ids"]}

    async def user_exists(self, user_id: str) -> bool:
        """Whether a user is in the graph."""
        return (await self._run(catalogue()["serve/user_exists"], user_id=user_id))[0]["found"]

    async def live_items(self, item_ids: Sequence[str]) -> frozenset[str]:
        """Those of the items that exist and are available now."""
        live = await self._shared("serve/live_items", self._live_items, frozenset(item_ids))
        return live.intersection(item_ids)

    async def _read_live_items(self, asked: Sequence[frozenset[str]]) -> list[frozenset[str]]:
        ids = list(frozenset[str]().union(*asked))
        rows = await self._run(catalogue()["serve/live_items"], item_ids=ids)
        return [frozenset(rows[0]["item_ids"])] * len(asked)

    async def other_items(
        self, others: Sequence[str], categories: Sequence[str], limit: int
    ) -> list[tuple[str, str | None]]:
        """(id, title) of items that may be recommended now and are not among the others."""
        rows = await self._run(
            catalogue()["serve/other_items"], others=list(others), category_ids=list(categories),
            limit=limit,
        )  # fmt: skip
        return [(row["item_id"], row["title"]) for row in rows]

    def has_metapath(self, name: str) -> bool:
        """Whether there still is a file of a meta-path, and Neo4j takes it."""
        return self._has(f"metapaths/{name}")

    def has_paths(self, metapath: str) -> bool:
        """Whether there is a file that finds the paths of a meta-path, and Neo4j takes it."""
        return self._has(f"explain/{metapath}")

    def _has(self, name: str) -> bool:
        return name in catalogue() and name not in self._left_out

    async def metapath(
        self, name: str, evidence_ids: Sequence[str]
    ) -> dict[str, tuple[list[str], list[float]]]:
        """Items and strengths of one meta-path, by evidence node."""
        query = catalogue()[f"extract/metapath_rows[{name}]"]
        rows = await self._run(query, evidence_ids=list(evidence_ids))
        return {row["evidence_id"]: (row["item_ids"], row["strengths"]) for row in rows}

    async def two_steps(
        self, evidence_ids: Sequence[str]
    ) -> dict[str, tuple[list[str], list[float]]]:
        """Where a random walk is after two steps, by the item it starts from."""
        rows = await self._run(catalogue()["serve/two_steps"], evidence_ids=list(evidence_ids))
        return {row["evidence_id"]: (row["item_ids"], row["shares"]) for row in rows}

    async def paths(
        self, metapath: str, pairs: Sequence[tuple[str, str]], user_id: str | None, *, limit: int
    ) -> list[FoundPath]:
        """The strongest paths between pairs of (evidence id, item id) along one meta-path.

        Raises:
            Neo4jError: the graph cannot be read in time, or was away and plans this first.
        """
        if self._planning is not None and not self._planning.done():
            raise Neo4jUnavailableError(
                f"Neo4j at {self.address.uri} answers again and plans its queries of paths first"
            )
        parameters = path_parameters(pairs, user_id, limit=limit)
        rows = await self._run(catalogue()[f"serve/paths[{metapath}]"], **parameters)
        return [found_path(*path) for path in rows[0]["paths"]]

    async def similar_users(self, user_id: str, k: int, model: ActiveVersion) -> list[Row]:
        """The k nearest users under a model: id, name, score (cosine)."""
        query = catalogue()[f"serve/similar_users[{model.model},{model.slot}]"]
        return await self._run(query, user_id=user_id, k=k)

    async def node(self, kind: EvidenceKind, node_id: str) -> StoredNode:
        """What its owner knows about a node.

        Raises:
            NotFoundError: there is no such node.
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()[f"serve/{kind}"], id=node_id, limit=MAX_LINKS)
        if not rows:
            raise NotFoundError(f"no {kind} {node_id!r} in the graph")
        properties = {name: _json_value(value) for name, value in sorted(rows[0]["properties"])}
        return StoredNode(properties, [(link, weight) for link, weight in rows[0]["links"]])

    async def add_events(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write events; they are committed when this returns. Returns the ids of the new ones.

        Raises:
            SumBeyondError: they would take a sum beyond its limit; none of them is written.
            Neo4jError: the graph cannot be written in time.
        """
        self._patience.refuse_if_away()
        query = catalogue()["ingest/events"]
        parameters = {"rows": [event_row(row) for row in rows], "limit": MAX_AMOUNT}
        (answer,) = await self._transact(
            [(query, parameters)], self.timeout_seconds, _refuse_beyond
        )
        return answer[0]["event_ids"] if answer else []

    async def write(self, steps: Sequence[Step]) -> list[list[Row]]:
        """Run queries in one transaction, which is committed when this returns.

        Raises:
            Neo4jError: the graph cannot be written in time.
        """
        self._patience.refuse_if_away()
        named = [(catalogue()[name], parameters) for name, parameters in steps]
        return await self._transact(named, self.timeout_seconds)

    async def pending_deletions(self) -> PendingDeletions:
        """The deletions that have not been finished in all stored snapshots."""
        return pending_of(await self._run(catalogue()["rest/deletions"]))

    async def active_versions(self) -> dict[str, ActiveVersion]:
        """The active version of every model, by name."""
        rows = await self._run(catalogue()["serve/active_versions"])
        return {row["model"]: active_version(row) for row in rows}

    async def stored_versions(self) -> dict[int, str]:
        """SHA-256 of the stored arrays of the blend that can be served, by version."""
        rows = await self._run(catalogue()["serve/stored_versions"])
        return {row["version"]: row["sha256"] for row in rows}

    async def refresh_holder(self) -> str | None:
        """Who works on a refresh of this graph, as its lease says; None where nobody does."""
        rows = await self._run(catalogue()["lease/holder"])
        return rows[0]["holder"] if rows else None

    async def versions(self) -> list[Row]:
        """The newest versions of all models, as JSON-ready values."""
        rows = await self._run(catalogue()["serve/versions"], limit=_VERSIONS_LIMIT)
        return [_plain(row["properties"]) for row in rows]

    async def find(self, kind: EvidenceKind, text: str, limit: int) -> list[Row]:
        """Nodes by the beginning of their id, or by words of their title or name.

        Returns:
            id, title, and the count of their interactions or, for a category, of its items.
        """
        query = catalogue()[f"serve/find_{kind}"]
        return await self._run(query, prefix=text, words=words_query(text), limit=limit)

    async def users_at(self, share: float, limit: int) -> list[Row]:
        """Users from a place among all, from 0 to 1; the same as `find` returns."""
        users = (await self._run(catalogue()["serve/user_count"]))[0]["users"]
        return await self._run(catalogue()["serve/users_at"], place=int(share * users), limit=limit)

    async def snapshot_parts(self, version: int) -> AsyncIterator[Part]:
        """The packed arrays of one version of the blend, part by part.

        Raises:
            SnapshotError: it has none, or others by now.
        """
        rows = await self._run(catalogue()["serve/snapshot_parts"], version=version)
        if not rows:
            raise SnapshotError(f"hybrid {version} has no stored arrays: run `recsvc refresh`")
        query = catalogue()["serve/snapshot_part"]
        for name in sorted(PartName(row["entry"], row["number"], row["sha256"]) for row in rows):
            found = await self._run(
                query, version=version, entry=name.entry, number=name.number, sha256=name.sha256
            )
            if not found:
                raise SnapshotError(f"the arrays of hybrid {version} were rewritten meanwhile")
            yield Part(name.entry, name.number, found[0]["content"])

    async def _run(
        self, query: Query, *, timeout_seconds: float | None = None, **parameters: Any
    ) -> list[Row]:
        self._patience.refuse_if_away()
        return await self._asked(query, parameters, timeout_seconds or self.timeout_seconds)

    async def _shared(self, name: str, reads: SharedReads[_Key, _T], key: _Key) -> _T:
        """What is read for one request, maybe together with what others want."""
        self._patience.refuse_if_away()
        async with self._patience.deadline(catalogue()[name], self.timeout_seconds):
            return await reads.ask(key)

    async def _probe(self) -> None:
        """Ask on a new connection: none of the old ones may work, and waiting on each is long."""
        old = self._opened()
        await self.open()
        with suppress(TimeoutError, RuntimeError):  # the latter as in `_in_session`
            async with asyncio.timeout(self.timeout_seconds):
                await old.close()
        query = catalogue()["serve/user_evidence"]
        async with self._patience.deadline(query, self.timeout_seconds):
            await self._opened().verify_connectivity()
        # One that was started again has planned nothing. What each answer needs comes first.
        await self._plan_evidence()
        self._planning = asyncio.create_task(self._plan_paths_again())

    async def _plan_paths_again(self) -> None:
        with suppress(Neo4jError):
            await self._plan_paths()

    async def _asked(
        self, query: Query, parameters: Mapping[str, Any], seconds: float
    ) -> list[Row]:
        async with self._patience.deadline(query, seconds):
            if query.mode == "read":
                try:
                    return await self._read_once(query, parameters, seconds)
                except (neo4j.exceptions.DriverError, neo4j.exceptions.Neo4jError) as error:
                    if not error.is_retryable():
                        raise
            (rows,) = await self._transact([(query, parameters)], seconds)
            return rows

    async def _read_once(
        self, query: Query, parameters: Mapping[str, Any], seconds: float
    ) -> list[Row]:
        """One read without a transaction around it: half the messages, and no second try."""

        async def work(session: neo4j.AsyncSession) -> list[Row]:
            text = neo4j.Query(with_one_parameter(query.text), timeout=seconds)
            result = await session.run(text, {"all": checked(query, parameters)})
            return [dict(record.items()) async for record in result]

        return await self._in_session(work, default_access_mode=neo4j.READ_ACCESS)

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
        writes = any(query.mode == "write" for query, _ in steps)

        @neo4j.unit_of_work(timeout=seconds)
        async def work(transaction: neo4j.AsyncManagedTransaction) -> list[list[Row]]:
            answers: list[list[Row]] = []
            if writes:
                await transaction.run(catalogue()["ingest/write_lock"].text)
            for query, parameters in steps:
                values = {"all": checked(query, parameters)}
                result = await transaction.run(with_one_parameter(query.text), values)
                answers.append([dict(record.items()) async for record in result])
                check(answers[-1])
            return answers

        async def managed(session: neo4j.AsyncSession) -> list[list[Row]]:
            return await (session.execute_write if writes else session.execute_read)(work)

        async with self._patience.deadline(steps[0][0], seconds):
            return await self._in_session(managed)


def _refuse_beyond(rows: list[Row]) -> None:
    """Refuse what `cypher/ingest/events.cypher` has done, where a sum is beyond its limit."""
    for row in rows:
        if row["beyond"]:
            raise SumBeyondError(row["beyond"])


def all_versions(gateway: Gateway) -> list[Row]:
    """What `Store.versions` gives, for a command.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["serve/versions"], limit=_VERSIONS_LIMIT)
    return [_plain(row["properties"]) for row in rows]


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Node properties as JSON-ready values; the texts that hold JSON are read."""
    return {
        name: orjson.loads(value) if name in _JSON else _json_value(value)
        for name, value in sorted(properties.items())
        if value is not None
    }


def _json_value(value: Any) -> Any:
    """A stored value as JSON has it: a time with its offset, what JSON has no form for as text."""
    if isinstance(value, neo4j.time.DateTime):
        native = value.to_native()
        return (native if native.tzinfo else native.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, list):
        return [_json_value(each) for each in cast("list[Any]", value)]
    return value if isinstance(value, str | int | float | None) else str(value)
