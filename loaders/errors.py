"""Every error this package raises on purpose.

    LoaderError
    ├── TableError           a table cannot be read at all (missing file or column)
    │   └── RejectedRowsError  rows were rejected: all of a table, or the caller asked for none
    ├── CatalogueError       a query file breaks the grammar, or does not do what it has to
    ├── LeaseLostError       another took the lease that was written under
    ├── EngineError          an engine of several machines is missing, or could not do its work
    ├── ForeignGraphError    the graph is not in our form, or not ours to write into
    └── Neo4jError
        ├── LocalNeo4jError  the Neo4j on this machine could not be started or stopped
        ├── QueryError       the statement or its values are at fault
        │   ├── SumBeyondError  events would take a sum of values beyond its limit
        │   ├── CategoryCycleError  a category would become its own ancestor
        │   └── RefusedValueError  an index or constraint of the graph's owner takes no such value
        └── Neo4jAwayError   the server's side is at fault, whatever is asked of it
            ├── Neo4jUnavailableError  no server answers, or the connection broke
            │   └── NoLeaderError  servers of a cluster answer, and none of them takes writes now
            ├── Neo4jTimeoutError  the server did not answer within the deadline
            ├── Neo4jAuthError   the server refused the user name or password
            └── Neo4jServerError  it answers and cannot: read-only, disk full, broken, no memory

What can do without Neo4j catches `Neo4jAwayError` and goes on. Each message says what came, what
was expected and what to do. None holds a secret.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from loaders.limits import MAX_AMOUNT


class LoaderError(Exception):
    """Base of every expected failure in `loaders`."""


class TableError(LoaderError):
    """A table cannot be read: the file, or a required column, is missing or unreadable."""


class RejectedRowsError(TableError):
    """Rows were rejected: all of a table, or any while the caller asked for none (`--strict`)."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong with a query file, and in which line; the first line is 1."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class CatalogueError(LoaderError):
    """A query file breaks the grammar of `cypher/README.md`, or does not do what it has to.

    Attributes:
        faults: all that was seen, where the lines are known.
    """

    def __init__(self, said: str | Sequence[Fault]) -> None:
        self.faults = () if isinstance(said, str) else tuple(said)
        super().__init__(said if isinstance(said, str) else "; ".join(map(str, self.faults)))


class LeaseLostError(LoaderError):
    """Another took the lease that was written under; what is written from now on is theirs."""


class EngineError(LoaderError):
    """An engine of several machines, such as Spark, is missing, or could not do its work."""


class ForeignGraphError(LoaderError):
    """The graph is not in our form, or it is somebody else's and not ours to write into."""


class Neo4jError(LoaderError):
    """Base of everything that goes wrong at the Neo4j border."""


class LocalNeo4jError(Neo4jError):
    """The Neo4j on this machine could not be installed, started or stopped."""


class QueryError(Neo4jError):
    """Neo4j refused a statement: it, or the values given to it, are at fault."""


class SumBeyondError(QueryError):
    """Events that would take the sum of a user's values for an item beyond its limit.

    Attributes:
        event_ids: the events of those users and items.
    """

    def __init__(self, event_ids: Collection[str]) -> None:
        self.event_ids = frozenset(event_ids)
        super().__init__(
            f"the values of {len(self.event_ids):,} events would take a sum beyond "
            f"±{MAX_AMOUNT:,.0f}: nothing of it is written, leave them out"
        )


class CategoryCycleError(QueryError):
    """Parents of a category that would make it its own ancestor: nothing of it is written."""


class RefusedValueError(QueryError):
    """A value of a property that an index or constraint of the graph's owner does not take.

    Attributes:
        properties: of the index or constraint.
        why: what is wrong with the value, for a caller of the service.
    """

    def __init__(self, message: str, *, properties: Collection[str], why: str) -> None:
        super().__init__(message)
        self.properties = frozenset(properties)
        self.why = why


class Neo4jAwayError(Neo4jError):
    """Neo4j cannot do it as things are; the same may succeed once the server is mended.

    Attributes:
        reason: why, for a caller of the service: it names no address and no setting.
    """

    reason = "the graph database does not answer"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class Neo4jUnavailableError(Neo4jAwayError):
    """No Neo4j answers at the address, or the connection broke."""


class NoLeaderError(Neo4jUnavailableError):
    """Servers of a cluster answer, and none of them takes writes: they have no leader now."""

    reason = "no server of the graph database takes writes at the moment"


class Neo4jTimeoutError(Neo4jAwayError):
    """Neo4j did not answer within the deadline."""

    reason = "the graph database did not answer in time"


class Neo4jAuthError(Neo4jAwayError):
    """Neo4j refused the user name or password."""

    reason = "the graph database refuses the log-in of this service"


class Neo4jServerError(Neo4jAwayError):
    """Neo4j answers and cannot: read-only, disk full, out of memory, broken or starting."""

    reason = "the graph database is broken"
