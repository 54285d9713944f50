"""What is written is nobody else's."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from recsvc.private_files import narrow


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_command_makes_private_files(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "recsvc", "keys", "create", "app"]
    environment = {**os.environ, "RECSVC_HOME": str(home)}
    wide = os.umask(0)
    try:
        subprocess.run(command, env=environment, check=True, capture_output=True)
    finally:
        os.umask(wide)
    assert mode(home) == 0o700
    assert {mode(path) for path in home.iterdir()} == {0o600}


def test_what_was_made_with_wider_modes_is_narrowed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "snapshots" / "3").mkdir(parents=True)
    (home / "neo4j").mkdir()
    program, arrays = home / "snapshots" / "run", home / "snapshots" / "3" / "arrays"
    outside, link = tmp_path / "outside", home / "link"
    for path in (program, arrays, outside, home / "neo4j" / "store"):
        path.touch()
        path.chmod(0o755 if path == program else 0o644)
    for folder in (home, home / "snapshots", home / "snapshots" / "3"):
        folder.chmod(0o755)
    link.symlink_to(outside)
    narrow(home)
    assert [mode(each) for each in (home, arrays.parent, program)] == [0o700] * 3
    assert mode(arrays) == 0o600
    assert mode(outside) == 0o644
    assert mode(home / "neo4j" / "store") == 0o644


def test_in_a_private_folder_nothing_is_looked_at(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "file").touch(mode=0o644)
    (home / "file").chmod(0o644)
    narrow(home)
    assert mode(home / "file") == 0o644
    narrow(tmp_path / "missing")
