"""What the commands write belongs to whoever runs them, and nobody else may read it.

The files hold people's interactions, names and hashes of keys.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o077
"""The bits that neither a group nor anybody else has."""
_OF_NEO4J = "neo4j"
"""Its folder is private itself; what is in it may belong to a container's user."""


def write_private_files() -> None:
    """From now on this process, and those it starts, make files for nobody else."""
    os.umask(PRIVATE)


def narrow(home: Path) -> None:
    """Take others' access to a folder and all that is in it away, where it was made with some.

    Nothing is looked at in a folder that others cannot enter. What belongs to somebody else stays.
    """
    with contextlib.suppress(OSError):
        mode = home.stat()
        if mode.st_uid == os.geteuid() and stat.S_IMODE(mode.st_mode) & PRIVATE:
            for path in (*_inside(home), home):  # the folder last: then all of it is done
                _narrow_one(path)


def _inside(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        folders[:] = [name for name in folders if name != _OF_NEO4J]
        yield from (Path(folder, name) for name in (*folders, *files))


def _narrow_one(path: Path) -> None:
    with contextlib.suppress(OSError):
        found = path.lstat()
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid() and mode & PRIVATE:
            path.chmod(mode & ~PRIVATE)
