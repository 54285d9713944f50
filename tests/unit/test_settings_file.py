import tomllib
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
