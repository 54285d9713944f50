"""Where all interactions speak, item_user_item takes Neo4j's degrees; else it counts those."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import neo4j
import pytest

from loaders.catalogue import catalogue
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.schema import apply_schema
from recsvc.graph.pasteable_cypher import path_parameters
from tests.hits import hits
from tests.prepared_graph import DELETE_ALL
from tests.statement import statement

pytestmark = pytest.mark.neo4j

KINDS = ["view", "interaction", "purchase"]
METAPATH, EXPLAIN = (catalogue()[f"{of}/item_user_item"] for of in ("metapaths", "explain"))
MADE = """
UNWIND range(0, 29) AS u
CREATE (user:User {user_id: 'u' + u})
WITH user, u
UNWIND [n IN range(0, 11) | (u * 7 + n * n) % 20] AS i
MERGE (item:Item {item_id: 'i' + i})
CREATE (user)-[:INTERACTED {event: ['view', 'purchase'][(u + i) % 2], weight: 1.0 + u}]->(item)
"""
PLANTED = """
MATCH (user:User {user_id: 'u3'}) MATCH (item:Item WHERE item.item_id IN ['i0', 'i1', 'i2'])
CREATE (user)-[r:INTERACTED {planted: true}]->(item)
SET r.event = $event, r.weight = $weight
"""
SILENT = [
    ("a", 1.0), ("purchased", 1.0), ("zap", 1.0), ("VIEW", 1.0), ("", 1.0), (True, 1.0), (7, 1.0),
    (["view"], 1.0), ("return", None), ("view", 0.0), ("view", -1.0), ("view", 2e6),
    ("view", float("nan")), ("view", "many"), ("view", True), ("view", [1.0]), (None, 0),
]  # fmt: skip

Rows = dict[tuple[str, str], float]


@pytest.fixture(scope="module")
def shop(session_gateway: Neo4jGateway) -> Neo4jGateway:
    """30 users and 20 items, below every cap; all that anybody did speaks."""
    session_gateway.run(DELETE_ALL)
    apply_schema(session_gateway)
    statement(session_gateway, MADE)
    return session_gateway


@pytest.fixture
def planted(shop: Neo4jGateway) -> Iterator[Neo4jGateway]:
    """The shop, without what is planted in it afterwards."""
    yield shop
    statement(shop, "MATCH ()-[r:INTERACTED {planted: true}]->() DELETE r")


@pytest.fixture(scope="module")
def session(neo4j_address: Neo4jAddress) -> Iterator[neo4j.Session]:
    with (
        neo4j.GraphDatabase.driver(neo4j_address.uri, auth=neo4j_address.auth) as driver,
        driver.session() as open_session,
    ):
        yield open_session


def speaks(event: Any, weight: Any, kinds: list[str]) -> bool:
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    return ("interaction" if event is None else event) in kinds and (
        weight is None or (number and 0 < weight <= 1e6)
    )


def expected(gateway: Neo4jGateway, kinds: list[str]) -> Rows:
    """What the header of the file says, counted in plain Python."""
    rows = statement(
        gateway,
        "MATCH (u:User)-[r:INTERACTED]->(i:Item) "
        "RETURN u.user_id AS user, i.item_id AS item, r.event AS event, r.weight AS weight",
    )
    links = Counter(
        (row["user"], row["item"]) for row in rows if speaks(row["event"], row["weight"], kinds)
    )
    degree: Counter[str] = Counter()
    for (user, item), count in links.items():
        degree.update({user: count, item: count})
    strengths: defaultdict[tuple[str, str], float] = defaultdict(float)
    for user, item in links:
        for other, end in links:
            if user == other and item != end:
                strengths[item, end] += (degree[item] * degree[user]) ** -0.7 * degree[end] ** -0.4
    return dict(strengths)


def check(gateway: Neo4jGateway, kinds: list[str], strengths: Rows) -> None:
    """The rows of the meta-path, and paths that add up to those of two items."""
    ids = [f"i{n}" for n in range(20)]
    rows = gateway.run(METAPATH, evidence_ids=ids, kinds=kinds)
    found = {(row["evidence_id"], row["item_id"]): row["strength"] for row in rows}
    assert found == pytest.approx(strengths, rel=1e-9)
    some = {pair: strengths[pair] for pair in strengths if pair[0] in {"i0", "i1"}}
    drawn: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in gateway.run(EXPLAIN, **path_parameters(list(some), "u0", kinds, limit=100)):
        drawn[row["evidence_id"], row["item_id"]] += row["strength"]
    assert drawn == pytest.approx(some, rel=1e-9)


@pytest.mark.parametrize(("event", "weight"), SILENT)
def test_one_that_does_not_speak_ends_the_short_way_at_once(
    planted: Neo4jGateway, event: Any, weight: Any
) -> None:
    before = expected(planted, KINDS)
    statement(planted, PLANTED, event=event, weight=weight)
    assert expected(planted, KINDS) == before
    check(planted, KINDS, before)


@pytest.mark.parametrize(("event", "weight"), [(None, None), ("purchase", None), (None, 3)])
def test_one_that_speaks_by_what_it_lacks_is_counted(
    planted: Neo4jGateway, event: Any, weight: Any
) -> None:
    before = expected(planted, KINDS)
    statement(planted, PLANTED, event=event, weight=weight)
    after = expected(planted, KINDS)
    assert after != before
    check(planted, KINDS, after)


def test_without_a_kind_one_may_be_an_interaction_that_does_not_speak(
    planted: Neo4jGateway,
) -> None:
    kinds = ["purchase", "view"]
    statement(planted, PLANTED, event=None, weight=None)
    after = expected(planted, kinds)
    assert after != expected(planted, KINDS)
    check(planted, kinds, after)


def test_all_speak_and_degrees_are_right(shop: Neo4jGateway) -> None:
    check(shop, KINDS, expected(shop, KINDS))


def test_degrees_are_counted_only_where_one_does_not_speak(
    planted: Neo4jGateway, session: neo4j.Session
) -> None:
    stored = hits(session, METAPATH.text, evidence_ids=["i0", "i1"], kinds=KINDS)
    statement(planted, PLANTED, event="return", weight=1.0)
    assert 2 * stored < hits(session, METAPATH.text, evidence_ids=["i0", "i1"], kinds=KINDS)


def test_the_answer_does_not_depend_on_the_indexes(planted: Neo4jGateway) -> None:
    before = expected(planted, KINDS)
    names = [f"recsvc_interacted_{of}" for of in ("event", "weight")]
    try:
        for name in names:
            statement(planted, f"DROP INDEX {name}")
        check(planted, KINDS, before)
        statement(planted, PLANTED, event="return", weight=1.0)
        check(planted, KINDS, before)
    finally:
        apply_schema(planted)
