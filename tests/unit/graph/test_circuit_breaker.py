"""One deadline for all reads of a request, and nobody waits for a Neo4j known to be away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import (
    Neo4jServerError,
    Neo4jTimeoutError,
    Neo4jUnavailableError,
    NoLeaderError,
)
from recsvc.graph import circuit_breaker
from recsvc.graph.circuit_breaker import CircuitBreaker
from tests.waiting import jump_ahead

QUERY: Query = catalogue()["serve/active_versions"]


class Server:
    """Answers after some time; counts who asks whether it is there, and how many at once."""

    def __init__(self) -> None:
        self.takes, self.probes, self.at_once, self.most_at_once = 0.0, 0, 0, 0
        self.breaker = CircuitBreaker("bolt://example:7687", self.probe)

    async def read(self, seconds: float = 0.2) -> None:
        self.breaker.refuse_if_away()
        await self.answer(seconds)

    async def answer(self, seconds: float) -> None:
        async with self.breaker.deadline(QUERY, seconds):
            await asyncio.sleep(self.takes)

    async def probe(self) -> None:
        self.probes += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            await self.answer(0.2)
        finally:
            self.at_once -= 1


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(circuit_breaker, "_PAUSE_SECONDS", 0.05)
    jump_ahead(monkeypatch)
    server = Server()
    yield server
    await server.breaker.close()


async def test_reads_of_one_request_share_its_deadline(server: Server) -> None:
    server.takes = 0.12
    with server.breaker.one_request():
        await server.read()
        with pytest.raises(Neo4jTimeoutError, match=r"serve/active_versions within 0\.2 s"):
            await server.read()  # it alone would be in time
        with pytest.raises(Neo4jTimeoutError):
            await server.read()
    await server.read()  # the next one has a time of its own


async def test_tasks_of_a_request_share_it_too_and_other_requests_do_not(server: Server) -> None:
    server.takes = 0.12

    async def request() -> str:
        with server.breaker.one_request():
            await asyncio.gather(server.read(), server.read())
            with pytest.raises(Neo4jTimeoutError):
                await asyncio.create_task(server.read())
        return "done"

    first = asyncio.create_task(request())
    await asyncio.sleep(0.1)
    assert await asyncio.gather(first, request()) == ["done", "done"]


async def test_one_slow_query_among_answered_ones_stops_nobody(server: Server) -> None:
    async def others() -> None:
        for _ in range(6):
            await asyncio.sleep(0.05)
            await server.read()

    asking = asyncio.create_task(others())
    with pytest.raises(Neo4jTimeoutError):
        async with server.breaker.deadline(QUERY, 0.2):
            await asyncio.sleep(1)
    await server.read()
    await asking
    assert server.probes == 0


async def test_a_request_of_which_the_first_half_was_answered_stops_nobody(server: Server) -> None:
    with server.breaker.one_request():
        await server.read()
        server.takes = 1.0
        with pytest.raises(Neo4jTimeoutError):
            await server.read()
    server.takes = 0.0
    await server.read()
    assert server.probes == 0


async def test_once_silent_it_is_not_waited_for_until_it_answers(server: Server) -> None:
    server.takes = 1.0
    with pytest.raises(Neo4jTimeoutError):
        await server.read()
    clock = asyncio.get_running_loop().time
    began = clock()
    for _ in range(100):
        with pytest.raises(Neo4jUnavailableError, match="stopped to answer"):
            await server.read()
    assert clock() == began  # and not 20 seconds later
    await asyncio.sleep(0.6)  # two or three probes are waited for in vain
    assert server.probes in (2, 3)
    server.takes = 0.0
    await asyncio.sleep(0.5)
    await server.read()
    probes = server.probes
    await asyncio.sleep(0.2)
    assert server.probes == probes
    assert server.most_at_once == 1


async def test_many_that_fail_at_once_make_one_probe(server: Server) -> None:
    server.takes = 1.0
    failed = await asyncio.gather(*(server.read() for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in failed} == {Neo4jTimeoutError}
    await asyncio.sleep(0.3)
    assert server.most_at_once == 1
    assert server.probes <= 2


async def test_a_broken_connection_counts_too_and_a_probe_outlives_the_request(
    server: Server,
) -> None:
    server.takes = 0.1
    with server.breaker.one_request(), pytest.raises(Neo4jUnavailableError):
        async with server.breaker.deadline(QUERY, 0.05):
            raise ConnectionResetError
    with pytest.raises(Neo4jUnavailableError):
        await server.read()
    await asyncio.sleep(0.25)
    await server.read()
    assert server.probes == 1


async def test_a_cluster_without_a_leader_is_not_away(server: Server) -> None:
    with pytest.raises(NoLeaderError):
        async with server.breaker.deadline(QUERY, 0.05, writes=True):
            raise NoLeaderError("none of them takes writes")
    await server.read()
    assert server.probes == 0


async def test_a_late_write_says_nothing_of_neo4j(server: Server) -> None:
    with pytest.raises(Neo4jTimeoutError):
        async with server.breaker.deadline(QUERY, 0.05, writes=True):
            await asyncio.sleep(1)
    await server.read()
    assert server.probes == 0


async def test_where_it_is_slow_writes_are_tried_and_reads_are_not(server: Server) -> None:
    server.takes = 1.0
    with pytest.raises(Neo4jTimeoutError):
        await server.read()
    server.breaker.refuse_if_away(to_write=True)
    with pytest.raises(Neo4jUnavailableError):
        server.breaker.refuse_if_away()


async def test_an_error_of_the_server_is_an_answer(server: Server) -> None:
    with pytest.raises(Neo4jServerError):
        async with server.breaker.deadline(QUERY, 0.2):
            raise Neo4jServerError("read-only")
    await server.read()
    assert server.probes == 0
