"""The folder in which the processes of one service gather their metrics."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from loaders.files import file_lock

_PREFIX = "recsvc-metrics-"
_LOCK = "lock"
_LOCKED_WITHIN_SECONDS = 60.0
"""A folder that is younger may be one that its service is about to lock."""


@contextmanager
def metrics_folder() -> Generator[Path]:
    """A temporary folder, which is removed when the block ends.

    The folders of services that were killed are removed first: nobody holds the lock of such a one.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/"):
        # Another user's cannot be opened; one that ends now is gone.
        with contextlib.suppress(OSError), file_lock(folder / _LOCK, wait=False) as free:
            if free and time.time() - folder.stat().st_mtime > _LOCKED_WITHIN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name, file_lock(Path(name) / _LOCK):
        yield Path(name)
