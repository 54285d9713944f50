"""The lease on a real Neo4j: its clock, its locks, and who may write."""

import threading
import time
from typing import Any

import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import LeaseLostError, QueryError
from loaders.gateway import Neo4jAddress, Neo4jGateway, Transaction
from loaders.lease import FencedGateway, take_lease
from loaders.schema import apply_schema
from recsvc.errors import RefreshError
from recsvc.refresh import lease
from recsvc.refresh.lease import held_lease
from tests.conftest import on_later_lines_long
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j

WRITE = Query("tests/write", "", "write", {}, {}, "CREATE (:Thing)")
COUNT = Query("tests/count", "", "read", {}, {}, "MATCH (t:Thing) RETURN count(t) AS things")
CLOCK = Query(
    "tests/clock", "As if the server's clock had been set.", "write", {"hours": "int"}, {},
    "MATCH (l:RefreshLease) SET l.expires_at = l.expires_at + duration({hours: $hours}), "
    "l.heartbeat_at = l.heartbeat_at + duration({hours: $hours}) RETURN l.holder AS holder",
)  # fmt: skip


@pytest.fixture(autouse=True)
def schema(gateway: Neo4jGateway) -> None:
    apply_schema(gateway)


def hold(gateway: Neo4jGateway, seconds: float, **more: Any) -> Any:
    told = {"force": False, "progress": lambda *_: None} | more
    return held_lease(gateway, seconds=seconds, **told)


def things(gateway: Neo4jGateway) -> int:
    return gateway.run(COUNT)[0]["things"]


def test_one_at_a_time_and_the_number_rises(gateway: Neo4jGateway) -> None:
    assert take_lease(gateway, "one", 60.0).fence == 1
    refused = take_lease(gateway, "two", 60.0)
    assert (refused.taken, refused.fence, refused.holder) == (False, 1, "one")
    assert not FencedGateway(gateway, "two", 1).release()
    one = FencedGateway(gateway, "one", 1)
    assert one.renew(60.0)
    assert one.release()
    assert not one.release()
    assert not one.renew(60.0)
    again = take_lease(gateway, "two", 60.0)
    assert (again.taken, again.fence, again.holder) == (True, 2, None)


def test_it_runs_out_by_the_clock_of_the_server(gateway: Neo4jGateway) -> None:
    take_lease(gateway, "one", 0.2)
    time.sleep(0.3)
    taken = take_lease(gateway, "two", 60.0)
    assert (taken.taken, taken.fence, taken.holder) == (True, 2, "one")


def test_a_sign_of_life_makes_it_last(gateway: Neo4jGateway) -> None:
    take_lease(gateway, "one", 0.4)
    FencedGateway(gateway, "one", 1).renew(60.0)
    time.sleep(0.5)
    assert not take_lease(gateway, "two", 60.0).taken


def test_a_clock_set_back_keeps_nobody_out_for_longer(gateway: Neo4jGateway) -> None:
    """What the lease says is then in the far future."""
    take_lease(gateway, "one", 60.0)
    gateway.run(CLOCK, hours=1000)
    began = time.monotonic()
    with hold(gateway, 1.0) as lease:
        assert 1.0 <= time.monotonic() - began < PATIENCE_SECONDS
        assert (lease.gateway.fence, lease.taken_from) == (2, "one")


def test_a_clock_set_forwards_lets_one_take_over_and_only_that_one_write(
    gateway: Neo4jGateway,
) -> None:
    with hold(gateway, 3600.0) as one:  # whose next sign of life would be by the clock that was set
        gateway.run(CLOCK, hours=-1000)
        with hold(gateway, 60.0) as two:
            two.gateway.run(WRITE)
            with pytest.raises(LeaseLostError):
                one.gateway.run(WRITE)
            with pytest.raises(LeaseLostError):
                one.gateway.run(catalogue()["writeback/item_vector_index[mf,a]"])
    assert things(gateway) == 1


@on_later_lines_long
def test_who_gives_signs_of_life_is_not_taken_over(
    gateway: Neo4jGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BEATS", 150)
    with hold(gateway, 300.0) as one:
        for _ in range(2):
            with pytest.raises(RefreshError, match="another refresh is running"):
                hold(gateway, 300.0).__enter__()
        one.gateway.run(WRITE)
    assert things(gateway) == 1


def test_the_loser_is_told(gateway: Neo4jGateway) -> None:
    with hold(gateway, 6.0) as one, hold(gateway, 60.0, force=True) as two:
        assert two.forced
        assert one.lost.wait(PATIENCE_SECONDS)
        with pytest.raises(LeaseLostError):
            one.require()
    with hold(gateway, 60.0) as three:  # which `one`, when it ended, has not given back for `two`
        assert three.taken_from is None


def test_a_write_that_has_begun_ends_before_another_takes_over(
    neo4j_address: Neo4jAddress, gateway: Neo4jGateway
) -> None:
    """Also if the other does not know the lock of all writers."""
    take_lease(gateway, "one", 60.0)
    writing, go_on, order = threading.Event(), threading.Event(), list[str]()

    def slowly(transaction: Transaction) -> None:
        transaction.run(WRITE)
        writing.set()
        assert go_on.wait(PATIENCE_SECONDS)
        order.append("written")

    def take_over() -> None:
        with Neo4jGateway(neo4j_address) as other:
            query = catalogue()["lease/take"]
            alone = Query(query.name, "", "autocommit", query.params, {}, query.text)
            other.run(alone, holder="two", milliseconds=60_000, silent_since="", force=True)
        order.append("taken")

    one = FencedGateway(gateway, "one", 1)
    threads = [threading.Thread(target=one.write, args=(slowly,))]
    threads[0].start()
    assert writing.wait(PATIENCE_SECONDS)
    threads.append(threading.Thread(target=take_over))
    threads[1].start()
    threads[1].join(1.0)
    assert order == []
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert order == ["written", "taken"]
    with pytest.raises(LeaseLostError):
        one.run(WRITE)
    assert things(gateway) == 1


def test_a_writer_that_is_paused_in_the_middle_does_not_keep_others_waiting_for_long(
    neo4j_address: Neo4jAddress, gateway: Neo4jGateway
) -> None:
    """The server ends its transaction, and nothing of it is left."""
    take_lease(gateway, "one", 60.0)
    writing, taken = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def pause(transaction: Transaction) -> None:
        transaction.run(WRITE)
        writing.set()
        assert taken.wait(PATIENCE_SECONDS)
        transaction.run(WRITE)

    def write() -> None:
        try:
            FencedGateway(gateway, "one", 1).write(pause, timeout_seconds=5.0)
        except Exception as error:  # looked at where the thread is joined
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert writing.wait(PATIENCE_SECONDS)
    with Neo4jGateway(neo4j_address) as other:
        assert take_lease(other, "two", 60.0, force=True).taken
    taken.set()
    thread.join(PATIENCE_SECONDS)
    assert len(errors) == 1
    assert things(gateway) == 0


def test_a_lease_that_was_deleted_by_hand_lets_nobody_write(gateway: Neo4jGateway) -> None:
    take_lease(gateway, "one", 60.0)
    gateway.run(Query("tests/drop", "", "write", {}, {}, "MATCH (l:RefreshLease) DELETE l"))
    one = FencedGateway(gateway, "one", 1)
    assert take_lease(gateway, "two", 60.0).fence == 1
    with pytest.raises(LeaseLostError):
        one.run(WRITE)


def test_there_is_one_lease(gateway: Neo4jGateway) -> None:
    take_lease(gateway, "one", 60.0)
    second = Query(
        "tests/second", "", "write", {}, {}, "CREATE (:RefreshLease {name: 'refresh', fence: 1})"
    )
    with pytest.raises(QueryError, match="a constraint has it be unique"):
        gateway.run(second)
