"""A start while Neo4j is away: from what is whole on disk, or without anything."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.gateway import Neo4jAddress
from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.errors import SnapshotError
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.snapshot.arrays import Snapshot, pack
from recsvc.snapshot.folders import folder_name, note_served, unpack


def made_snapshot(version: int) -> Snapshot:
    items = IdMap(["i1", "i2"])
    return Snapshot(
        versions={"hybrid": version},
        items=items,
        categories=IdMap(()),
        users=IdMap(()),
        user_counts=np.zeros(0, np.int64),
        item_people=np.ones(2, np.int64),
        titles=("One", "Two"),
        available=np.ones(2, bool),
        in_category=sp.csr_matrix(np.zeros((2, 0), bool)),
        blend=Blend((), (), np.ones(2, np.float32), 0.1),
    )


def store_snapshot(folder: Path, version: int) -> Path:
    content, sha256 = pack(made_snapshot(version))
    unpack(content, sha256, folder / folder_name(version, sha256))
    return folder / folder_name(version, sha256)


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[ActiveSnapshot]:
    store = Store(Neo4jAddress("bolt://127.0.0.1:1", "neo4j", ""), timeout_seconds=0.5)
    await store.open()
    serving = ActiveSnapshot(store, tmp_path)
    yield serving
    await serving.stop()
    await store.close()


async def test_the_newest_that_is_whole_serves(serving: ActiveSnapshot, tmp_path: Path) -> None:
    store_snapshot(tmp_path, 9)
    (store_snapshot(tmp_path, 10) / "prior.npy").write_bytes(b"damaged")
    await serving.start()
    assert serving.snapshot.versions == {"hybrid": 9}


async def test_what_was_served_last_serves_again_also_if_it_is_not_the_newest(
    serving: ActiveSnapshot, tmp_path: Path
) -> None:
    """Someone went back to it."""
    note_served(store_snapshot(tmp_path, 9))
    store_snapshot(tmp_path, 10)
    await serving.start()
    assert serving.snapshot.versions == {"hybrid": 9}


async def test_a_damaged_one_alone_does_not_stop_the_start(
    serving: ActiveSnapshot, tmp_path: Path
) -> None:
    (store_snapshot(tmp_path, 1) / "manifest.json").unlink()
    (tmp_path / "hybrid-strange").mkdir()
    await serving.start()
    assert not serving.serves
    with pytest.raises(SnapshotError, match="no version is active"):
        _ = serving.snapshot
