"""Where a walk from new items is after two steps, and what it costs to know."""

from collections import defaultdict

import neo4j
import pytest

from loaders.catalogue import catalogue
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.schema import apply_schema
from tests.hits import hits
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = pytest.mark.neo4j

TWO_STEPS = catalogue()["serve/two_steps"]
HAVE = {"u0": [0, 1, 2], "u1": [1, 2, 3, 4], "u2": [2], "bulk": list(range(100, 400))}
LINKED = {"u0": 2, "u1": 1, "u2": 1, "bulk": 0}
MADE = """
UNWIND $pairs AS pair
MERGE (user:User {user_id: pair[0]})
MERGE (item:Item {item_id: pair[1]})
CREATE (user)-[:INTERACTED {event: 'view'}]->(item)
"""
FOLLOWS = """
MATCH (a:User {user_id: 'u0'}), (b:User {user_id: 'u1'}), (c:User {user_id: 'u2'})
CREATE (a)-[:FOLLOWS]->(b), (b)-[:FOLLOWS]->(a), (c)-[:FOLLOWS]->(a)
"""


@pytest.fixture(scope="module")
def graph(session_gateway: Neo4jGateway) -> Neo4jGateway:
    session_gateway.run(DELETE_ALL)
    apply_schema(session_gateway)
    pairs = [[user, f"i{item}"] for user, items in HAVE.items() for item in items]
    statement(session_gateway, MADE, pairs=pairs)
    statement(session_gateway, FOLLOWS)
    return session_gateway


def test_shares_are_those_of_the_walk(graph: Neo4jGateway) -> None:
    expected = defaultdict[tuple[str, str], float](float)
    for start in (1, 2):
        people = [user for user, items in HAVE.items() if start in items]
        for user in people:
            for item in HAVE[user]:
                share = 1 / (len(people) * (len(HAVE[user]) + LINKED[user]))
                expected[f"i{start}", f"i{item}"] += share
    rows = graph.run(TWO_STEPS, evidence_ids=["i1", "i2"], kinds=["view"])
    found = {
        (row["evidence_id"], item): share
        for row in rows
        for item, share in zip(row["item_ids"], row["shares"], strict=True)
    }
    assert found == pytest.approx(dict(expected), rel=1e-12)


def test_what_one_person_has_is_read_once(graph: Neo4jGateway, neo4j_address: Neo4jAddress) -> None:
    """Somebody who brings many new items at a time holds up nobody."""
    with (
        neo4j.GraphDatabase.driver(neo4j_address.uri, auth=neo4j_address.auth) as driver,
        driver.session() as session,
    ):
        items = [f"i{n}" for n in HAVE["bulk"]]
        one, fifty = (
            hits(session, TWO_STEPS.text, evidence_ids=items[:some], kinds=["view"])
            for some in (1, 50)
        )
    assert fifty < 2 * one
