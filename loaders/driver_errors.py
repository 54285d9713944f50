"""The driver's errors as ours: whose fault it is, and what to do.

the statement or its values        QueryError; RefusedValueError where a property is named
nothing answers, no connection     Neo4jUnavailableError, a line of its own for each cause
no leader in a cluster             NoLeaderError
too slow                           Neo4jTimeoutError
user name or password              Neo4jAuthError
everything else of the server      Neo4jServerError: read-only, disk full, memory, broken …
"""

import contextlib
import re
import socket
import ssl
from collections.abc import Generator, Iterator
from typing import NamedTuple

from neo4j import exceptions as driver_errors

from loaders.addresses import is_routed
from loaders.catalogue import Query
from loaders.errors import (
    Neo4jAuthError,
    Neo4jServerError,
    Neo4jTimeoutError,
    Neo4jUnavailableError,
    NoLeaderError,
    QueryError,
    RefusedValueError,
)

_OURS = (
    "Neo.ClientError.Statement.",
    "Neo.ClientError.Schema.",
    "Neo.ClientError.Procedure.",
    "Neo.ClientError.Request.",
    "Neo.ClientError.General.InvalidArguments",
    # A constraint that the data do not keep.
    "Neo.DatabaseError.Schema.",
)
"""What the codes begin with for which a statement or its values are at fault."""
_TOO_LARGE = re.compile(r"value is too large to index.*schema=\(.*\{(?P<properties>[^}]*)\}\)")
_NOT_UNIQUE = re.compile(r"already exists with label .* propert(?:y|ies) (?P<properties>.*)")
_NAME = re.compile(r"`([^`]+)`")
_CAUSES_FOLLOWED = 20


class _Cure(NamedTuple):
    """What a code of the server means.

    Attributes:
        part: of the code or of its message.
        reason: for a caller of the service.
        advice: for who runs it.
    """

    part: str
    reason: str
    advice: str


_CURES = (
    _Cure(
        "DatabaseNotFound",
        "the graph database that the settings name is not there",
        "correct RECSVC_NEO4J_DATABASE, or database in [graph], or unset it for the user's home "
        "database",
    ),
    _Cure(
        "ReadOnly",
        "the graph database is read-only",
        "write to another one, or let this one be written (server.databases.default_to_read_only, "
        'server.databases.read_only); of a mapped graph writes = "none" in [graph] writes nothing',
    ),
    _Cure(
        "NotALeader",
        "the graph database is read-only: this server is not the leader of its cluster",
        "use neo4j:// in RECSVC_NEO4J_URI, which finds the leader",
    ),
    _Cure(
        "OutOfMemory",
        "the graph database is out of memory",
        "give it more heap (RECSVC_NEO4J_HEAP_MEGABYTES for the local one) or a larger "
        "dbms.memory.transaction.total.max",
    ),
    _Cure(
        "AuthenticationRateLimit",
        "the graph database takes no log-in for some seconds: too many were wrong",
        "try again after some seconds, with the right user name and password",
    ),
    _Cure(
        "Security.",
        "the graph database does not let this service do that",
        "grant its user what it needs, or name another user in RECSVC_NEO4J_USER; of a mapped "
        'graph writes = "none" in [graph] writes nothing',
    ),
    _Cure(
        "TransactionLog",
        "the graph database has no room on its disk or is broken",
        "make room on its disk and restart it",
    ),
    _Cure(
        "critical error",
        "the graph database is broken and has to be restarted",
        "look for room on its disk and into its debug.log, then restart it; of the local one "
        "`recsvc db status` tells why",
    ),
    _Cure(
        "Neo.TransientError.",
        "the graph database is too busy",
        "the same may succeed a moment later",
    ),
)
_NO_CURE = _Cure("", Neo4jServerError.reason, "its debug.log tells more")


@contextlib.contextmanager
def translated_errors(uri: str, query: Query | None = None) -> Generator[None]:
    """Turn the driver's errors into ours, each with what to do.

    Args:
        uri: where Neo4j is.
        query: what is asked of it.

    Raises:
        Neo4jError: what the driver raised in the block.
    """
    where = f" in cypher/{query.name}" if query else ""
    try:
        yield
    except driver_errors.AuthError as error:
        raise Neo4jAuthError(
            f"Neo4j at {uri} refused the user name or password: "
            "set RECSVC_NEO4J_USER and RECSVC_NEO4J_PASSWORD"
        ) from error
    except driver_errors.DatabaseUnavailable as error:
        raise Neo4jUnavailableError(
            f"Neo4j at {uri} answers, and its database is not there yet or was taken offline: "
            "wait for its start, or see its debug.log; of the local one `recsvc db status` tells "
            "why",
            reason="the graph database is offline",
        ) from error
    except driver_errors.IncompleteCommit as error:
        raise Neo4jUnavailableError(
            f"the connection to Neo4j at {uri} broke while it committed{where}, and it may have "
            "been written: do the same again"
        ) from error
    except (
        driver_errors.ServiceUnavailable,
        driver_errors.SessionExpired,
        ConnectionError,
    ) as error:
        if has_no_leader(error):
            raise _no_leader(uri, where, error) from error
        raise Neo4jUnavailableError(_why_no_connection(uri, error)) from error
    except driver_errors.Neo4jError as error:
        if is_routed(uri) and has_no_leader(error):
            raise _no_leader(uri, where, error) from error
        raise _of_server(uri, where, error) from error
    except driver_errors.ConfigurationError as error:
        raise Neo4jUnavailableError(
            f"{uri!r} is no address of a Neo4j: expected bolt://host:port or neo4j://host:port in "
            "RECSVC_NEO4J_URI"
        ) from error
    except driver_errors.DriverError as error:
        raise Neo4jUnavailableError(
            f"the connection to Neo4j at {uri} broke{where}: {error}"
        ) from error


def has_no_leader(error: Exception) -> bool:
    """Whether a server refused a write because another one leads, or there was none to send it to.

    Nothing was written then.
    """
    nobody = isinstance(error.__cause__, driver_errors.WriteServiceUnavailable)
    return nobody or isinstance(error, driver_errors.NotALeader)


def _no_leader(uri: str, where: str, error: Exception) -> NoLeaderError:
    return NoLeaderError(
        f"no server of Neo4j at {uri} takes writes{where} ({' '.join(str(error).split())}): a "
        "cluster has a new leader within a minute mostly, so try again then"
    )


def _of_server(
    uri: str, where: str, error: driver_errors.Neo4jError
) -> QueryError | Neo4jTimeoutError | Neo4jServerError:
    """What the server says is at fault, as an error of ours."""
    code, message = error.code or "", error.message or ""
    if "TransactionTimedOut" in code:
        return Neo4jTimeoutError(f"Neo4j at {uri} ran out of time{where}")
    if refused := _refused_value(where, code, message):
        return refused
    if code.startswith(_OURS) and "critical error" not in message:
        return QueryError(f"Neo4j refused a statement{where}: {code}: {message}")
    text = f"{code}: {' '.join(message.split())}"
    cure = next((cure for cure in _CURES if cure.part in text), _NO_CURE)
    return Neo4jServerError(
        f"Neo4j at {uri} cannot do it{where}: {text.rstrip('.')}: {cure.advice}",
        reason=cure.reason,
    )


def _refused_value(where: str, code: str, message: str) -> RefusedValueError | None:
    """The same error where it names the property whose value is refused."""
    if match := _TOO_LARGE.search(message):
        names = [name.strip("` ") for name in match["properties"].split(",")]
        why = "an index on this property takes no value that large: expected a shorter one"
    elif match := _NOT_UNIQUE.search(message):
        names = _NAME.findall(match["properties"])
        why = "another node has this value, and a constraint has it be unique"
    elif "ConstraintValidationFailed" in code:
        names = _NAME.findall(message) or ["some property"]
        why = f"a constraint of the graph on {', '.join(names)} is not kept"
    else:
        return None
    text = f"Neo4j refused a value of {', '.join(names)}{where}: {why}"
    return RefusedValueError(text, properties=names, why=why)


def _why_no_connection(uri: str, error: BaseException) -> str:
    """Why there is no connection, as far as the driver's error and its causes tell."""
    causes = list(_causes(error))
    told = " ".join(str(cause) for cause in causes)
    by_class = {type(cause): cause for cause in reversed(causes)}
    if cause := by_class.get(socket.gaierror):
        return (
            f"the host of {uri} has no address ({_strerror(cause)}): correct RECSVC_NEO4J_URI, or "
            "the names this machine knows (DNS)"
        )
    if cause := by_class.get(ssl.SSLCertVerificationError):
        why = getattr(cause, "verify_message", "") or str(cause)
        return (
            f"the certificate of Neo4j at {uri} is not trusted ({why}): give it one of an "
            "authority that this machine knows and for this host, or take a self-signed one with "
            "bolt+ssc:// or neo4j+ssc:// in RECSVC_NEO4J_URI"
        )
    if "looks like HTTP" in told:
        return (
            f"a web server answers at {uri}: that is Neo4j's HTTP port, mostly 7474; expected the "
            "one of Bolt, mostly 7687, in RECSVC_NEO4J_URI"
        )
    if isinstance(by_class.get(TimeoutError), TimeoutError):
        return (
            f"nothing answers at {uri} in time: is that the port of Bolt, is Neo4j busy or still "
            "starting, or does a firewall drop what is sent there?"
        )
    if "BoltSecurityError" in {kind.__name__ for kind in by_class}:
        return (
            f"what answers at {uri} speaks no TLS: take bolt:// or neo4j:// without +s in "
            "RECSVC_NEO4J_URI, or turn TLS on for Bolt in Neo4j (server.bolt.tls_level)"
        )
    if "handshake" in told:
        return (
            f"what answers at {uri} is no Bolt as it was expected: if Neo4j wants TLS there, take "
            "bolt+s:// or neo4j+s:// in RECSVC_NEO4J_URI; else correct the port, mostly 7687"
        )
    return f"no Neo4j answers at {uri}: start one with `recsvc db up`, or set RECSVC_NEO4J_URI"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, the nearest first."""
    waiting: list[BaseException | None] = [error]
    for _ in range(_CAUSES_FOLLOWED):
        if not waiting:
            return
        if (cause := waiting.pop(0)) is None:
            continue
        yield cause
        waiting.append(cause.__cause__ or cause.__context__)
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions


def _strerror(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
