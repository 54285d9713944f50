"""What a shard holds: its items of the versions that are served, and of no others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.parts import Part
from recsvc.blend.item_range import ItemRange
from recsvc.blend.shard_messages import Message
from recsvc.blend.shards import item_ranges
from recsvc.errors import SnapshotError
from recsvc.graph.rows import ActiveVersion
from recsvc.recommend.served_items import ServedItems
from recsvc.snapshot import folders
from recsvc.snapshot.arrays import Snapshot, pack
from recsvc.snapshot.item_arrays import load_items
from tests.stored_arrays import made_snapshot

ITEMS = 300
QUESTION = Message(
    {"signals": ["lightgcn"], "count": 20},
    {"factors": np.array([0.1, 1.0]), "profile0": np.linspace(-1.0, 1.0, 64)},
)


def snapshot(version: int) -> Snapshot:
    return made_snapshot(version, items=ITEMS, users=3, entries=4)


class FakeStore:
    """Versions that are stored, and which of them is active."""

    def __init__(self, *versions: int) -> None:
        self.content = {version: pack(snapshot(version)) for version in versions}
        self.active = versions[0]
        self.read: list[int] = []

    def name(self, version: int) -> str:
        return folders.folder_name(version, self.content[version][1])

    async def active_versions(self) -> dict[str, ActiveVersion]:
        sha256 = self.content[self.active][1]
        return {"hybrid": ActiveVersion("hybrid", self.active, None, sha256)}

    async def stored_versions(self) -> dict[int, str]:
        return {version: sha256 for version, (_, sha256) in self.content.items()}

    async def snapshot_parts(self, version: int) -> AsyncIterator[Part]:
        self.read.append(version)
        for part in self.content[version][0]:
            yield part


def served(store: Any, folder: Path, shard: int = 2) -> ServedItems:
    return ServedItems(store, folder, shard, 2)


def ranked(items: ItemRange) -> tuple[list[int], list[float]]:
    some = np.packbits(np.ones(items.end - items.begin, bool))
    asked = replace(QUESTION, arrays={**QUESTION.arrays, "items": some})
    answer = items.answer("ranked", asked)
    return answer.arrays["rows"].tolist(), answer.arrays["scores"].tolist()


@pytest.mark.parametrize("shard", [1, 2])
async def test_items_from_disk_are_those_of_the_blend(tmp_path: Path, shard: int) -> None:
    store = FakeStore(4)
    items = served(store, tmp_path, shard)
    assert not items.serves
    await items.reload()
    held = items.of(store.name(4))
    assert held is not None
    assert (held.begin, held.end) == item_ranges(ITEMS, 2)[shard - 1]
    assert ranked(held) == ranked(ItemRange.of(snapshot(4).blend, held.begin, held.end))


async def test_the_version_before_is_held_as_long_as_it_is_stored(tmp_path: Path) -> None:
    store = FakeStore(1, 2, 3)
    items = served(store, tmp_path)
    for store.active in (1, 2, 3):
        await items.reload()
    held = [version for version in (1, 2, 3) if items.of(store.name(version)) is not None]
    assert held == [2, 3]
    before = store.name(2)
    del store.content[2]  # as a deletion does, which rewrites it
    await items.reload()
    assert items.of(before) is None
    assert not (tmp_path / before).exists()
    assert items.of(store.name(3)) is not None
    assert store.read == [1, 2, 3]


async def test_what_is_damaged_on_disk_is_laid_out_again(tmp_path: Path) -> None:
    store = FakeStore(1)
    await served(store, tmp_path).reload()
    file = tmp_path / store.name(1) / "lightgcn.target.npy"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(SnapshotError, match="is not a whole snapshot"):
        load_items(tmp_path / store.name(1), 1, 2)
    items = served(store, tmp_path)
    await items.reload()
    assert items.serves
    assert store.read == [1, 1]


async def test_nothing_is_served_where_no_version_is_active(tmp_path: Path) -> None:
    class Empty(FakeStore):
        async def active_versions(self) -> dict[str, ActiveVersion]:
            return {}

    items = served(Empty(1), tmp_path)
    await items.reload()
    assert not items.serves
