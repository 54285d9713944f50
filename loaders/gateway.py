"""The border to Neo4j for batch work: one protocol, one real implementation."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString, Protocol

import neo4j
from neo4j import exceptions as driver_errors

from loaders._closing import Closing
from loaders.addresses import check_address, is_routed, shown_address
from loaders.catalogue import Query, catalogue
from loaders.commits import NewestCommits
from loaders.driver_errors import has_no_leader, translated_errors
from loaders.errors import Neo4jError, Neo4jUnavailableError, QueryError
from loaders.graph_map import GraphMap
from loaders.mapped import MappedGraph
from loaders.tracing import query_span

Row = dict[str, Any]

_LEADER_SECONDS = 60.0
"""For how long a write is tried again in a cluster, which may be about to elect a leader."""
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Neo4jAddress:
    """Where a Neo4j is and how to log in. The password is never shown.

    Attributes:
        uri: `bolt://…` or `neo4j://…`.
        user: user name.
        password: password; empty when the server asks for none.
        database: database name; None is the user's home database.
        graph: how it maps to ours, where it is the graph of somebody else.
        commits: what reads have to see, where several servers may answer (neo4j://).

    Raises:
        Neo4jUnavailableError: the address is none, or a user or password may be in it.
    """

    uri: str
    user: str
    password: str
    database: str | None = None
    graph: MappedGraph | None = None
    commits: NewestCommits | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        try:
            check_address(self.uri)
        except ValueError as error:
            raise Neo4jUnavailableError(f"the address of Neo4j cannot be used: {error}") from None
        if not is_routed(self.uri):
            object.__setattr__(self, "commits", None)
        elif self.commits is None:
            object.__setattr__(self, "commits", NewestCommits())

    def __repr__(self) -> str:
        return f"Neo4jAddress(uri={self.shown!r}, user={self.user!r}, database={self.database!r})"

    @property
    def shown(self) -> str:
        """The address as messages show it."""
        return shown_address(self.uri)

    def statement(self, query: Query) -> LiteralString:
        """The text of a query, as the graph there takes it.

        Raises:
            ForeignGraphError: it changes what is not ours.
        """
        return query.text if self.graph is None else self.graph.statement(query)

    def check_written(self, query: Query, parameters: Mapping[str, Any]) -> None:
        """Go on only if the graph there can take what a query is given.

        Raises:
            ForeignGraphError: a mapping does not say how to write it.
        """
        if self.graph is not None:
            self.graph.check(query, parameters)

    def rows_from_disk(self, query: Query, parameters: Mapping[str, Any]) -> list[Row] | None:
        """The rows of a query that is not asked of Neo4j; None where it is.

        Raises:
            OSError: a folder cannot be written or read.
        """
        return None if self.graph is None else self.graph.rows_from_disk(query, parameters)

    @property
    def writes(self) -> bool:
        """Whether anything is ever written there."""
        return self.graph is None or self.graph.versions is None

    @property
    def auth(self) -> tuple[str, str] | None:
        """What the driver takes as `auth`."""
        return (self.user, self.password) if self.password else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What Neo4j says of a statement without running it.

    Attributes:
        columns: that it returns.
        writes: whether it may change anything: data, schema or settings.
    """

    columns: tuple[str, ...]
    writes: bool


class Transaction(Protocol):
    """An open transaction."""

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """Run one query and return all its rows."""
        ...


class Gateway(Protocol):
    """What batch code needs of Neo4j."""

    @property
    def graph(self) -> GraphMap | None:
        """How the graph maps to ours, where it is the graph of somebody else."""
        ...

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """Run one query in a transaction of its own and return all its rows."""
        ...

    def plan(self, query: Query) -> Plan:
        """Have a query planned, and not run."""
        ...

    def read(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """Run `work` in one read transaction, again from its start after a transient error.

        Args:
            work: what to do in it; the server refuses what writes.
            timeout_seconds: see `write`.
        """
        ...

    def write(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """Run `work` in one write transaction, again from its start after a transient error.

        Writers wait for each other (`cypher/ingest/write_lock.cypher`): keep it short.

        Args:
            work: what to do in it.
            timeout_seconds: when the server ends it at the latest, also if this process is paused
                in the middle; unset, as any other query.
        """
        ...

    def run_rolled_back(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """Run `work` in one write transaction that is always rolled back.

        It holds the locks of what it changes, so that others wait: keep it short.

        Args:
            work: what to do in it.
            timeout_seconds: see `write`.
        """
        ...


class Neo4jGateway(Closing):
    """`Gateway` over the official driver; a context manager that owns its connections.

    Raises:
        Neo4jUnavailableError: nothing answers there within `connect_timeout_seconds`.
        Neo4jAuthError: the user name or password is refused.
    """

    def __init__(
        self,
        address: Neo4jAddress,
        *,
        query_timeout_seconds: float = 600.0,
        connect_timeout_seconds: float = 15.0,
    ) -> None:
        self.address = address
        self._database = address.database
        self._query_timeout_seconds = query_timeout_seconds
        with translated_errors(address.shown):
            self._driver = neo4j.GraphDatabase.driver(
                address.uri,
                auth=address.auth,
                connection_timeout=connect_timeout_seconds,
                connection_acquisition_timeout=connect_timeout_seconds,
                max_transaction_retry_time=self._retry_seconds(connect_timeout_seconds),
                notifications_min_severity="OFF",
                user_agent="recsvc",
            )
        try:
            with translated_errors(address.shown):
                self._driver.verify_connectivity()
                self._catch_up()
        except Neo4jError:
            self._driver.close()
            raise

    @property
    def graph(self) -> GraphMap | None:
        """See `Gateway.graph`."""
        return self.address.graph.map if self.address.graph is not None else None

    def close(self) -> None:
        """Close every connection."""
        self._driver.close()

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """See `Gateway.run`.

        Raises:
            Neo4jError: the server is away, too slow, or refuses the statement.
        """
        rows = self.address.rows_from_disk(query, parameters)
        if rows is not None:
            return rows
        if query.mode in ("schema", "autocommit"):
            return self._run_alone(query, parameters)

        def work(transaction: Transaction) -> list[Row]:
            return transaction.run(query, **parameters)

        if query.mode == "write":
            return self._managed(_alone(work), writes=True, query=query)
        return self._managed(work, writes=False, query=query)

    def plan(self, query: Query) -> Plan:
        """See `Gateway.plan`.

        Raises:
            Neo4jError: the server is away, or refuses the statement.
        """
        with translated_errors(self.address.shown, query), self._session() as session:
            statement = neo4j.Query(
                "EXPLAIN " + self.address.statement(query), timeout=self._query_timeout_seconds
            )
            result = session.run(statement)
            columns = tuple(result.keys())
            return Plan(columns, writes=result.consume().query_type != "r")

    def read(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """See `Gateway.read`."""
        return self._managed(work, writes=False, timeout_seconds=timeout_seconds)

    def write(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """See `Gateway.write`."""
        return self._managed(_alone(work), writes=True, timeout_seconds=timeout_seconds)

    def run_rolled_back(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """See `Gateway.run_rolled_back`. Other writers to the same nodes wait until it ends."""
        results: list[Any] = []

        def undone(transaction: Transaction) -> None:
            results[:] = [work(transaction)]
            raise _RolledBackError  # the driver rolls back, and tries again only what is transient

        with contextlib.suppress(_RolledBackError):
            self._managed(undone, writes=True, timeout_seconds=timeout_seconds)
        return results[0]

    def _session(self) -> neo4j.Session:
        return self._driver.session(database=self._database, bookmark_manager=self.address.commits)

    def _retry_seconds(self, connect_timeout_seconds: float) -> float:
        return connect_timeout_seconds if self.address.commits is None else _LEADER_SECONDS

    def _catch_up(self) -> None:
        """Have what is read be no older than what the leader has now, where there is one."""
        commits = self.address.commits
        if commits is None or not self.address.writes:
            return
        before = commits.get_bookmarks()
        try:
            newest = self._newest_after(before)
        except driver_errors.Neo4jError as error:
            if "Bookmark" not in (error.code or ""):
                return  # it does not lead, or does not let this user write
            newest = self._newest_after(())  # it was restored, and is older than what was known
        except driver_errors.SessionExpired as error:
            if not has_no_leader(error):
                raise
            return
        commits.update_bookmarks(before, newest)

    def _newest_after(self, bookmarks: Collection[str]) -> Collection[str]:
        """Bookmarks of what the leader has, once it has some commits.

        The name of the database is noted: to ask for that of an unnamed one, the driver knows no
        other server than the one in the address.
        """
        given = neo4j.Bookmarks.from_raw_values(bookmarks)
        query = catalogue()["serve/newest_commit"]
        with self._driver.session(database=self._database, bookmarks=given) as session:
            result = session.run(neo4j.Query(query.text, timeout=self._query_timeout_seconds))
            self._database = result.consume().database
            return session.last_bookmarks().raw_values

    def _run_alone(self, query: Query, parameters: Mapping[str, Any]) -> list[Row]:
        """Run a query in no transaction of ours, again where a server of a cluster refuses it.

        What was cut off is not run again: it may have been written.
        """
        text = neo4j.Query(self.address.statement(query), timeout=self._query_timeout_seconds)
        given = checked(query, parameters)
        end = time.monotonic() + self._retry_seconds(0.0)
        while True:
            with query_span(query.name), translated_errors(self.address.shown, query):
                try:
                    with self._session() as session:
                        return _rows(session.run(text, given))
                except (driver_errors.NotALeader, driver_errors.SessionExpired) as error:
                    if time.monotonic() >= end or not has_no_leader(error):
                        raise
            time.sleep(_PAUSE_SECONDS)

    def _managed(
        self,
        work: Callable[[Transaction], Any],
        *,
        writes: bool,
        timeout_seconds: float | None = None,
        query: Query | None = None,
    ) -> Any:
        @neo4j.unit_of_work(timeout=timeout_seconds or self._query_timeout_seconds)
        def unit(transaction: neo4j.ManagedTransaction) -> Any:
            return work(_OpenTransaction(transaction, self.address))

        writes = writes and self.address.writes
        with translated_errors(self.address.shown, query), self._session() as session:
            return session.execute_write(unit) if writes else session.execute_read(unit)


def _alone(work: Callable[[Transaction], Any]) -> Callable[[Transaction], Any]:
    """The same work, once no other writer is at work."""

    def alone(transaction: Transaction) -> Any:
        transaction.run(catalogue()["ingest/write_lock"])
        return work(transaction)

    return alone


class _RolledBackError(Exception):
    """Ends work that is rolled back; never leaves this module."""


class _OpenTransaction:
    def __init__(self, transaction: neo4j.ManagedTransaction, address: Neo4jAddress) -> None:
        self._transaction, self._address = transaction, address

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        rows = self._address.rows_from_disk(query, parameters)
        if rows is not None:
            return rows
        statement, given = self._address.statement(query), checked(query, parameters)
        self._address.check_written(query, given)
        with query_span(query.name):
            return _rows(self._transaction.run(statement, given))


def _rows(result: neo4j.Result) -> list[Row]:
    return [dict(record.items()) for record in result]


def checked(query: Query, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters`, once their names are those the query declares.

    Raises:
        QueryError: a parameter is missing or one too many was given.
    """
    if parameters.keys() != query.params.keys():
        raise QueryError(
            f"cypher/{query.name} takes {sorted(query.params)}, got {sorted(parameters)}"
        )
    return dict(parameters)


def taken(query: Query, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `parameters` that the query declares: a meta-path may do without the kinds."""
    return {name: value for name, value in parameters.items() if name in query.params}


def wait_until_ready(
    address: Neo4jAddress,
    *,
    timeout_seconds: float,
    alive: Callable[[], bool] = lambda: True,
) -> bool:
    """Wait until a Neo4j answers at `address`.

    Args:
        address: where to knock.
        timeout_seconds: how long to wait at most.
        alive: asked between tries; False ends the waiting (the server's process died).

    Returns:
        Whether it answered.

    Raises:
        Neo4jAuthError: it answers and refuses the log-in.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline and alive():
        try:
            with Neo4jGateway(address, connect_timeout_seconds=2.0):
                return True
        except Neo4jUnavailableError:
            time.sleep(0.25)
    return False
