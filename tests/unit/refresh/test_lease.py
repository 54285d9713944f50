"""Taking the lease, keeping it, and losing it; against a lease in memory."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import LeaseLostError, Neo4jUnavailableError
from loaders.gateway import Row, Transaction
from loaders.lease import FencedGateway
from recsvc.errors import RefreshError
from recsvc.refresh import lease as leases
from recsvc.refresh.lease import Lease, held_lease
from tests.waiting import PATIENCE_SECONDS

WRITE = catalogue()["ingest/write_lock"]
INDEX = catalogue()["writeback/item_vector_index[mf,a]"]
READ = catalogue()["serve/active_versions"]


class Graph:
    """A gateway that knows of the lease alone, and records everything else."""

    def __init__(self) -> None:
        self.holder: str | None = None
        self.fence = 0
        self.beats = 0
        self.expired = False
        self.away = False
        self.calls: list[str] = []
        self.transactions: list[list[str]] = []
        self.asked = threading.Event()

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        assert parameters.keys() == query.params.keys()
        self.calls.append(query.name)
        answer: Callable[..., Row] | None = getattr(self, query.name.replace("lease/", "_"), None)
        return [answer(**parameters)] if answer else []

    def _take(self, holder: str, milliseconds: int, silent_since: str, force: bool) -> Row:
        before, beat = self.holder, str(self.beats) if self.holder else None
        taken = force or self.holder is None or self.expired or beat == silent_since
        if taken:
            self.holder, self.fence, self.beats = holder, self.fence + 1, self.beats + 1
        return {
            "taken": taken, "fence": self.fence, "holder": before, "heartbeat": beat,
            "acquired_at": "then",
        }  # fmt: skip

    def _renew(self, holder: str, fence: int, milliseconds: int) -> Row:
        self.asked.set()
        if self.away:
            raise Neo4jUnavailableError("away")
        return {"renewed": (self.holder, self.fence) == (holder, fence)}

    def _hold(self, holder: str, fence: int) -> Row:
        return {"held": (self.holder, self.fence) == (holder, fence)}

    def _release(self, holder: str, fence: int) -> Row:
        mine = (self.holder, self.fence) == (holder, fence)
        self.holder = None if mine else self.holder
        return {"released": mine}

    def read(self, work: Callable[[Transaction], Any]) -> Any:
        return work(self)

    def write(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        begun = len(self.calls)
        try:
            return work(self)
        finally:
            self.transactions.append(self.calls[begun:])

    def run_rolled_back(self, work: Callable[[Transaction], Any], **_more: Any) -> Any:
        return work(self)


@pytest.fixture
def graph() -> Graph:
    return Graph()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The monotonic clock of this process, and who else acts while it sleeps."""
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(leases.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    return now  # pyright: ignore[reportReturnType]


def hold(graph: Graph, seconds: float = 60.0, *, force: bool = False) -> Any:
    return held_lease(graph, seconds=seconds, force=force, progress=lambda *_: None)


def test_the_number_rises_each_time(graph: Graph) -> None:
    for fence in (1, 2, 3):
        with hold(graph) as lease:
            assert lease.gateway.fence == fence == graph.fence
            assert lease.gateway.holder == graph.holder
            assert (lease.taken_from, lease.forced) == (None, False)
        assert graph.holder is None


def test_who_gives_signs_of_life_keeps_it(
    graph: Graph, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.holder = "somebody 1 abc"

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        graph.beats += clock[0] > 1020.0

    monkeypatch.setattr(leases.time, "sleep", sleep)
    with pytest.raises(RefreshError, match=r"another refresh is running \(somebody 1 abc, since"):
        hold(graph).__enter__()
    assert clock[0] < 1022.0
    assert graph.holder == "somebody 1 abc"


def test_who_gives_none_loses_it_after_its_length_by_the_own_clock(
    graph: Graph, clock: list[float]
) -> None:
    """Whatever the server's clock says: in this one it never runs out."""
    graph.holder = "somebody"
    with hold(graph, 30.0) as lease:
        assert 1030.0 <= clock[0] < 1032.0
        assert (lease.taken_from, lease.forced) == ("somebody", False)


def test_what_has_run_out_is_taken_at_once(graph: Graph, clock: list[float]) -> None:
    graph.holder, graph.expired = "somebody", True
    with hold(graph) as lease:
        assert clock[0] == 1000.0
        assert lease.taken_from == "somebody"


def test_force_does_not_wait_and_is_told(graph: Graph, clock: list[float]) -> None:
    graph.holder = "somebody"
    with hold(graph, force=True) as lease:
        assert clock[0] == 1000.0
        assert (lease.taken_from, lease.forced) == ("somebody", True)
    with hold(graph, force=True) as lease:
        assert not lease.forced


def test_one_that_lost_it_is_told_and_does_not_give_back_what_is_not_its(graph: Graph) -> None:
    with hold(graph, 0.03) as lease:
        lease.require()
        graph.holder, graph.fence = "the next", graph.fence + 1
        assert lease.lost.wait(PATIENCE_SECONDS)
        with pytest.raises(LeaseLostError, match="another took over"):
            lease.require()
    assert graph.holder == "the next"


def test_a_neo4j_that_is_away_for_a_moment_loses_nothing(graph: Graph) -> None:
    with hold(graph, 0.03) as lease:
        graph.away = True
        for _ in range(3):
            graph.asked.clear()
            assert graph.asked.wait(PATIENCE_SECONDS)
        graph.away = False
        graph.asked.clear()
        assert graph.asked.wait(PATIENCE_SECONDS)
        assert not lease.lost.is_set()


def test_it_is_given_back_after_an_error(graph: Graph) -> None:
    with pytest.raises(ZeroDivisionError), hold(graph):
        raise ZeroDivisionError
    assert graph.holder is None


def test_every_write_looks_at_the_lease_first_in_its_own_transaction(graph: Graph) -> None:
    graph.holder, graph.fence = "me", 3
    gateway = FencedGateway(graph, "me", 3)
    gateway.run(WRITE)
    gateway.write(lambda transaction: transaction.run(WRITE))
    assert graph.transactions == [["lease/hold", WRITE.name]] * 2
    gateway.run(INDEX)
    assert graph.calls[-2:] == ["lease/hold", INDEX.name]


@pytest.mark.parametrize(("holder", "fence"), [("me", 4), ("another", 3), (None, 3)])
def test_nothing_is_written_without_the_lease(graph: Graph, holder: str | None, fence: int) -> None:
    graph.holder, graph.fence = holder, fence
    gateway = FencedGateway(graph, "me", 3)
    for write in (
        lambda: gateway.run(WRITE),
        lambda: gateway.run(INDEX),
        lambda: gateway.write(lambda transaction: transaction.run(WRITE)),
    ):
        with pytest.raises(LeaseLostError, match="nothing more is written"):
            write()
    assert set(graph.calls) == {"lease/hold"}
    assert gateway.run(READ) == []


def test_a_lease_is_told_of_its_loss_once(graph: Graph) -> None:
    lease = Lease(FencedGateway(graph, "me", 1), 0.01, None, forced=False)
    lease.keep(threading.Event())
    assert lease.lost.is_set()
    assert graph.calls == ["lease/renew"]


def test_three_signs_of_life_are_given_in_the_time_of_a_lease(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph.holder, graph.fence = "me", 1
    stop, waited = threading.Event(), list[float]()

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        return sum(waited) > 60.0

    monkeypatch.setattr(stop, "wait", wait)
    Lease(FencedGateway(graph, "me", 1), 60.0, None, forced=False).keep(stop)
    assert graph.calls == ["lease/renew"] * 3
