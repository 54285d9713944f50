"""`recsvc links` on tables, as a person would run it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from recsvc.cli import app
from recsvc.errors import RecsvcError
from recsvc.models import MODELS
from tests.unit.made_tables import write_tables

QUICK = [
    part
    for option in ("dimensions=16", "epochs=20", "batch_size=256", "learning_rate=0.03")
    for part in ("--set", option)
]
runner = CliRunner()


@pytest.fixture(autouse=True)
def _tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`data` has people of three tastes, who follow people of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "data"
    folder.mkdir()
    _, test = write_tables(folder)
    test.unlink()
    follows = [f"u{a:03},u{a + step:03}" for step in (3, 6, 9) for a in range(90 - step)]
    (folder / "follows.csv").write_text("\n".join(["follower_id,followee_id", *follows]) + "\n")


def invoke(*arguments: str) -> Result:
    return runner.invoke(app, ["links", *arguments, "--data", "data", "--device", "cpu", *QUICK])


def test_links_of_every_relation_are_measured_beside_their_frequency() -> None:
    result = invoke("transe", "complex", "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)["models"]
    assert list(document) == ["transe", "complex"]
    for found in document.values():
        assert set(found["metrics"]) == {"FOLLOWS", "INTERACTED interaction", "all"}
        parts = [found["metrics"][relation]["links"] for relation in found["metrics"]]
        assert parts[-1] == sum(parts[:-1]) == found["held_out"] < found["links"]
        own, usual = (found[which]["all"]["values"]["mrr"] for which in ("metrics", "by_frequency"))
        assert usual["low"] < usual["mean"] < own["low"] < own["mean"] < own["high"]
        assert 1 <= found["epochs"] <= 20
        assert not found["interrupted"]


def test_people_get_a_table() -> None:
    result = runner.invoke(
        app, ["links", "complex", "--data", "data", "--device", "cpu", "--set", "epochs=1"]
    )
    assert "INTERACTED interaction" in result.stdout
    assert "complex, Hits@10 of held-out links, both ends" in result.stdout
    assert "by frequency" in result.stdout
    assert "links held out, 1 epochs" in result.stderr


def test_other_models_score_no_links() -> None:
    error = invoke("walk3").exception
    assert isinstance(error, RecsvcError)
    assert str(error) == (
        "walk3 scores no links between nodes: expected one of complex, distmult, transe"
    )
    assert [name for name, model in MODELS.items() if model.scores_links] == [
        "complex", "distmult", "transe",
    ]  # fmt: skip


def test_each_node_keeps_a_link() -> None:
    Path("data/follows.csv").unlink()
    Path("data/interactions.csv").write_text("user_id,item_id\nu1,i1\nu2,i2\n")
    error = invoke("transe").exception
    assert isinstance(error, RecsvcError)
    assert str(error).startswith("none of 2 links can be held out, as each node keeps one")
