"""A retail graph as others have it, from its files to explained recommendations and back."""

import csv
import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import neo4j
import pytest

from loaders.catalogue import catalogue, planned_once
from loaders.errors import ForeignGraphError
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.graph_map import GraphMap
from loaders.graph_survey import _named, survey
from loaders.mapped import MappedGraph
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from tests.conftest import recsvc, running_service
from tests.graph_hash import graph_hash
from tests.mappings import MANY_WAYS, MOVIES, NORTHWIND
from tests.plans import operators
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = pytest.mark.neo4j

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NODES = {"Customer": "customers", "Product": "products", "Category": "categories",
         "Supplier": "suppliers", "Order": "orders"}  # fmt: skip
LINKS = (
    "MATCH (a:Product), (b:Category) WHERE a.categoryID = b.categoryID CREATE (a)-[:PART_OF]->(b)",
    "MATCH (a:Product), (b:Supplier) WHERE a.supplierID = b.supplierID CREATE (b)-[:SUPPLIES]->(a)",
    "MATCH (a:Customer), (b:Order) WHERE a.customerID = b.customerID CREATE (a)-[:PURCHASED]->(b)",
)
LINES = """
UNWIND $rows AS row
MATCH (o:Order {orderID: row.orderID})
MATCH (p:Product {productID: row.productID})
CREATE (o)-[:ORDERS {quantity: toInteger(row.quantity), unitPrice: toFloat(row.unitPrice),
  discount: toFloat(row.discount)}]->(p)
"""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [
            {name: value for name, value in row.items() if name and name != "picture"}
            for row in csv.DictReader(file)
        ]


def indexes(gateway: Neo4jGateway) -> set[str]:
    return {row["name"] for row in gateway.run(catalogue()["ingest/indexes"])}


@pytest.fixture(scope="module")
def indexes_before(session_gateway: Neo4jGateway) -> set[str]:
    """The names of those that other tests have left."""
    return indexes(session_gateway)


@pytest.fixture(scope="module")
def northwind(
    session_gateway: Neo4jGateway, shared_data: Path, indexes_before: set[str]
) -> tuple[Neo4jGateway, int]:
    """The shop, and the hash of its graph."""
    session_gateway.run(DELETE_ALL)
    folder = shared_data / "northwind"
    for label, file in NODES.items():
        statement(session_gateway, f"UNWIND $rows AS row CREATE (n:{label}) SET n = row",
              rows=rows(folder / f"{file}.csv"))  # fmt: skip
    for text in LINKS:
        statement(session_gateway, text)
    statement(session_gateway, LINES, rows=rows(folder / "order-details.csv"))
    return session_gateway, graph_hash(session_gateway)


@pytest.fixture(scope="module")
def run(neo4j_address: Neo4jAddress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command in a folder of its own."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RECSVC_HOME", str(folder / "home"))
        patch.setenv("RECSVC_NEO4J_URI", neo4j_address.uri)
        patch.setenv("RECSVC_NEO4J_USER", neo4j_address.user)
        patch.setenv("RECSVC_NEO4J_PASSWORD", neo4j_address.password)
        yield recsvc


@pytest.fixture(scope="module")
def attached(northwind: tuple[Neo4jGateway, int], run: Run) -> GraphMap:
    """The shop with the mapping that is proposed for it."""
    done = run("attach")
    assert done.returncode == 0, done.stderr
    with Path("recsvc.toml").open("a", encoding="utf-8") as file:
        file.write('\n[refresh]\nmodels = ["fastrp", "walk3"]\nvalidation_users = 60\n')
    graph = load_settings().graph
    assert graph is not None
    return graph


@pytest.fixture(scope="module")
def refreshed(attached: GraphMap, run: Run) -> GraphMap:
    done = run("refresh")
    assert done.returncode == 0, done.stderr
    return attached


def test_a_refresh_of_a_foreign_graph_writes_nothing(
    northwind: tuple[Neo4jGateway, int], tmp_path: Path
) -> None:
    gateway, before = northwind
    with pytest.raises(ForeignGraphError, match="no :User: map it with `recsvc attach`"):
        refresh(gateway, RefreshOptions(), load_settings().events, home=tmp_path)
    assert graph_hash(gateway) == before


def test_the_mapping_that_is_proposed_is_that_of_the_guide(attached: GraphMap) -> None:
    guide = Path(__file__).parents[2].joinpath("docs", "attach.md").read_text(encoding="utf-8")
    table = guide.split("```toml\n")[1].split("```")[0]
    assert attached == GraphMap.model_validate(tomllib.loads(table)["graph"])


def test_relationships_are_counted_and_not_read(
    northwind: tuple[Neo4jGateway, int], neo4j_address: Neo4jAddress
) -> None:
    gateway, _ = northwind
    found = {(link.source, link.type, link.target): link for link in survey(gateway).links}
    assert {ends: (link.count, link.about) for ends, link in found.items()} == {
        ("Order", "ORDERS", "Product"): (2155, False),
        ("Customer", "PURCHASED", "Order"): (830, False),
        ("Product", "PART_OF", "Category"): (77, False),
        ("Supplier", "SUPPLIES", "Product"): (77, False),
    }
    with (
        neo4j.GraphDatabase.driver(neo4j_address.uri, auth=neo4j_address.auth) as driver,
        driver.session() as session,
    ):
        for query in (_named("attach/label", User="Order"),
                      _named("attach/links", User="Order", INTERACTED="ORDERS")):  # fmt: skip
            plan = session.run(f"EXPLAIN {query.text}", sample=1).consume().plan
            assert {"NodeCountFromCountStore", "RelationshipCountFromCountStore"} & operators(plan)
            assert not {"AllNodesScan", "DirectedAllRelationshipsScan"} & operators(plan)


def test_where_ends_of_a_type_differ_a_sample_tells_about_how_many(
    northwind: tuple[Neo4jGateway, int],
) -> None:
    gateway, before = northwind
    label = "odd`) DETACH DELETE (n"
    statement(gateway, f"UNWIND range(1, 2000) AS n CREATE (:Odd {{id: n}})-[:SUPPLIES]->"
              f"(:`{label.replace('`', '``')}` {{id: n}})")  # fmt: skip
    try:
        seen = survey(gateway)
        counts = {(link.source, link.type, link.target): link.counted for link in seen.links}
        assert counts["Odd", "SUPPLIES", label] == "about 2,000"
        assert counts["Supplier", "SUPPLIES", "Product"] == "77"
        assert [each.name for each in seen.properties(label)] == ["id"]
    finally:
        statement(gateway, f"MATCH (n:Odd|`{label.replace('`', '``')}`) DETACH DELETE n")
    assert graph_hash(gateway) == before


def test_check_counts_and_names_what_no_index_serves(attached: GraphMap, run: Run) -> None:
    done = run("attach", "--check", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["missing"] == []
    assert said["found"] == {
        "users": 91, "items": 77, "categories": 37, "interactions": 1685, "in_category": 154,
        "follows": 0,
    }  # fmt: skip
    assert any("(n:Customer) REQUIRE n.customerID IS UNIQUE" in line for line in said["slow"])


def test_check_names_what_the_graph_does_not_have(
    attached: GraphMap, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("recsvc.toml").read_text(encoding="utf-8").replace("ORDERS]", "ORDERED]")
    (tmp_path / "recsvc.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = run("attach", "--check")
    assert done.returncode == 1
    assert "the graph has no type of relationships ORDERED" in done.stdout


def test_a_refresh_writes_under_names_of_ours(
    refreshed: GraphMap, northwind: tuple[Neo4jGateway, int]
) -> None:
    gateway, _ = northwind
    labels = {row["label"] for row in statement(
        gateway, "MATCH (n) UNWIND labels(n) AS label RETURN DISTINCT label")}  # fmt: skip
    assert {label for label in labels if not label.startswith("recsvc_")} == {*NODES}
    (row,) = statement(gateway, "MATCH (p:Product) WHERE p.recsvc_embedding_fastrp_a IS NOT NULL "
                           "RETURN count(p) AS count")  # fmt: skip
    assert row["count"] == 77


def test_lists_are_of_available_products_that_the_customer_did_not_buy(
    refreshed: GraphMap, run: Run, northwind: tuple[Neo4jGateway, int]
) -> None:
    done = run("recommend", "ALFKI", "-k", "20", "--json")
    assert done.returncode == 0, done.stderr
    listed = {each["item_id"] for each in json.loads(done.stdout)["items"]}
    assert len(listed) == 20
    (bought,) = statement(
        northwind[0],
        "MATCH (:Customer {customerID: 'ALFKI'})-[:PURCHASED]->()-[:ORDERS]->(p) "
        "RETURN collect(p.productID) AS ids",
    )
    (gone,) = statement(
        northwind[0], "MATCH (p:Product {discontinued: '1'}) RETURN collect(p.productID) AS ids"
    )
    assert not listed & {*bought["ids"], *gone["ids"]}


def test_paths_lead_over_the_owners_nodes_and_can_be_pasted(
    refreshed: GraphMap, run: Run, northwind: tuple[Neo4jGateway, int]
) -> None:
    done = run("recommend", "ALFKI", "--json")
    best = json.loads(done.stdout)["items"][0]["item_id"]
    done = run("explain", "ALFKI", best, "--json")
    assert done.returncode == 0, done.stderr
    explained = json.loads(done.stdout)
    explanation = explained.get("explanation") or explained["items"][0]["explanation"]
    kinds = {node["kind"] for path in explanation["paths"] for node in path["nodes"]}
    types = {step["type"] for path in explanation["paths"] for step in path["relationships"]}
    assert {"item", "order"} <= kinds
    assert {"PURCHASED", "ORDERS"} <= types
    assert "INTERACTED" not in explanation["cypher"]
    drawn = statement(northwind[0], explanation["cypher"])
    assert len(drawn) > 0
    assert all(row["path"] is not None for row in drawn)


def test_what_a_customer_buys_counts_at_once(
    refreshed: GraphMap, run: Run, northwind: tuple[Neo4jGateway, int]
) -> None:
    gateway, _ = northwind
    best = json.loads(run("recommend", "ALFKI", "--json").stdout)["items"][0]["item_id"]
    statement(gateway, "MATCH (c:Customer {customerID: 'ALFKI'})-[:PURCHASED]->(o:Order) "
                   "WITH o LIMIT 1 MATCH (p:Product {productID: $id}) "
                   "CREATE (o)-[:ORDERS {quantity: 1, test: true}]->(p)", id=best)  # fmt: skip
    try:
        listed = json.loads(run("recommend", "ALFKI", "--json").stdout)["items"]
        assert best not in {each["item_id"] for each in listed}
    finally:
        statement(gateway, "MATCH ()-[r:ORDERS {test: true}]->() DELETE r")


@pytest.mark.long
def test_the_service_answers_and_refuses_to_write(
    refreshed: GraphMap, run: Run, tmp_path: Path, neo4j_address: Neo4jAddress
) -> None:
    with running_service(dict(os.environ), tmp_path / "serve.log") as service:
        client = service.client
        answer = client.get("/v1/users/ALFKI/recommendations")
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 10
        assert client.get("/v1/items/21/similar").status_code == 200
        item = client.get("/v1/items/21").json()
        assert item["title"] == item["productName"]
        event = {"event_id": "e", "user_id": "ALFKI", "item_id": "21"}
        for refused in (
            client.post("/v1/events", json={"events": [event]}),
            client.put("/v1/items/21", json={"title": "Other"}),
            client.delete("/v1/users/ALFKI"),
            client.delete("/v1/users/ALFKI/interactions/21"),
        ):
            assert refused.status_code == 409, refused.text
            assert "somebody else's" in refused.json()["detail"]


def test_detach_takes_away_all_that_was_written(
    refreshed: GraphMap, run: Run, northwind: tuple[Neo4jGateway, int], indexes_before: set[str]
) -> None:
    gateway, before = northwind
    done = run("detach", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["vectors"] > 0
    assert graph_hash(gateway) == before
    assert indexes(gateway) == indexes_before


@pytest.mark.long
def test_nothing_is_written_for_a_user_who_may_only_read(
    attached: GraphMap, run: Run, northwind: tuple[Neo4jGateway, int], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    gateway, _ = northwind
    before = graph_hash(gateway)
    text = Path("recsvc.toml").read_text(encoding="utf-8")
    quiet = text.replace("[graph.user]", '[graph]\nwrites = "none"\n\n[graph.user]', 1)
    (tmp_path / "recsvc.toml").write_text(quiet, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSVC_HOME", str(tmp_path / "home"))
    for _ in range(2):
        done = run("refresh", "--from-scratch")
        assert done.returncode == 0, done.stderr
    listed = json.loads(run("recommend", "ALFKI", "--json").stdout)
    assert len(listed["items"]) == 10
    assert listed["versions"]["hybrid" if "hybrid" in listed["versions"] else "fastrp"] == 2
    assert run("rollback", "hybrid").returncode == 0
    assert graph_hash(gateway) == before


@pytest.mark.long
@pytest.mark.parametrize(
    "graph",
    [NORTHWIND, MOVIES, MANY_WAYS, MOVIES.model_copy(update={"writes": "all"})],
    ids=["shop", "movies", "many", "written"],
)
def test_every_query_is_planned_in_other_names(
    graph: GraphMap, session_gateway: Neo4jGateway, neo4j_address: Neo4jAddress
) -> None:
    with Neo4jGateway(replace(neo4j_address, graph=MappedGraph(graph))) as gateway:
        for query in catalogue().values():
            try:
                gateway.address.statement(query)
            except ForeignGraphError:
                continue
            if query.mode in ("read", "write") and not query.name.startswith("ingest/"):
                gateway.plan(planned_once(query))


@pytest.mark.long
def test_queries_of_requests_are_planned_in_other_names(
    session_gateway: Neo4jGateway, neo4j_address: Neo4jAddress
) -> None:
    with Neo4jGateway(replace(neo4j_address, graph=MappedGraph(MANY_WAYS))) as gateway:
        for name in ("serve/user_evidence", "explain/item_user_item", "metapaths/item_user_item",
                     "extract/interacted", "serve/find_user"):  # fmt: skip
            gateway.plan(planned_once(catalogue()[name]))
