"""What is no backup, or is in the way of one, is refused before anything is done."""

import json
from pathlib import Path

import pytest

from tests.conftest import recsvc

MANIFEST = {"format": 1, "made_at": "2026-11-30T12:00:00Z", "neo4j": "5.26.0", "files": {}}
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
DUMP = {"neo4j.dump": NOTHING}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RECSVC_NEO4J_URI", raising=False)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def written(folder: Path, **changes: object) -> str:
    folder.mkdir()
    (folder / "neo4j.dump").write_bytes(b"")
    (folder / "backup.json").write_text(json.dumps(MANIFEST | changes))
    return str(folder)


def test_somebody_elses_neo4j_is_not_dumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSVC_NEO4J_URI", "bolt://127.0.0.1:1")
    for command in ("backup", "restore"):
        told = recsvc(command, str(tmp_path / "b"))
        assert (told.returncode, "docs/backup.md" in told.stderr) == (1, True)
    assert not (tmp_path / "b").exists()


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("b", "link"):
        told = recsvc("backup", str(tmp_path / name))
        assert (told.returncode, "is there already" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "another form"),
        ({"files": {"../keys.json": NOTHING}}, "another form"),
        ({"files": DUMP | {"keys.json": NOTHING}}, "is missing"),
        ({"files": {}}, "neo4j.dump is not what was written"),
        ({"files": 3}, "is not what `recsvc backup` wrote"),
    ],
)
def test_what_is_no_whole_backup_is_refused(
    tmp_path: Path, home: Path, changes: dict[str, object], said: str
) -> None:
    told = recsvc("restore", written(tmp_path / "b", **changes))
    assert (told.returncode, said in told.stderr) == (1, True), told.stderr
    assert not home.exists()


def test_a_file_that_was_changed_is_found(tmp_path: Path) -> None:
    folder = written(tmp_path / "b", files=DUMP | {"keys.json": NOTHING})
    (tmp_path / "b" / "keys.json").write_text("[]")
    told = recsvc("restore", folder)
    assert (told.returncode, "is not what was written" in told.stderr) == (1, True)


def test_other_keys_stay_unless_it_is_forced(tmp_path: Path, home: Path) -> None:
    folder = written(tmp_path / "b", files=DUMP | {"keys.json": NOTHING})
    (tmp_path / "b" / "keys.json").write_text("")
    home.mkdir()
    (home / "keys.json").write_text("[]")
    told = recsvc("restore", folder)
    assert (told.returncode, "--force" in told.stderr) == (1, True)
    assert (home / "keys.json").read_text() == "[]"


def test_a_folder_without_a_manifest_is_none(tmp_path: Path) -> None:
    told = recsvc("restore", str(tmp_path))
    assert (told.returncode, "is no backup" in told.stderr) == (1, True)
