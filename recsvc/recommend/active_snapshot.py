"""The snapshot that is served: loaded, watched for a newer one, and swapped whole.

A snapshot belongs to the graph that knows its SHA-256: a version of it has, or had, these arrays.
While Neo4j answers nothing else is served, and what is on disk of another graph is removed. While
it does not, what is on disk is served if it was laid out from the same address.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from loaders.errors import Neo4jAwayError, Neo4jError
from loaders.files import write_bytes
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.graph.store import Store
from recsvc.recommend.laying_out import laid_out
from recsvc.recommend.shard_client import ItemShards
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot import folders
from recsvc.snapshot.arrays import Snapshot

if TYPE_CHECKING:
    from recsvc.graph.rows import ActiveVersion

_WATCH_SECONDS = 1.0
_FULL_DISK_SECONDS = 5.0
"""Until a version that found no room is read again: reading it costs Neo4j a lot."""
_ADDRESS_FILE = "address"
"""Of the Neo4j that the snapshots beside it came from."""
_COMPARED_FILE = "compared"
"""Which of the snapshots beside it were compared with their SHA-256, and for which service."""
_NO_VERSION = "no version is active: run `recsvc refresh`"

_log = structlog.get_logger()


class ActiveSnapshot:
    """Keeps the arrays of the active version at hand.

    Args:
        store: the graph.
        folder: where arrays are laid out.
        compares_for: names the service, which may be several processes, that compares what is on
            disk with its SHA-256 once before it serves it; None: nothing is compared.
        shards: make the passes over all items of the active version; None: that is done here.

    Attributes:
        shard_trouble: what is amiss with the shards, for anybody to read; None for nothing.
        active: the active version of every model.
        started: the first try is over to have Neo4j plan the queries of requests; where it
            succeeded none waits for that.
        troubles: what is amiss, by part, for anybody to read.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        compares_for: str | None = None,
        shards: ItemShards | None = None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._compares_for = compares_for
        self._shards = shards
        self.shard_trouble: str | None = None
        self._snapshot: Snapshot | None = None
        self._sha256: str | None = None
        self._served: str | None = None
        self._why = _NO_VERSION
        self._loading = asyncio.Lock()
        self._other: tuple[str, Snapshot] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[None] | None = None
        self._stored: Mapping[int, str] = {}
        self._tried: set[tuple[int, str]] = set()
        self._reading = (0, "")
        self.active: dict[str, ActiveVersion] = {}
        self.started = False
        self.troubles: dict[str, str] = {}
        self._warm = False

    @property
    def snapshot(self) -> Snapshot:
        """The arrays of the active version.

        Raises:
            SnapshotError: nothing has been refreshed yet.
        """
        if self._snapshot is None:
            raise SnapshotError(self._why)
        return self._snapshot

    @property
    def serves(self) -> bool:
        """Whether there is a snapshot to answer from."""
        return self._snapshot is not None

    async def version(self, version: int, *, look: bool = True) -> Snapshot:
        """The arrays of a version of the blend, to compare it with the active one.

        Args:
            version: of the blend.
            look: whether it is asked of the graph which arrays are stored now; else, and while
                Neo4j is away, what was seen last counts, if anything was, as for the active
                version.

        Raises:
            NotFoundError: no arrays of it are stored.
            SnapshotError: what is stored is damaged.
            Neo4jError: it cannot be read.
        """
        stored = self._stored
        if look or not stored:
            try:
                stored = await self._store.stored_versions()
            except Neo4jAwayError:
                if version not in stored:
                    raise
        sha256 = stored.get(version)
        if sha256 is None:
            raise NotFoundError(
                f"no arrays of version {version} of the blend are stored: those of the active "
                "version are, and of the one before"
            )
        if sha256 == self._sha256:
            return self.snapshot
        if self._other is None or self._other[0] != sha256:
            other = await self._unpacked(version, sha256)
            self._other = sha256, replace(other, sha256=sha256)
        return self._other[1]

    async def compared(self, version: int) -> Snapshot:
        """The same, what is on disk of it compared with its SHA-256 now.

        Raises:
            NotFoundError: no arrays of it are stored.
            SnapshotError: what is stored, or on disk, is damaged.
            Neo4jError: it cannot be read.
        """
        snapshot = await self.version(version)
        folder = self._folder_of(version, snapshot.sha256 or "")
        if folder.exists():  # else it is in memory alone, compared when it was read
            await asyncio.to_thread(snapshots.load, folder, snapshot.sha256)
        return snapshot

    async def start(self, *, watch: bool = True) -> None:
        """Load the active version and watch for another one.

        While Neo4j is away the version on disk serves that was served last.

        Args:
            watch: whether to watch, and have the queries of requests planned ahead: not for a
                command, which is over before that is done. Where it is cut off while the driver
                connects, the driver leaves the socket open.
        """
        await self._catch_up()
        try:
            await self.reload()
        except Neo4jError as error:
            _log.warning("no active version from Neo4j", reason=str(error))
            self._load_from_disk()
        except SnapshotError as error:
            _log.warning("the active version cannot be served", reason=str(error))
        await self._try_to_write()
        if watch:
            self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching."""
        for task in (self._watcher, self._ahead):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch(self) -> None:
        """Swap the snapshot soon after another version became active."""
        while True:
            seconds = _WATCH_SECONDS
            await self._warm_up()
            await self._catch_up()
            try:
                await self.reload()
                self._look_ahead()
            except Neo4jError as error:
                _log.debug("the active version could not be checked", reason=str(error))
            except SnapshotError as error:
                _log.warning("the active version cannot be served", reason=str(error))
                seconds = _FULL_DISK_SECONDS if self.active else _WATCH_SECONDS
            await self._try_to_write()
            await self._look_at_shards()
            with contextlib.suppress(Neo4jError):  # it is looked at again soon
                await self._store.look_at_schema(self.active.values())
            await asyncio.sleep(seconds)

    async def _catch_up(self) -> None:
        with contextlib.suppress(Neo4jError):  # it is asked again soon; other servers answer reads
            await self._store.catch_up()

    async def _try_to_write(self) -> None:
        with contextlib.suppress(Neo4jError):  # it is asked again soon
            await self._store.try_to_write()

    async def _warm_up(self) -> None:
        if self._warm:
            return
        try:
            await self._store.warm_up()
            self._warm = True
        except Neo4jError as error:
            told = _log.debug if self.started else _log.warning
            told("the queries of requests could not be planned", reason=str(error))
        self.started = True

    async def reload(self) -> None:
        """Serve the arrays that are active now, if they are not those that are served.

        Raises:
            Neo4jError: they cannot be read.
            SnapshotError: no version is active, or its arrays are damaged or cannot be laid out;
                what is served then is another version of the same graph, or nothing.
        """
        async with self._loading:
            try:
                await self._reload()
            except Neo4jError as error:
                away = isinstance(error, Neo4jAwayError)
                self.troubles["neo4j"] = error.reason if away else Neo4jAwayError.reason
                raise
            except SnapshotError as error:
                self._why = str(error)
                self.troubles = {"snapshot": _for_anybody(error)}
                raise
            self.troubles = {}

    async def _reload(self) -> None:
        active = await self._store.active_versions()
        hybrid = active.get("hybrid")
        if hybrid is None or hybrid.sha256 is None:
            self._serve(None)
            self.active = active
            await self._keep_stored()
            raise SnapshotError(_NO_VERSION)
        if self._sha256 != hybrid.sha256:
            await self._load(hybrid.version, hybrid.sha256)
        self.active = active
        await self._keep_stored()
        self._note_address()
        if self._other is not None and self._other[0] not in self._stored.values():
            self._other = None  # a deletion rewrote it

    async def _load(self, version: int, sha256: str) -> None:
        """Serve a version, from memory alone where it finds no room on disk and nothing serves."""
        name = folders.folder_name(version, sha256)
        try:
            snapshot = await self._unpacked(version, sha256)
        except OSError as error:
            await self._keep_known()
            if self._snapshot is not None:
                raise SnapshotError(
                    f"hybrid {version} is active and cannot be laid out in {self._folder} "
                    f"({error.strerror or error}): make room there, it is tried again"
                ) from error
            _log.warning("the snapshot is kept in memory alone", reason=str(error))
            parts = [part async for part in self._store.snapshot_parts(version)]
            snapshot = await asyncio.to_thread(snapshots.read, parts, sha256)
        except SnapshotError:
            await self._keep_known()
            raise
        snapshot = replace(snapshot, sha256=sha256)
        self._serve(await self._with_passes(snapshot, name), name, sha256)
        folders.note_served(self._folder / name)
        _log.info("snapshot loaded", versions=dict(snapshot.versions))

    async def _with_passes(self, snapshot: Snapshot, name: str) -> Snapshot:
        """The same with what makes passes over all items: shards once they have the version."""
        if self._shards is not None:
            await self._shards.wait_for(name)
        return await asyncio.to_thread(self._divided, snapshot, name)

    def _divided(self, snapshot: Snapshot, name: str) -> Snapshot:
        if self._shards is None:
            return snapshot.with_bounds()
        shards = self._shards.of(name, len(snapshot.items))
        return replace(snapshot, blend=replace(snapshot.blend, shards=shards))

    async def _look_at_shards(self) -> None:
        """Note whether shards are away, for who asks how the service is."""
        if self._shards is not None and self._served is not None:
            self.shard_trouble = await asyncio.to_thread(self._shards.trouble, self._served)

    def _serve(
        self, snapshot: Snapshot | None, name: str | None = None, sha256: str | None = None
    ) -> None:
        self._snapshot, self._served, self._sha256 = snapshot, name, sha256

    async def _keep_known(self) -> None:
        """Serve no other than arrays that this graph knows; from disk where that has some."""
        known = {folders.folder_name(*each) for each in await self._store.known_snapshots()}
        if self._served not in known:
            self._serve(None)
            self._load_from(each for each in self._last_served() if each.name in known)

    async def _unpacked(self, version: int, sha256: str) -> Snapshot:
        """A version's arrays from disk, where they are laid out first if need be.

        Of several processes that want the same one reads it from Neo4j, and the others wait.
        """
        folder = self._folder_of(version, sha256)
        if not self._has_to_compare(folder):
            with contextlib.suppress(SnapshotError):
                return await asyncio.to_thread(snapshots.load, folder)
        load = partial(self._loaded, folder, sha256)
        return await laid_out(self._store, folder, version, sha256, load, self._note_compared)

    def _loaded(self, folder: Path, sha256: str) -> Snapshot:
        """What is on disk, compared with its SHA-256 where nobody of this service has done so.

        Raises:
            SnapshotError: it is missing or damaged.
        """
        if not self._has_to_compare(folder):
            return snapshots.load(folder)
        try:
            snapshot = snapshots.load(folder, sha256)
        except SnapshotError as error:
            if folder.exists():
                _log.warning("arrays on disk cannot be served", reason=str(error))
            raise
        self._note_compared(folder)
        return snapshot

    def _has_to_compare(self, folder: Path) -> bool:
        return self._compares_for is not None and folder.name not in self._compared()

    def _compared(self) -> list[str]:
        """Names of the folders that were compared for this service."""
        try:
            service, *names = (self._folder / _COMPARED_FILE).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return []
        return names if service == self._compares_for else []

    def _note_compared(self, folder: Path) -> None:
        if self._has_to_compare(folder):
            lines = "\n".join([self._compares_for or "", *self._compared(), folder.name])
            with contextlib.suppress(OSError):  # then another process compares it again
                write_bytes(self._folder / _COMPARED_FILE, lines.encode())

    async def _keep_stored(self) -> None:
        """Remove from disk what is not stored in Neo4j as it is."""
        # Looked at first: what comes after it may be of a version that is stored by then.
        there = await asyncio.to_thread(folders.unpacked, self._folder)
        self._stored = await self._store.stored_versions()
        if self._ahead is not None and self._reading not in self._stored.items():
            await asyncio.wait([self._ahead])  # it was rewritten while it was read
            there.append(self._folder_of(*self._reading))
        names = {folders.folder_name(*each) for each in self._stored.items()}
        await asyncio.to_thread(folders.keep_only, there, names)

    def _look_ahead(self) -> None:
        """Lay out what one may go back to, each version once: going back then takes no time."""
        missing = [each for each in self._stored.items() if not self._folder_of(*each).exists()]
        new = [each for each in missing if each not in self._tried]
        if new and (self._ahead is None or self._ahead.done()):
            self._reading = new[0]
            self._tried.add(self._reading)
            self._ahead = asyncio.create_task(self._unpack_ahead(*self._reading))

    async def _unpack_ahead(self, version: int, sha256: str) -> None:
        with contextlib.suppress(Neo4jError, SnapshotError, OSError):  # it is read when wanted
            await self._unpacked(version, sha256)

    def _folder_of(self, version: int, sha256: str) -> Path:
        return self._folder / folders.folder_name(version, sha256)

    def _load_from_disk(self) -> None:
        """Serve the version on disk that was served last; nothing where none is whole."""
        here, there = self._address(), self._noted_address()
        if there not in (None, here):
            self._why = (
                f"Neo4j at {here} does not answer, and the snapshots in {self._folder} are those "
                f"of the graph at {there}"
            )
            _log.warning("no snapshot is served", reason=self._why)
            return
        self._load_from(self._last_served())

    def _load_from(self, paths: Iterable[Path]) -> None:
        for folder in paths:
            try:
                snapshot = self._loaded(folder, folders.sha256_of_name(folder))
                self._serve(self._divided(snapshot, folder.name), folder.name)
            except SnapshotError as error:
                _log.warning("a snapshot on disk cannot be served", reason=str(error))
            else:
                return

    def _last_served(self) -> list[Path]:
        try:
            return folders.last_served(self._folder)
        except OSError as error:
            _log.warning("the snapshots on disk cannot be read", reason=str(error))
            return []

    def _address(self) -> str:
        address = self._store.address
        return f"{address.uri} {address.database or ''}".strip()

    def _noted_address(self) -> str | None:
        try:
            return (self._folder / _ADDRESS_FILE).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def _note_address(self) -> None:
        if self._noted_address() != self._address():
            with contextlib.suppress(OSError):
                write_bytes(self._folder / _ADDRESS_FILE, self._address().encode())


def _for_anybody(error: SnapshotError) -> str:
    """What is amiss, without a path of this machine."""
    if error.__cause__ is not None:
        return "the active version cannot be laid out on disk: the one before is served"
    return str(error)
