"""A version besides the active one is read once, and let go of when it is another."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from loaders.gateway import Neo4jAddress
from loaders.parts import Part
from recsvc.errors import NotFoundError
from recsvc.graph.rows import ActiveVersion
from recsvc.graph.store import Store
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.snapshot.arrays import pack
from tests.unit.recommend.test_snapshot_start import made_snapshot


class FakeStore:
    """Two stored versions, of which the second is active."""

    def __init__(self) -> None:
        self.packed = {number: pack(made_snapshot(number)) for number in (1, 2)}
        self.read: list[int] = []
        self.address = Neo4jAddress("bolt://example:7687", "neo4j", "")

    async def warm_up(self) -> None: ...

    async def catch_up(self) -> None: ...

    async def try_to_write(self) -> None: ...

    async def look_at_schema(self, active: Iterable[ActiveVersion]) -> None: ...

    async def stored_versions(self) -> dict[int, str]:
        return {number: sha256 for number, (_, sha256) in self.packed.items()}

    async def snapshot_parts(self, version: int) -> AsyncIterator[Part]:
        self.read.append(version)
        for part in self.packed[version][0]:
            yield part

    async def active_versions(self) -> dict[str, ActiveVersion]:
        return {"hybrid": ActiveVersion("hybrid", 2, None, self.packed[2][1])}


def rewritten() -> tuple[tuple[Part, ...], str]:
    """Version 1 as a deletion leaves it: other arrays, the same number."""
    changed = made_snapshot(1)
    changed.blend.prior[:] = np.float32(3.0)
    return pack(changed)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def serving(store: FakeStore, tmp_path: Path) -> AsyncIterator[ActiveSnapshot]:
    serving = ActiveSnapshot(cast(Store, cast(Any, store)), tmp_path)
    await serving.start()
    store.read.clear()
    yield serving
    await serving.stop()


async def test_another_version_is_read_once(serving: ActiveSnapshot, store: FakeStore) -> None:
    first = await serving.version(1)
    assert first.versions == {"hybrid": 1}
    assert await serving.version(1) is first
    assert store.read == [1]
    assert serving.snapshot.versions == {"hybrid": 2}


async def test_the_active_one_is_the_one_that_is_served(
    serving: ActiveSnapshot, store: FakeStore
) -> None:
    assert await serving.version(2) is serving.snapshot
    assert store.read == []


async def test_one_that_was_rewritten_is_read_again(
    serving: ActiveSnapshot, store: FakeStore
) -> None:
    first = await serving.version(1)
    store.packed[1] = rewritten()
    again = await serving.version(1)
    assert again is not first
    assert again.blend.prior.tolist() == [3.0, 3.0]


async def test_without_a_look_what_was_seen_last_counts(
    serving: ActiveSnapshot, store: FakeStore
) -> None:
    first = await serving.version(1, look=False)
    store.packed[1] = rewritten()
    assert await serving.version(1, look=False) is first
    await serving.reload()
    again = await serving.version(1, look=False)
    assert again.blend.prior.tolist() == [3.0, 3.0]


async def test_one_that_was_rewritten_is_let_go_of(
    serving: ActiveSnapshot, store: FakeStore
) -> None:
    await serving.version(1)
    assert serving._other is not None
    store.packed[1] = rewritten()
    await serving.reload()
    assert serving._other is None


async def test_one_that_is_not_stored(serving: ActiveSnapshot) -> None:
    with pytest.raises(NotFoundError, match="no arrays of version 7"):
        await serving.version(7)
