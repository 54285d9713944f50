"""Files of the commands belong to the person who runs them, and nobody else may read them.

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
_WRITTEN: Final = (
    "analyst", "bookmarks*", "datasets", "keys.json*", "person_links", "recommendation_ids*",
    "refresh-*", "refreshes", "rejects", "report.html", "revisions*", "snapshots",
)  # fmt: skip
"""What recsvc writes below `RECSVC_HOME`. Not `neo4j`: that folder is private itself, and what is
in it may belong to a container's user."""


def write_private_files() -> None:
    """From now on this process, and those it starts, make files for nobody else."""
    os.umask(PRIVATE)


def narrow(home: Path) -> None:
    """Take others' access to what recsvc wrote in a folder away, where it was made with some.

    The folder itself and what else is in it stay as they are: it may be somebody's home. Nothing is
    looked at in a folder that others cannot enter. What belongs to somebody else stays.
    """
    for pattern in _WRITTEN:
        for path in home.glob(pattern):
            with contextlib.suppress(OSError):
                if path.lstat().st_mode & PRIVATE:
                    for one in (*_inside(path), path):  # the folder last: then all of it is done
                        _narrow_one(one)


def _inside(written: Path) -> Iterator[Path]:
    if not written.is_symlink():
        for folder, folders, files in os.walk(written):
            folders[:] = [name for name in folders if name != "neo4j"]
            yield from (Path(folder, name) for name in (*folders, *files))


def _narrow_one(path: Path) -> None:
    with contextlib.suppress(OSError):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISLNK(status.st_mode) and status.st_uid == os.geteuid() and mode & PRIVATE:
            path.chmod(mode & ~PRIVATE)
