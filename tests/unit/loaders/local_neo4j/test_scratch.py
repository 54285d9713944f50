import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from loaders.local_neo4j import _scratch
from tests.waiting import PATIENCE_SECONDS


def test_of_two_that_installed_jars_at_once_one_keeps_them_and_neither_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, kept = tmp_path / "installed", tmp_path / "kept"
    (installed / "lib-1").mkdir(parents=True)
    (installed / "lib-1" / "a.jar").write_text("a")
    copied, copy = Barrier(2), shutil.copytree

    def copy_and_wait(*arguments: Any, **options: Any) -> None:
        copy(*arguments, **options)
        copied.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(_scratch.shutil, "copytree", copy_and_wait)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(_scratch.keep_jars, installed, kept) for _ in range(2)]:
            done.result(PATIENCE_SECONDS)
    assert [folder.name for folder in kept.iterdir()] == ["lib-1"]
    assert (kept / "lib-1" / "a.jar").read_text() == "a"


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed" / "lib-1").mkdir(parents=True)

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(_scratch.shutil, "copytree", full)
    with pytest.raises(OSError, match="no space"):
        _scratch.keep_jars(tmp_path / "installed", tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
