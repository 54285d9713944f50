"""`recsvc analyst up`: a read-only copy of the local Neo4j, beside it.

A Neo4j that is read-only is met in `tests/integration/test_local_neo4j.py` too.
"""

import json
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neo4j
import psutil
import pytest
from typer.testing import CliRunner, Result

from loaders.gateway import Neo4jAddress
from loaders.local_neo4j import LocalNeo4j
from recsvc.cli import app
from recsvc.commands.connecting import analyst_neo4j
from recsvc.settings import load_settings
from tests.integration.test_local_neo4j import refused_urls
from tests.neo4j_servers import command_server

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


def query(address: Neo4jAddress, text: str) -> list[list[object]]:
    with neo4j.GraphDatabase.driver(address.uri, auth=address.auth) as driver:
        return [record.values() for record in driver.execute_query(text).records]


@dataclass(frozen=True)
class Copied:
    """A Neo4j and the copy of it that the command made.

    Attributes:
        server: the Neo4j, in which one user follows another.
        address: where it was before the copy was made.
        told: what the command said.
    """

    server: LocalNeo4j
    address: Neo4jAddress
    told: dict[str, Any]

    @property
    def copy(self) -> LocalNeo4j:
        return analyst_neo4j(load_settings())


def recsvc(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def copied() -> Iterator[Copied]:
    with command_server() as server:
        address = server.address()
        query(address, "CREATE (:User {user_id: 'u'})-[:FOLLOWS]->(:User {user_id: 'v'})")
        done = recsvc("analyst", "up", "--json")
        try:
            assert done.exit_code == 0, done.output
            yield Copied(server, address, json.loads(done.stdout))
        finally:
            recsvc("analyst", "down")


def test_a_copy_is_made_and_only_read(copied: Copied) -> None:
    address, copy, told = copied.address, copied.copy, copied.told
    other = copy.address()
    assert told["uri"] == other.uri
    assert (other.uri, other.password) != (address.uri, address.password)
    assert other.uri.startswith("bolt://127.0.0.1:")
    assert stat.S_IMODE(Path(told["password_file"]).stat().st_mode) == 0o600
    assert told["away_seconds"] > 0
    assert 0 < told["dump_bytes"] < told["store_bytes"]

    follows = "MATCH (a:User)-[:FOLLOWS]->(b) RETURN a.user_id, b.user_id"
    assert query(other, follows) == [["u", "v"]]
    for change in ("CREATE (:User)", "MATCH (n) DETACH DELETE n",
                   "CREATE INDEX FOR (n:User) ON (n.name)"):  # fmt: skip
        with pytest.raises(neo4j.exceptions.ClientError, match="read-only"):
            query(other, change)
    assert query(other, follows) == [["u", "v"]]

    # The other one runs again where it was, takes writes, and the copy knows nothing.
    assert copied.server.address() == address
    query(address, "MERGE (:User {user_id: 'w'})")
    assert query(other, "MATCH (n) RETURN count(n)") == [[2]]
    again = json.loads(recsvc("analyst", "up", "--json").stdout)
    assert again == told


def test_it_listens_on_loopback_and_reads_no_file(copied: Copied) -> None:
    copy, other = copied.copy, copied.copy.address()
    for connection in psutil.Process(copy.status().pid).net_connections():
        if connection.status == psutil.CONN_LISTEN:
            assert "127.0.0.1" in connection.laddr.ip
    for url in refused_urls(copy.status().password_file):
        with pytest.raises(neo4j.exceptions.ClientError, match=r"allow_csv|is blocked"):
            query(other, f"LOAD CSV FROM '{url}' AS line RETURN line")
    names = query(other, "SHOW PROCEDURES YIELD name RETURN name")
    assert not [name for (name,) in names if str(name).startswith("apoc")]


def test_it_is_made_anew_goes_with_who_is_deleted_and_is_stopped(copied: Copied) -> None:
    """Last: it takes the copy away."""
    address, copy = copied.address, copied.copy
    other = copy.address()
    query(address, "MERGE (:User {user_id: 'w'})")
    # Neo4j Community lets every account do this; the next `up` undoes it.
    with neo4j.GraphDatabase.driver(other.uri, auth=other.auth) as driver:
        for change in (
            "CREATE USER eve SET PASSWORD 'of-nobody-else' CHANGE NOT REQUIRED",
            f"ALTER CURRENT USER SET PASSWORD FROM '{other.password}' TO 'another-one'",
        ):
            driver.execute_query(change, database_="system")
    anew = recsvc("analyst", "up", "--json")
    assert anew.exit_code == 0, anew.output
    assert query(copy.address(), "MATCH (n) RETURN count(n)") == [[3]]
    assert query(copy.address(), "SHOW USERS YIELD user RETURN user") == [["neo4j"]]

    # Who is deleted goes from the copy too: nobody can change it, so it goes as a whole.
    unknown = recsvc("delete-user", "nobody")
    assert unknown.exit_code == 1
    assert copy.status().running
    gone = recsvc("delete-user", "w")
    assert gone.exit_code == 0, gone.output
    assert "analyst up" in gone.stderr
    assert not copy.status().running
    assert not any((copy.folder / "data").iterdir())
    assert recsvc("analyst", "up", "--json").exit_code == 0
    assert query(copy.address(), "MATCH (n) RETURN count(n)") == [[2]]

    down = recsvc("analyst", "down", "--json")
    assert json.loads(down.stdout) == {"stopped": True}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(other.uri.rpartition(":")[2]))) != 0
    assert not list((copied.server.folder.parent / "analyst").glob("dump-*"))
    assert not any((copy.folder / "data").iterdir())
    assert query(address, "MATCH (n) RETURN count(n)") == [[2]]
