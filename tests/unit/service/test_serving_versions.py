"""A version besides the active one is read once, and let go of."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from recsvc import serving as module
from recsvc.errors import NotFoundError
from recsvc.serving import Serving
from recsvc.snapshot import pack
from recsvc.store import ActiveVersion, Store
from tests.unit.service.test_serving_start import made_snapshot


class FakeStore:
    """Two stored versions, of which the second is active."""

    def __init__(self) -> None:
        self.packed = {number: pack(made_snapshot(number)) for number in (1, 2)}
        self.read: list[int] = []

    async def warm_up(self) -> None: ...

    async def stored_versions(self) -> dict[int, str]:
        return {number: sha256 for number, (_, sha256) in self.packed.items()}

    async def snapshot_content(self, version: int) -> bytes:
        self.read.append(version)
        return self.packed[version][0]

    async def active_versions(self) -> dict[str, ActiveVersion]:
        return {"hybrid": ActiveVersion("hybrid", 2, None, self.packed[2][1])}


def unpacked(folder: Path) -> list[str]:
    return [path.name.split("-")[1] for path in folder.glob("hybrid-*")]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def serving(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Serving]:
    monkeypatch.setattr(Serving, "_look_ahead", lambda _serving: None)
    serving = Serving(cast(Store, cast(Any, store)), tmp_path)
    await serving.start()
    store.read.clear()
    yield serving
    await serving.stop()


async def test_another_version_is_read_once(
    serving: Serving, store: FakeStore, tmp_path: Path
) -> None:
    first = await serving.version(1)
    assert first.versions == {"hybrid": 1}
    assert await serving.version(1) is first
    assert store.read == [1]
    assert sorted(unpacked(tmp_path)) == ["1", "2"]
    assert serving.snapshot.versions == {"hybrid": 2}


async def test_the_active_one_is_the_one_that_is_served(serving: Serving, store: FakeStore) -> None:
    assert await serving.version(2) is serving.snapshot
    assert store.read == []


async def test_one_that_was_rewritten_is_read_again(serving: Serving, store: FakeStore) -> None:
    first = await serving.version(1)
    changed = made_snapshot(1)
    changed.blend.prior[:] = np.float32(3.0)
    store.packed[1] = pack(changed)
    again = await serving.version(1)
    assert again is not first
    assert again.blend.prior.tolist() == [3.0, 3.0]


async def test_one_that_was_rewritten_is_let_go_at_once(serving: Serving, store: FakeStore) -> None:
    await serving.version(1)
    before, changed = store.packed[1], made_snapshot(1)
    changed.blend.prior[:] = np.float32(3.0)
    store.packed[1] = pack(changed)
    await serving.reload()
    store.packed[1] = before
    await serving.version(1)
    assert store.read == [1, 1]


async def test_one_that_is_not_stored(serving: Serving) -> None:
    with pytest.raises(NotFoundError, match="no arrays of version 7"):
        await serving.version(7)


async def test_one_that_nobody_asks_for_is_let_go(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await serving.version(1)
    assert await serving.version(1) is first
    monkeypatch.setattr(module, "_OTHER_SECONDS", -1.0)
    serving.forget_unused()
    assert await serving.version(1) is not first
