"""Neo4j on a disk that is full, and its starts after that."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from loaders.catalogue import Query
from loaders.errors import Neo4jServerError
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from tests.conftest import QUICK, Served, refreshed, running_service
from tests.faults.small_disk import SmallDisk, small_disk
from tests.neo4j_servers import HOME, docker_answers
from tests.ports import free_ports
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

FILL = Query(
    "tests/fill", "", "write", {}, {},
    "UNWIND range(1, 1000) AS i CREATE (:Filler {i: i, text: reduce(s = '', j IN range(1, 60) | "
    "s + 'ten letters')})",
)  # fmt: skip
COUNT = Query(
    "tests/count", "", "read", {}, {"nodes": "int"}, "MATCH (n:Filler) RETURN count(n) AS nodes"
)
RECOMMENDED = "/v1/users/u1/recommendations"
EVENT = {"events": [{"event_id": "full", "user_id": "u1", "item_id": "i1"}]}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk"), megabytes=1200) as disk:
        yield disk


@pytest.fixture(scope="module")
def server(disk: SmallDisk) -> Iterator[LocalNeo4j]:
    """A Neo4j whose whole folder is on the small disk."""
    if docker_answers():
        pytest.skip("Neo4j would run in Docker")
    (disk.folder / "neo4j").mkdir()
    for jars in (HOME / "neo4j").glob("lib-*"):
        (disk.folder / "neo4j" / jars.name).symlink_to(jars)
    options = LocalNeo4jOptions(
        disk.folder, *free_ports(2), heap_megabytes=512, page_cache_megabytes=64
    )
    server = LocalNeo4j(options)
    server.up()
    try:
        yield server
    finally:
        server.down()


@pytest.fixture(scope="module")
def graph(server: LocalNeo4j, tmp_path_factory: pytest.TempPathFactory) -> Served:
    with Neo4jGateway(server.address()) as gateway:
        return refreshed(server.address(), gateway, tmp_path_factory, QUICK)


@pytest.fixture
def recsvc(server: LocalNeo4j) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command on that Neo4j."""
    uri = str(server.status().uri)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"RECSVC_HOME": str(server.folder.parent)}
        environment |= {
            "RECSVC_BOLT_PORT": uri.rpartition(":")[2],
            "RECSVC_NEO4J_HEAP_MEGABYTES": "512",
        }
        return subprocess.run(
            [sys.executable, "-m", "recsvc", *arguments],
            env={**os.environ, **environment},
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    return run


def fill_until_it_breaks(server: LocalNeo4j, disk: SmallDisk) -> None:
    disk.fill(leave_bytes=3 * 2**20)
    with Neo4jGateway(server.address()) as gateway:

        def fill() -> None:
            for _ in range(300):
                gateway.run(FILL)

        with pytest.raises(Neo4jServerError):
            fill()


def test_reads_go_on_writes_say_why_and_a_start_with_room_is_whole(
    graph: Served, server: LocalNeo4j, disk: SmallDisk, recsvc, tmp_path: Path
) -> None:
    environment = {**graph.environment, "RECSVC_ANSWER_CACHE_SECONDS": "0"}
    with running_service(environment, tmp_path / "serve.log") as service:
        client = service.client
        whole = client.get(RECOMMENDED).json()
        assert whole["degraded"] == []
        fill_until_it_breaks(server, disk)
        answer = client.get(RECOMMENDED)
        assert answer.status_code == 200
        assert "evidence" in answer.json()["degraded"]
        refused = client.post("/v1/events", json=EVENT)
        assert refused.status_code == 503
        assert "restarted" in refused.json()["detail"] or "no room" in refused.json()["detail"]
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert {"writes"} <= set(ready.json()["degraded"])

        told = recsvc("db", "status", "--json")
        assert "broken: " in told.stdout
        told = recsvc("db", "up")
        assert told.returncode == 1
        assert told.stderr.count("\n") == 1
        assert "MiB are free" in told.stderr
        assert "recsvc db down" in told.stderr
        told = recsvc("ingest", str(graph.tables))
        assert told.returncode == 1
        assert told.stderr.startswith("recsvc: ")
        assert told.stderr.count("\n") == 1
        assert "No space left on device" in told.stderr  # RECSVC_HOME is on the same disk

        assert recsvc("db", "down").returncode == 0
        disk.make_room()
        server.up()
        assert until_whole(client) == whole["items"]
        assert client.post("/v1/events", json=EVENT).status_code == 200
        assert client.get("/health/ready").json()["degraded"] == {}


def until_whole(client: httpx.Client) -> object:
    def whole() -> object:
        answer = client.get(RECOMMENDED).json()
        return None if answer["degraded"] else answer["items"]

    return until(whole)


LENGTH = b"\x78\0\0\0"
"""Of a full block of text in the log, before the text itself."""


def _garbage(log: bytearray) -> None:
    """From within a text on: after that no entry can be read."""
    at = log.rfind(b"ten letters")
    log[at : at + 200] = b"\x70" * 200


def _garbage_for_a_length(log: bytearray) -> None:
    """Two GiB are more than Neo4j has, and it ends for want of memory."""
    at = log.rfind(LENGTH, 0, log.rfind(b"ten letters"))
    log[at : at + len(LENGTH)] = b"\0\0\xff\x7f"


@pytest.mark.parametrize("tear", [_garbage, _garbage_for_a_length])
def test_a_torn_log_is_said_and_mended_by_a_repair(
    graph: Served, server: LocalNeo4j, recsvc, tear: Callable[[bytearray], None]
) -> None:
    pid = server.status().pid
    assert pid is not None
    with Neo4jGateway(server.address()) as gateway:
        gateway.run(FILL)
        (before,) = gateway.run(COUNT)
        gateway.run(FILL)
    os.kill(pid, signal.SIGKILL)
    while server.status().running:
        time.sleep(0.05)
    folder = server.folder / "data" / "transactions" / "neo4j"
    log = max(folder.glob("neostore.transaction.db.*"), key=lambda path: int(path.suffix[1:]))
    content = bytearray(log.read_bytes())
    tear(content)
    log.write_bytes(content)

    told = recsvc("db", "up")
    assert told.returncode == 1
    assert "the end of its transaction log is torn" in told.stderr
    assert "recsvc db up --repair" in told.stderr
    assert not server.status().running
    told = recsvc("db", "up", "--repair", "--json")
    assert told.returncode == 0, told.stderr
    assert re.search(r"transaction \d+.* is the last .* committed later is lost", one_line(told))
    assert '"database": "online"' in told.stdout
    with Neo4jGateway(server.address()) as gateway:
        assert gateway.run(COUNT) == [before]  # all but the torn transaction
    conf = (server.folder / "conf" / "neo4j.conf").read_text()
    assert "fail_on_corrupted_log_files=true" in conf
    assert "server.memory.heap.max_size=512m" in conf
    told = recsvc("db", "up", "--repair")
    assert "nothing is lost" in one_line(told)


def one_line(told: subprocess.CompletedProcess[str]) -> str:
    return " ".join(told.stderr.split())
