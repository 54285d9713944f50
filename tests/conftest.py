"""A real Neo4j for the tests that need one, started once and emptied before each of them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import scratch_neo4j
from loaders.shared_files import checkout_root

CHECKOUT = checkout_root()
assert CHECKOUT is not None
SHARED_DATA = CHECKOUT.parent / "shared" / "data"

_DELETE_ALL = Query(
    "tests/delete_all", "Empties the database.", "autocommit", {}, {},
    "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS",
)  # fmt: skip


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    answer = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    return answer.returncode == 0


@pytest.fixture(scope="session")
def neo4j_address() -> Iterator[Neo4jAddress]:
    """An empty Neo4j: in Docker where an engine answers, else a local Java process."""
    home = Path(os.environ.get("RECSVC_HOME", str(CHECKOUT / ".recsvc")))
    if _docker_answers():
        from testcontainers.neo4j import Neo4jContainer

        with Neo4jContainer("neo4j:5.26.31-community") as container:
            yield Neo4jAddress(
                container.get_connection_url(), container.username, container.password
            )
        return
    with scratch_neo4j(home) as address:
        yield address


@pytest.fixture(scope="session")
def session_gateway(neo4j_address: Neo4jAddress) -> Iterator[Neo4jGateway]:
    with Neo4jGateway(neo4j_address) as gateway:
        yield gateway


@pytest.fixture
def gateway(session_gateway: Neo4jGateway) -> Neo4jGateway:
    """A gateway to an emptied database; constraints and indexes stay."""
    session_gateway.run(_DELETE_ALL)
    return session_gateway


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared research data sets."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the research data sets are not beside this checkout (../shared/data)")
    return SHARED_DATA
