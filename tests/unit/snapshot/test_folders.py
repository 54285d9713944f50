import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loaders.parts import Part
from recsvc.errors import SnapshotError
from recsvc.snapshot.arrays import load, pack
from recsvc.snapshot.folders import keep_only, unpack, unpacked
from tests.unit.snapshot.test_arrays import N_ITEMS, made_snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots" / "4"


@pytest.mark.parametrize(
    "damage", ["flipped", "short", "long", "empty", "of two contents", "other sha"]
)
def test_corrupted_content_is_refused_and_leaves_nothing(folder: Path, damage: str) -> None:
    content, sha256 = pack(made_snapshot())
    last = content[-1]
    flipped = replace(last, content=bytes([last.content[0] ^ 1]) + last.content[1:])
    _, *others = pack(replace(made_snapshot(), available=np.zeros(N_ITEMS, bool)))[0]
    damaged = {
        "flipped": (*content[:-1], flipped), "short": content[:-1], "long": (*content, last),
        "empty": (), "of two contents": (content[0], *others), "other sha": content,
    }[damage]  # fmt: skip
    expected = sha256 if damage != "other sha" else "0" * 64
    with pytest.raises(SnapshotError, match=f"expected {expected}"):
        unpack(damaged, expected, folder)
    assert not folder.parent.exists() or not list(folder.parent.iterdir())


def test_interrupted_unpacking_leaves_no_folder_and_can_be_repeated(folder: Path) -> None:
    content, sha256 = pack(made_snapshot())

    def full_disk() -> Iterator[Part]:
        yield content[0]
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        unpack(full_disk(), sha256, folder)
    assert list(folder.parent.iterdir()) == []
    unpack(content, sha256, folder)
    assert load(folder).versions == {"hybrid": 4, "lightgcn": 3}
    assert list(folder.parent.iterdir()) == [folder]


def test_unpacking_what_is_there_changes_nothing(folder: Path) -> None:
    content, sha256 = pack(made_snapshot())
    unpack(content, sha256, folder)
    before = {path: path.stat().st_ino for path in folder.iterdir()}
    unpack(content, sha256, folder)
    assert {path: path.stat().st_ino for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_keep_only_removes_the_others_and_what_a_killed_process_left(tmp_path: Path) -> None:
    for name in ("1", "2", "3", ".unpacking-left"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    yesterday = time.time() - 86_400
    os.utime(tmp_path / ".unpacking-left", (yesterday, yesterday))
    (tmp_path / "note.txt").touch()
    keep_only(unpacked(tmp_path), frozenset({"2", "3"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3", "note.txt"]


def test_keep_only_needs_no_folder(tmp_path: Path) -> None:
    keep_only(unpacked(tmp_path / "none"), frozenset())


def test_keep_only_leaves_what_another_process_is_unpacking(tmp_path: Path) -> None:
    (tmp_path / ".unpacking-now").mkdir()
    (tmp_path / ".unpacking-now" / "manifest.json").touch()
    keep_only(unpacked(tmp_path), frozenset({"2"}))
    assert (tmp_path / ".unpacking-now" / "manifest.json").exists()
