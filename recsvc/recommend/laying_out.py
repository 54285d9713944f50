"""The arrays of a version on disk: read from Neo4j once, by one of several processes."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from loaders.files import file_lock
from recsvc.errors import SnapshotError
from recsvc.graph.store import Store
from recsvc.snapshot import folders

_LOCK_SECONDS = 0.05

_T = TypeVar("_T")


async def laid_out(
    store: Store,
    folder: Path,
    version: int,
    sha256: str,
    load: Callable[[], _T],
    note_compared: Callable[[Path], object] = lambda _folder: None,
) -> _T:
    """What is loaded of a version's arrays, which are laid out first where they are not there.

    Of several processes that want the same one reads it from Neo4j, and the others wait.

    Args:
        store: the graph.
        folder: where they are laid out.
        version: of the blend.
        sha256: of its arrays.
        load: loads what is laid out, or raises a `SnapshotError`.
        note_compared: called with a folder that is laid out and has its SHA-256.

    Raises:
        SnapshotError: what is stored is damaged.
        Neo4jError: it cannot be read.
        OSError: it cannot be laid out.
    """
    async with _only_one_unpacks(folder):
        with contextlib.suppress(SnapshotError):
            return await asyncio.to_thread(load)
        shutil.rmtree(folder, ignore_errors=True)  # it is not there yet, or not whole
        with folders.unpacking(sha256, folder) as lay_out:
            async for part in store.snapshot_parts(version):
                await asyncio.to_thread(lay_out, part)
        note_compared(folder)
        return await asyncio.to_thread(load)


@asynccontextmanager
async def _only_one_unpacks(folder: Path) -> AsyncGenerator[None]:
    """Wait until no other process lays out the same folder."""
    path = folders.lock_file(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with file_lock(path, wait=False) as free:
            if free:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)  # a process that waits for it finds the folder
                return
        await asyncio.sleep(_LOCK_SECONDS)
