"""After a deletion nothing derived is left: in Neo4j, in memory, on disk, in anybody's answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from loaders.parts import Part
from recsvc.errors import NotFoundError
from recsvc.evaluation.splits import id_numbers
from recsvc.graph.store import Store
from recsvc.recommend import deletion_queue
from recsvc.recommend.engine import Engine
from recsvc.refresh.places import forget_here
from recsvc.refresh.sampled_lists import (
    ListedItem,
    SampledLists,
    UserLists,
    read_lists,
    write_lists,
)
from recsvc.service.app import create_app
from recsvc.service.refreshes import Refreshes
from recsvc.settings import load_settings
from recsvc.snapshot import deletion
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import DeletedNode, delete_nodes, delete_user, finish_deletions
from recsvc.snapshot.forgetting import rewritten
from tests.conftest import QUICK, key_ring
from tests.statement import statement
from tests.waiting import until_then

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK

KINDS = ("users", "items", "categories")


COPY = """
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
CREATE (copy:EmbeddingVersion {model: 'hybrid', version: $version, status: $status})
SET copy.sha256 = v.sha256
WITH v, copy
MATCH (v)-[:HAS_PART]->(part)
CREATE (copy)-[:HAS_PART]->(twin:SnapshotPart)
SET twin = properties(part)
RETURN count(*) AS parts
"""


@pytest.fixture
def copies(served) -> Iterator[Callable[[int, str], None]]:
    """Makes a version with the arrays of the active one, of any status; all are removed again."""

    def copy(version: int, status: str) -> None:
        statement(served.gateway, COPY, version=version, status=status)

    yield copy
    statement(
        served.gateway,
        "MATCH (v:EmbeddingVersion {model: 'hybrid'}) WHERE v.version > 100 "
        "OPTIONAL MATCH (v)-[:HAS_PART]->(part) DETACH DELETE v, part",
    )


def make_engine(served, folder: Path) -> Engine:
    store = Store(served.address, timeout_seconds=120.0)
    events = load_settings().events
    home = folder.parent
    return Engine(
        store,
        snapshot_folder=folder,
        events=events,
        max_evidence=1000,
        forget_elsewhere=partial(forget_here, home),
    )


@pytest.fixture
async def engine(served, tmp_path: Path) -> AsyncIterator[Engine]:
    engine = make_engine(served, tmp_path / "snapshots")
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def client(engine: Engine, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(engine, refreshes=Refreshes(tmp_path), keys=key_ring(tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://s", timeout=60) as client:
        yield client


def stored(gateway: Neo4jGateway) -> dict[int, bytes]:
    """The arrays of every version that has some."""
    arrays: dict[int, bytes] = {}
    text = (
        "MATCH (v:EmbeddingVersion)-[:HAS_PART]->(part) "
        "RETURN v.version AS version, part.content AS content "
        "ORDER BY version, part.entry, part.number"
    )
    for row in statement(gateway, text):
        arrays[row["version"]] = arrays.get(row["version"], b"") + row["content"]
    return arrays


def notes(gateway: Neo4jGateway) -> int:
    return len(statement(gateway, "MATCH (note:Deletion) RETURN note"))


def ids_of(loaded: Snapshot) -> set[str]:
    return {*loaded.items, *loaded.categories, *loaded.users, *loaded.titles}


def said_in_the_graph(gateway: Neo4jGateway) -> set[str]:
    """Every text in every property of every node and relationship, but the arrays."""
    texts: set[str] = set()
    for pattern in ("(n)", "()-[n]->()"):
        for row in statement(gateway, f"MATCH {pattern} RETURN properties(n) AS properties"):
            for value in row["properties"].values():
                texts |= {each for each in (value if isinstance(value, list) else [value])
                          if isinstance(each, str)}  # fmt: skip
    return texts


def left_on_disk(folder: Path, *ids: str) -> list[Path]:
    """The unpacked files that name somebody; a service removes them after it serves others."""
    try:
        on_disk = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    except FileNotFoundError:  # it removes some at this moment
        return [folder]
    assert on_disk
    return [path for path, text in on_disk.items() if any(f'"{i}"'.encode() in text for i in ids)]


def assert_nothing_left(served, engine: Engine, folder: Path, *ids: str) -> None:
    gone = set(ids) | {f"Song {each}" for each in ids}
    assert not gone & said_in_the_graph(served.gateway)
    for content in stored(served.gateway).values():
        assert not [each for each in gone if f'"{each}"'.encode() in content]
    assert not gone & ids_of(engine.snapshot)
    assert left_on_disk(folder, *gone) == []
    assert notes(served.gateway) == 0


async def test_nothing_is_left_of_a_user_an_item_and_a_category(
    served, engine: Engine, client: httpx.AsyncClient, copies, tmp_path: Path
) -> None:
    copies(101, "retired")
    copies(102, "failed")
    events = [
        {"event_id": "of the user", "user_id": "u13", "item_id": "i1"},
        {"event_id": "of the item", "user_id": "u1", "item_id": "i42"},
    ]
    await client.post("/v1/events", json=events)
    before = (await client.get("/v1/users/u37/recommendations", params={"k": 50})).json()
    doomed = before["items"][0]["item_id"]
    (seen,) = statement(
        served.gateway,
        "MATCH (:User {user_id: 'u37'})-[:INTERACTED]->(i) RETURN min(i.item_id) AS id",
    )
    ids = {"users": ["u13"], "items": ["i42", doomed, seen["id"]], "categories": ["x3"]}
    for kind in KINDS:
        for each in ids[kind]:
            assert (await client.delete(f"/v1/{kind}/{each}")).status_code == 204
            assert (await client.delete(f"/v1/{kind}/{each}")).status_code == 404
            assert (await client.get(f"/v1/{kind}/{each}")).status_code == 404
    gone = [each for kind in KINDS for each in ids[kind]]
    assert_nothing_left(served, engine, tmp_path / "snapshots", *gone)
    assert stored(served.gateway).keys() == {before["versions"]["hybrid"], 101}
    for user in ("u37", "u19", "u1"):
        answer = (
            await client.get(
                f"/v1/users/{user}/recommendations", params={"k": 20, "explain": "full"}
            )
        ).json()
        assert len(answer["items"]) == 20
        assert answer["degraded"] == []
        for item in answer["items"]:
            assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
            listed = sum(c["value"] for c in item["explanation"]["contributions"])
            total = listed + item["explanation"]["remainder"]
            assert total == pytest.approx(item["score"], rel=1e-4)
        assert not [each for each in gone if f'"{each}"' in httpx.Response(200, json=answer).text]
    similar = (await client.get(f"/v1/items/{answer['items'][0]['item_id']}/similar")).json()
    assert not set(gone) & {item["id"] for item in similar["items"]}


async def test_many_deletions_share_the_rewriting(
    served, engine: Engine, client: httpx.AsyncClient, tmp_path: Path, monkeypatch
) -> None:
    packed: list[Any] = []

    def counted(*told: Any) -> Iterator[Part]:
        packed.append(told)
        return rewritten(*told)

    monkeypatch.setattr(deletion, "rewritten", counted)
    users = [f"u{number}" for number in range(200, 230)]
    answers = await asyncio.gather(*(client.delete(f"/v1/users/{user}") for user in users))
    assert [answer.status_code for answer in answers] == [204] * 30
    assert len(packed) <= 2
    assert_nothing_left(served, engine, tmp_path / "snapshots", *users)


def test_a_deletion_that_was_killed_is_finished_by_the_next(served) -> None:
    node = DeletedNode("user", "u50")
    served.gateway.write(lambda transaction: deletion._remove(transaction, {node}))
    assert notes(served.gateway) == 1
    assert "u50" not in said_in_the_graph(served.gateway)
    assert any(b'"u50"' in content for content in stored(served.gateway).values())
    # Asked for again, it is finished and told as done; once more, there is no such user.
    assert delete_nodes(served.gateway, [node]) == [True]
    assert delete_nodes(served.gateway, [node]) == [False]
    assert not any(b'"u50"' in content for content in stored(served.gateway).values())
    assert notes(served.gateway) == 0


async def test_a_deletion_that_was_killed_is_finished_by_a_start(served, tmp_path: Path) -> None:
    node = DeletedNode("item", "i77")
    served.gateway.write(lambda transaction: deletion._remove(transaction, {node}))
    engine = make_engine(served, tmp_path)
    await engine.start()
    try:
        await until_then(lambda: "i77" not in engine.snapshot.items)
        await until_then(lambda: not left_on_disk(tmp_path, "i77"))
        await until_then(lambda: not notes(served.gateway))  # it may serve them before that
        assert_nothing_left(served, engine, tmp_path, "i77")
    finally:
        await engine.stop()


def test_a_refresh_that_was_at_work_forgets_too(served, copies) -> None:
    """Its arrays were made from what it read before the deletion, and are not yet active."""
    copies(103, "building")
    delete_nodes(served.gateway, [DeletedNode("user", "u51")])
    assert b'"u51"' in stored(served.gateway)[103]
    assert notes(served.gateway) == 1
    assert "u51" not in said_in_the_graph(served.gateway)
    statement(
        served.gateway,
        "MATCH (v:EmbeddingVersion {model: 'hybrid', version: 103}) SET v.status = 'ready'",
    )
    statement(served.gateway, "CREATE (:User {user_id: 'u51'})")  # who came back meanwhile
    finish_deletions(served.gateway)
    assert not any(b'"u51"' in content for content in stored(served.gateway).values())
    assert notes(served.gateway) == 0


def test_deletions_of_several_processes_at_once(served) -> None:
    users = [f"u{number}" for number in range(100, 112)]

    def delete(user: str) -> None:
        with Neo4jGateway(served.address) as gateway:
            delete_user(gateway, user, snapshot_folder=served.home / "nowhere")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(delete, users))
    for content in stored(served.gateway).values():
        assert not [user for user in users if f'"{user}"'.encode() in content]
    assert notes(served.gateway) == 0


async def test_other_services_notice(served, engine: Engine, tmp_path: Path) -> None:
    with Neo4jGateway(served.address) as gateway:
        await asyncio.to_thread(
            delete_user, gateway, "u60", snapshot_folder=served.home / "snapshots"
        )
    await until_then(lambda: "u60" not in engine.snapshot.users)
    await until_then(lambda: not left_on_disk(tmp_path / "snapshots", "u60"))
    assert_nothing_left(served, engine, tmp_path / "snapshots", "u60")


async def test_copies_on_a_disk_that_nobody_serves_from_go_too(served, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    engine = make_engine(served, folder)
    await engine.start()
    await engine.stop()
    assert [b'"u61"' in path.read_bytes() for path in folder.glob("*/manifest.json")] == [True]
    delete_user(served.gateway, "u61", snapshot_folder=folder)
    assert list(folder.glob("hybrid-*")) == []
    with pytest.raises(NotFoundError, match="u61"):
        delete_user(served.gateway, "u61", snapshot_folder=folder)


async def test_versions_forget_a_validation_user_and_unfinished_refreshes_what_they_read(
    served, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    measured = (
        "MATCH (v:EmbeddingVersion {status: 'active'}) WHERE v.validation_users IS NOT NULL "
        "RETURN v.validation_users AS users, v.validation_ndcg AS ndcg, v.validation_asked AS asked"
    )
    (before,) = statement(served.gateway, measured)
    ndcg = dict(zip(before["users"], before["ndcg"], strict=True))
    number_of = {
        f"u{n}": number for n, number in enumerate(id_numbers(f"u{n}" for n in range(240)))
    }
    user = next(user for user, number in number_of.items() if number in ndcg)
    run = tmp_path / "refreshes" / "20261122T030000.000000Z-0a1b2c"
    run.mkdir(parents=True)
    (run / "graph.npz").write_bytes(b"what users did")
    assert (await client.delete(f"/v1/users/{user}")).status_code == 204
    (after,) = statement(served.gateway, measured)
    del ndcg[number_of[user]]
    assert dict(zip(after["users"], after["ndcg"], strict=True)) == ndcg
    assert not (run / "graph.npz").exists()


@pytest.mark.parametrize("kind", ["users", "items"])
async def test_what_a_refresh_told_of_a_node_goes_with_it(
    served, client: httpx.AsyncClient, tmp_path: Path, kind: str
) -> None:
    gone = {"users": "u62", "items": "i19"}[kind]
    of_user, of_another = (int(id_numbers([user])[0]) for user in ("u62", "u63"))
    item, other = ListedItem("i19", "Told"), ListedItem("i20", "Another")
    told = UserLists(1, of_user, 5, (item, other), (other,))
    another = UserLists(2, of_another, 5, (other,), (other,))
    run = tmp_path / "refreshes" / "20261122T030000.000000Z-0a1b2c"
    run.mkdir(parents=True)
    write_lists(run, SampledLists(1, (0.5, 0.4, 0.6), (told, another)))
    (run / "report.html").write_text("a page of an earlier version, with Told")
    assert (await client.delete(f"/v1/{kind}/{gone}")).status_code == 204
    assert read_lists(run) == SampledLists(1, (0.5, 0.4, 0.6), (another,))
    assert not (run / "report.html").exists()


async def test_who_comes_back_is_new(served, client: httpx.AsyncClient) -> None:
    event = [{"event_id": "again", "user_id": "u70", "item_id": "i9"}]
    assert (await client.post("/v1/events", json=event)).json()["new"] == 1
    assert (await client.delete("/v1/users/u70")).status_code == 204
    assert (await client.post("/v1/events", json=event)).json()["new"] == 1
    (found,) = statement(
        served.gateway,
        "MATCH (u:User {user_id: 'u70'})-[r]->(i) RETURN keys(u) AS keys, collect(i.item_id) AS i",
    )
    assert found == {"keys": ["user_id"], "i": ["i9"]}


async def test_one_that_cannot_be_finished_is_shown_and_tried_again(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_queue, "_LOOK_SECONDS", 0.1)
    damaged = (
        "MATCH (:EmbeddingVersion {model: 'hybrid', status: 'active'})"
        "-[:HAS_PART]->(p {entry: 'user_counts.npy', number: 1}) "
        "WITH p, p.content AS content SET p.content = $content RETURN content"
    )
    engine = make_engine(served, tmp_path / "snapshots")
    await engine.start()
    app = create_app(engine, refreshes=Refreshes(tmp_path), keys=key_ring(tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        (whole,) = statement(served.gateway, damaged, content=b"x")
        refused = await client.delete("/v1/users/u64")
        assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
        assert "gone from the graph" in refused.json()["detail"]
        await until_then(lambda: engine.deletions_seen == 1)
        assert "recsvc_deletions_pending 1.0" in (await client.get("/metrics")).text
        told = (await client.get("/v1/models")).json()["deletions"]
        assert (told["pending"], told["since"] is not None) == (1, True)
        assert "damaged" in told["reason"]
        assert "u64" not in str(told)
        listed = await client.get("/v1/users/u65/recommendations")
        assert len(listed.json()["items"]) == 10
        statement(served.gateway, damaged, content=whole["content"])
        await until_then(lambda: engine.deletions_seen == 0)
        assert (await client.delete("/v1/users/u64")).status_code == 404
        told = (await client.get("/v1/models")).json()["deletions"]
        assert told == {"pending": 0, "since": None, "reason": None}
    await engine.stop()
    assert_nothing_left(served, engine, tmp_path / "snapshots", "u64")
