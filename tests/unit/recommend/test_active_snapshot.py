"""The served snapshot: swapped, kept to go back to, read once, and what a full disk does."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.errors import Neo4jUnavailableError
from loaders.files import write_bytes
from loaders.gateway import Neo4jAddress
from loaders.parts import Part
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.errors import SnapshotError
from recsvc.graph.rows import ActiveVersion
from recsvc.recommend import active_snapshot
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot import folders
from recsvc.snapshot.arrays import Snapshot, pack
from tests.waiting import until_then


def packed(version: int, title: str = "One") -> tuple[tuple[Part, ...], str]:
    made = Snapshot(
        versions={"hybrid": version},
        items=IdMap(["i1"]),
        categories=IdMap(()),
        users=IdMap(()),
        user_counts=np.zeros(0, np.int64),
        item_people=np.ones(1, np.int64),
        titles=(title,),
        available=np.ones(1, bool),
        in_category=sp.csr_matrix(np.zeros((1, 0), bool)),
        blend=Blend((), (), np.ones(1, np.float32), 0.1),
    )
    return pack(made)


class FakeStore:
    """Versions that are stored, which of them is active, and which were read."""

    def __init__(self, *versions: int) -> None:
        self.content = {version: packed(version) for version in versions}
        self.active = max(versions)
        self.read: list[int] = []
        self.reading_seconds = 0.0
        self.may_be_read = asyncio.Event()
        self.may_be_read.set()
        self.address = Neo4jAddress("bolt://example:7687", "neo4j", "")

    async def known_snapshots(self) -> list[tuple[int, str]]:
        return [(version, sha256) for version, (_, sha256) in self.content.items()]

    async def warm_up(self) -> None:
        pass

    async def catch_up(self) -> None:
        pass

    async def try_to_write(self) -> None:
        pass

    async def look_at_schema(self, active: Iterable[ActiveVersion]) -> None:
        pass

    async def active_versions(self) -> dict[str, ActiveVersion]:
        sha256 = self.content[self.active][1]
        return {"hybrid": ActiveVersion("hybrid", self.active, None, sha256)}

    async def stored_versions(self) -> dict[int, str]:
        return {version: sha256 for version, (_, sha256) in self.content.items()}

    async def snapshot_parts(self, version: int) -> AsyncIterator[Part]:
        self.read.append(version)
        content, _ = self.content[version]
        await asyncio.sleep(self.reading_seconds)
        await self.may_be_read.wait()
        for part in content:
            yield part


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_snapshot, "_WATCH_SECONDS", 0.05)
    monkeypatch.setattr(active_snapshot, "_FULL_DISK_SECONDS", 0.05)


@pytest.fixture
async def make(tmp_path: Path, quick: None) -> AsyncIterator[Callable[[Any], ActiveSnapshot]]:
    made: list[ActiveSnapshot] = []

    def make(store: Any, compares_for: str | None = None) -> ActiveSnapshot:
        made.append(ActiveSnapshot(store, tmp_path, compares_for))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def on_disk(folder: Path) -> list[int]:
    return [int(name.split("-")[1]) for name in names(folder, "hybrid-*")]


async def test_one_goes_back_to_what_is_on_disk(make: Any, tmp_path: Path) -> None:
    """Also in a service that was started after that was active."""
    store = FakeStore(1, 2)
    serving = make(store)
    await serving.start()
    assert serving.snapshot.versions == {"hybrid": 2}
    await until_then(lambda: on_disk(tmp_path) == [1, 2])
    assert store.read == [2, 1]
    store.active = 1
    await serving.reload()
    assert serving.snapshot.versions == {"hybrid": 1}
    await until_then(lambda: folders.last_served(tmp_path)[0].name.startswith("hybrid-1-"))
    store.active = 2
    await until_then(lambda: serving.snapshot.versions == {"hybrid": 2})
    assert store.read == [2, 1]


async def test_a_command_watches_for_no_other_version(make: Any) -> None:
    """What is cut off while the driver connects leaves a socket open."""
    store, before = FakeStore(1, 2), asyncio.all_tasks()
    serving = make(store)
    await serving.start(watch=False)
    assert serving.snapshot.versions == {"hybrid": 2}
    assert (asyncio.all_tasks(), store.read) == (before, [2])


async def test_what_is_no_longer_stored_goes(make: Any, tmp_path: Path) -> None:
    store = FakeStore(1, 2)
    serving = make(store)
    await serving.start()
    await until_then(lambda: on_disk(tmp_path) == [1, 2])
    (old,) = names(tmp_path, "hybrid-1-*")
    store.content[1] = packed(1, "deleted")
    await serving.reload()
    assert old not in names(tmp_path, "hybrid-1-*")
    store.content[3] = packed(3)
    store.active = 3
    del store.content[1]
    await until_then(lambda: on_disk(tmp_path) == [2, 3])
    await until_then(lambda: not names(tmp_path, ".unpacking-*"))


async def test_what_was_rewritten_while_it_was_read_ahead_goes(make: Any, tmp_path: Path) -> None:
    store = FakeStore(1, 2)
    serving = make(store)
    await serving.reload()
    store.reading_seconds = 0.3
    serving._look_ahead()
    await until_then(lambda: store.read == [2, 1])
    store.content[1] = packed(1, "deleted")
    await serving.reload()
    assert on_disk(tmp_path) == [2]


async def test_before_the_first_look_it_is_asked_which_versions_are_stored(make: Any) -> None:
    """As in a process that began without Neo4j, and still has queries planned."""
    assert (await make(FakeStore(1, 2)).version(1, look=False)).versions == {"hybrid": 1}


async def test_of_several_processes_one_reads_a_version(make: Any) -> None:
    store = FakeStore(1)
    store.reading_seconds = 0.3
    several = [make(store) for _ in range(3)]
    await asyncio.gather(*(each.start() for each in several))
    assert [each.snapshot.versions["hybrid"] for each in several] == [1, 1, 1]
    assert store.read == [1]


async def test_one_that_gives_up_waiting_lets_nobody_else_read(make: Any) -> None:
    store = FakeStore(1)
    store.may_be_read.clear()
    first, second, third = (make(store) for _ in range(3))
    reading = asyncio.create_task(first.reload())
    await until_then(lambda: store.read == [1])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.reload(), 0.1)
    waiting = asyncio.create_task(third.reload())
    await asyncio.sleep(0.1)
    store.may_be_read.set()
    await asyncio.gather(reading, waiting)
    assert store.read == [1]


async def test_a_full_disk_leaves_what_was_served(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(*_: Any) -> Generator[Callable[[Part], None]]:
        def lay_out(_: Part) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        yield lay_out

    store = FakeStore(1)
    serving = make(store)
    await serving.start()
    with monkeypatch.context() as patched:
        patched.setattr(folders, "unpacking", full)
        store.content[2] = packed(2)
        store.active = 2
        await until_then(lambda: store.read.count(2) > 1)
        assert serving.snapshot.versions == {"hybrid": 1}
        assert serving.active["hybrid"].version == 1
        other = make(store)
        await other.start()  # from the disk
        assert other.snapshot.versions == {"hybrid": 1}
    await until_then(lambda: serving.snapshot.versions == other.snapshot.versions == {"hybrid": 2})


async def test_a_graph_without_a_version_is_served_nothing_of_another(
    make: Any, tmp_path: Path
) -> None:
    """An empty or another database under an old folder, from the start or later."""
    store = FakeStore(1)
    serving = make(store)
    await serving.start()
    assert serving.serves
    store.content, store.active_versions = {}, nothing_active
    # It is said when all that belongs to the other graph is gone.
    trouble = await until_then(lambda: serving.troubles.get("snapshot"))
    assert "no version is active" in trouble
    assert not serving.serves
    assert on_disk(tmp_path) == []


async def nothing_active() -> dict[str, ActiveVersion]:
    return {}


@pytest.mark.parametrize("file", ["prior.npy", "in_category.indptr.npy", "manifest.json"])
async def test_a_damaged_folder_is_read_again_and_not_served(
    make: Any, tmp_path: Path, file: str
) -> None:
    store = FakeStore(1)
    await make(store).start()
    sha256 = store.content[1][1]
    folder = tmp_path / folders.folder_name(1, sha256)
    write_bytes(folder / file, b"null" if file == "manifest.json" else b"")
    away = FakeStore(1)
    away.active_versions = neo4j_away
    alone = make(away)
    await alone.start()
    assert not alone.serves
    serving = make(store)
    await serving.start()
    assert serving.snapshot.versions == {"hybrid": 1}
    assert store.read == [1, 1]
    assert snapshots.load(folder, sha256).titles == ("One",)


def changed_number(tmp_path: Path, sha256: str) -> None:
    """Popularity is another number of the same size, as on a disk that fails."""
    prior = tmp_path / folders.folder_name(1, sha256) / "prior.npy"
    whole = prior.read_bytes()
    prior.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


async def test_a_service_compares_what_is_on_disk_once(make: Any, tmp_path: Path) -> None:
    store = FakeStore(1)
    await make(store).start()
    sha256 = store.content[1][1]
    changed_number(tmp_path, sha256)
    damaged = make(store)
    await damaged.start()  # a command, which does not compare
    assert damaged.snapshot.blend.prior[0] != 1.0
    assert store.read == [1]
    for service, read in (("one", [1, 1]), ("one", [1, 1]), ("two", [1, 1])):
        serving = make(store, service)
        await serving.start()
        assert serving.snapshot.blend.prior[0] == 1.0
        assert store.read == read
    changed_number(tmp_path, sha256)
    same, other = make(store, "two"), make(store, "three")
    await same.start()  # a process that came later
    assert same.snapshot.blend.prior[0] != 1.0
    away = FakeStore(1)
    away.active_versions = neo4j_away
    alone = make(away, "four")
    await alone.start()
    assert not alone.serves
    await other.start()
    assert other.snapshot.blend.prior[0] == 1.0
    assert store.read == [1, 1, 1]


async def neo4j_away() -> dict[str, ActiveVersion]:
    raise Neo4jUnavailableError("away")


async def test_while_neo4j_is_away_the_disk_serves_its_own_address_alone(make: Any) -> None:
    store = FakeStore(1)
    await make(store).start()
    gone = FakeStore(1)
    gone.active_versions = neo4j_away
    same = make(gone)
    await same.start()
    assert same.snapshot.versions == {"hybrid": 1}
    assert same.troubles == {"neo4j": "the graph database does not answer"}
    elsewhere = FakeStore(1)
    elsewhere.active_versions = neo4j_away
    elsewhere.address = Neo4jAddress("bolt://elsewhere:7687", "neo4j", "")
    other = make(elsewhere)
    await other.start()
    assert not other.serves
    with pytest.raises(SnapshotError, match="bolt://elsewhere:7687 does not answer"):
        _ = other.snapshot


async def test_without_room_on_disk_and_nothing_else_to_serve_memory_serves(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folders, "unpacking", full)
    serving = make(FakeStore(1))
    await serving.start()
    assert serving.snapshot.versions == {"hybrid": 1}
