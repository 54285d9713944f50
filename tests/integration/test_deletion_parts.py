"""Stored arrays are rewritten a part at a time: killed, raced, read meanwhile, and refused."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from loaders import part_swap, parts
from loaders.catalogue import Query
from loaders.errors import QueryError
from loaders.gateway import Neo4jAddress, Neo4jGateway, Row
from loaders.parts import stored_parts
from recsvc.errors import DeletionPendingError, SnapshotError
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot, pack
from recsvc.snapshot.deletion import (
    DeletedNode,
    delete_each,
    delete_nodes,
    finish_before_activation,
    finish_deletions,
    pending_deletions,
)
from tests.statement import statement
from tests.stored_arrays import held, made_snapshot, names_of, parts_left, sha_of, store
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.neo4j

SMALL = 64 * 1024


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", SMALL)
    monkeypatch.setattr(part_swap, "_SILENT_MILLISECONDS", 700)


@pytest.fixture
def made() -> Snapshot:
    return made_snapshot(1, items=400, users=60, entries=300)


@pytest.fixture
def stored(gateway: Neo4jGateway, made: Snapshot) -> Neo4jGateway:
    store(gateway, 1, made)
    assert len(names_of(gateway, 1)) > 20
    return gateway


def assert_without(gateway: Neo4jGateway, made: Snapshot, version: int = 1, **gone: Any) -> None:
    """The version holds exactly what is left of it, and no other part is there."""
    wanted = pack(made.without(gone))[1]  # pyright: ignore[reportArgumentType]
    assert sha_of(gateway, version) == held(gateway, version) == wanted
    assert parts_left(gateway) == []


class Recording:
    """A gateway that notes how many bytes each statement carries, and may fail."""

    def __init__(self, gateway: Neo4jGateway) -> None:
        self.gateway = gateway
        self.bytes: list[int] = []
        self.asked: list[str] = []
        self.refuses = ""

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        self.asked.append(query.name)
        self.bytes.append(sum(len(v) for v in parameters.values() if isinstance(v, bytes)))
        if query.name == self.refuses:
            raise QueryError(f"Neo4j refused {query.name}: MemoryPoolOutOfMemoryError")
        return self.gateway.run(query, **parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)


@pytest.mark.parametrize(("kind", "gone"), [("user", "u7"), ("item", "i9"), ("category", "c1")])
def test_no_statement_carries_more_than_a_part(
    stored: Neo4jGateway, made: Snapshot, kind: Any, gone: str
) -> None:
    statement(stored, "CREATE (:Category {category_id: 'c1'})")
    recording = Recording(stored)
    assert delete_nodes(recording, [DeletedNode(kind, gone)]) == [True]
    assert max(recording.bytes) <= SMALL
    assert_without(stored, made, **{kind: [gone]})
    if kind == "user":
        entries = {name.entry for name in names_of(stored, 1)}
        assert recording.asked.count("serve/snapshot_part") < len(entries)


def test_a_reader_never_puts_two_contents_together(stored: Neo4jGateway, made: Snapshot) -> None:
    users = [f"u{n}" for n in range(4)]
    hashes = {pack(made.without({"user": users[:n]}))[1] for n in range(5)}
    found: list[str] = []
    broken = 0
    over = threading.Event()

    def read() -> None:
        nonlocal broken
        with Neo4jGateway(stored.address) as gateway:
            while not over.is_set():
                sha256 = sha_of(gateway, 1)
                try:
                    snapshots.read(stored_parts(gateway, 1), sha256)
                except SnapshotError:
                    broken += 1
                else:
                    found.append(sha256)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        for user in users:
            seen = len(found)
            delete_nodes(stored, [DeletedNode("user", user)])
            until(lambda: len(found) > seen)  # noqa: B023 - it is called at once
        over.set()
        reader.result()
    assert set(found) <= hashes
    assert len(set(found)) > 1
    assert_without(stored, made, user=users)


def test_two_that_rewrite_the_same_version_wait_for_each_other(
    stored: Neo4jGateway, made: Snapshot
) -> None:
    gone = [DeletedNode("item", f"i{n}") for n in range(4)]

    def delete(node: DeletedNode) -> list[bool]:
        with Neo4jGateway(stored.address) as gateway:
            return delete_nodes(gateway, [node])

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(delete, gone)) == [[True]] * 4
    assert_without(stored, made, item=[node.id for node in gone])


KILLED = """
import os, signal, sys
from loaders import parts, part_swap
from loaders.gateway import Neo4jAddress, Neo4jGateway
from recsvc.snapshot.deletion import DeletedNode, delete_nodes
uri, user, password, small, query, count = sys.argv[1:]
parts.PART_BYTES = int(small)
left = int(count)
gateway = Neo4jGateway(Neo4jAddress(uri, user, password))
run = gateway.run
def killed(asked, **parameters):
    global left
    left -= asked.name == query
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(asked, **parameters)
gateway.run = killed
delete_nodes(gateway, [DeletedNode("item", "i9")])
"""
MOMENTS = [
    ("delete/put_next_part", 7), ("delete/take_next_parts", 0), ("delete/drop_left_parts", 0),
    ("delete/end_deletions", 0),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("query", "count"), MOMENTS)
def test_killed_at_any_step_the_next_one_ends_it(
    stored: Neo4jGateway, made: Snapshot, query: str, count: int
) -> None:
    whole = sha_of(stored, 1)
    address: Neo4jAddress = stored.address
    given = [address.uri, address.user, address.password, str(SMALL), query, str(count)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *given], env=dict(os.environ), check=False
    )
    assert ended.returncode == -signal.SIGKILL
    taken = MOMENTS.index((query, count)) > 1
    assert sha_of(stored, 1) == held(stored, 1)
    assert (sha_of(stored, 1) == whole) is not taken
    assert pending_deletions(stored).count == 1
    finish_deletions(stored)
    assert_without(stored, made, item=["i9"])
    assert pending_deletions(stored).count == 0


def test_what_neo4j_refuses_is_told_and_tried_again(stored: Neo4jGateway, made: Snapshot) -> None:
    recording = Recording(stored)
    recording.refuses = "delete/put_next_part"
    with pytest.raises(DeletionPendingError, match=r"gone from the graph.*OutOfMemory"):
        delete_nodes(recording, [DeletedNode("user", "u7")])
    pending = pending_deletions(stored)
    assert (pending.count, pending.since is not None) == (1, True)
    assert "hybrid 1" in (pending.reason or "")
    assert "u7" not in (pending.reason or "")
    assert sha_of(stored, 1) == held(stored, 1) == pack(made)[1]
    assert parts_left(stored) == []
    assert delete_nodes(stored, [DeletedNode("user", "u7")]) == [True]
    assert_without(stored, made, user=["u7"])


DAMAGE = (
    "MATCH (:EmbeddingVersion {version: $version})-[:HAS_PART]->(p {entry: $entry, number: 1}) "
    "SET p.content = $content"
)


def test_a_version_that_cannot_be_rewritten_holds_up_no_other(
    stored: Neo4jGateway, made: Snapshot
) -> None:
    """The active one is damaged where its users are; one that waits to be activated is not."""
    ready = made_snapshot(2, items=300, users=70, entries=40)
    store(stored, 2, ready, "ready")
    statement(stored, DAMAGE, version=1, entry="followed_user_item.data.npy", content=b"x")
    nodes = [DeletedNode("user", "u7"), DeletedNode("user", "u65")]  # whom version 1 does not know
    first, second = delete_each(stored, nodes)
    assert isinstance(first, DeletionPendingError)
    assert (first.versions, second) == ({1}, True)
    assert_without(stored, ready, version=2, user=["u7", "u65"])
    assert pending_deletions(stored).count == 1
    finish_before_activation(stored, 2)
    with pytest.raises(DeletionPendingError):
        finish_before_activation(stored, 1)
    # Once another one is active, nobody can use what is damaged: it goes, and the note with it.
    statement(stored, "MATCH (v:EmbeddingVersion {version: 1}) SET v.status = 'retired'")
    finish_deletions(stored)
    assert pending_deletions(stored).count == 0
    assert names_of(stored, 1) == set()
    assert parts_left(stored) == []


def test_arrays_in_the_form_of_before_do_not_stop_a_deletion(
    stored: Neo4jGateway, made: Snapshot
) -> None:
    statement(
        stored,
        "CREATE (v:EmbeddingVersion {model: 'hybrid', version: 9, sha256: 'x', status: 'retired'}) "
        "CREATE (v)-[:HAS_PART]->(:SnapshotPart {number: 0})",
    )
    assert delete_nodes(stored, [DeletedNode("user", "u7")]) == [True]
    assert_without(stored, made, user=["u7"])
    assert names_of(stored, 9) == set()


def test_one_that_was_paused_and_taken_for_dead_replaces_nothing(
    stored: Neo4jGateway, made: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = sha_of(stored, 1)
    names = names_of(stored, 1)
    with Neo4jGateway(stored.address) as other:

        def paused() -> Iterator[parts.Part]:
            yield parts.Part("prior.npy", 0, b"of the paused one")
            time.sleep(0.8)
            delete_nodes(other, [DeletedNode("user", "u7")])
            yield parts.Part("prior.npy", 1, b"too late")

        deadline = time.monotonic() + PATIENCE_SECONDS
        with part_swap.claimed(stored, 1, old, deadline=deadline) as swap:
            assert swap is not None
            assert swap.replace(names, paused()) is None
    assert_without(stored, made, user=["u7"])
