"""What the local Neo4j says of its database, over Bolt: that a port answers says nothing of it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loaders.catalogue import Query
from loaders.errors import (
    LocalNeo4jError,
    Neo4jAuthError,
    Neo4jError,
    Neo4jTimeoutError,
    Neo4jUnavailableError,
)
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j._options import http_answers
from loaders.local_neo4j._torn_log import REPAIR_ADVICE, DebugLog

_PAUSE_SECONDS = 0.25
_TIMEOUT_SECONDS = 5.0
_STARTING = frozenset({"initial", "starting", "store copying"})

_SHOW = Query(
    name="admin/databases",
    title="The state of every database.",
    mode="autocommit",
    params={},
    returns={"name": "str", "status": "str", "message": "str", "home": "bool"},
    text="SHOW DATABASES YIELD name, currentStatus, statusMessage, home "
    "RETURN name, currentStatus AS status, statusMessage AS message, home",
)
_READ = Query(
    name="admin/read",
    title="Anything, in a transaction.",
    mode="read",
    params={},
    returns={"node": "bool"},
    text="RETURN EXISTS { MATCH () } AS node",
)


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What a Neo4j says of its home database.

    Attributes:
        answers: whether it can be read.
        offline: whether the server could not start it, as after a torn transaction log.
        starting: whether it may still come.
        said: all this in words, with the reason where it does not answer.
    """

    answers: bool
    offline: bool = False
    starting: bool = False
    said: str = "online"


def database_state(address: Neo4jAddress) -> DatabaseState:
    """Ask a Neo4j for the state of its home database.

    Raises:
        Neo4jAuthError: it refuses the log-in.
    """
    database: dict[str, Any] = {}
    try:
        with _gateway(replace(address, database="system")) as gateway:
            database = next((row for row in gateway.run(_SHOW) if row["home"]), {})
        if database and database["status"] != "online":
            starting = database["status"] in _STARTING
            said = _words(database["status"], database["message"])
            return DatabaseState(False, not starting, starting, said)
        with _gateway(address) as gateway:
            gateway.run(_READ)
    except Neo4jAuthError:
        raise
    except (Neo4jTimeoutError, Neo4jUnavailableError) as error:  # a busy machine is no broken one
        return DatabaseState(False, starting=True, said=_words("no answer yet", str(error)))
    except Neo4jError as error:
        return DatabaseState(False, said=_words("broken", database.get("message") or str(error)))
    return DatabaseState(True)


def await_database(
    address: Neo4jAddress, deadline: float, alive: Callable[[], bool]
) -> DatabaseState:
    """The state of the home database, once it is not starting any more.

    Args:
        address: where the server is.
        deadline: of `time.monotonic`, when it is waited for no longer.
        alive: asked between tries; False ends the waiting.

    Raises:
        Neo4jAuthError: it refuses the log-in.
    """
    while True:
        state = database_state(address)
        if not state.starting or not alive() or time.monotonic() > deadline:
            return state
        time.sleep(_PAUSE_SECONDS)


def broken_database(folder: Path, state: DatabaseState) -> LocalNeo4jError:
    """The error that says what is wrong with the database in a folder, and what to do."""
    free_megabytes = shutil.disk_usage(folder).free // 2**20
    what = (
        f"Neo4j runs in {folder} and its database does not answer ({state.said}; "
        f"{free_megabytes:,} MiB are free there): "
    )
    if not state.offline:
        return LocalNeo4jError(
            f"{what}make room if there is little, then `recsvc db down` and `recsvc db up`"
        )
    if DebugLog.read(folder / "logs").is_torn(console=""):
        return LocalNeo4jError(f"{what}{REPAIR_ADVICE}")
    return LocalNeo4jError(f"{what}debug.log in {folder / 'logs'} says why")


def _gateway(address: Neo4jAddress) -> Neo4jGateway:
    return Neo4jGateway(
        address, query_timeout_seconds=_TIMEOUT_SECONDS, connect_timeout_seconds=_TIMEOUT_SECONDS
    )


def _words(status: str, message: str | None) -> str:
    return f"{status}: {' '.join(message.split())}" if message else status


def await_http(port: int, deadline: float, alive: Callable[[], bool]) -> bool:
    """Whether HTTP answers before the deadline, while the server lives."""
    while alive() and time.monotonic() < deadline:
        if http_answers(port):
            return True
        time.sleep(0.1)
    return False
