"""The gateway against a real server."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import neo4j
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import Neo4jAuthError, Neo4jTimeoutError, Neo4jUnavailableError, QueryError
from loaders.gateway import Neo4jAddress, Neo4jGateway, Transaction
from loaders.schema import apply_schema
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j

COUNT = Query("tests/count", "", "read", {}, {"n": "int"}, "MATCH (n) RETURN count(n) AS n")
MAKE = Query(
    "tests/make", "", "write", {"name": "str"}, {"n": "int"},
    "CREATE (:Thing {name: $name}) RETURN 1 AS n",
)  # fmt: skip
LOCK = Query(
    "tests/lock", "", "write", {"name": "str"}, {"n": "int"},
    "MATCH (t:Thing {name: $name}) SET t.touched = coalesce(t.touched, 0) + 1 "
    "RETURN t.touched AS n",
)  # fmt: skip


def nodes(gateway: Neo4jGateway) -> int:
    return gateway.run(COUNT)[0]["n"]


def test_run_returns_plain_rows(gateway: Neo4jGateway) -> None:
    assert gateway.run(MAKE, name="a") == [{"n": 1}]
    assert nodes(gateway) == 1


def test_work_that_is_rolled_back_sees_its_changes_and_leaves_nothing(
    gateway: Neo4jGateway,
) -> None:
    gateway.run(MAKE, name="before")

    def work(transaction: Transaction) -> int:
        transaction.run(MAKE, name="rolled back")
        return transaction.run(COUNT)[0]["n"]

    assert gateway.run_rolled_back(work) == 2
    assert nodes(gateway) == 1


def test_work_that_fails_says_so_and_leaves_nothing(gateway: Neo4jGateway) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run(MAKE, name="rolled back")
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        gateway.run_rolled_back(work)
    assert nodes(gateway) == 0


def test_write_is_all_or_nothing(gateway: Neo4jGateway) -> None:
    def work(transaction: Transaction) -> None:
        transaction.run(MAKE, name="first")
        transaction.run(replace(MAKE, text="THIS IS NO CYPHER $name"), name="second")

    with pytest.raises(QueryError, match="SyntaxError"):
        gateway.write(work)
    assert nodes(gateway) == 0


def test_write_runs_again_from_its_start_after_a_deadlock(
    neo4j_address: Neo4jAddress, gateway: Neo4jGateway
) -> None:
    """The other writer is none of ours: it does not take the lock of all writers."""
    gateway.run(MAKE, name="left")
    gateway.run(MAKE, name="right")
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def locking(
        first: str, second: str
    ) -> Callable[[neo4j.ManagedTransaction | Transaction], None]:
        def work(transaction: neo4j.ManagedTransaction | Transaction) -> None:
            def run(query: Query, name: str) -> None:
                if isinstance(transaction, neo4j.ManagedTransaction):
                    transaction.run(query.text, name=name).consume()
                else:
                    transaction.run(query, name=name)

            tries.append(first)
            run(MAKE, "trace")
            run(LOCK, first)
            if tries.count(first) == 1:
                both_hold_one.wait(PATIENCE_SECONDS)
            run(LOCK, second)

        return work

    def stranger() -> None:
        driver = neo4j.GraphDatabase.driver(neo4j_address.uri, auth=neo4j_address.auth)
        with driver, driver.session() as session:
            session.execute_write(locking("right", "left"))

    other = threading.Thread(target=stranger)
    other.start()
    gateway.write(locking("left", "right"))
    other.join(PATIENCE_SECONDS)
    assert not other.is_alive()
    assert len(tries) >= 3, "nothing was tried twice: there was no deadlock"
    # Two Things and one trace of each writer: what the failed try made is gone.
    assert nodes(gateway) == 4
    touched = replace(COUNT, text="MATCH (t:Thing) WHERE t.touched = 2 RETURN count(t) AS n")
    assert gateway.run(touched) == [{"n": 2}]


def test_our_writers_wait_for_each_other_and_leave_no_node(gateway: Neo4jGateway) -> None:
    apply_schema(gateway)
    inside, most = 0, 0
    guard = threading.Lock()

    def work(transaction: Transaction) -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        transaction.run(MAKE, name="a")
        time.sleep(0.05)
        with guard:
            inside -= 1

    writers = [threading.Thread(target=gateway.write, args=(work,)) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(PATIENCE_SECONDS)
    assert most == 1
    assert nodes(gateway) == 6


def test_read_mode_cannot_write(gateway: Neo4jGateway) -> None:
    with pytest.raises(QueryError, match="AccessMode"):
        gateway.run(replace(MAKE, mode="read"), name="a")
    assert nodes(gateway) == 0


def test_wrong_password_is_an_auth_error_and_not_shown(neo4j_address: Neo4jAddress) -> None:
    with pytest.raises(Neo4jAuthError, match="RECSVC_NEO4J_PASSWORD") as caught:
        Neo4jGateway(replace(neo4j_address, password="wrong-pa55-word"))
    assert "wrong-pa55-word" not in str(caught.value)


def test_slow_query_runs_into_its_deadline(neo4j_address: Neo4jAddress) -> None:
    slow = replace(
        COUNT, text="UNWIND range(1, 2000000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x) AS n"
    )
    with (
        Neo4jGateway(neo4j_address, query_timeout_seconds=0.5) as gateway,
        pytest.raises(Neo4jTimeoutError, match="ran out of time"),
    ):
        gateway.run(slow)


def test_constraint_is_a_query_error(gateway: Neo4jGateway) -> None:
    apply_schema(gateway)
    gateway.run(catalogue()["ingest/items"], rows=[{"item_id": "a", "properties": {}}])
    again = replace(MAKE, text="CREATE (:Item {item_id: $name}) RETURN 1 AS n")
    with pytest.raises(QueryError, match="a constraint has it be unique"):
        gateway.run(again, name="a")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Neo4jUnavailableError, match=rf"no Neo4j answers at bolt://.*:{port}"):
        Neo4jGateway(Neo4jAddress(f"bolt://127.0.0.1:{port}", "neo4j", "x"))


def test_something_listens_and_is_silent(silent_port: int) -> None:
    with pytest.raises(Neo4jUnavailableError):
        Neo4jGateway(
            Neo4jAddress(f"bolt://127.0.0.1:{silent_port}", "neo4j", "x"),
            connect_timeout_seconds=0.5,
        )


@pytest.mark.parametrize("scheme", ["bolt+s", "bolt+ssc", "neo4j+s", "neo4j+ssc"])
def test_tls_is_asked_of_a_server_that_speaks_none(
    neo4j_address: Neo4jAddress, scheme: str
) -> None:
    uri = neo4j_address.uri.replace("bolt", scheme, 1)
    with pytest.raises(Neo4jUnavailableError, match=r"speaks no TLS: take bolt://") as caught:
        Neo4jGateway(replace(neo4j_address, uri=uri), connect_timeout_seconds=PATIENCE_SECONDS)
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j", "bolt+s", "neo4j+ssc"])
def test_the_host_has_no_address(scheme: str) -> None:
    """The top-level domain that nobody ever gets (RFC 2606)."""
    uri = f"{scheme}://nowhere.invalid:7687"
    with pytest.raises(Neo4jUnavailableError, match="has no address") as caught:
        Neo4jGateway(Neo4jAddress(uri, "neo4j", "x"), connect_timeout_seconds=PATIENCE_SECONDS)
    assert str(caught.value).startswith(f"the host of {uri} has no address (")
    assert "RECSVC_NEO4J_URI" in str(caught.value)
    assert "\n" not in str(caught.value)
