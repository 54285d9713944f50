"""A disk that is full, a folder or a port that cannot be used: one line with the cause."""

import errno
import os
import socket
from pathlib import Path

import pytest

from loaders.tables import Rejects
from loaders.tables._spec import Rejected
from recsvc.errors import SettingsError, file_error
from recsvc.recommend.write_counters import WriteCounters
from recsvc.service.keys import KeyFile
from recsvc.service.listening import check_address
from tests.conftest import recsvc
from tests.faults.small_disk import small_disk

REJECTED = Rejected("interactions.csv", 2, "user_id", "empty", "x" * 10_000, "interactions")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "that can be written"),
        (errno.EACCES, "let this user use it"),
        (errno.EISDIR, "see that it is there"),
    ],
)
def test_what_a_file_system_refuses_is_one_line_with_what_to_do(number: int, said: str) -> None:
    line = file_error(OSError(number, os.strerror(number), "/some/where"))
    assert line.startswith(f"/some/where cannot be used ({os.strerror(number)}): ")
    assert said in line
    assert "\n" not in line


def test_a_port_that_is_taken_is_said_with_what_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"port {port} of 127\.0\.0\.1 .*RECSVC_PORT"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)


def test_a_file_of_rejects_that_a_full_disk_left_blocks_nothing(tmp_path: Path) -> None:
    for left in ("", "file,li", "file,line,column,reason,row"):
        path = tmp_path / "rejects.csv"
        path.write_text(left)
        with Rejects(path) as log:
            log.add(REJECTED)
        assert path.read_text().count("\n") == 2
        assert log.warning is None


def test_rejects_on_a_full_disk_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path, megabytes=1) as disk:
        disk.fill()
        with Rejects(tmp_path / "rejects.csv") as log:
            for _ in range(20):
                log.add(REJECTED)
        assert log.total == 20
        assert "No space left" in str(log.warning)
        disk.make_room()
        with Rejects(tmp_path / "rejects.csv") as log:
            log.add(REJECTED)
        assert log.warning is None


def test_numbers_of_writes_are_refused_room_before_anything_is_written(tmp_path: Path) -> None:
    """A map of a file that is too short would end the process by a signal."""
    with small_disk(tmp_path, megabytes=12) as disk:
        disk.fill(leave_bytes=2**20)
        with pytest.raises(OSError, match="No space left"):
            WriteCounters(tmp_path / "revisions")
        disk.make_room()
        write_counters = WriteCounters(tmp_path / "revisions")
        write_counters.note_write(anybody=True)
        assert write_counters.newest == 1
        write_counters.close()


def test_a_command_on_a_full_disk_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    with small_disk(tmp_path, megabytes=1) as disk:
        disk.fill()
        told = recsvc("keys", "create", "shop")
        assert told.returncode == 1
        assert told.stderr.startswith("recsvc: ")
        assert told.stderr.count("\n") == 1
        assert "No space left on device" in told.stderr
        assert str(tmp_path / "keys.json") in told.stderr
        assert not KeyFile(tmp_path / "keys.json").was_made  # else nobody would be answered
        disk.make_room()
        assert recsvc("keys", "create", "shop").returncode == 0
