"""What is public: the names are there, are those of docs/python.md, and cost nothing until used."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recsvc
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from tests.unit.made_tables import write_tables
from tests.unit.test_docs import PAGES, ROOT, blocks


def test_every_public_name_is_there_and_documented() -> None:
    assert recsvc.__all__ == sorted(recsvc.__all__, key=lambda name: (name.islower(), name))
    assert dir(recsvc) == sorted(recsvc.__all__)
    for name in recsvc.__all__:
        assert getattr(recsvc, name).__doc__
    table = re.findall(r"^\| (`.+?) \|", PAGES["docs/python.md"], re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", "".join(table))) == sorted(recsvc.__all__)


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    module = ast.parse((ROOT / "recsvc" / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = (node for node in module.body if isinstance(node, ast.If))
    declared = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == recsvc._MODULE_OF
    assert declared.keys() == set(recsvc.__all__)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'recsvc' has no attribute 'nothing'"):
        recsvc.nothing  # noqa: B018 - the look-up is what is tried


def test_importing_it_loads_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import recsvc; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "['recsvc']"


@pytest.mark.neo4j
def test_the_examples_of_the_guide_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gateway: Neo4jGateway,
    environment: dict[str, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    train, _ = write_tables(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "interactions.csv").write_text(train.read_text())
    train.rename(tmp_path / "train.csv")
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("docs/python.md", "python")):
        if number == 0:
            ingest(gateway, recsvc.open_source("shop"), rejects=tmp_path / "rejects.csv")
        exec(compile(block, f"docs/python.md, example {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "90 users, 60 items, 0 rejected rows" in printed
    best, visitor = names["best"], names["visitor"]
    assert isinstance(best, recsvc.Answer)
    assert isinstance(visitor, recsvc.Answer)
    assert len(best.items) == len(visitor.items) == 5
    assert all(item.explanation and item.explanation.text for item in best.items)
    assert "no-such-folder" in printed
