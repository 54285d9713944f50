"""What is written is nobody else's."""

import os
import stat
from pathlib import Path

import pytest

from recsvc.private_files import narrow
from tests.conftest import recsvc


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_command_makes_private_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("RECSVC_HOME", str(home))
    wide = os.umask(0)
    try:
        assert recsvc("keys", "create", "app").returncode == 0
    finally:
        os.umask(wide)
    assert mode(home) == 0o700
    assert {mode(path) for path in home.iterdir()} == {0o600}


def test_what_was_made_with_wider_modes_is_narrowed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "snapshots" / "3").mkdir(parents=True)
    (home / "analyst" / "neo4j").mkdir(parents=True)
    program, arrays = home / "snapshots" / "run", home / "snapshots" / "3" / "arrays"
    outside, link, keys = tmp_path / "outside", home / "snapshots" / "link", home / "keys.json"
    store = home / "analyst" / "neo4j" / "store"
    for path in (program, arrays, outside, keys, store):
        path.touch()
        path.chmod(0o755 if path == program else 0o644)
    for folder in (home / "snapshots", home / "snapshots" / "3", home / "analyst"):
        folder.chmod(0o755)
    link.symlink_to(outside)
    narrow(home)
    assert [mode(each) for each in (home / "snapshots", arrays.parent, program)] == [0o700] * 3
    assert [mode(each) for each in (arrays, keys)] == [0o600] * 2
    assert [mode(each) for each in (outside, store)] == [0o644] * 2
    narrow(tmp_path / "missing")


def test_in_a_private_folder_nothing_is_looked_at(tmp_path: Path) -> None:
    refreshes = tmp_path / "refreshes"
    refreshes.mkdir(mode=0o700)
    (refreshes / "file").touch()
    (refreshes / "file").chmod(0o644)
    narrow(tmp_path)
    assert mode(refreshes / "file") == 0o644


def test_a_folder_of_somebody_else_s_files_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`RECSVC_HOME` may name one by mistake; empty, it names none."""
    modes = {"": 0o755, "photos": 0o1777, "photos/one.jpg": 0o644}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    for name, wide in modes.items():
        (tmp_path / name).chmod(wide)
    monkeypatch.chdir(tmp_path)
    for home in (str(tmp_path), ""):
        monkeypatch.setenv("RECSVC_HOME", home)
        assert recsvc("keys", "list", "--json").returncode == 0
        assert {name: mode(tmp_path / name) for name in modes} == modes
