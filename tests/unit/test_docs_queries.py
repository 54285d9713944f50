"""The queries of the guide run, and its Python on a graph."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from loaders.catalogue import Catalogue, Query, catalogue
from loaders.extract import extract_graph
from loaders.gateway import Neo4jAddress, Neo4jGateway, Row
from recsvc.cli import app
from recsvc.signals.walk import walk_rows
from tests.unit.test_docs import PAGES, ROOT, blocks

pytestmark = pytest.mark.neo4j

GRAPH = """
CREATE (one:Item {item_id: '289', title: 'One', embedding_lightgcn_a: [1.0, 0.0]}),
       (two:Item {item_id: '187', title: 'Two', embedding_lightgcn_a: [0.9, 0.1]}),
       (three:Item {item_id: '1001', title: 'Three', embedding_lightgcn_a: [0.0, 1.0]}),
       (:Item {item_id: 'new', title: 'New'}),
       (asker:User {user_id: '2', embedding_lightgcn_a: [1.0, 0.2]}),
       (friend:User {user_id: '428', embedding_lightgcn_a: [0.8, 0.1]}),
       (other:User {user_id: '275', embedding_lightgcn_a: [0.2, 1.0]}),
       (tag:Category {category_id: '1', name: 'tag', kind: 'tag'}),
       (asker)-[:FOLLOWS]->(friend), (friend)-[:FOLLOWS]->(other), (friend)-[:FOLLOWS]->(asker),
       (asker)-[:INTERACTED {event: 'listen', weight: 3.0, count: 1}]->(three),
       (asker)-[:PREFERS {weight: 1.0}]->(tag),
       (friend)-[:INTERACTED {event: 'listen', weight: 2.0, count: 1}]->(one),
       (other)-[:INTERACTED {event: 'listen', weight: 2.0, count: 1}]->(two),
       (other)-[:INTERACTED {event: 'listen', weight: 5.0, count: 1}]->(one),
       (other)-[:INTERACTED {event: 'view', weight: 1.0, count: 1}]->(one),
       (two)-[:IN_CATEGORY {weight: 1.0}]->(tag), (three)-[:IN_CATEGORY {weight: 2.0}]->(tag),
       (one)-[:SIMILAR {model: 'lightgcn', score: 0.9, rank: 1}]->(two),
       (one)-[:SIMILAR {model: 'node2vec', score: 0.8, rank: 1}]->(two),
       (three)-[:SIMILAR {model: 'lightgcn', score: 0.5, rank: 1}]->(two),
       (:EmbeddingVersion {model: 'lightgcn', version: 1, slot: 'a', status: 'active',
                           metrics: '{}', weights: '{}', activated_at: datetime()})
WITH one
UNWIND range(1, 50) AS number
CREATE (:User {user_id: 'listener ' + number})-[:INTERACTED {event: 'listen', weight: 1.0}]->(one)
"""


@pytest.fixture
def made_graph(gateway: Neo4jGateway) -> Neo4jGateway:
    """A small graph in which every query of the guide finds something."""
    gateway.run(Query("tests/docs_graph", "A small graph.", "write", {}, {}, GRAPH))
    for label in ("item", "user"):
        gateway.run(catalogue()[f"writeback/{label}_vector_index[lightgcn,a]"])
    gateway.run(catalogue()["ingest/await_indexes"])
    return gateway


def undone(gateway: Neo4jGateway, text: str) -> list[Row]:
    """The rows of a statement of the guide, in a transaction that is rolled back."""
    query = Query("docs", "A statement of the guide.", "read", {}, {}, text)  # pyright: ignore[reportArgumentType] - text of ours
    return gateway.run_rolled_back(lambda transaction: transaction.run(query))


@pytest.mark.parametrize("page", ["README.md", "docs/analysts.md"])
def test_every_query_runs_and_finds_something(page: str, made_graph: Neo4jGateway) -> None:
    statements = blocks(page, "cypher")
    assert statements
    for statement in statements:
        assert undone(made_graph, statement), statement


@pytest.mark.long
def test_the_python_of_extracting_and_of_the_report_runs(
    made_graph: Neo4jGateway,
    neo4j_address: Neo4jAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("loaders.gateway.Neo4jAddress", lambda *_: neo4j_address)
    (extracting,) = blocks("docs/extract.md", "python")
    exec(extracting, {})
    assert capsys.readouterr().out == "0 0\n"  # no five users have five items here
    (reporting,) = blocks("docs/report.md", "python")
    exec(reporting, {"gateway": made_graph})
    assert "What deserves a look" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def with_the_example(tmp_path: Path) -> Catalogue:
    """The project's queries and the example of docs/metapaths.md, where it says they go."""
    shutil.copytree(ROOT / "cypher", tmp_path, dirs_exist_ok=True)
    page = PAGES["docs/metapaths.md"]
    found = re.findall(r"^`cypher/(\S+)`:\n\n```cypher\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(found) == len(blocks("docs/metapaths.md", "cypher"))
    for path, text in found:
        (tmp_path / path).write_text(text, encoding="utf-8")
    return Catalogue(tmp_path)


@pytest.mark.usefixtures("with_the_example", "made_graph")
def test_the_check_of_the_guide_finds_nothing(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, tried = blocks("docs/metapaths.md", "sh")[0].splitlines()
    *command, file = shlex.split(check)[1:]
    assert tried == check.replace(" check ", " try ")  # as tests/integration/test_path_trial.py
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, [*command, str(tmp_path / file.removeprefix("cypher/"))])
    assert done.exit_code == 0, done.output


def test_the_metapath_of_the_guide_runs_and_its_paths_add_up(
    with_the_example: Catalogue, made_graph: Neo4jGateway
) -> None:
    name, kinds = "followed_user_user_item", ["listen"]
    row = made_graph.run(
        with_the_example[f"extract/metapath_rows[{name}]"], evidence_ids=["428", "nobody"],
        kinds=kinds,
    )[0]  # fmt: skip
    strength = dict(zip(row["item_ids"], row["strengths"], strict=True))
    assert strength.keys() == {"289", "187", "1001"}
    assert row["evidence_id"] == "428"
    graph, walk = extract_graph(made_graph), with_the_example[f"metapaths/{name}"].walk
    assert walk is not None
    declared = walk_rows(walk, graph, kinds, 100)[graph.users.row("428")].toarray()[0]
    found = {item: declared[graph.items.row(item)] for item in strength}
    assert found == pytest.approx(strength)
    assert np.count_nonzero(declared) == len(strength)

    pairs = [{"evidence_id": "428", "item_id": item_id} for item_id in strength]
    parameters = {"pairs": pairs, "user_id": "2", "kinds": kinds, "limit": 100}
    drawn = made_graph.run(with_the_example[f"explain/{name}"], **parameters)
    for path in drawn:
        assert path["start"].nodes[0]["user_id"] == "2"
        assert path["path"].nodes[-1]["item_id"] == path["item_id"]
    for item_id, expected in strength.items():
        parts = [path["strength"] for path in drawn if path["item_id"] == item_id]
        assert sum(parts) == pytest.approx(expected)
