"""The folders that snapshots are unpacked into: how one appears, and which stay.

Several processes of this machine use them at once, and each may be killed at any moment.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Container, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from loaders.parts import Part, PartName
from recsvc.errors import SnapshotError
from recsvc.snapshot.arrays import check_content

_UNPACKING = ".unpacking-"
_UNPACKING_SECONDS = 3600.0


def folder_name(version: int, sha256: str) -> str:
    """Name of the folder a version of the blend is unpacked into; another content, another name."""
    return f"hybrid-{version}-{sha256[:16]}"


def sha256_of_name(folder: Path) -> str:
    """How the SHA-256 of a folder's content begins, by the name of the folder."""
    return folder.name.rpartition("-")[2]


def unpack(content: Iterable[Part], sha256: str, folder: Path) -> None:
    """Lay a packed snapshot out as files; the folder appears whole or not at all.

    Raises:
        SnapshotError: the content is not what was packed.
    """
    with unpacking(sha256, folder) as lay_out:
        for part in content:
            lay_out(part)


@contextmanager
def unpacking(sha256: str, folder: Path) -> Generator[Callable[[Part], None]]:
    """Lay a snapshot out part by part; at the end of the block the folder appears.

    Args:
        sha256: of the content.
        folder: what is to appear.

    Yields:
        What takes the parts: those of an entry in their order.

    Raises:
        SnapshotError: the content is not what was packed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    names: list[PartName] = []
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=_UNPACKING) as temporary:

        def lay_out(part: Part) -> None:
            if not part.entry or Path(part.entry).name != part.entry:
                raise SnapshotError(
                    f"stored arrays have a part named {part.entry!r}, as no version of this "
                    "format has: run `recsvc refresh`"
                )
            with (Path(temporary) / part.entry).open("ab") as file:
                file.write(part.content)
            names.append(part.name)

        yield lay_out
        check_content(names, sha256)
        if not folder.exists():
            Path(temporary).rename(folder)
            Path(temporary).mkdir()  # for the context manager to remove
            os.utime(folder, (0.0, 0.0))  # it was never served


def unpacked(folder: Path) -> list[Path]:
    """The snapshots in a folder, and what processes left half unpacked that were killed."""
    if not folder.is_dir():
        return []
    return [entry for entry in folder.iterdir() if not _being_unpacked(entry)]


def keep_only(folders: Iterable[Path], names: Container[str]) -> None:
    """Remove the unpacked snapshots that are not named."""
    for other in folders:
        if other.name not in names:
            shutil.rmtree(other, ignore_errors=True)


def note_served(folder: Path) -> None:
    """Note that an unpacked snapshot is served from now on."""
    with contextlib.suppress(OSError):  # it was deleted at this moment
        os.utime(folder)


def last_served(folder: Path) -> list[Path]:
    """The snapshots in a folder, those first that were served last, then the newest ones."""
    folders = folder.glob("hybrid-[0-9]*-*")
    return sorted(folders, key=lambda entry: (entry.stat().st_mtime, _version(entry)), reverse=True)


def _version(folder: Path) -> int:
    number = folder.name.split("-")[1]
    return int(number) if number.isdecimal() else -1


def lock_file(folder: Path) -> Path:
    """What a process locks that unpacks a snapshot into a folder."""
    return folder.with_name(f"{_UNPACKING}{folder.name}.lock")


def _being_unpacked(path: Path) -> bool:
    """Whether another process may be at it; what was left behind grows old."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    return path.name.startswith(_UNPACKING) and age < _UNPACKING_SECONDS
