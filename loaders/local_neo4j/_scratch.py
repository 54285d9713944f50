"""An empty Neo4j for one piece of work, removed with everything in it afterwards."""

import socket
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from loaders.gateway import Neo4jAddress
from loaders.local_neo4j._local import LocalNeo4j
from loaders.local_neo4j._options import HOST, LocalNeo4jOptions


@contextmanager
def scratch_neo4j(
    home: Path,
    progress: Callable[[str], None] = lambda _message: None,
    *,
    heap_megabytes: int = 1024,
) -> Generator[Neo4jAddress]:
    """Start an empty Neo4j on free ports, and stop and remove it when the block ends.

    Args:
        home: the folder of a local Neo4j whose installed jars are used again where there are any.
        progress: told what is done.
        heap_megabytes: Java heap, in MiB.

    Raises:
        LocalNeo4jError: it cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="recsvc-scratch-") as folder:
        scratch = Path(folder)
        (scratch / "neo4j").mkdir()
        for jars in (home.expanduser().absolute() / "neo4j").glob("lib-*"):
            (scratch / "neo4j" / jars.name).symlink_to(jars)
        bolt_port, http_port = _free_ports(2)
        server = LocalNeo4j(
            LocalNeo4jOptions(
                scratch,
                bolt_port,
                http_port,
                heap_megabytes=heap_megabytes,
                page_cache_megabytes=256,
            )
        )
        try:
            yield server.up(progress)
        finally:
            server.down()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
