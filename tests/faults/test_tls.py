"""A server that speaks TLS with a certificate nobody vouches for, met as it is and as it is not."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from loaders.catalogue import Query
from loaders.errors import Neo4jUnavailableError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import _java
from loaders.mapped import MappedGraph
from recsvc.graph.store import Store
from recsvc.settings_file import graph_tables
from tests.conftest import recsvc
from tests.mappings import MOVIES
from tests.neo4j_servers import own_server
from tests.statement import statement

ONE = Query("tests/one", "", "read", {}, {"one": "int"}, "RETURN 1 AS one")
CONFIGURATION = """\
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory={folder}
server.bolt.tls_level=OPTIONAL
initial.dbms.default_database=shop
"""
SAID = "the certificate of Neo4j at {uri} is not trusted (self-signed certificate): "


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a self-signed certificate, by the names that Neo4j looks for."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH, which makes a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "private.key", "-out", "public.crt"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def address(certificate: Path) -> Iterator[Neo4jAddress]:
    """A Neo4j that takes both plain connections and TLS."""
    with pytest.MonkeyPatch.context() as patch:
        more = CONFIGURATION.format(folder=certificate)
        patch.setattr(_java, "_CONFIGURATION", _java._CONFIGURATION + more)
        with own_server() as server:
            yield server.address()


def by(address: Neo4jAddress, scheme: str) -> Neo4jAddress:
    return replace(address, uri=address.uri.replace("bolt", scheme, 1))


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("scheme", ["bolt+ssc", "neo4j+ssc"])
def test_who_says_that_it_may_be_self_signed_is_let_in(address: Neo4jAddress, scheme: str) -> None:
    with Neo4jGateway(by(address, scheme)) as gateway:
        assert gateway.run(ONE) == [{"one": 1}]


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.long
def test_a_mapped_graph_is_in_a_database_of_another_name(
    address: Neo4jAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Neo4jGateway(address) as gateway:
        statement(
            gateway,
            "CREATE (:User {userId: 1})-[:RATED {rating: 4.0, timestamp: 1}]->"
            "(:Movie {movieId: 2, title: 'Two'})-[:IN_GENRE]->(:Genre {name: 'g'})",
        )
    shop = MOVIES.model_copy(update={"database": "shop"})
    for name, value in (("HOME", str(tmp_path)), ("NEO4J_USER", address.user),
                        ("NEO4J_PASSWORD", address.password)):  # fmt: skip
        monkeypatch.setenv(f"RECSVC_{name}", value)
    monkeypatch.chdir(tmp_path)
    for database, counted in (("shop", 0), ("neo4j", 1)):
        graph = shop.model_copy(update={"database": database})
        Path("recsvc.toml").write_text(graph_tables(graph), encoding="utf-8")
        for scheme in ("bolt", "neo4j", "bolt+ssc", "neo4j+ssc"):
            monkeypatch.setenv("RECSVC_NEO4J_URI", by(address, scheme).uri)
            said = recsvc("attach", "--check", "--json")
            assert said.returncode == counted, said.stderr
            if counted:
                assert "correct RECSVC_NEO4J_DATABASE, or database in [graph]" in said.stderr
            else:
                assert json.loads(said.stdout)["found"]["interactions"] == 1
    of_service = replace(by(address, "neo4j+ssc"), database="shop", graph=MappedGraph(shop))

    async def items() -> list[str]:
        store = Store(of_service, timeout_seconds=20.0)
        await store.open()
        try:
            return [item for item, *_ in (await store.user("1", limit=9)).interactions]
        finally:
            await store.close()

    assert asyncio.run(items()) == ["2"]


@pytest.fixture
def only_tls(certificate: Path) -> Iterator[Neo4jAddress]:
    """Where nobody is heard without TLS, as with `server.bolt.tls_level=REQUIRED`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "public.crt", certificate / "private.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the listener is closed at the end
                while True:
                    plain, _ = listener.accept()
                    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        yield Neo4jAddress(f"bolt://127.0.0.1:{port}", "neo4j", "of-nobody-else")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=120)


@pytest.mark.parametrize("scheme", ["bolt+s", pytest.param("neo4j+s", marks=pytest.mark.long)])
async def test_it_is_not_trusted_else(only_tls: Neo4jAddress, scheme: str) -> None:
    trusting = by(only_tls, scheme)
    said = SAID.format(uri=trusting.uri)
    with pytest.raises(Neo4jUnavailableError) as caught:
        Neo4jGateway(trusting, connect_timeout_seconds=60.0)
    assert str(caught.value).startswith(said)
    assert "+ssc://" in str(caught.value)
    store = Store(trusting, timeout_seconds=60.0)
    await store.open()
    try:
        with pytest.raises(Neo4jUnavailableError) as of_service:
            await store.active_versions()
    finally:
        await store.close()
    assert str(of_service.value) == str(caught.value)


def test_a_command_says_it_in_one_line(
    only_tls: Neo4jAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = by(only_tls, "bolt+s")
    environment = {
        "RECSVC_HOME": str(tmp_path),
        "RECSVC_NEO4J_URI": trusting.uri,
        "RECSVC_NEO4J_USER": trusting.user,
        "RECSVC_NEO4J_PASSWORD": trusting.password,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = recsvc("versions")
    assert told.returncode == 1
    assert told.stderr.startswith(f"recsvc: {SAID.format(uri=trusting.uri)}")
    assert told.stderr.count("\n") == 1
    assert trusting.password not in told.stderr


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
def test_without_tls_where_it_is_wanted(only_tls: Neo4jAddress, scheme: str) -> None:
    with pytest.raises(Neo4jUnavailableError, match=r"if Neo4j wants TLS there, take bolt\+s://"):
        Neo4jGateway(by(only_tls, scheme), connect_timeout_seconds=60.0)
