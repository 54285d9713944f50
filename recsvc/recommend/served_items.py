"""The items of one shard that are served: loaded, and watched for a newer version."""

import asyncio
import contextlib
from functools import partial
from pathlib import Path

import structlog

from loaders.errors import Neo4jError
from recsvc.blend.item_range import ItemRange
from recsvc.errors import SnapshotError
from recsvc.graph.store import Store
from recsvc.recommend.laying_out import laid_out
from recsvc.snapshot import folders
from recsvc.snapshot.item_arrays import load_items

_WATCH_SECONDS = 0.5

_log = structlog.get_logger()


class ServedItems:
    """Keeps the items of one shard at hand: of the active version, and of the one before.

    The service goes over to a new version once its shards have it; until then it asks for the one
    before.

    Args:
        store: the graph.
        folder: where arrays are laid out.
        shard: number of the shard, from 1.
        shards: how many there are.
    """

    def __init__(self, store: Store, folder: Path, shard: int, shards: int) -> None:
        self._store, self._folder = store, folder
        self._shard, self._shards = shard, shards
        self._items: dict[str, ItemRange] = {}
        self._watcher: asyncio.Task[None] | None = None

    def of(self, version: str) -> ItemRange | None:
        """The items of a version; None where they are not held.

        Args:
            version: name of its folder.
        """
        return self._items.get(version)

    @property
    def serves(self) -> bool:
        """Whether there is a version to answer from."""
        return bool(self._items)

    async def start(self) -> None:
        """Watch for versions."""
        await self._store.open()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching, and close the connections."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        await self._store.close()

    async def _watch(self) -> None:
        while True:
            try:
                await self.reload()
            except (Neo4jError, SnapshotError, OSError) as error:
                _log.warning("the active version cannot be loaded", reason=str(error))
            await asyncio.sleep(_WATCH_SECONDS)

    async def reload(self) -> None:
        """Hold the items of the active version, and none of a version that is not stored any more.

        Raises:
            Neo4jError: it cannot be read.
            SnapshotError: its arrays are damaged.
            OSError: they cannot be laid out.
        """
        there = await asyncio.to_thread(folders.unpacked, self._folder)
        stored = await self._store.stored_versions()
        names = {folders.folder_name(*each) for each in stored.items()}
        active = (await self._store.active_versions()).get("hybrid")
        if active is not None and active.sha256 is not None:
            name = folders.folder_name(active.version, active.sha256)
            names.add(name)
            if name not in self._items:
                await self._load(name, active.version, active.sha256)
        self._items = {name: items for name, items in self._items.items() if name in names}
        await asyncio.to_thread(folders.keep_only, there, names)

    async def _load(self, name: str, version: int, sha256: str) -> None:
        path = self._folder / name
        load = partial(load_items, path, self._shard, self._shards)
        items = await laid_out(self._store, path, version, sha256, load)
        newest = list(self._items.items())[-1:]
        self._items = {**dict(newest), name: items}
        _log.info("items loaded", version=name, begin=items.begin, end=items.end)
