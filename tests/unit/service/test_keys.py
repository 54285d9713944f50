"""API keys in their file, and the commands that make and end them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recsvc.cli import app
from recsvc.errors import ApiKeyError, SettingsError
from recsvc.service.keys import MAX_KEYS, KeyFile, KeyRing, Scope, key_ring
from recsvc.settings import Settings
from tests.faults.small_disk import largest_file


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


def test_what_is_kept_is_not_the_key(file: KeyFile) -> None:
    key = file.create("app", Scope.WRITE)
    assert key not in file.path.read_text()
    (kept,) = file.keys() or []
    assert (kept.name, kept.scope) == ("app", Scope.WRITE)
    assert kept.sha256 not in repr(kept)
    assert KeyRing(file).find(key) == kept
    assert KeyRing(file).find(key[:-1]) is None


def test_each_key_is_another(file: KeyFile) -> None:
    keys = {file.create(str(number), Scope.READ) for number in range(20)}
    assert len(keys) == 20
    assert all(len(each) == len("recsvc_") + 43 for each in keys)


def test_revoking_the_last_one_opens_nothing(file: KeyFile) -> None:
    assert not KeyRing(file).needed
    ring = KeyRing(file)
    key = file.create("app", Scope.READ)
    assert ring.needed
    file.revoke("app")
    assert ring.needed
    assert ring.find(key) is None
    assert file.keys() == []


def test_a_first_key_that_cannot_be_written_closes_nothing(file: KeyFile) -> None:
    with largest_file(100), pytest.raises(OSError, match="too large"):
        file.create("app", Scope.READ)
    assert not file.was_made
    assert not KeyRing(file).needed


@pytest.mark.parametrize("name", ["", " ", "a" * 101, "a/b", "a\nb", "a\x1b[31m"])
def test_names_that_cannot_be(file: KeyFile, name: str) -> None:
    with pytest.raises(ApiKeyError, match="cannot be the name"):
        file.create(name, Scope.READ)
    assert file.keys() is None


def test_a_name_is_taken_once_and_revoked_once(file: KeyFile) -> None:
    file.create("app", Scope.READ)
    with pytest.raises(ApiKeyError, match="already"):
        file.create("app", Scope.ADMIN)
    file.revoke("app")
    with pytest.raises(ApiKeyError, match="keys list"):
        file.revoke("app")


def test_keys_made_at_once_are_all_kept(file: KeyFile) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: file.create(f"app {n}", Scope.READ), range(24)))
    ring = KeyRing(file)
    assert [getattr(ring.find(key), "name", None) for key in made] == [
        f"app {n}" for n in range(24)
    ]


def test_there_are_not_more_than_so_many(file: KeyFile) -> None:
    file.create("0", Scope.READ)
    (kept,) = json.loads(file.path.read_text())
    many = [kept | {"name": str(number), "sha256": f"{number:064x}"} for number in range(MAX_KEYS)]
    file.path.write_text(json.dumps(many))
    with pytest.raises(ApiKeyError, match="revoke one"):
        file.create("one more", Scope.READ)


@pytest.mark.parametrize("content", ["", "[{", "{}", '[{"name": "a"}]', "\x00"])
def test_a_damaged_file_is_an_error_and_stays(file: KeyFile, content: str) -> None:
    file.path.write_text(content)
    for use in (
        lambda: file.keys(),
        lambda: file.create("app", Scope.READ),
        lambda: KeyRing(file),
    ):
        with pytest.raises(ApiKeyError, match="cannot be read"):
            use()
    assert file.path.read_text() == content


@pytest.mark.parametrize("field", ["name", "scope", "created_at", "sha256"])
def test_a_field_that_a_key_has_twice_is_named(file: KeyFile, field: str) -> None:
    key = file.create("app", Scope.READ)
    text = file.path.read_text()
    other = json.dumps({"scope": "admin"}.get(field, json.loads(text)[0][field]))
    file.path.write_text(text.replace(f'"{field}":', f'"{field}": {other}, "{field}":'))
    with pytest.raises(ApiKeyError, match=rf"cannot be read \(a key has '{field}' twice\)"):
        KeyRing(file)
    with pytest.raises(ApiKeyError, match="twice"):
        file.create("other", Scope.ADMIN)
    assert key not in file.path.read_text()


def test_what_is_wrong_with_a_key_is_said_without_what_it_holds(file: KeyFile) -> None:
    file.create("app", Scope.READ)
    (key,) = json.loads(file.path.read_text())
    file.path.write_text(json.dumps([key | {"scope": "secret"}]))
    with pytest.raises(ApiKeyError, match=r"\(0\.scope: Input should be 'read'") as refused:
        file.keys()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("field", ["name", "sha256"])
def test_a_name_or_a_key_that_is_there_twice_is_damage(file: KeyFile, field: str) -> None:
    key = file.create("app", Scope.READ)
    ring = KeyRing(file)
    file.create("other", Scope.ADMIN)
    one, other = json.loads(file.path.read_text())
    file.path.write_text(json.dumps([one, other | {field: one[field]}]))
    with pytest.raises(ApiKeyError, match="cannot be read"):
        file.keys()
    assert ring.needed
    assert ring.find(key) is None


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "large"])
def test_only_a_file_is_read_and_nobody_waits_for_another_thing(
    file: KeyFile, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = file.create("app", Scope.READ)
    ring = KeyRing(file)
    content = file.path.read_bytes()
    file.path.unlink()
    if what == "pipe":
        os.mkfifo(file.path)
    elif what == "device":
        file.path.symlink_to("/dev/zero")
    elif what == "folder":
        file.path.mkdir()
    else:
        file.path.write_bytes(content + b" " * 10_000_000)
    assert ring.needed
    assert ring.find(key) is None
    assert "cannot be read" in capsys.readouterr().out
    with pytest.raises(ApiKeyError, match="cannot be read"):
        KeyRing(file)


def test_a_service_marks_keys_that_came_from_elsewhere(file: KeyFile) -> None:
    file.create("app", Scope.READ)
    file.mark.unlink()
    KeyRing(file)
    file.path.unlink()
    assert KeyRing(file).needed


def test_a_folder_that_cannot_be_looked_into_is_no_open_door(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    ring = KeyRing(file)
    assert not ring.needed
    file.path.symlink_to(file.path)  # nobody can tell what is there: a loop
    assert ring.needed
    assert ring.find("") is None


def test_gone_keys_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    file = KeyFile(tmp_path / "keys.json")
    file.create("app", Scope.READ)
    file.path.unlink()
    assert json.loads(run("list", "--json")) == {"needed": True, "keys": []}


# --- the commands -----------------------------------------------------------------------------


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    assert json.loads(run("list", "--json")) == {"needed": False, "keys": []}
    shown = run("create", "shop").strip()
    made = json.loads(run("create", "nightly", "--scope", "admin", "--json"))
    assert made.keys() == {"name", "scope", "key"}
    ring = KeyRing(KeyFile(tmp_path / "home" / "keys.json"))
    assert [(k.name, k.scope) for k in map(ring.find, (shown, made["key"])) if k] == [
        ("shop", "read"), ("nightly", "admin"),
    ]  # fmt: skip
    listed = run("list")
    assert "nightly" in listed
    assert shown not in listed
    assert [each.keys() for each in json.loads(run("list", "--json"))["keys"]] == [
        {"name", "scope", "created_at"}
    ] * 2
    assert json.loads(run("revoke", "shop", "--json")) == {"revoked": "shop", "left": 1}
    assert ring.find(shown) is None
    with pytest.raises(ApiKeyError, match="no key 'shop'"):
        run("revoke", "shop")


def test_no_service_for_others_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path))
    monkeypatch.setenv("RECSVC_HOST", "0.0.0.0")  # which is what is refused
    with pytest.raises(SettingsError, match="recsvc keys create NAME"):
        CliRunner().invoke(app, ["serve"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("host", "needed"),
    [("127.0.0.1", False), ("127.1.2.3", False), ("::1", False), ("0.0.0.0", True), ("::", True)],
)
def test_where_others_reach_it_keys_are_needed_also_when_their_file_is_gone(
    tmp_path: Path, host: str, needed: bool
) -> None:
    settings = Settings(home=tmp_path, host=host)
    assert key_ring(settings).needed is needed
    assert key_ring(settings).find("") is None
