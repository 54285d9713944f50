"""The password of the local Neo4j: where it is kept, and how the server comes to take it."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from loaders.catalogue import Query
from loaders.errors import LocalNeo4jError, Neo4jAuthError, Neo4jServerError
from loaders.gateway import Neo4jAddress, Neo4jGateway, wait_until_ready

# What a new server takes, only to have it changed.
_FACTORY_PASSWORD = "neo4j"
_RANDOM_BYTES = 24
# How Neo4j says that it takes no log-in for the moment, which is five seconds unless set.
_TOO_OFTEN = "AuthenticationRateLimit"
_TOO_OFTEN_SECONDS = 1.0

_SET_PASSWORD = Query(
    name="admin/set_password",
    title="Change the password of the user who is logged in.",
    mode="autocommit",
    params={"old": "str", "new": "str"},
    returns={},
    text="ALTER CURRENT USER SET PASSWORD FROM $old TO $new",
)


class PasswordFile:
    """`HOME/neo4j/password`: the password that the server took last, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str | None:
        """The password, or None when there is no file."""
        try:
            return self.path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def write(self, password: str) -> None:
        """Replace the file, whole or not at all."""
        new = self.path.with_name("password.new")
        new.touch(mode=0o600)
        new.write_text(f"{password}\n", encoding="utf-8")
        new.replace(self.path)

    def read_or_make(self) -> str:
        """The password, made up and written when there is no file."""
        password = self.read()
        if password is None:
            password = secrets.token_urlsafe(_RANDOM_BYTES)
            self.write(password)
        return password


def log_in(
    address: Neo4jAddress,
    *,
    last_password: str | None,
    timeout_seconds: float,
    alive: Callable[[], bool],
) -> bool:
    """Wait until the server takes the log-in of `address`, having it changed where it must be.

    A server that takes another password that may be ours (the one kept from last time, or the one
    a new server starts with) is told to take this one. So it does not matter where an earlier
    start was cut off.

    Args:
        address: where the server is, and the log-in it is to take.
        last_password: the password that it took last, if one is known.
        timeout_seconds: how long to wait for it to answer.
        alive: whether the server's process lives.

    Returns:
        Whether it answered in time.

    Raises:
        LocalNeo4jError: it takes none of these passwords.
    """
    deadline = time.monotonic() + timeout_seconds
    for password in dict.fromkeys(
        filter(None, (address.password, last_password, _FACTORY_PASSWORD))
    ):
        attempt = replace(address, password=password)
        try:
            ready = _wait(attempt, deadline, alive)
        except Neo4jAuthError:
            continue
        if ready and attempt != address:
            _change_password(attempt, address.password)
        return ready
    raise LocalNeo4jError(
        f"the local Neo4j at {address.shown} refuses the password for user {address.user!r}: set "
        "RECSVC_NEO4J_USER and RECSVC_NEO4J_PASSWORD to what it was given before"
    )


def _wait(attempt: Neo4jAddress, deadline: float, alive: Callable[[], bool]) -> bool:
    """Wait until the server answers a log-in.

    On a busy machine it counts refusals that nobody waited for, and after three of them refuses
    every log-in for some seconds.

    Raises:
        Neo4jAuthError: it answers and refuses this one.
    """
    while True:
        left_seconds = deadline - time.monotonic()
        try:
            return wait_until_ready(attempt, timeout_seconds=left_seconds, alive=alive)
        except Neo4jServerError as error:
            if _TOO_OFTEN not in str(error) or left_seconds < 0:
                raise
            time.sleep(_TOO_OFTEN_SECONDS)


def _change_password(old: Neo4jAddress, new_password: str) -> None:
    with Neo4jGateway(replace(old, database="system")) as gateway:
        gateway.run(_SET_PASSWORD, old=old.password, new=new_password)
