"""Locks between processes, files that appear whole, folders for as long as a process lives."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How Rust, in which polars is written, shows an error of the system."""
_LOCKED_WITHIN_SECONDS = 60.0
"""A folder that is younger may be one that its process is about to lock."""


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Generator[bool]:
    """Hold the lock of a file, which is made where it is missing and stays, or of a folder.

    A process that ends, however it does, gives up the locks it holds.

    Args:
        path: of the file.
        wait: wait until nobody else holds it.

    Yields:
        True; False where somebody else holds it.
    """
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


@contextmanager
def named_file(path: Path) -> Generator[None]:
    """Have an error that names no file, as one of writing does, name this one.

    Raises:
        OSError: what the block raises, and what the system refused where a library raises an error
            of its own for that.
    """
    try:
        yield
    except Exception as error:  # a library's own error may stand for a full disk
        refused = _refused(error)
        if refused is None:
            raise
        if refused.filename is None:
            refused.strerror = refused.strerror or str(refused)
            refused.filename = os.fspath(path)
        if refused is error:
            raise
        raise refused from error


def _refused(error: Exception) -> OSError | None:
    """What the system refused: torch raises its own error over it, polars puts it into a text."""
    if (number := _SYSTEM_ERROR.search(str(error))) is not None:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if isinstance(error, OSError):
        return error
    cause = error.__context__
    return cause if isinstance(error, RuntimeError) and isinstance(cause, OSError) else None


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """A file to write, which takes the place of another when the block ends well.

    Where the block fails, what was there before stays. What is no file, such as a pipe, is written
    itself.

    Raises:
        OSError: it cannot be written; where the system names no file, `path` is named.
    """
    target = path.resolve()
    part = target.with_name(f"{target.name}.part")
    with named_file(path):
        if target.exists() and not target.is_file():
            yield target
            return
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            if target.exists():
                part.chmod(target.stat().st_mode)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_files(folder: Path) -> Generator[Path]:
    """A folder to write files into, which go into another together when the block ends well.

    Where the block fails nothing of it stays, and what was there before does.

    Raises:
        OSError: they cannot be written; where the system names no file, `folder` is named.
    """
    made = not folder.exists()
    part = folder / ".part"
    with named_file(folder):
        try:
            shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
            part.mkdir(parents=True)
            yield part
            for path in part.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            for path in part.iterdir():
                path.replace(folder / path.name)
            made = False
        finally:
            shutil.rmtree(folder if made else part, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    with whole_file(path) as file:
        file.write_bytes(content)


@contextmanager
def held_folder(
    parent: Path, prefix: str, remove: Callable[[Path], None] = shutil.rmtree
) -> Generator[Path]:
    """A new folder, which is removed when the block ends.

    Its lock is held: systemd-tmpfiles leaves such a folder alone. Those of processes that were
    killed, whose lock nobody holds, are removed first.

    Args:
        parent: where it is made; made where it is not there.
        prefix: of its name.
        remove: removes a folder that was left.

    Raises:
        OSError: it cannot be made.
    """
    for folder in parent.glob(f"{prefix}*/"):
        # Another user's cannot be opened; one that ends now is gone.
        with suppress(OSError), file_lock(folder, wait=False) as free:
            if free and time.time() - folder.stat().st_mtime > _LOCKED_WITHIN_SECONDS:
                remove(folder)
    parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name,
        file_lock(Path(name)),
    ):
        yield Path(name)
