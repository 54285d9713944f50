import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest

from recsvc.errors import SettingsError
from recsvc.settings_file import (
    event_line,
    parse_event_weights,
    unknown_kind_lines,
    write_event_weights,
)

WEIGHTS = {"borrowed": 1.0, "Add To Cart": 0.5, 'a "b".c': -2.0}


@pytest.mark.parametrize(
    "before",
    [
        "",
        "port = 1 # mine\n",
        "# a comment\n[events.view]\nweight = 0.02 # as measured\n\n[tracking]\nmlflow_uri = 'x'\n",
        "[events]\nview = {weight = 0.02}\n",
        "[events]\nview.weight = 0.02\n[text]\nmany = 'm'\n[events.buy]\nweight = 2\n",
        '[events."ADD_TO_CART"]\nhalf_life_days = 3\n',
    ],
)
def test_weights_are_added_and_the_rest_of_the_file_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "recsvc.toml"
    path.write_text(before)
    path.chmod(0o640)
    write_event_weights(WEIGHTS, path)
    after = path.read_text()
    assert [line for line in before.splitlines() if line and line not in after] == []
    expected = tomllib.loads(before)
    events = expected.setdefault("events", {})
    for name, weight in WEIGHTS.items():
        known = "ADD_TO_CART" if "ADD_TO_CART" in events and name == "Add To Cart" else name
        events.setdefault(known, {})["weight"] = weight
    assert tomllib.loads(after) == expected
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in tmp_path.iterdir()] == ["recsvc.toml"]


def test_several_that_write_at_once_leave_all_their_weights(tmp_path: Path) -> None:
    path = tmp_path / "recsvc.toml"
    path.write_text("port = 8001\n")
    code = """
import sys
from pathlib import Path
from recsvc.settings_file import write_event_weights
print(flush=True)
sys.stdin.read()
for number in range(20):
    write_event_weights({f"{sys.argv[2]} {number}": 1.0}, Path(sys.argv[1]))
"""
    command = [sys.executable, "-c", code, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as running:
        writers = [
            running.enter_context(subprocess.Popen([*command, str(number)], **pipes))
            for number in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()  # it is about to begin
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
    assert [writer.returncode for writer in writers] == [0] * 2
    written = tomllib.loads(path.read_text())
    assert written["port"] == 8001
    assert len(written["events"]) == 40


@pytest.mark.parametrize("name", ["a=1]\n[x", 'a"\nport = 1\n#', "a.b", "'" * 3, "\\", "é\u2028"])
def test_a_name_is_a_name_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "recsvc.toml"
    path.write_text("port = 8001\n")
    write_event_weights(parse_event_weights([f"{name}=1"]), path)
    written = tomllib.loads(path.read_text())
    assert written == {"port": 8001, "events": {name: {"weight": 1.0}}}


def test_a_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    write_event_weights({"borrowed": 1.0}, tmp_path / "recsvc.toml")
    written = tomllib.loads((tmp_path / "recsvc.toml").read_text())
    assert written == {"events": {"borrowed": {"weight": 1.0}}}


@pytest.mark.parametrize(
    "before", ["port = \n", "events = 3\n", "events = {view = {weight = 1}}\n"]
)
def test_a_file_that_cannot_be_added_to_stays_and_the_line_is_named(
    tmp_path: Path, before: str
) -> None:
    path = tmp_path / "recsvc.toml"
    path.write_text(before)
    with pytest.raises(SettingsError, match=r"by hand.*events\.borrowed\.weight = 1"):
        write_event_weights({"borrowed": 1.0}, path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "given", ["borrowed", "borrowed=", "borrowed=many", "=1", "--=1", "b=nan", "b=inf", "b=101"]
)
def test_what_is_no_weight_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="such as borrowed=1"):
        parse_event_weights([given])


def test_a_name_may_hold_an_equals_sign() -> None:
    assert parse_event_weights(["a=b=-0.5"]) == {"a=b": -0.5}


def test_the_line_is_toml_and_gives_the_kind_a_weight() -> None:
    for name in WEIGHTS:
        assert tomllib.loads(event_line(name)) == {"events": {name: {"weight": 1}}}


def test_of_many_unknown_kinds_some_are_named_and_all_counted() -> None:
    lines = unknown_kind_lines([f"kind{n}" for n in range(25)])
    assert len(lines) == 11
    assert lines[-1] == "… and 15 further kinds without a weight"
