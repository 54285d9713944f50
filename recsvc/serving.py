"""The snapshot that is served: loaded, watched for a newer one, and swapped whole."""

import asyncio
import contextlib
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from loaders.errors import Neo4jError
from recsvc import snapshot as snapshots
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.snapshot import Snapshot
from recsvc.store import ActiveVersion, Store

_WATCH_SECONDS = 1.0

_OTHER_SECONDS = 60.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class _Other:
    """A version that is not the active one, and when somebody asked for it."""

    snapshot: Snapshot
    sha256: str
    asked_at: float


class Serving:
    """Keeps the arrays of the active version at hand.

    Attributes:
        active: the active version of every model.
        warm: Neo4j has planned the queries of a request, so that none waits for that.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._snapshot: Snapshot | None = None
        self._sha256: str | None = None
        self._loading = asyncio.Lock()
        self._other: _Other | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.active: dict[str, ActiveVersion] = {}
        self.warm = False

    @property
    def snapshot(self) -> Snapshot:
        """The arrays of the active version.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        if self._snapshot is None:
            raise SnapshotError("no version is active: run `recsvc refresh`")
        return self._snapshot

    @property
    def serves(self) -> bool:
        """Whether there is a snapshot to answer from."""
        return self._snapshot is not None

    async def version(self, version: int) -> Snapshot:
        """The arrays of a version of the blend, to compare it with the active one.

        One besides the active one is held in memory, until nobody asked for it for a minute. It
        is never unpacked on disk, where a deletion would have to find it.

        Raises:
            NotFoundError: no arrays of it are stored.
            SnapshotError: what is stored is damaged.
            Neo4jError: it cannot be read.
        """
        sha256 = (await self._store.stored_snapshots()).get(version)
        if sha256 is None:
            raise NotFoundError(
                f"no arrays of version {version} of the blend are stored: those of the active "
                "version are, and of the one before"
            )
        if sha256 == self._sha256:
            return self.snapshot
        async with self._loading:
            other = self._other
            if other is None or other.sha256 != sha256:
                content = await self._store.snapshot_content(version)
                found = await asyncio.to_thread(snapshots.read, content, sha256)
                other = _Other(found, sha256, 0.0)
            self._other = replace(other, asked_at=time.monotonic())
        return other.snapshot

    def forget_unused(self) -> None:
        """Let go of a version besides the active one that nobody asked for lately."""
        if self._other is not None and time.monotonic() > self._other.asked_at + _OTHER_SECONDS:
            self._other = None

    async def start(self) -> None:
        """Load the active version and watch for another one.

        While Neo4j is away the newest version on disk serves.
        """
        try:
            await self.reload()
        except (Neo4jError, SnapshotError) as error:
            _log.warning("no active version from Neo4j", reason=str(error))
            self._load_from_disk()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def _watch(self) -> None:
        """Swap the snapshot soon after another version became active."""
        while True:
            self.forget_unused()
            try:
                if not self.warm:
                    await self._store.warm_up()
                    self.warm = True
                await self.reload()
            except (Neo4jError, SnapshotError, OSError) as error:
                _log.debug("the active version could not be checked", reason=str(error))
            await asyncio.sleep(_WATCH_SECONDS)

    async def reload(self) -> None:
        """Serve the arrays that are active now, if they are not those that are served.

        Raises:
            Neo4jError: they cannot be read.
            SnapshotError: no version is active, or its arrays are damaged.
        """
        async with self._loading:
            active = await self._store.active_versions()
            hybrid = active.get("hybrid")
            if hybrid is None or hybrid.sha256 is None:
                raise SnapshotError("no version is active: run `recsvc refresh`")
            if self._sha256 != hybrid.sha256:
                await self._load(hybrid.version, hybrid.sha256)
            self.active = active
            if self._other is not None:  # a deletion may have rewritten it
                stored = await self._store.stored_snapshots()
                if self._other.sha256 not in stored.values():
                    self._other = None

    async def _load(self, version: int, sha256: str) -> None:
        folder = self._folder / snapshots.folder_name(version, sha256)
        try:
            self._snapshot = await asyncio.to_thread(snapshots.load, folder)
        except SnapshotError:  # it is not there yet, or not whole
            shutil.rmtree(folder, ignore_errors=True)
            content = await self._store.snapshot_content(version)
            await asyncio.to_thread(snapshots.unpack, content, sha256, folder)
            self._snapshot = await asyncio.to_thread(snapshots.load, folder)
        self._sha256 = sha256
        snapshots.keep_newest(self._folder, frozenset({folder.name}))
        _log.info("snapshot loaded", versions=dict(self._snapshot.versions))

    def _load_from_disk(self) -> None:
        """Serve the newest version on disk; nothing where there is none that is whole."""
        folders = sorted(self._folder.glob("hybrid-[0-9]*-*"), key=_version)
        for folder in reversed(folders):
            try:
                self._snapshot = snapshots.load(folder)
            except SnapshotError as error:
                _log.warning("a snapshot on disk cannot be served", reason=str(error))
            else:
                return


def _version(folder: Path) -> int:
    number = folder.name.split("-")[1]
    return int(number) if number.isdecimal() else -1
