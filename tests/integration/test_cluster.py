"""In a cluster: who is asked what, what everybody sees, and a leader that changes meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from loaders import gateway as gateways
from loaders.catalogue import Query, catalogue
from loaders.commits import NewestCommits
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.lease import FencedGateway, take_lease
from recsvc.graph import sessions
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.snapshot.deletion import DeletedNode, delete_each
from tests.bolt_cluster import BoltCluster, Trouble, bolt_cluster, never_made
from tests.conftest import Served, own_client, refreshed, running_service
from tests.integration.conftest import QUICK
from tests.integration.in_process import ask, ids, serving
from tests.statement import statement
from tests.waiting import until_then

pytestmark = pytest.mark.neo4j
REFRESH_OPTIONS = QUICK

USER = "u5"
COUNTED = (
    "OPTIONAL MATCH (:User {user_id: $user})-[r:INTERACTED {event: 'once'}]->(:Item) "
    "RETURN sum(r.count) AS count, COUNT { (:Event {event_id: $event}) } AS entries"
)
OWN = ("serve/user_evidence", "serve/live_items")
"""What an answer is made from."""


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the driver's, which begin with a second, and sooner."""
    for kind in ("_sync", "_async"):
        name = f"neo4j.{kind}.work.session.retry_delay_generator"
        monkeypatch.setattr(name, lambda *_: itertools.repeat(0.05))
    monkeypatch.setattr(gateways, "_PAUSE_SECONDS", 0.05)


@pytest.fixture
def cluster(served: Served) -> Iterator[BoltCluster]:
    with bolt_cluster(served.address) as cluster:
        yield cluster


def through(cluster: BoltCluster, served: Served, home: Path) -> Neo4jAddress:
    """The cluster, for a process with a `RECSVC_HOME`."""
    commits = NewestCommits(home / "bookmarks", "shop")
    return replace(cluster.address_of(served.address), commits=commits)


@dataclass(frozen=True)
class Process:
    """A service, with what is its own."""

    client: httpx.AsyncClient
    store: Store
    engine: Engine

    async def post(self, event_id: str, item_id: str) -> httpx.Response:
        event = {"event_id": event_id, "user_id": USER, "item_id": item_id, "event": "once"}
        return await self.client.post("/v1/events", json=[event])

    async def best(self) -> str:
        answer = await ask(self.client, USER, explain="none")
        assert answer["degraded"] == []
        return ids(answer)[0]


@pytest.fixture
async def services(
    cluster: BoltCluster, served: Served, tmp_path: Path
) -> AsyncIterator[list[Process]]:
    """Two services of one machine; what each notes in memory the other does not know."""
    async with AsyncExitStack() as stack:
        processes: list[Process] = []
        for name in ("one", "two"):
            member = replace(served, address=through(cluster, served, tmp_path))
            client, store, engine = await stack.enter_async_context(
                serving(member, tmp_path / name)
            )
            processes.append(Process(client, store, engine))
        yield processes


def counted(served: Served, event_id: str) -> dict[str, int]:
    return statement(served.gateway, COUNTED, user=USER, event=event_id)[0]


async def test_what_was_answered_for_is_seen_by_every_process_and_server(
    services: list[Process], cluster: BoltCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = services
    monkeypatch.setattr(sessions, "_ALONE", 1.0)  # a follower that is late is waited for
    await one.best()
    cluster.lag_seconds, cluster.routes = 0.1, 0
    for number in range(4):
        best = await one.best()
        begun = len(cluster.asked)
        assert (await one.post(f"seen {number}", best)).json()["new"] == 1
        assert await two.best() != best
        reads = [each for each in cluster.asked[begun:] if each.name.startswith(OWN)]
        assert reads
        assert not [each for each in reads if each.stale]
    assert {each.server for each in cluster.of(*OWN)} == {1, 2}
    assert {each.server for each in cluster.of("ingest/events")} == {0}
    assert {each.server for each in cluster.asked if each.writes} == {0}
    assert cluster.routes == 0  # else each session asks for the home database first

    cluster.lag_seconds = 600.0  # the leader is asked then
    monkeypatch.setattr(sessions, "_ALONE", 0.005)
    best, begun = await one.best(), len(cluster.asked)
    await one.post("far behind", best)
    assert await two.best() != best
    assert {each.server for each in cluster.asked[begun:] if each.name.startswith(OWN)} == {0}
    assert not two.store.away
    cluster.lag_seconds = 0.0


async def test_a_write_is_made_once_whatever_comes_to_its_commit(
    services: list[Process], cluster: BoltCluster, served: Served
) -> None:
    one, two = services
    refused: dict[Trouble, bool] = {
        "switch": False, "read-only": False, "busy": False, "lost before": True, "lost after": True
    }  # fmt: skip
    for trouble, unanswered in refused.items():
        best, event = await one.best(), f"a commit, {trouble}"
        before = counted(served, event)["count"]
        cluster.troubles.append(trouble)
        answer = await one.post(event, best)
        assert not cluster.troubles
        if unanswered:
            assert answer.status_code == 503
            await until_then(lambda: not one.store.away)
            answer = await one.post(event, best)
        assert answer.json()["new"] == (0 if trouble == "lost after" else 1)
        assert counted(served, event) == {"count": before + 1, "entries": 1}
        assert await two.best() != best
    assert {each.server for each in cluster.of("ingest/events")} == {0, 1}


@pytest.mark.long
async def test_without_a_leader_reads_go_on_and_writes_say_why(
    services: list[Process], cluster: BoltCluster, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = services
    best = await one.best()
    cluster.leader = None
    with monkeypatch.context() as patch:
        patch.setattr(one.store, "write_timeout_seconds", 2.0)
        refused = await one.post("no leader", best)
    assert refused.status_code == 503
    assert "no server of the graph database takes writes at the moment" in refused.text
    for process in services:
        assert await process.best() == best
        assert "neo4j" not in process.engine.troubles
    await until_then(lambda: "no server" in two.engine.troubles.get("writes", ""))
    cluster.leader = 1
    cluster.stops(0)
    cluster.stops(2)
    assert (await one.post("no leader", best)).json()["new"] == 1
    await until_then(lambda: "writes" not in two.engine.troubles)
    assert counted(served, "no leader")["entries"] == 1
    assert await two.best() != best


async def test_a_write_waits_for_a_leader_for_longer_than_a_read_does(
    cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    store = Store(
        through(cluster, served, tmp_path), timeout_seconds=4.0, write_timeout_seconds=120.0
    )
    await store.open()
    try:
        await store._schema_made()
        cluster.leader = None
        asyncio.get_running_loop().call_later(1.5, setattr, cluster, "leader", 1)
        await store.write([("write/follows", {"rows": []})], lambda _answers: [])
    finally:
        await store.close()


@pytest.mark.long
async def test_arrays_are_read_from_a_server_that_has_them(
    services: list[Process], cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    """Another machine has them rewritten, and no leader tells the services afterwards."""
    one, _ = services
    before = one.engine.snapshot
    cluster.lag_seconds = 0.2
    with Neo4jGateway(through(cluster, served, tmp_path / "elsewhere")) as gateway:
        delete_each(gateway, [DeletedNode("user", "u7")])
    cluster.leader = None
    taken = next(n for n, each in enumerate(cluster.asked) if "take_next" in each.name)
    committed = next(each.acknowledged for each in cluster.asked[taken + 1 :] if each.writes)
    await until_then(lambda: one.engine.snapshot is not before)
    read = [each for each in cluster.asked[taken:] if each.name.startswith("serve/snapshot_part")]
    assert min(each.given for each in read if not each.leads) >= committed


@pytest.mark.slow
@pytest.mark.long
async def test_commits_of_a_database_that_was_restored_are_forgotten(
    services: list[Process], cluster: BoltCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = services
    commits = one.store.address.commits
    assert commits is not None
    one.store.timeout_seconds = two.store.timeout_seconds = 0.5
    known = commits.get_bookmarks()
    commits.update_bookmarks(known, {never_made(bookmark) for bookmark in known})
    assert (await ask(one.client, USER))["degraded"]
    monkeypatch.setattr(sessions, "_RESTORED_SECONDS", 0.0)
    await until_then(lambda: commits.get_bookmarks() == known)
    one.store.timeout_seconds = two.store.timeout_seconds = 30.0
    for _ in range(100):
        await until_then(lambda: not one.store.away)
        if not (await ask(one.client, USER))["degraded"]:
            return
    pytest.fail("answers stay degraded")


@pytest.mark.slow
@pytest.mark.long
def test_a_command_forgets_them_too(cluster: BoltCluster, served: Served, tmp_path: Path) -> None:
    address = through(cluster, served, tmp_path)
    assert address.commits is not None
    with Neo4jGateway(address):
        known = address.commits.get_bookmarks()
    address.commits.update_bookmarks(known, {never_made(bookmark) for bookmark in known})
    with Neo4jGateway(address) as gateway:  # after `db.transaction.bookmark_ready_timeout`
        gateway.run(catalogue()["serve/user_exists"], user_id=USER)
    assert address.commits.get_bookmarks() == known


def test_a_command_sees_what_was_there_before_it_began(
    cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    query = catalogue()["serve/user_exists"]
    names = [f"begun {number}" for number in range(3)]
    for name in names:
        with Neo4jGateway(through(cluster, served, tmp_path / name)) as gateway:  # a machine each
            gateway.run(catalogue()["ingest/users"], rows=[{"user_id": name, "properties": {}}])
            assert gateway.run(query, user_id=name) == [{"found": True}]
    with Neo4jGateway(through(cluster, served, tmp_path / "last")) as gateway:
        assert all(gateway.run(query, user_id=name)[0]["found"] for name in names)
    assert len(cluster.of("serve/user_exists")) == 6
    assert not [each for each in cluster.asked if each.stale]


def test_a_command_goes_on_with_the_next_leader(
    cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    """It does not know that another leads, each time: with the lease, its renewal, the schema."""
    with Neo4jGateway(through(cluster, served, tmp_path)) as gateway:
        cluster.leader = 1
        fence = take_lease(gateway, "one", 60.0).fence
        cluster.leader = 0
        fenced = FencedGateway(gateway, "one", fence)
        assert fenced.renew(60.0)
        cluster.leader = 1
        gateway.run(catalogue()["schema/user_id"])
        cluster.leader = 0
        gateway.run(catalogue()["ingest/await_indexes"])
        cluster.troubles.extend(["switch", "read-only", "busy"])
        make = Query("tests/make", "", "write", {}, {}, "CREATE (:Thing)")
        fenced.run(make)
        cluster.leader = None
        cluster.loop.call_soon_threadsafe(
            cluster.loop.call_later, 0.3, setattr, cluster, "leader", 0
        )
        assert fenced.release()
    assert statement(served.gateway, "MATCH (t:Thing) RETURN count(t) AS things") == [{"things": 1}]
    assert not [each for each in cluster.asked if each.stale]


def run_commands(served: Served, uri: str, folder: Path, *commands: str) -> None:
    for command in commands:
        arguments = [each.format(tables=served.tables, out=folder) for each in command.split()]
        done = served.run(*arguments, RECSVC_NEO4J_URI=uri, RECSVC_HOME=str(folder / "home"))
        assert done.returncode == 0, f"{command}: {done.stderr}"


def check_who_was_asked(cluster: BoltCluster) -> None:
    """Reads are marked as such: a driver sends all else to the leader."""
    assert not [each for each in cluster.asked if each.stale]
    assert {each.server for each in cluster.asked if each.writes} == {0}
    readers = {each.server for each in cluster.asked if not each.writes}
    assert readers
    assert readers <= {1, 2}
    written = {each.name for each in cluster.asked if each.writes} - {"serve/newest_commit"}
    assert not [name for name in written if name.startswith(("serve/", "extract/"))]


COMMANDS = ("ingest {tables}", "versions")


def test_commands_read_from_followers(cluster: BoltCluster, served: Served, tmp_path: Path) -> None:
    uri = cluster.address_of(served.address).uri
    run_commands(served, uri, tmp_path, *COMMANDS)
    check_who_was_asked(cluster)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("servers", ["cluster", "one"])
def test_so_do_all_others_and_one_server_is_asked_everything(
    servers: str, cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    alone = served.address.uri.replace("bolt", "neo4j", 1)
    uri = alone if servers == "one" else cluster.address_of(served.address).uri
    more = ["recommend u5", "delete-user u8", "explain u5 i1", "similar i1", "home u5",
            "recourse u5 i1", "exposure", "doctor",
            "batch-recommend --out {out}/lists.jsonl", "extract --out {out}/graph",
            "report --out {out}/report.html", "scenarios list", "experiments list",
            "outcomes stats"]  # fmt: skip
    run_commands(served, uri, tmp_path, *COMMANDS, *more)
    if servers == "cluster":
        check_who_was_asked(cluster)


@pytest.mark.slow
@pytest.mark.long
def test_processes_of_a_service_see_what_another_of_them_wrote(
    cluster: BoltCluster, served: Served, tmp_path: Path
) -> None:
    more = {
        "RECSVC_NEO4J_URI": cluster.address_of(served.address).uri,
        "RECSVC_ANSWER_CACHE_SECONDS": "3600",
        "RECSVC_REQUEST_TIMEOUT_SECONDS": "30",
    }
    cluster.lag_seconds, path = 0.1, f"/v1/users/{USER}/recommendations?explain=none"
    log = tmp_path / "serve.log"
    with running_service({**served.environment, **more}, log, "--workers", "2") as service:
        for number in range(12):
            with own_client(service) as writer, own_client(service) as reader:
                best = ids(writer.get(path).json())[0]
                event = {"event_id": f"of workers {number}", "user_id": USER, "item_id": best}
                told = writer.post("/v1/events", json=[event | {"event": "once"}]).json()
                assert told["new"] == 1
                answer = reader.get(path).json()
                assert answer["degraded"] == []
                assert best not in ids(answer)
    assert not [each for each in cluster.of(*OWN) if each.stale]


@pytest.mark.slow
@pytest.mark.long
def test_a_refresh_during_which_leaders_change_makes_the_same_versions(
    cluster: BoltCluster,
    served: Served,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cluster.troubles.extend(6 * (*6 * ("none",), "switch", *6 * ("none",), "busy"))
    with Neo4jGateway(through(cluster, served, tmp_path)) as gateway:
        again = refreshed(served.address, gateway, tmp_path_factory, QUICK)
    assert len(cluster.troubles) < 40
    assert again.report.sha256 == served.report.sha256
    assert not [each for each in cluster.asked if each.stale]
