"""Who and what is gone is gone from others' rows too: they are those of a refit, without one."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
import scipy.sparse as sp

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.errors import ActivationError, RefreshError
from recsvc.graph.change_store import take_back
from recsvc.recommend.proof import told_answer
from recsvc.refresh import pipeline, unlearning
from recsvc.refresh.fine_tuning_state import read_state
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.refresh.unlearning import unlearn
from recsvc.settings import load_settings
from recsvc.signals import RowSignal
from recsvc.snapshot.activation import activate, stored_snapshot
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import DeletedNode, delete_nodes
from tests.conftest import Served
from tests.forked_refresh import VERSIONS
from tests.integration.in_process import ask, serving
from tests.odd_shop import odd_shop
from tests.prepared_graph import prepared
from tests.statement import statement

pytestmark = pytest.mark.neo4j

EVENTS = load_settings().events
OPTIONS = RefreshOptions(
    models=("fastrp", "ridge", "walk3"), validation_users=20,
    options={"ridge": {"l2": 0.2, "popularity": 0.0, "rank": 4}},
)  # fmt: skip
"""What ridge would choose on a part of the evidence is given: without some it may choose else."""
PEOPLE = {"pagerank", "ridge", "walk3", "item_user_item", "followed_user_item"}
"""The signals that read what people did."""
GONE = ("u000", "u001")
COPY = """
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
CREATE (copy:EmbeddingVersion {model: 'hybrid', version: $version, status: 'retired', run: $run})
SET copy.sha256 = v.sha256
WITH v, copy
MATCH (v)-[:HAS_PART]->(part)
CREATE (copy)-[:HAS_PART]->(twin:SnapshotPart)
SET twin = properties(part)
RETURN count(*) AS parts
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def first(
    gateway: Neo4jGateway, home: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunManifest:
    """The refresh of a graph with three tastes, in which people follow each other."""
    write_tables(tmp_path / "tables")

    def make(home: Path) -> RunManifest:
        ingest(gateway, FolderTables(tmp_path / "tables"), rejects=tmp_path / "r.csv", strict=True)
        return refresh(gateway, OPTIONS, EVENTS, home=home)

    key = ("unlearning", OPTIONS, EVENTS)
    return prepared(gateway, tmp_path_factory, key, tmp_path / "tables", make, home)[0]


def write_tables(folder: Path) -> None:
    rng = np.random.default_rng(3)
    did = [
        f"u{user:03},i{item:02}"
        for user in range(36)
        for item in range(45)
        if rng.random() < (0.6 if item // 15 == user % 3 else 0.05)
    ]
    write(folder, "interactions", "user_id,item_id", did)
    pairs = [f"u{user:03},u{(user + step) % 36:03}" for user in range(36) for step in (3, 6)]
    write(folder, "follows", "follower_id,followee_id", pairs)
    categories = [f"i{item:02},c{item // 15}" for item in range(45)]
    write(folder, "item_categories", "item_id,category_id", categories)
    write(folder, "preferences", "user_id,category_id", ["u002,c1", "u000,c0"])


def write(folder: Path, table: str, columns: str, rows: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{table}.csv").write_text("\n".join([columns, *rows]) + "\n")


def delete(gateway: Neo4jGateway, *users: str) -> None:
    assert all(delete_nodes(gateway, [DeletedNode("user", user) for user in users]))


def item_of(gateway: Neo4jGateway, user: str) -> str:
    (row,) = statement(
        gateway,
        "MATCH (:User {user_id: $user})-[:INTERACTED]->(i) RETURN i.item_id AS item LIMIT 1",
        user=user,
    )
    return row["item"]


def apart(ours: Snapshot, theirs: Snapshot) -> dict[str, float]:
    """By how much two snapshots differ, in each of their arrays but vectors."""
    assert (ours.items, ours.users, ours.categories) == (
        theirs.items, theirs.users, theirs.categories,
    )  # fmt: skip
    assert (ours.event, ours.kinds) == (theirs.event, theirs.kinds)
    differences = {
        name: sp.csr_matrix(abs(signal.rows - rows_of(theirs)[name].rows)).max()
        for name, signal in rows_of(ours).items()
    }
    dense = {
        "prior": (ours.blend.prior, theirs.blend.prior),
        "people": (ours.item_people, theirs.item_people),
        "counts": (ours.user_counts, theirs.user_counts),
        "in_category": (ours.in_category.toarray(), theirs.in_category.toarray()),
    }
    return differences | {
        name: float(np.abs(one.astype(np.float64) - other).max())
        for name, (one, other) in dense.items()
    }


def rows_of(snapshot: Snapshot) -> dict[str, RowSignal]:
    return {s.name: s for s in snapshot.blend.signals if isinstance(s, RowSignal)}


def test_rows_are_those_of_a_refit(gateway: Neo4jGateway, first: RunManifest, home: Path) -> None:
    """Of two deleted users and an event that was taken back; u003 then does it again."""
    version = (first.versions or {})["hybrid"]
    weights = stored_snapshot(gateway, version).blend.weights
    delete(gateway, *GONE)
    item = item_of(gateway, "u003")
    assert take_back(gateway, "u003", item)
    stale = stored_snapshot(gateway, version)
    (told,) = unlearn(gateway, home=home)
    ours = stored_snapshot(gateway, version)
    anew = refresh(gateway, OPTIONS, EVENTS, home=home, from_scratch=True)
    theirs = stored_snapshot(gateway, (anew.versions or {})["hybrid"])
    assert not {name: by for name, by in apart(ours, theirs).items() if by > 1e-6}
    before = apart(stale, theirs)
    assert {name for name, by in before.items() if by > 1e-4} == {
        *PEOPLE, "prior", "people", "counts",
    }  # fmt: skip
    assert (told.version, told.trained, told.removed) == (version, ("fastrp",), "")
    assert set(told.anew) == rows_of(ours).keys() > PEOPLE
    assert ours.blend.weights == weights
    # A refresh that goes on from there must not take these rows for those of its own graph.
    state = read_state(home, first.run)
    assert state is not None
    assert not state.digests


def test_an_older_version_that_cannot_be_made_again_cannot_come_back(
    gateway: Neo4jGateway, first: RunManifest, tmp_path: Path,
    command: Callable[..., tuple[int, str, str]],
) -> None:  # fmt: skip
    """One was refreshed on another machine, which alone knows how; of one a part is lost."""
    statement(gateway, COPY, version=0, run="elsewhere")
    with pytest.raises(RefreshError, match="is not known on this machine: run this where"):
        unlearn(gateway, home=tmp_path / "another")
    assert [row["parts"] > 0 for row in blends(gateway)] == [True, True]
    delete(gateway, *GONE)
    statement(gateway, COPY, version=-1, run=first.run)
    statement(gateway, "MATCH ({version: -1})-[:HAS_PART]->(p) WITH p LIMIT 1 DETACH DELETE p")
    code, told, _ = command("unlearn", "--json")
    assert code == 0
    newest, oldest, damaged = orjson.loads(told)["versions"]
    assert newest["trained"] == ["fastrp"]
    unknown = "how hybrid 0 was fitted is not known on this machine"
    assert oldest == {"version": 0, "anew": [], "trained": [], "removed": unknown}
    assert damaged == oldest | {
        "version": -1, "removed": "the stored arrays of hybrid -1 are damaged",
    }  # fmt: skip
    with pytest.raises(ActivationError, match="the arrays of hybrid 0 are no longer stored"):
        activate(gateway, "hybrid", 0)
    assert [row["parts"] > 0 for row in blends(gateway)] == [False, False, True]
    assert not statement(gateway, "MATCH ()-[r:HAD_PART|HAS_NEXT_PART]->() RETURN r")


def test_of_an_active_version_that_nobody_can_read_it_says_so(
    gateway: Neo4jGateway, first: RunManifest, home: Path
) -> None:
    statement(gateway, "MATCH (v:EmbeddingVersion {model: 'hybrid'}) SET v.sha256 = 7")
    with pytest.raises(RefreshError, match="the stored arrays of hybrid 1 are damaged: run"):
        unlearn(gateway, home=home)
    assert [row["parts"] > 0 for row in blends(gateway)] == [True]
    assert (first.versions or {})["hybrid"] == 1


def blends(gateway: Neo4jGateway) -> list[dict[str, Any]]:
    return [row for row in gateway.run(VERSIONS) if row["model"] == "hybrid"]


def test_a_deletion_meanwhile_leaves_nothing(
    gateway: Neo4jGateway, first: RunManifest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes after the arrays were read, and before they are written."""
    pack, packed = unlearning.snapshots.pack, list[Snapshot]()

    def delayed(snapshot: Snapshot) -> object:
        if not packed:
            delete(gateway, "u005")
            delete_nodes(gateway, [DeletedNode("item", "i07")])
        packed.append(snapshot)
        return pack(snapshot)

    delete(gateway, *GONE)
    monkeypatch.setattr(unlearning.snapshots, "pack", delayed)
    unlearn(gateway, home=home)
    assert len(packed) == 2
    assert "u005" in packed[0].users
    left = stored_snapshot(gateway, (first.versions or {})["hybrid"])
    assert not {*GONE, "u005"} & {*left.users}
    assert "i07" not in left.items


@pytest.mark.long
async def test_a_service_goes_on_with_what_was_made_again(
    gateway: Neo4jGateway, neo4j_address: Neo4jAddress, first: RunManifest, home: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Without what it kept of its answers; the version is the same, and verifies."""
    served = Served(neo4j_address, gateway, first, home, tmp_path / "tables")
    async with serving(served, tmp_path) as (client, _, engine):
        delete(gateway, *GONE)
        before = (await ask(client, "u003", proof=True))["proof"]["sha256"]
        await asyncio.to_thread(unlearn, gateway, home=home)
        answer = await ask(client, "u003", proof=True)
        while answer["proof"]["sha256"] == before:
            await asyncio.sleep(0.05)
            answer = await ask(client, "u003", proof=True)
        assert answer["versions"] == first.versions
        told = told_answer(orjson.dumps(answer))
        assert (await engine.verify(told.proof, told.items)).wrong == ()


@pytest.mark.long
@pytest.mark.parametrize("seed", [4242, 4711])
def test_rows_of_an_odd_shop_are_those_of_a_refit(
    gateway: Neo4jGateway, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Ids and events of all kinds, times with and without; a product is deleted too.

    The refit has the clock of the first refresh, since what is older counts for less.
    """
    odd_shop(tmp_path / "shop", seed)
    ingest(gateway, FolderTables(tmp_path / "shop"), rejects=tmp_path / "rejects.csv")
    options = RefreshOptions(
        models=("fastrp", "ridge", "ease", "transitions", "walk3"), validation_users=20,
        options={**OPTIONS.options, "transitions": {"decay": 0.5, "shrinkage": 5.0, "beta": 0.5,
                                                   "half_life": 5.0}},
    )  # fmt: skip
    now = time.time()
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(time=lambda: now))
    first = refresh(gateway, options, EVENTS, home=home)
    users = statement(
        gateway,
        "MATCH (u:User)-[:INTERACTED]->() RETURN u.user_id AS id, count(*) AS did "
        "ORDER BY did DESC, id LIMIT 5",
    )
    delete(gateway, *(row["id"] for row in users[:3]))
    for row in users[3:]:
        assert take_back(gateway, row["id"], item_of(gateway, row["id"]))
    delete_nodes(gateway, [DeletedNode("item", item_of(gateway, users[3]["id"]))])
    unlearn(gateway, home=home)
    anew = refresh(gateway, options, EVENTS, home=home, from_scratch=True, force=True)
    ours, theirs = (
        stored_snapshot(gateway, (run.versions or {})["hybrid"]) for run in (first, anew)
    )
    differences = apart(ours, theirs)
    assert differences.keys() > {"transitions", "ease", *PEOPLE}
    assert not {name: by for name, by in differences.items() if by > 1e-6}
