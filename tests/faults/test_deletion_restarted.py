"""Neo4j restarted in the middle of a deletion: whatever is left then is finished, and whole."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from loaders import part_swap, parts
from loaders.catalogue import Query
from loaders.errors import Neo4jAwayError
from loaders.gateway import Neo4jGateway, Row
from loaders.local_neo4j import LocalNeo4j
from loaders.parts import stored_parts
from recsvc.snapshot.arrays import pack
from recsvc.snapshot.deletion import DeletedNode, delete_nodes, finish_deletions, pending_deletions
from tests.conftest import QUICK, refreshed, running_service
from tests.faults.tcp_proxy import tcp_proxy
from tests.neo4j_servers import own_server
from tests.statement import statement
from tests.stored_arrays import held, made_snapshot, parts_left, sha_of, store
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalNeo4j]:
    """A Neo4j of this module's own, which it restarts."""
    with own_server() as server:
        yield server


def _killed(server: LocalNeo4j) -> None:
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while server.status().running:
        time.sleep(0.05)


def _stopped(server: LocalNeo4j) -> None:
    server.down()


class Interrupted:
    """A gateway whose server is restarted just before it runs a query for the nth time."""

    def __init__(
        self, gateway: Neo4jGateway, query: str, count: int, restart: Callable[[], None]
    ) -> None:
        self.gateway = gateway
        self.query, self.left, self.restart = query, count, restart

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        if query.name == self.query:
            self.left -= 1
            if self.left == 0:
                self.restart()
        return self.gateway.run(query, **parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)


@pytest.mark.parametrize(
    ("query", "count", "end"),
    [
        ("delete/put_next_part", 7, _killed),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (
                ("delete/put_next_part", 7, _stopped),
                ("delete/take_next_parts", 1, _killed),
                ("delete/take_next_parts", 1, _stopped),
            )
        ),
    ],
)
def test_the_next_deletion_finishes_it(
    server: LocalNeo4j,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[LocalNeo4j], None],
    query: str,
    count: int,
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 64 * 1024)
    monkeypatch.setattr(part_swap, "_SILENT_MILLISECONDS", 700)
    made = made_snapshot(1, items=400, users=60, entries=300)
    address = server.address()
    with Neo4jGateway(address) as gateway:
        statement(gateway, "MATCH (n) DETACH DELETE n")
        store(gateway, 1, made)

        def restart() -> None:
            end(server)
            server.up()

        interrupted = Interrupted(gateway, query, count, restart)
        try:
            delete_nodes(interrupted, [DeletedNode("item", "i9")])
        except Neo4jAwayError:
            assert pending_deletions(gateway).count == 1
            assert sha_of(gateway, 1) == held(gateway, 1)  # what is read meanwhile is whole
        assert interrupted.left <= 0
        finish_deletions(gateway)
        assert sha_of(gateway, 1) == held(gateway, 1) == pack(made.without({"item": ["i9"]}))[1]
        assert parts_left(gateway) == []
        assert pending_deletions(gateway).count == 0


def test_a_service_finishes_it_by_itself(
    server: LocalNeo4j, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Behind a slow network, so that there is a middle to be met."""
    address = server.address()
    with Neo4jGateway(address) as gateway:
        graph = refreshed(address, gateway, tmp_path_factory, QUICK)
    there = urlsplit(address.uri)
    with tcp_proxy(str(there.hostname), there.port or 0) as proxy:
        environment = {
            **graph.environment, "RECSVC_NEO4J_URI": f"bolt://127.0.0.1:{proxy.port}",
        }  # fmt: skip
        with running_service(environment, tmp_path / "serve.log") as service:
            client = service.client
            proxy.passes(0.05)
            deleted = threading.Thread(target=lambda: client.delete("/v1/items/i9", timeout=120))
            deleted.start()
            with Neo4jGateway(address) as gateway:
                until(lambda: _next_parts(gateway))
            _killed(server)
            proxy.passes()
            server.up()
            deleted.join()
            with Neo4jGateway(address) as gateway:
                until(lambda: not pending_deletions(gateway).count, 2 * PATIENCE_SECONDS)
                assert parts_left(gateway) == []
                assert sha_of(gateway, 1) == held(gateway, 1)
                assert all(b'"i9"' not in part.content for part in stored_parts(gateway, 1))
            assert client.get("/v1/items/i9").status_code == 404
            assert client.delete("/v1/items/i9").status_code == 404

            def whole() -> dict[str, Any] | None:
                """The answer, once the service knows that Neo4j is back."""
                answer = client.get("/v1/users/u1/recommendations?k=50")
                assert answer.status_code == 200, (answer, answer.text)
                return None if answer.json()["degraded"] else answer.json()

            answer = until(whole)
            assert answer
            assert len(answer["items"]) == 50
            assert "i9" not in {item["item_id"] for item in answer["items"]}


def _next_parts(gateway: Neo4jGateway) -> int:
    return statement(gateway, "MATCH ()-[r:HAS_NEXT_PART]->() RETURN count(r) AS n")[0]["n"]
