"""Checks of parameters and errors at the border, without a server."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import neo4j
import pytest
from neo4j import exceptions as driver_errors

import loaders.gateway
from loaders.catalogue import Query, catalogue
from loaders.driver_errors import translated_errors
from loaders.errors import (
    Neo4jAuthError,
    Neo4jAwayError,
    Neo4jError,
    Neo4jServerError,
    Neo4jTimeoutError,
    Neo4jUnavailableError,
    QueryError,
    RefusedValueError,
)
from loaders.gateway import (
    Gateway,
    Neo4jAddress,
    Neo4jGateway,
    Row,
    Transaction,
    checked,
    wait_until_ready,
)
from loaders.schema import apply_schema, schema_items

URI = "bolt://example:7687"
QUERY = Query("serve/thing", "A thing.", "read", {"a": "str", "b": "int"}, {}, "RETURN $a, $b")


SERVER_SIDE = (
    "Neo.DatabaseError.General.UnknownError",
    "Neo.DatabaseError.Statement.ExecutionFailed",
    "Neo.DatabaseError.Transaction.TransactionLogError",
    "Neo.DatabaseError.Transaction.TransactionStartFailed",
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
    "Neo.TransientError.General.OutOfMemoryError",
    "Neo.TransientError.Transaction.DeadlockDetected",
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
    "Neo.ClientError.General.WriteOnReadOnlyAccessDatabase",
    "Neo.ClientError.Cluster.NotALeader",
    "Neo.ClientError.Database.DatabaseNotFound",
    "Neo.ClientError.Security.AuthenticationRateLimit",
    "Neo.ClientError.Security.Forbidden",
)


class RecordingGateway:
    """Records what is run, and knows every index once it was made."""

    graph = None

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.indexes: list[Row] = []

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        self.calls.append((query.name, checked(query, parameters)))
        if query.name == "ingest/indexes":
            return list(self.indexes)
        for item in schema_items():
            if item.query == query:
                constraint = item.name if item.kind == "CONSTRAINT" else None
                kind = "RANGE" if constraint else item.kind
                row = {"labels": [item.label], "properties": list(item.properties), "type": kind}
                row |= {"name": item.name, "of": item.of, "constraint": constraint}
                row["state"] = "POPULATING"
                self.indexes.append(row)
        return []

    def write(self, work: Callable[[Transaction], Any]) -> Any:
        return work(self)

    def run_rolled_back(self, work: Callable[[Transaction], Any], **_more: Any) -> Any:
        return work(self)


def server_error(code: str) -> driver_errors.Neo4jError:
    """The class the driver itself makes of a code."""
    return driver_errors.Neo4jError._basic_hydrate(neo4j_code=code, message="it said so")


def test_checked_gives_a_copy_of_what_is_declared() -> None:
    parameters = {"a": "x", "b": 1}
    copy = checked(QUERY, parameters)
    assert copy == parameters
    assert copy is not parameters


@pytest.mark.parametrize(
    "parameters", [{}, {"a": "x"}, {"a": "x", "b": 1, "c": 2}, {"A": 1, "b": 1}]
)
def test_checked_refuses_any_other_names(parameters: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match=r"cypher/serve/thing takes \['a', 'b'\], got"):
        checked(QUERY, parameters)


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (driver_errors.ServiceUnavailable("gone"), Neo4jUnavailableError),
        (driver_errors.RoutingServiceUnavailable("gone"), Neo4jUnavailableError),
        (driver_errors.SessionExpired("gone"), Neo4jUnavailableError),
        (driver_errors.ConnectionAcquisitionTimeoutError("full"), Neo4jUnavailableError),
        (driver_errors.ConfigurationError("no scheme"), Neo4jUnavailableError),
        (driver_errors.ResultConsumedError(None, "late"), Neo4jUnavailableError),
        (ConnectionResetError("reset"), Neo4jUnavailableError),
        (server_error("Neo.ClientError.Security.Unauthorized"), Neo4jAuthError),
        (server_error("Neo.ClientError.Security.TokenExpired"), Neo4jAuthError),
        (server_error("Neo.ClientError.Transaction.TransactionTimedOut"), Neo4jTimeoutError),
        (
            server_error("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"),
            Neo4jTimeoutError,
        ),
        (server_error("Neo.ClientError.Statement.SyntaxError"), QueryError),
        (server_error("Neo.ClientError.Schema.ConstraintValidationFailed"), RefusedValueError),
        (server_error("Neo.DatabaseError.Schema.ConstraintCreationFailed"), QueryError),
        (server_error("Neo.ClientError.Procedure.ProcedureCallFailed"), QueryError),
        *((server_error(code), Neo4jServerError) for code in SERVER_SIDE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_driver_errors_become_ours(raised: Exception, ours: type[Neo4jError]) -> None:
    with pytest.raises(Neo4jError) as caught, translated_errors(URI, QUERY):
        raise raised
    assert type(caught.value) is ours
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            server_error("Neo.ClientError.Statement.SyntaxError"),
            r"in cypher/serve/thing: Neo\.ClientError\.Statement\.SyntaxError: it said so",
        ),
        (driver_errors.ServiceUnavailable("gone"), rf"{URI}: start one with `recsvc db up`"),
        (
            server_error("Neo.ClientError.Security.Unauthorized"),
            rf"{URI} refused .*: set RECSVC_NEO4J_USER and RECSVC_NEO4J_PASSWORD",
        ),
    ],
)
def test_messages_name_the_address_or_query_and_the_cure(raised: Exception, said: str) -> None:
    with pytest.raises(Neo4jError, match=said), translated_errors(URI, QUERY):
        raise raised


def test_errors_that_are_not_the_drivers_pass_through() -> None:
    with pytest.raises(ValueError, match="mine"), translated_errors(URI):
        raise ValueError("mine")


def test_a_database_that_is_not_up_yet_is_unavailable() -> None:
    with pytest.raises(Neo4jUnavailableError), translated_errors(URI):
        raise server_error("Neo.TransientError.General.DatabaseUnavailable")


def test_password_is_shown_nowhere() -> None:
    address = Neo4jAddress("bolt://x:1", "neo4j", "pa55-word", "db")
    assert "pa55-word" not in repr(address) + str(address) + f"{address}" + f"{[address]}"
    assert address.auth == ("neo4j", "pa55-word")
    assert Neo4jAddress("bolt://x:1", "neo4j", "").auth is None


def test_an_address_that_is_none_says_what_was_expected() -> None:
    with pytest.raises(Neo4jUnavailableError, match=r"expected bolt://host:port"):
        Neo4jGateway(Neo4jAddress("ftp://x", "neo4j", "pa55-word"))


def test_waiting_ends_when_the_server_died_or_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    now = [100.0]

    def refuse(*_args: object, **_kwargs: object) -> None:
        tries.append(now[0])
        raise Neo4jUnavailableError("no")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(loaders.gateway, "time", clock)
    monkeypatch.setattr(loaders.gateway, "Neo4jGateway", refuse)
    address = Neo4jAddress(URI, "neo4j", "")
    assert not wait_until_ready(address, timeout_seconds=3600, alive=lambda: len(tries) < 2)
    assert len(tries) == 2
    assert not wait_until_ready(address, timeout_seconds=0.1)
    assert len(tries) == 3


def test_schema_is_applied_whole_before_its_indexes_are_awaited() -> None:
    gateway = RecordingGateway()
    typed: Gateway = gateway
    apply_schema(typed)
    names = [name for name, _ in gateway.calls]
    made = [query.name for query in catalogue().folder("schema")]
    assert names == ["ingest/indexes", *made, "ingest/indexes", "ingest/await_indexes"]


def test_driver_has_the_error_classes_that_are_told_apart() -> None:
    assert isinstance(
        server_error("Neo.ClientError.Security.Unauthorized"), driver_errors.AuthError
    )
    assert isinstance(neo4j.exceptions.ServiceUnavailable(), driver_errors.DriverError)


@pytest.mark.parametrize(
    ("code", "message", "reason", "advice"),
    [
        (
            "Neo.ClientError.General.WriteOnReadOnlyAccessDatabase",
            "No write operations are allowed on this database.",
            "read-only",
            "default_to_read_only",
        ),
        (
            "Neo.DatabaseError.Transaction.TransactionStartFailed",
            "The database has encountered a critical error, and needs to be restarted.",
            "has to be restarted",
            "recsvc db status",
        ),
        (
            "Neo.DatabaseError.Transaction.TransactionLogError",
            "Could not append transaction",
            "no room on its disk",
            "make room",
        ),
        ("Neo.ClientError.Database.DatabaseNotFound", "nosuch", "not there", "NEO4J_DATABASE"),
        (
            "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
            "The allocation of an extra 8 MiB",
            "out of memory",
            "NEO4J_HEAP_MEGABYTES",
        ),
    ],
)
def test_what_the_server_cannot_do_has_a_reason_and_a_cure(
    code: str, message: str, reason: str, advice: str
) -> None:
    error = driver_errors.Neo4jError._basic_hydrate(neo4j_code=code, message=message)
    with pytest.raises(Neo4jAwayError, match=advice) as caught, translated_errors(URI, QUERY):
        raise error
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert URI not in caught.value.reason
