"""The Neo4j servers of the tests: in Docker where an engine answers, else local Java processes."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from loaders.errors import LocalNeo4jError
from loaders.files import held_folder
from loaders.gateway import Neo4jAddress
from loaders.local_neo4j import (
    DEFAULT_LINE,
    LocalNeo4j,
    LocalNeo4jOptions,
    _java,
    _scratch,
    neo4j_versions,
    scratch_server,
)
from loaders.local_neo4j._command import run_command
from loaders.local_neo4j._java import find_java
from loaders.shared_files import checkout_root
from tests.ports import free_ports
from tests.waiting import PATIENCE_SECONDS

CHECKOUT = checkout_root() or Path()
HOME = Path(os.environ.get("RECSVC_HOME", str(CHECKOUT / ".recsvc")))
"""Where the jars of Neo4j are."""

_HTTP_PORT = 7474
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 6 * 2**30
_PATIENT = partial(LocalNeo4jOptions, start_timeout_seconds=PATIENCE_SECONDS)


@dataclass(frozen=True)
class Server:
    """A running Neo4j, where its Browser is, and what starts it where Docker does not."""

    address: Neo4jAddress
    browser_url: str
    local: LocalNeo4j | None = None


def why_not(line: str) -> str | None:
    """Why a line of Neo4j cannot run here."""
    if docker_answers():
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", _image(line)],
            capture_output=True,
            timeout=600,
            check=False,
        )
        return f"no image {_image(line)} can be had" if pulled.returncode else None
    try:
        find_java(21, run_command)
    except LocalNeo4jError as error:
        return f"Neo4j {line} wants a newer Java: {error}"
    return None


def _image(line: str) -> str:
    return f"neo4j:{neo4j_versions()[line]}-community"


def docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    answer = subprocess.run(["docker", "info"], capture_output=True, timeout=600, check=False)
    return answer.returncode == 0


@contextmanager
def running_server(line: str) -> Generator[Server]:
    """An empty Neo4j of a line."""
    if docker_answers():
        from testcontainers.neo4j import Neo4jContainer

        with Neo4jContainer(_image(line)).with_exposed_ports(_HTTP_PORT) as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(_HTTP_PORT)
            address = container.get_connection_url(), container.username, container.password
            yield Server(Neo4jAddress(*address), f"http://{host}:{port}/browser/")
        return
    with _plans_kept(), _in_memory(version=line) as server:
        browser_url = server.status().browser_url
        assert browser_url is not None
        yield Server(server.address(), browser_url, server)


@contextmanager
def own_server() -> Generator[LocalNeo4j]:
    """A Neo4j of one module or test, which may be killed, stopped and configured anew."""
    if docker_answers():
        pytest.skip("Neo4j would run in Docker, where it has no process here to stop and to start")
    with _in_memory(heap_megabytes=512) as server:
        yield server


@contextmanager
def _in_memory(**how: Any) -> Generator[LocalNeo4j]:
    """A scratch Neo4j whose files are in memory where there is room: each commit waits for a disk.

    Args:
        how: see `scratch_server`.
    """
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_scratch, "free_ports", free_ports)
            patch.setattr(_scratch, "LocalNeo4jOptions", _PATIENT)
            free = shutil.disk_usage(_MEMORY).free if os.access(_MEMORY, os.W_OK) else 0
            if min(free, psutil.virtual_memory().available) > _ROOM_BYTES:
                folder = _MEMORY / f"recsvc-tests-{os.getuid()}"
                patch.setattr(_scratch, "held_folder", lambda _, *more: held_folder(folder, *more))
            server = stack.enter_context(scratch_server(HOME, **how))
        yield server


@contextmanager
def command_server() -> Generator[LocalNeo4j]:
    """A small Neo4j that the commands of this process and of those it starts take for theirs."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(_scratch, "LocalNeo4jOptions", _PATIENT)
        small = scratch_server(HOME, heap_megabytes=384, version=DEFAULT_LINE)
        server = stack.enter_context(small)
        urls = (server.address().uri, server.status().browser_url or "")
        bolt_port, http_port = (urlsplit(url).port for url in urls)
        given = {
            "HOME": str(server.folder.parent), "BOLT_PORT": str(bolt_port),
            "HTTP_PORT": str(http_port), "NEO4J_HEAP_MEGABYTES": "384",
            "NEO4J_PAGE_CACHE_MEGABYTES": "64", "NEO4J_VERSION": DEFAULT_LINE,
        }  # fmt: skip
        for name, value in given.items():
            patch.setenv(f"RECSVC_{name}", value)
        patch.delenv("RECSVC_NEO4J_URI", raising=False)
        yield server


@contextmanager
def _plans_kept() -> Generator[None]:
    """Have a Neo4j keep its plans however the graph changes and however often they are used.

    Tests empty and fill the graph all the time: half of its work would be to plan again. And on a
    small heap what has no threads of its own collects garbage for less.
    """
    made = vars(_java)
    flags = tuple(flag.replace("+UseG1GC", "+UseSerialGC") for flag in made["_JVM_FLAGS"])
    kept = "dbms.cypher.min_replan_interval=1d\ninternal.cypher.expression_engine=INTERPRETED\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_java, "_CONFIGURATION", made["_CONFIGURATION"] + kept)
        patch.setattr(_java, "_JVM_FLAGS", flags)
        yield
