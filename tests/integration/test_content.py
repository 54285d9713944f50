"""An item that nobody had, found by what it says of itself: from the graph to the answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loaders.catalogue import Query
from loaders.extract import extract_texts
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.graph_map import GraphMap
from loaders.local_neo4j import DEFAULT_LINE
from loaders.mapped import MappedGraph
from loaders.types import IdMap
from recsvc.content.kept_vectors import read_kept
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.places import forget_here
from recsvc.settings import load_settings
from tests.conftest import Served, refreshed, running_service
from tests.statement import statement
from tests.unit.content import encoding

pytestmark = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True, scope="session"),
]

WORDS = ["guitar", "piano", "drums", "flute"]
OPTIONS = RefreshOptions(
    models=("walk3", "content"), validation_users=60,
    options={"content": {"items": ["title", "note"], "users": ["about"], "dimensions": 32,
                         "encoder": "tests.unit.content.encoding:words"}},
)  # fmt: skip


def number(identifier: str) -> int:
    return int(id_numbers([identifier])[0])


def write_tables(folder: Path) -> None:
    """Four tastes, each with a word in the notes of its items; `new-piano` nobody has."""
    rng = np.random.default_rng(1)
    rows = [
        f"u{user:02},i{item:02}"
        for user in range(80)
        for item in range(80)
        if item // 20 == user % 4 and rng.random() < 0.5
    ]
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows) + "\n")
    notes = [f"i{item:02},Song,{WORDS[item // 20]} music" for item in range(80)]
    notes += ["new-piano,Song,piano music", "silent,,"]
    (folder / "items.csv").write_text("item_id,title,note\n" + "\n".join(notes) + "\n")
    (folder / "users.csv").write_text("user_id,about\nu01,I play the piano\nu02,\n")


@pytest.fixture(scope="module")
def served(
    neo4j_line: str,
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    encoding.ASKED.clear()
    return refreshed(neo4j_address, session_gateway, tmp_path_factory, OPTIONS, write_tables)


def test_a_new_item_is_recommended_and_its_sentence_says_by_what(
    served: Served, tmp_path: Path
) -> None:
    with running_service(served.environment, tmp_path / "serve.log") as service:
        client = service.client
        answer = client.get("/v1/users/u01/recommendations", params={"k": 30}).json()
        (new,) = [item for item in answer["items"] if item["item_id"] == "new-piano"]
        assert new["signals"]["content"] > 0.5 * new["score"]
        assert new["explanation"]["text"].startswith("Because its description is similar to that")
        assert sum(new["signals"].values()) == pytest.approx(new["score"], rel=1e-4)
        told = new["explanation"]
        total = sum(c["value"] for c in told["contributions"]) + told["remainder"]
        assert total == pytest.approx(new["score"], rel=1e-4)
        # Of another taste it is not.
        other = client.get("/v1/users/u02/recommendations", params={"k": 30}).json()
        assert "new-piano" not in [item["item_id"] for item in other["items"]]
        alike = client.get(
            "/v1/items/new-piano/similar", params={"model": "content", "k": 5}
        ).json()
        assert {item["id"] for item in alike["items"]} <= {f"i{n}" for n in range(20, 40)}
        assert len(alike["items"]) == 5
        # Nothing is known of it but what it says, and that is evidence too.
        asked = {"evidence": [{"item_id": "new-piano"}], "k": 5}
        found = client.post("/v1/recommendations", json=asked).json()
        assert {item["item_id"] for item in found["items"]} <= {f"i{n}" for n in range(20, 40)}


def test_the_vectors_are_properties_that_the_vector_index_finds(served: Served) -> None:
    rows = served.gateway.run(
        Query("tests/vectors", "", "read", {}, {"near": "list[str]", "users": "int"},
              "MATCH (:Item {item_id: 'new-piano'})-[r:SIMILAR {model: 'content'}]->(near:Item) "
              "WITH collect(near.item_id) AS near "
              "MATCH (user:User) WHERE size(user.embedding_content_a) = 32 "
              "RETURN near, count(user) AS users")
    )  # fmt: skip
    assert len(rows[0]["near"]) == 5
    assert set(rows[0]["near"]) <= {f"i{n}" for n in range(20, 40)}
    assert rows[0]["users"] == 80
    # Twenty items have the same text, and an approximate index that is asked for few goes astray
    # among their vectors.
    by_index = statement(
        served.gateway,
        "MATCH (item:Item {item_id: 'new-piano'}) CALL db.index.vector.queryNodes("
        "'item_embedding_content_a', 100, item.embedding_content_a) "
        "YIELD node, score RETURN collect(node.item_id) AS ids, max(score) AS best",
    )
    assert "new-piano" in by_index[0]["ids"]
    assert by_index[0]["best"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.long
def test_the_next_refresh_encodes_only_what_is_new_and_forgets_who_was_deleted(
    served: Served,
) -> None:
    home, folder = served.home, served.home / "content" / "graph"
    assert number("u01") in read_kept(folder / "User.npz").node
    encoding.ASKED.clear()
    statement(
        served.gateway,
        "CREATE (:Item {item_id: 'later', title: 'Later', note: ['piano', 'solo', '7']})",
    )
    refresh(served.gateway, OPTIONS, load_settings().events, home=home)
    assert encoding.ASKED == ["Later. piano, solo, 7"]
    forget_here(home, "user", "u01")
    assert number("u01") not in read_kept(folder / "User.npz").node


def test_odd_values_are_read_as_text_or_not_at_all(session_gateway: Neo4jGateway) -> None:
    statement(
        session_gateway,
        "CREATE (:Item {item_id: 'odd', a: 0.0 / 0.0, b: [1, 2], c: date('2020-01-01'), "
        "d: [true], e: $huge, f: 7, g: [date('2020-01-01')], h: [], i: range(1, 500)})",
        huge="x" * 100_000,
    )
    names = [*"abcdefghi", "missing", "item_id"]
    (node,) = extract_texts(session_gateway, "Item", IdMap(["gone", "odd"]), names)
    read = dict(zip(names, node.values, strict=True))
    assert read.pop("e") == ["x" * 20_000]
    assert read.pop("i") == [str(number) for number in range(1, 101)]
    assert read == {
        "a": ["NaN"], "b": ["1", "2"], "c": ["2020-01-01"], "d": ["true"], "f": ["7"],
        "g": ["2020-01-01"], "h": [], "missing": [""], "item_id": ["odd"],
    }  # fmt: skip


def test_properties_have_their_names_in_the_graph_of_somebody_else(
    session_gateway: Neo4jGateway, neo4j_address: Neo4jAddress
) -> None:
    mapped = GraphMap.model_validate(
        {
            "writes": "none",
            "user": {"label": "Person", "id": "key"},
            "item": {"label": "Film", "id": "code", "title": "name"},
            "category": {"genre": {"label": "Genre", "id": "word"}},
            "interactions": [{"path": "(user)-[:SAW]->(item)"}],
        }
    )
    statement(
        session_gateway,
        "CREATE (:Film {code: 7, name: 'Alien', plot: 'A ship in space'}), "
        "(:Genre {word: 'horror'})",
    )
    with Neo4jGateway(replace(neo4j_address, graph=MappedGraph(mapped))) as gateway:
        (film,) = extract_texts(gateway, "Item", IdMap(["7"]), ["title", "plot"])
        (genre,) = extract_texts(gateway, "Category", IdMap(["horror"]), ["name"])
    assert (film.id, film.values) == ("7", [["Alien"], ["A ship in space"]])
    assert (genre.id, genre.values) == ("horror", [["horror"]])
