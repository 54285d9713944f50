"""File systems of a test's own, where they may be mounted: a small tmpfs, a read-only folder."""

import os
import resource
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A folder with a file system of its own."""

    folder: Path

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Fill it with one file, but for some bytes."""
        with (self.folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, self.free_bytes - leave_bytes))

    def make_room(self) -> None:
        """Remove that file."""
        (self.folder / "filler").unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Generator[SmallDisk]:
    """Mount one on an empty folder; the test is skipped where that is not allowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path, view: Path) -> Generator[Path]:
    """Show a folder under another path, an empty folder, where nobody can write, not even root."""
    for arguments in (["--bind", str(folder), str(view)], ["-o", "remount,ro,bind", str(view)]):
        mounted = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no folder can be mounted read-only here: {mounted.stderr.strip()}")
    try:
        yield view
    finally:
        subprocess.run(["umount", "--lazy", str(view)], check=True)


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """Files past a size are refused, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
