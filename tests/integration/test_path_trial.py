"""A meta-path is measured without a refresh, against the signals of the last one."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from recsvc.refresh import path_check, path_trial, pipeline
from recsvc.refresh.candidate import Candidate
from recsvc.refresh.parts import Run
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.places import forget_here
from recsvc.settings import load_settings
from tests.conftest import CHECKOUT, QUICK, Served
from tests.statement import statement

pytestmark = pytest.mark.neo4j
REFRESH_OPTIONS = QUICK

OWN, DRAWN = (
    (CHECKOUT / "cypher" / folder / "item_user_item.cypher").read_text(encoding="utf-8")
    for folder in ("metapaths", "explain")
)
FREE = re.sub(r"// walk:.*\n//   .*\n", "", OWN)
NOISE = """\
// Every item, as strongly as its id happens to say.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
UNWIND $evidence_ids AS evidence_id
MATCH (item:Item) WHERE item.item_id <> evidence_id
RETURN evidence_id, item.item_id AS item_id,
       toInteger(substring(item.item_id, 1)) * 7919 % 101 / 101.0 + 0.01 AS strength
"""
WAY = r"(u\d+) has (Song i\d+), which somebody has, who has (Song i\d+)"
Try = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def unhurried() -> Iterator[None]:
    """All users and rows are measured, however slow the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path_trial, "VALIDATION_SECONDS", 600.0)
        patch.setattr(path_trial, "ROWS_SECONDS", 600.0)
        patch.setattr(path_check, "TIME_LIMIT_SECONDS", 600.0)
        yield


@pytest.fixture(scope="module")
def tried(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Try:
    """Tries a meta-path of a name, once: the document that is printed."""
    tmp_path = tmp_path_factory.mktemp("tried")

    @cache
    def run(name: str, text: str, drawn: str = "") -> dict[str, Any]:
        file = tmp_path / "metapaths" / f"{name}.cypher"
        for folder, content in (("metapaths", text), ("explain", drawn)):
            (tmp_path / folder).mkdir(exist_ok=True)
            if content:
                (tmp_path / folder / file.name).write_text(content, encoding="utf-8")
        done = served.run("path", "try", str(file), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_declared_walk_is_as_good_alone_as_the_refresh_found_it(
    served: Served, tried: Try
) -> None:
    trial = tried("item_user_item", OWN)
    metrics = served.report.metrics
    assert metrics is not None
    for metric in ("recall@20", "ndcg@20"):
        assert trial["alone"][metric]["mean"] == pytest.approx(
            metrics["item_user_item"][metric].mean
        )
        assert trial["gain"][metric]["low"] <= trial["gain"][metric]["high"]
    assert trial["run"] == served.report.run
    assert trial["users"] == trial["all_users"] == QUICK.validation_users
    assert trial["evidence_nodes"] == trial["all_evidence_nodes"] == trial["items"] == 180
    assert 0 < trial["reaching"] <= 180 < trial["rows"]


@pytest.mark.long
def test_a_file_without_a_walk_knows_nothing_of_what_is_held_out(tried: Try) -> None:
    """Through the user themself each item leads to what is held out: it would be found at once."""
    declared, free = tried("item_user_item", OWN), tried("item_by_text", FREE, DRAWN)
    assert free["users"] == declared["users"]
    assert free["rows"] == declared["rows"]
    assert free["alone"]["recall@20"]["mean"] == pytest.approx(
        declared["alone"]["recall@20"]["mean"], abs=0.1
    )
    assert all(re.fullmatch(WAY, example["path"]) for example in free["examples"])


def test_noise_adds_nothing_to_users_that_its_weight_was_not_learned_on(tried: Try) -> None:
    found = tried("item_noise", NOISE)
    assert found["gain"]["ndcg@20"]["low"] <= 0.0, found["gain"]
    assert found["alone"]["ndcg@20"]["high"] < found["with_it"]["ndcg@20"]["low"]


def test_examples_are_what_it_alone_recommends_with_the_way_in_words(
    served: Served, tried: Try
) -> None:
    examples = tried("item_user_item", OWN)["examples"]
    assert len({each["user_id"] for each in examples}) == 5
    for example in examples:
        found = re.fullmatch(WAY, example["path"])
        assert found, example
        assert found[1] == example["user_id"]
        assert found[3] == example["title"] == f"Song {example['item_id']}" != found[2]
    done = served.run("path", "try", str(CHECKOUT / "cypher/metapaths/category_item.cypher"))
    assert done.returncode == 0, done.stderr
    assert "what it adds" in done.stdout


def test_a_file_with_faults_is_not_tried(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "item_user_item.cypher"
    file.write_text(OWN.replace("(Item ^-0.4)", "(Item)"), encoding="utf-8")
    done = served.run("path", "try", str(file))
    assert done.returncode == 1
    assert f"{file}:6: the walk gives other rows" in done.stderr


def test_the_commands_of_the_guide_run(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (CHECKOUT / "docs" / "metapaths.md").read_text(encoding="utf-8")
    files = re.findall(r"^`(cypher/\S+)`:\n\n```cypher\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for path, text in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = block.splitlines()
    assert [line.split()[:3] for line in lines] == [["recsvc", "path", c] for c in ("check", "try")]
    for line in lines:
        done = served.run(*line.split()[1:])
        assert done.returncode == 0, done.stderr
    assert "who follows somebody, who has Song" in done.stdout


def test_a_deletion_leaves_nothing_to_compare_with(served: Served) -> None:
    """No test after it finds anything kept."""
    folder = served.home / "trial"
    assert list(folder.glob("*.npz"))
    forget_here(served.home, "user", "u0")
    assert [path.name for path in folder.iterdir()] == ["lock"]
    done = served.run("path", "try", str(CHECKOUT / "cypher/metapaths/item_user_item.cypher"))
    assert done.returncode == 1
    assert "run `recsvc refresh --from-scratch`" in done.stderr


@pytest.mark.long
def test_of_a_graph_from_which_something_is_deleted_meanwhile_nothing_is_kept(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours = pipeline._write_neighbours

    def delete_somebody(run: Run, candidate: Candidate) -> None:
        neighbours(run, candidate)
        statement(served.gateway, "MATCH (u:User {user_id: 'u1'}) DETACH DELETE u")

    refresh(served.gateway, QUICK, load_settings().events, home=tmp_path)
    assert list((tmp_path / "trial").glob("*.npz"))
    monkeypatch.setattr(pipeline, "_write_neighbours", delete_somebody)
    refresh(
        served.gateway, QUICK, load_settings().events, home=tmp_path, force=True, from_scratch=True
    )
    assert [path.name for path in (tmp_path / "trial").iterdir()] == ["lock"]
