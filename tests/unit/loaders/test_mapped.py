"""Queries as the graph of somebody else takes them."""

import re

import pytest

from loaders.catalogue import catalogue
from loaders.errors import ForeignGraphError
from loaders.gateway import Neo4jAddress
from loaders.graph_map import GraphMap
from loaders.mapped import MappedGraph
from tests.mappings import MANY_WAYS, MOVIES, NORTHWIND

OURS = re.compile(
    r":(?:Item|INTERACTED|FOLLOWS|IN_CATEGORY|PREFERS|EmbeddingVersion|SnapshotPart|SIMILAR)\b"
    r"|\.(?:item_id|user_id|category_id)\b(?!\s*[},])"
)


def address(graph: GraphMap | None = None) -> Neo4jAddress:
    mapped = MappedGraph(graph) if graph is not None else None
    return Neo4jAddress("bolt://localhost", "neo4j", "", graph=mapped)


def statement(graph: GraphMap, name: str) -> str:
    return " ".join(address(graph).statement(catalogue()[name]).split())


def test_without_a_mapping_each_query_is_the_text_of_its_file():
    assert all(address().statement(query) is query.text for query in catalogue().values())


@pytest.mark.parametrize("graph", [NORTHWIND, MOVIES, MANY_WAYS], ids=["shop", "movies", "many"])
def test_nothing_of_our_form_is_left(graph):
    # `pair` and `row` are parameters, which stay as they are.
    for query in catalogue().values():
        if query.name.split("/")[0] in ("extract", "metapaths", "explain", "serve", "writeback"):
            # Outcomes are nodes of ours in any graph.
            if query.name == "extract/without_held_out" or "(o:Outcome)" in query.text:
                continue
            text = re.sub(r"\b(?:pair|row)\.\w+", "", address(graph).statement(query))
            assert not OURS.search(text), query.name


def test_ids_are_looked_up_as_text_and_as_numbers():
    text = statement(NORTHWIND, "serve/user_exists")
    assert "(any_1:Customer WHERE any_1.customerID IN [$user_id, CASE WHEN" in text
    assert "toInteger($user_id) END])" in text


def test_an_interaction_over_several_steps_is_one_relationship():
    text = statement(NORTHWIND, "extract/interacted")
    assert text.startswith(
        "MATCH (user:Customer)-[:PURCHASED]->(order_1:Order)-[line_1:ORDERS]->(item:Product) "
        "WHERE user.customerID IN ("
    )
    assert "WITH item, user, 'purchase' AS event_1" in text
    assert "sum(coalesce(toFloatOrNull(line_1.quantity)" in text


def test_several_kinds_of_interactions_are_read_side_by_side():
    text = statement(MANY_WAYS, "serve/user_evidence")
    assert "COLLECT { CALL (user) { MATCH (user)-[:PURCHASED]->(order_1:Order)" in text
    assert (
        "UNION ALL MATCH (user)<-[seen_2:VIEWED_BY]-(item:Product WHERE (item.price > 0))" in text
    )
    assert "toStringOrNull(seen_2.kind) AS event_2" in text


def test_a_path_that_leads_back_over_the_same_order_is_matched_in_parts():
    text = statement(NORTHWIND, "explain/item_user_item")
    assert "path_1 = (evidence)<-[line_" in text
    assert "(person:Customer) MATCH path_2 = (person)-[:PURCHASED]->" in text
    assert "[path_1, path_2] AS path" in text


def test_against_the_direction_steps_are_turned_around():
    text = statement(MANY_WAYS, "explain/followed_user_item")
    assert "-[:KNOWS]-(evidence)" in text


def test_what_is_ours_begins_with_a_prefix_and_what_is_not_mapped_is_nowhere():
    assert "(v:recsvc_EmbeddingVersion {status: 'active'})" in statement(
        NORTHWIND, "serve/active_versions"
    )
    assert "n.recsvc_embedding_lightgcn_a" in statement(
        NORTHWIND, "writeback/item_vectors[lightgcn,a]"
    )
    assert "-[r:recsvc_FOLLOWS]->" in statement(NORTHWIND, "serve/user_evidence")
    everything = NORTHWIND.model_copy(update={"writes": "all"})
    assert "(v:EmbeddingVersion {status: 'active'})" in statement(
        everything, "serve/active_versions"
    )


def test_the_ledger_and_outcomes_are_ours_whatever_is_written():
    everything = MOVIES.model_copy(update={"writes": "all"})
    text = statement(everything, "delete/delete_user")
    assert "(entry:recsvc_Event {user_id: row.id})" in text
    assert "(o:recsvc_Outcome {user_id: row.id})" in text
    assert "MERGE (entry:recsvc_Event" in statement(everything, "ingest/events")


def test_of_several_kinds_of_categories_each_is_written_to_by_its_own_ids():
    text = statement(NORTHWIND.model_copy(update={"writes": "all"}), "write/put_category")
    category, supplier = text.split("MATCH (n:Supplier)")
    assert "row.id STARTS WITH 'category:'" in category
    assert "row.id STARTS WITH 'supplier:'" in category.partition("MATCH (n:Category)")[2]
    assert "n.supplierID IN [substring(row.id, 9)" in supplier


@pytest.mark.parametrize(
    "name",
    ["ingest/events", "ingest/interactions", "write/put_item", "write/follows", "write/nodes",
     "delete/delete_user", "extract/without_held_out", "schema/user_id"],
)  # fmt: skip
def test_what_changes_the_owners_graph_is_refused(name):
    with pytest.raises(ForeignGraphError, match="somebody else's"):
        statement(NORTHWIND, name)
