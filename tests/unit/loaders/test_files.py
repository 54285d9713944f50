"""Files that appear whole, and folders for as long as a process lives."""

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from loaders.files import held_folder, whole_file, write_bytes
from tests.faults.small_disk import largest_file
from tests.waiting import PATIENCE_SECONDS

HOLDER = """
import sys, time
from pathlib import Path
from loaders.files import held_folder
with held_folder(Path(sys.argv[1]), "one-") as folder:
    print(folder, flush=True)
    time.sleep(99)
"""


def test_a_held_folder_is_there_in_the_block_alone(tmp_path: Path) -> None:
    with held_folder(tmp_path / "new", "one-") as folder:
        assert folder.parent == tmp_path / "new"
        (folder / "counter_1.db").write_bytes(b"1")
    assert list(folder.parent.iterdir()) == []


def test_that_of_a_killed_process_goes_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    held = Path(process.stdout.readline().strip())
    try:
        (held / "counter_1.db").write_bytes(b"1")
        os.utime(held, (time.time() - 3600,) * 2)
        with held_folder(tmp_path, "one-") as own:
            assert set(tmp_path.iterdir()) == {held, own}
    finally:
        process.kill()
        process.communicate()
    os.utime(held)
    with held_folder(tmp_path, "one-") as own:  # it is young: its process may be about to lock it
        assert set(tmp_path.iterdir()) == {held, own}
    os.utime(held, (time.time() - 3600,) * 2)
    with held_folder(tmp_path, "one-") as own:
        assert set(tmp_path.iterdir()) == {own}


def some_bytes(file: Path) -> None:
    file.write_bytes(bytes(50_000))


def some_table(file: Path) -> None:
    pl.DataFrame({"number": range(50_000)}).write_csv(file)


def some_parquet(file: Path) -> None:
    pl.DataFrame({"number": range(50_000)}).write_parquet(file)


@pytest.mark.parametrize("write", [some_bytes, some_table, some_parquet])
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "page.html"
    path.write_text("good")
    with (
        largest_file(8192),
        pytest.raises(OSError, match="File too large") as refused,
        whole_file(path) as part,
    ):
        write(part)
    assert path.name in str(refused.value.filename)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["good"]


def test_what_takes_the_place_of_a_file_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sync, forced = tmp_path / "page.html", os.fsync, []
    path.write_text("old")

    def noted(file: int) -> None:
        sync(file)
        forced.append((os.fstat(file).st_size, path.read_text()))

    monkeypatch.setattr(os, "fsync", noted)
    write_bytes(path, b"newer")
    assert forced == [(len("newer"), "old")]
    assert path.read_text() == "newer"


def test_an_error_without_a_name_gets_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as refused, whole_file(tmp_path / "page"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert refused.value.filename == str(tmp_path / "page")


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "page", tmp_path / "link"
    path.touch()
    path.chmod(0o640)
    link.symlink_to(path)
    write_bytes(link, b"new")
    assert (link.is_symlink(), path.read_bytes()) == (True, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"new")
    reader.join(PATIENCE_SECONDS)
    assert read == [b"new"]
    assert pipe.is_fifo()
