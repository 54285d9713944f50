"""The service while Neo4j is slow, silent, away or killed, under a steady light load.

Every answer is a 200, comes within the deadline of a request and says what it lacks; what says that
it lacks nothing is what was answered before. Once Neo4j is back, so are whole answers.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from loaders.catalogue import catalogue
from loaders.errors import Neo4jError
from loaders.gateway import Neo4jAddress, Neo4jGateway, wait_until_ready
from loaders.local_neo4j import LocalNeo4j
from loaders.schema import SchemaGateway
from recsvc.graph import transport
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import Settings, load_settings
from tests.conftest import QUICK, Served, Service, once_refreshed, own_client, running_service
from tests.faults.answer_oracle import AnswerOracle, Findings, wanted_of
from tests.faults.steady_load import WANTED, Answered, SteadyLoad, Wanted, answer, callers
from tests.faults.tcp_proxy import TcpProxy, tcp_proxy
from tests.forked_refresh import VERSIONS, forks, orphans
from tests.neo4j_servers import Server
from tests.waiting import PATIENCE_SECONDS, until, until_then

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.timed]

DEADLINE_SECONDS: float = Settings.model_fields["request_timeout_seconds"].default
"""For everything that a request reads from Neo4j, together."""
OWN_WORK_SECONDS = 30.0
"""For all else in a request, on a machine that may stand still for seconds."""
FULL = {"explain": "full"}


@pytest.fixture(scope="module")
def graph(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    yield once_refreshed(neo4j_address, session_gateway, tmp_path_factory, QUICK)
    # A read is tried again, and finds the connections to a Neo4j that was killed.
    session_gateway.run(catalogue()["serve/active_versions"])


@pytest.fixture
def server(neo4j_server: Server) -> LocalNeo4j:
    """The Neo4j of the session, to be killed and started again."""
    if neo4j_server.local is None:
        pytest.skip("Neo4j runs in Docker: it has no process id to kill here")
    return neo4j_server.local


@pytest.fixture(scope="module")
def proxy(neo4j_address: Neo4jAddress) -> Iterator[TcpProxy]:
    address = urlsplit(neo4j_address.uri)
    with tcp_proxy(str(address.hostname), address.port or 0) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def service(
    graph: Served, proxy: TcpProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service behind the proxy. It keeps no answers: each has to be made."""
    environment = {
        **graph.environment,
        "RECSVC_NEO4J_URI": f"bolt://127.0.0.1:{proxy.port}",
        "RECSVC_ANSWER_CACHE_SECONDS": "0",
        "RECSVC_REQUEST_TIMEOUT_SECONDS": str(DEADLINE_SECONDS),
    }
    with running_service(environment, tmp_path_factory.mktemp("log") / "serve.log") as service:
        yield service


@pytest.fixture
async def client(service: Service, proxy: TcpProxy) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    url = service.client.base_url
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits) as client:
        yield client
        proxy.passes()
        await whole_again(client)


@pytest.fixture(scope="module")
def whole(service: Service) -> dict[Wanted, list[str]]:
    """The items of every answer while nothing is wrong."""

    async def ask(wanted: Wanted) -> Answered:
        url = service.client.base_url
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            found = await answer(client, wanted)
            while found.degraded:  # Neo4j may have to plan its queries first
                found = await answer(client, wanted)
            return found

    answers = [asyncio.run(ask(wanted)) for wanted in WANTED]
    assert {(each.status, each.degraded) for each in answers} == {(200, ())}
    return {each.wanted: each.item_ids for each in answers}


async def whole_again(client: httpx.AsyncClient, explain: str = "full") -> None:
    """Wait until an answer lacks nothing."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (await answer(client, Wanted("/v1/users/u1/recommendations", explain))).degraded:
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


def check(
    answers: Sequence[Answered],
    whole: dict[Wanted, list[str]],
    own_work_seconds: float = OWN_WORK_SECONDS,
) -> None:
    """Every answer came, in time, and those that say so lack nothing."""
    assert {each.status for each in answers} == {200}
    assert max(each.seconds for each in answers) < DEADLINE_SECONDS + own_work_seconds
    for each in answers:
        assert len(each.item_ids) == len(whole[each.wanted])
        if not each.degraded:
            assert each.item_ids == whole[each.wanted]


@pytest.mark.long
async def test_200_ms_more_for_each_message_cost_time_and_little_else(
    client: httpx.AsyncClient, proxy: TcpProxy, whole: dict[Wanted, list[str]]
):
    proxy.passes(0.2)
    async with SteadyLoad(client) as load:
        slow = await until_then(
            lambda: [a for a in load.answers if a.wanted.of_user and not a.degraded][5:]
        )
    check(load.answers, whole)
    assert min(each.seconds for each in slow) > 0.4


async def test_all_that_a_request_reads_has_one_deadline(
    client: httpx.AsyncClient, proxy: TcpProxy, whole: dict[Wanted, list[str]]
):
    """The evidence comes in time, and what is read after it does not get that long again."""
    proxy.passes(0.85)
    found = await answer(client, wanted := Wanted("/v1/users/u1/recommendations", "full"))
    while "evidence" in found.degraded:  # what is left of the deadline may be too short here
        found = await answer(client, wanted)
    check([found], whole)
    assert found.seconds > 1.7
    # What the items are may be known: nothing was committed since they were read.
    assert "paths" in found.degraded


async def test_connections_that_were_reset_cost_no_answer(
    client: httpx.AsyncClient, proxy: TcpProxy, whole: dict[Wanted, list[str]]
):
    wanted, rounds = [each for each in WANTED if each.of_user], 0
    while rounds < 2:  # a busy machine may be too late for an answer, and is so at times
        await asyncio.gather(*(answer(client, each) for each in wanted))
        proxy.cut()
        await asyncio.sleep(0.1)
        answers = [await answer(client, each) for each in wanted[:3]]
        check(answers, whole)
        rounds += not any(found.degraded for found in answers)


def _two_seconds_more(proxy: TcpProxy) -> None:
    proxy.passes(2.0)


def _throttled(proxy: TcpProxy) -> None:
    proxy.throttles(200)


def _refused(proxy: TcpProxy) -> None:
    proxy.refuses()
    proxy.cut()


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(_two_seconds_more, marks=pytest.mark.long),
        pytest.param(_throttled, marks=pytest.mark.long),
        TcpProxy.half_open,
        pytest.param(_refused, marks=pytest.mark.long),
    ],
)
async def test_answers_come_in_time_and_say_what_they_lack(
    client: httpx.AsyncClient,
    proxy: TcpProxy,
    whole: dict[Wanted, list[str]],
    fail: Callable[[TcpProxy], None],
):
    async with SteadyLoad(client) as load:
        await asyncio.sleep(0.5)
        failed = time.monotonic() + DEADLINE_SECONDS + 0.5
        fail(proxy)
        # Known to be away, it is not waited for: each of them would take as long as a request may.
        away = await until_then(
            lambda: (
                a
                if len(a := [each for each in load.answers if each.sent > failed]) > 5
                and min(each.seconds for each in a) < DEADLINE_SECONDS
                else []
            )
        )
        proxy.passes()
        await whole_again(client)
        recovered = time.monotonic()
        await until_then(
            lambda: [each for each in load.answers if each.sent > recovered and not each.degraded]
        )
    check(load.answers, whole)
    for each in away:
        missing = _missing(each.wanted)
        assert set(each.degraded) == missing, each.wanted


def _missing(wanted: Wanted) -> set[str]:
    if wanted.path.startswith("/v1/items/"):
        return {"availability"}
    if wanted.of_user:  # without evidence no path is looked for
        return {"evidence", "availability"}
    return {"availability", "paths"} if wanted.explain == "full" else {"availability"}


def test_what_is_there_without_neo4j(
    service: Service, proxy: TcpProxy, whole: dict[Wanted, list[str]]
):
    client = service.client
    _refused(proxy)
    away = client.get("/v1/users/u1/recommendations", params=FULL).json()
    assert away["degraded"] == ["evidence", "availability"]
    assert set(away["items"][0]["signals"]) == {"base"}
    evidence = {"evidence": [{"item_id": "i61"}, {"item_id": "i64"}], "explain": "full"}
    session = client.post("/v1/recommendations", json=evidence).json()
    assert len(session["items"][0]["signals"]) > 2
    event = {"events": [{"event_id": "away", "user_id": "u200", "item_id": "i1"}]}
    refused = client.post("/v1/events", json=event)
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["degraded"]["neo4j"] == "the graph database does not answer"
    assert 'recsvc_degraded{part="neo4j"} 1.0' in client.get("/metrics").text
    proxy.passes()
    until(lambda: "neo4j" not in client.get("/health/ready").json()["degraded"])
    assert client.post("/v1/events", json=event).json() == {
        "received": 1,
        "new": 1,
        "unknown_kinds": [],
    }


@pytest.mark.long
def test_a_local_neo4j_that_is_stopped_keeps_no_process_from_starting(
    graph: Served, service: Service, proxy: TcpProxy, tmp_path: Path
):
    home, local = tmp_path / "home", tmp_path / "home" / "neo4j"
    shutil.copytree(graph.home / "snapshots", home / "snapshots")
    (home / "snapshots" / "address").unlink(missing_ok=True)
    local.mkdir()
    (local / "password").write_text(graph.address.password)
    environment = {k: v for k, v in graph.environment.items() if not k.startswith("RECSVC_NEO4J")}
    environment |= {"RECSVC_HOME": str(home), "RECSVC_BOLT_PORT": str(proxy.port)}
    _refused(proxy)
    with running_service(environment, tmp_path / "log", "--workers", "2") as of_local:

        def degraded() -> list[str]:
            with own_client(of_local) as client:
                answer = client.get("/v1/users/u1/recommendations")
            return answer.json()["degraded"]

        def whole_from_all() -> bool:
            try:
                return not any(degraded() for _ in range(10))
            except httpx.ConnectError:  # each process listens for itself, and both may be starting
                return False

        assert degraded() == ["evidence", "availability"]
        first = min(_workers(of_local))
        os.kill(first, signal.SIGKILL)
        until(lambda: len(_workers(of_local) - {first}) == 2)
        assert "cannot start" not in (tmp_path / "log").read_text()
        proxy.passes()
        until(whole_from_all)


def _workers(service: Service) -> set[int]:
    """The processes that answer."""
    children = psutil.Process(service.process.pid).children()
    commands = {each.pid: each.as_dict(["cmdline"])["cmdline"] or [] for each in children}
    return {pid for pid, command in commands.items() if "spawn_main" in " ".join(command)}


@pytest.mark.long
async def test_64_callers_of_a_silent_neo4j_are_all_answered(
    client: httpx.AsyncClient, proxy: TcpProxy, service: Service, whole: dict[Wanted, list[str]]
):
    process = psutil.Process(service.process.pid)
    healthy = await callers(client, 64, seconds=1)
    connections = proxy.connections
    proxy.half_open()
    first = await callers(client, 64, seconds=1)
    mebibytes = process.memory_info().rss / 2**20
    more = await callers(client, 64, seconds=1)
    # So many wait for each other's work too.
    queue_seconds = max(each.seconds for each in healthy)
    check([*first, *more], whole, OWN_WORK_SECONDS + queue_seconds)
    assert process.memory_info().rss / 2**20 < mebibytes + 20
    assert proxy.connections <= connections


async def test_nothing_piles_up_behind_a_silent_neo4j(graph: Served, proxy: TcpProxy):
    address = replace(graph.address, uri=f"bolt://127.0.0.1:{proxy.port}")
    engine = Engine(
        Store(address, timeout_seconds=0.5),
        snapshot_folder=graph.home / "snapshots",
        events=load_settings().events,
        max_evidence=1000,
    )
    await engine.start()
    try:
        await engine.recommend("u1", RecommendationQuery())
        tasks = len(asyncio.all_tasks())
        proxy.half_open()
        for _ in range(3):
            asked = [engine.recommend("u1", RecommendationQuery()) for _ in range(64)]
            answers = await asyncio.gather(*asked)
            assert {each.degraded for each in answers} == {("evidence", "availability")}
            left = [task for task in asyncio.all_tasks() if not task.cancelling()]
            assert len(left) <= tasks + 6  # four watches may look, and it is asked if it is back
    finally:
        await engine.stop()
        proxy.passes()


async def test_a_store_that_is_closed_waits_for_no_silent_neo4j(
    graph: Served, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
):
    """Its thread that makes the schema would wait for two minutes, and the process for it."""
    silent = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_in_vain(gateway: SchemaGateway) -> None:
        proxy.half_open()
        loop.call_soon_threadsafe(silent.set)
        gateway.run(catalogue()["ingest/indexes"])

    monkeypatch.setattr(transport, "apply_schema", ask_in_vain)
    address = replace(graph.address, uri=f"bolt://127.0.0.1:{proxy.port}")
    store = Store(address, timeout_seconds=0.5)
    await store.open()
    try:
        # Nothing public makes it alone.
        making = asyncio.create_task(store._schema_made())  # pyright: ignore[reportPrivateUsage]
        await silent.wait()
        # Nothing public tells that it is asked.
        await until_then(lambda: store._schema_steps)  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.2)
        await store.close()
        with pytest.raises(Neo4jError):
            await asyncio.wait_for(making, 60.0)
    finally:
        proxy.passes()


@pytest.mark.long
async def test_neo4j_killed_and_started_again(
    client: httpx.AsyncClient, server: LocalNeo4j, graph: Served, whole: dict[Wanted, list[str]]
):
    pid = server.status().pid
    assert pid is not None
    async with SteadyLoad(client) as load:
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(1)
        starting = asyncio.create_task(asyncio.to_thread(server.up))
        assert await asyncio.to_thread(
            wait_until_ready, graph.address, timeout_seconds=PATIENCE_SECONDS
        )
        with Neo4jGateway(graph.address) as gateway:
            await asyncio.to_thread(gateway.run, catalogue()["serve/active_versions"])
        await whole_again(client)
        await starting
    check(load.answers, whole)


@pytest.mark.long
async def test_neo4j_killed_while_a_refresh_activates(
    client: httpx.AsyncClient, server: LocalNeo4j, graph: Served, tmp_path: Path
):
    """A bounded form of benchmarks/refresh_faults.py. The next refresh makes up for it."""
    server_pid = server.status().pid
    assert server_pid is not None
    users, findings = [f"u{number}" for number in range(20)], Findings()
    quick = {"models": ["fastrp", "walk3"], "seed": 9, "force": True}
    with forks(graph.address) as forked:
        forked.home = tmp_path
        with Neo4jGateway(graph.address) as gateway:
            oracle = AnswerOracle(gateway, users, load_settings().events)
            before = oracle.look(gateway)
        async with SteadyLoad(client, wanted=wanted_of(users)) as load:
            pid = forked.start(stop_at="before activate.<locals>.flip 1", **quick)
            assert await asyncio.to_thread(forked.answer) == {"stopped": True}
            os.kill(pid, signal.SIGCONT)
            os.kill(server_pid, signal.SIGKILL)
            await asyncio.sleep(DEADLINE_SECONDS)
            await asyncio.to_thread(server.up)
            assert await asyncio.to_thread(forked.answer)  # it may have waited for Neo4j
            with Neo4jGateway(graph.address) as gateway:
                oracle.look(gateway)
                told = await asyncio.to_thread(lambda: forked.refresh(**quick))
                active = oracle.look(gateway)
                assert orphans(gateway) == []
                versions = [v for v in gateway.run(VERSIONS) if v["status"] == "active"]
            await asyncio.sleep(2.0)
    assert told["status"] == 0, told
    assert len({v["run"] for v in versions if v["model"] in ("fastrp", "hybrid")}) == 1
    oracle.judge(load.answers, findings)
    assert (findings.failed, findings.mixed) == (0, 0), findings.examples
    assert 5 < findings.degraded < findings.answers
    named = {each.body["versions"]["hybrid"] for each in load.answers}
    assert {before, active} <= named
