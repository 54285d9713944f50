"""docs/reliability.md names tests and scripts that are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|benchmarks)/[\w/]+\.py)(?:::(\w+))?", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_it_names_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    there = {getattr(node, "name", "") for node in ast.walk(tree)}
    assert not name or name in there


def test_each_of_the_ten_has_tests() -> None:
    for number in range(1, 11):
        (row,) = re.findall(rf"^\| API{number}:2023 .*$", PAGE, re.MULTILINE)
        assert "`tests/" in row


def test_every_script_of_faults_is_on_the_page() -> None:
    files = {file for file, _ in NAMED}
    tests = {each.relative_to(ROOT).as_posix() for each in ROOT.glob("tests/faults/test_*.py")}
    assert tests - files == set()
