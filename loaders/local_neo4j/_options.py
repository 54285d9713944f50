"""What can be chosen about the local Neo4j, and the checks before it is started."""

import contextlib
import shutil
import socket
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._versions import DEFAULT_LINE, neo4j_version

HOST = "127.0.0.1"
_SHORTEST_PASSWORD = 8
_MEBIBYTE = 1024**2
_HIGHEST_PORT = 65_535
_REPAIR_HEAP_MEGABYTES = 5120


@dataclass(frozen=True, slots=True)
class LocalNeo4jOptions:
    """Everything that can be chosen about the local Neo4j.

    Attributes:
        home: folder of all state; the server keeps to `home / "neo4j"`.
        bolt_port: port of Bolt on 127.0.0.1.
        http_port: port of HTTP and Neo4j Browser on 127.0.0.1.
        user: user name to log in with.
        password: password to log in with, of 8 characters or more; None for the one kept in
            `home / "neo4j" / "password"`, which is made up at the first start.
        heap_megabytes: Java heap, in MiB.
        page_cache_megabytes: page cache, in MiB.
        start_timeout_seconds: how long the server may take from its start until it answers.
        version: line of Neo4j, 5.26 or 2026; `deploy/neo4j/pom.xml` names the version of each.
        read_only: nobody who logs in can change the graph.
        repair: a torn end of the transaction log, as a full disk leaves one, is cut off at the
            start instead of keeping the database from being started.

    Raises:
        LocalNeo4jError: a value is out of its range.
    """

    home: Path
    bolt_port: int = 7687
    http_port: int = 7474
    user: str = "neo4j"
    password: str | None = field(default=None, repr=False)
    heap_megabytes: int = 1024
    page_cache_megabytes: int = 512
    start_timeout_seconds: float = 180.0
    version: str = DEFAULT_LINE
    read_only: bool = False
    repair: bool = False

    def __post_init__(self) -> None:
        neo4j_version(self.version)
        if self.bolt_port == self.http_port:
            raise LocalNeo4jError(
                f"Bolt and HTTP are both to use port {self.bolt_port}: expected two ports, "
                "set RECSVC_BOLT_PORT or RECSVC_HTTP_PORT"
            )
        if self.password is not None and len(self.password) < _SHORTEST_PASSWORD:
            raise LocalNeo4jError(
                f"the Neo4j password has {len(self.password)} characters, Neo4j wants "
                f"{_SHORTEST_PASSWORD} or more: set a longer RECSVC_NEO4J_PASSWORD, or unset it"
            )

    def repairing(self) -> "LocalNeo4jOptions":
        """The same for a repair.

        Neo4j takes garbage in its log for the length of an array, which may be 2 GiB, and only
        where it has room for that does it find the garbage out and cut it off.
        """
        heap_megabytes = max(self.heap_megabytes, _REPAIR_HEAP_MEGABYTES)
        return replace(self, repair=True, heap_megabytes=heap_megabytes)

    @property
    def folder(self) -> Path:
        """The folder of everything that the server keeps, absolute."""
        return self.home.expanduser().absolute() / "neo4j"


def check_port(port: int, setting: str) -> None:
    """Make sure that a server can listen on a port.

    Args:
        port: port on 127.0.0.1.
        setting: the environment variable that moves it.

    Raises:
        LocalNeo4jError: it is taken, or this user may not use it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalNeo4jError(
                f"Neo4j cannot listen on port {port} of {HOST} ({error.strerror}): stop what uses "
                f"it, choose another port with {setting}, or set RECSVC_NEO4J_URI if a Neo4j of "
                "yours is there"
            ) from error


def http_answers(port: int) -> bool:
    """Whether a web server on this machine answers a request."""
    connection = HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for socket_ in sockets:
            socket_.bind((HOST, 0))
        return [socket_.getsockname()[1] for socket_ in sockets]
    finally:
        for socket_ in sockets:
            socket_.close()


def free_port_after(port: int, taken: Collection[int]) -> int:
    """The first port above `port` that a server can listen on and that is not `taken`.

    Raises:
        LocalNeo4jError: there is none.
    """
    for candidate in range(port + 1, _HIGHEST_PORT + 1):
        if candidate in taken:
            continue
        with contextlib.suppress(LocalNeo4jError):
            check_port(candidate, "RECSVC_BOLT_PORT or RECSVC_HTTP_PORT")
            return candidate
    raise LocalNeo4jError(f"no port above {port} is free: set RECSVC_BOLT_PORT, RECSVC_HTTP_PORT")


def check_disk(folder: Path, needed_megabytes: int) -> None:
    """Make sure that there is room.

    Raises:
        LocalNeo4jError: less than `needed_megabytes` MiB are free where `folder` is.
    """
    free_megabytes = shutil.disk_usage(folder).free // _MEBIBYTE
    if free_megabytes < needed_megabytes:
        raise LocalNeo4jError(
            f"{folder} has {free_megabytes} MiB free, Neo4j needs {needed_megabytes} MiB: "
            "make room, or move everything with RECSVC_HOME"
        )
