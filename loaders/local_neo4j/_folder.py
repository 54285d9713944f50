"""The folder of a local Neo4j: one command at a time starts or stops the server in it."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import Progress


@contextmanager
def exclusive(folder: Path, progress: Progress = lambda _message: None) -> Generator[int]:
    """Be the only command that starts or stops the server of a folder.

    Args:
        folder: of the server; made where there is none.
        progress: told when another command is waited for.

    Yields:
        The open file whose lock says so; a process that inherits it goes on holding the lock.

    Raises:
        LocalNeo4jError: the folder cannot be used.
    """
    with file_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / "lock").open("ab")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another command that is starting or stopping Neo4j")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


@contextmanager
def file_errors(folder: Path) -> Generator[None]:
    """Turn what the file system refuses into our error.

    Raises:
        LocalNeo4jError: something in the folder cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise LocalNeo4jError(
            f"the local Neo4j keeps its state in {folder}, where {error.filename or 'a file'} "
            f"cannot be used ({error.strerror}): set RECSVC_HOME to a folder you can write to"
        ) from error
