"""Every query of the catalogue on a real Neo4j, and that paths add up to what they explain."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import neo4j
import numpy as np
import pytest

from loaders.catalogue import Query, catalogue, with_one_parameter
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.extract import metapath_rows
from loaders.gateway import Neo4jAddress, Neo4jGateway, taken
from loaders.schema import apply_schema
from loaders.types import IdMap
from loaders.writeback import Version, write_similar
from recsvc.graph.pasteable_cypher import pasteable, path_parameters
from tests.conftest import on_later_lines_long
from tests.graph_hash import PAGES
from tests.indexes import make_indexes, named
from tests.plans import operators

pytestmark = pytest.mark.neo4j

VALUES: dict[str, Any] = {
    "str": "a", "int": 1, "float": 1.0, "bool": True, "bytes": b"a", "map": {}, "any": None,
    "list[str]": ["a"], "list[map]": [], "list[int]": [1], "list[bytes]": [b"a"],
    "list[list[any]]": [], "datetime": datetime(2025, 1, 1, tzinfo=UTC),
}  # fmt: skip
HOSTILE_IDS = [
    "it's", '"quoted"', "`ticks`", "back\\slash", "ends in \\", "\\'", "\\u0027", "\\\\u0027",
    "C:\\users", "$limit", "$pairs", "'] AS pair //", "/* */ // --", "nul\0inside", "two\nlines",
    "\r\t\b\f", "\x7f\x85\xa0", "\u2028\u2029", "😀👩‍👩‍👧", "\u202eleft", "\\g<0>", "{x: 1}", "",
]  # fmt: skip

EMPTY = Query("tests/empty", "Empties the graph.", "write", {}, {}, "MATCH (n) DETACH DELETE n")
# One of everything the queries name, so that none of it is unknown to the planner.
EVERYTHING = Query(
    "tests/everything", "", "write", {}, {},
    """
    CREATE (u:User {user_id: 'u', name: 'U', embedding_lightgcn_a: [1.0, 0.0],
      embedding_lightgcn_b: [1.0, 0.0], embedding_node2vec_a: [1.0, 0.0],
      embedding_node2vec_b: [1.0, 0.0]}),
      (v:User {user_id: 'v', name: 'V', embedding_lightgcn_a: [0.6, 0.8],
      embedding_lightgcn_b: [0.6, 0.8], embedding_node2vec_a: [0.6, 0.8],
      embedding_node2vec_b: [0.6, 0.8]}),
      (i:Item {item_id: 'i', title: 'I', available: true, created_at: datetime(),
      embedding_lightgcn_a: [1.0, 0.0], embedding_lightgcn_b: [1.0, 0.0],
      embedding_node2vec_a: [1.0, 0.0], embedding_node2vec_b: [1.0, 0.0]}),
      (c:Category {category_id: 'c', name: 'C', kind: 'tag'}),
      (u)-[:INTERACTED {event: 'e', weight: 1.0, count: 1, value: 1.0, first_at: datetime(),
        last_at: datetime(), ledger_count: 1, ledger_weight: 1.0}]->(i),
      (u)-[:FOLLOWS {since: datetime()}]->(u), (u)-[:PREFERS {weight: 1.0}]->(c),
      (i)-[:IN_CATEGORY {weight: 1.0}]->(c), (c)-[:SUBCATEGORY_OF]->(c),
      (i)-[:SIMILAR {model: 'm', score: 1.0, rank: 1}]->(i),
      (i)-[:RELATED_TO {kind: 'k', weight: 1.0}]->(i),
      (:RefreshLease {name: 'refresh', holder: 'h', fence: 1, acquired_at: datetime(),
        heartbeat_at: datetime(), expires_at: datetime(), locked: true}),
      (:Experiment {name: 'e', revision: 1, document: '{}', place: '', at: datetime(),
        stopped_at: datetime(), promoted: 'a', promoted_until: datetime(), scenarios: ['s']}),
      (:WriteLock {name: 'writes'}), (:Deletion {note: 'n', kind: 'user', digest: 'd', number: 1}),
      (:Event {event_id: 'x', user_id: 'u', item_id: 'i', at: datetime(), uncounted: true,
        outcome_id: 'o'}),
      (:Outcome {outcome_id: 'o', recommendation: 'r', user_id: 'u', item_id: 'i', kind: 'k',
        position: 1, version: 1, scenario: 's', revision: 1, experiment: 'e', variant: 'v',
        experiment_revision: 1, at: datetime(), answered_at: datetime(), tried: 't',
        propensity: 1.0}),
      (:Change {position: 1, at: datetime(), change: 'event', user_id: 'u', other_id: 'v',
        item_id: 'i', category_id: 'c'}),
      (:ChangeFeed {name: 'changes', last: 1, pruned: 0}), (:ChangeReader {name: 't', position: 1}),
      (:Scenario {name: 's', revision: 1, document: '{}', at: datetime()}),
      (:EmbeddingVersion {model: 'hybrid', version: 1, slot: 'a', status: 'active', seed: 1,
        options: '{}', weights: '{}', metrics: '{}', sha256: '', reason: '', run: 'r',
        started_at: datetime(), activation: 1,
        ready_at: datetime(), activated_at: datetime(), retired_at: datetime(), locked: true,
        validation_users: [1], validation_ndcg: [1.0], validation_asked: [1],
        overridden: ['o'], seconds: 1.0, kinds: ['e'],
        weights: '{}', reliance: '{}', signal_metrics: '{}', below_popularity: ['1']})
      -[:HAS_PART]->(:SnapshotPart {entry: '', number: 0, sha256: '', content: ''})
    """,
)  # fmt: skip


@pytest.fixture(scope="module")
def session(neo4j_address: Neo4jAddress) -> Iterator[neo4j.Session]:
    """A session that is told all notifications, which the gateway turns off."""
    with (
        neo4j.GraphDatabase.driver(
            neo4j_address.uri, auth=neo4j_address.auth, notifications_min_severity="INFORMATION"
        ) as driver,
        driver.session() as open_session,
    ):
        yield open_session


@dataclass(frozen=True)
class Said:
    """What the server says of a query.

    Attributes:
        columns: what it returns.
        notifications: what the server notifies about.
    """

    columns: list[str]
    notifications: list[str]


def said_of(session: neo4j.Session, query: Query, prefix: str) -> Said:
    parameters = {name: VALUES[kind] for name, kind in query.params.items()}
    text = f"{prefix}{query.text}"
    result = session.run(text, parameters)  # pyright: ignore[reportArgumentType]
    columns = list(result.keys())
    notifications = [
        f"{query.name}: {status.gql_status} {status.status_description}"
        for status in result.consume().gql_status_objects
        if status.is_notification
    ]
    return Said(columns, notifications)


@pytest.fixture(scope="module")
def said(session_gateway: Neo4jGateway, session: neo4j.Session) -> Callable[[str], Said]:
    """What the server says of a query, by its name."""
    session_gateway.run(EMPTY)
    session_gateway.run(EVERYTHING)

    @cache
    def indexed(model: str) -> None:
        make_indexes(session_gateway, [model])

    def told(name: str) -> Said:
        query = catalogue()[name]
        for model in named(query) & {*EMBEDDING_MODELS}:
            indexed(model)
        if query.mode != "schema":
            return said_of(session, query, "EXPLAIN ")
        # It says that the index is there; nothing else.
        found = said_of(session, query, "")
        others = [text for text in found.notifications if "already exists" not in text]
        return replace(found, notifications=others)

    return told


def allowed(name: str, text: str) -> bool:
    """Whether a notification is expected.

    `id()` is deprecated in favour of text ids, with which extracting the Gowalla graph costs Neo4j
    1.6 times the processor time (docs/decisions/0008).
    """
    if name.startswith("extract/"):
        return "id is deprecated" in text
    # The number of dimensions is an option of the model, so an index takes any.
    return "vector_index" in name and "dimensions not specified" in text


def of_another_model(name: str) -> bool:
    """Whether a query is the like of another one, for another model or slot."""
    return bool({"b", *EMBEDDING_MODELS[1:]} & named(catalogue()[name]))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if of_another_model(name) else [])
        for name in catalogue()
    ],
)
def test_query_is_planned_as_it_is_declared_without_a_notification(
    said: Callable[[str], Said], name: str
) -> None:
    found = said(name)
    assert [text for text in found.notifications if not allowed(name, text)] == []
    assert found.columns == list(catalogue()[name].returns)


def test_notifications_are_seen(gateway: Neo4jGateway, session: neo4j.Session) -> None:
    """The test above would fail on a query with a misspelt label."""
    gateway.run(EVERYTHING)
    query = catalogue()["serve/live_items"]
    misspelt = replace(query, text=query.text.replace("(item:Item)", "(item:Itme)"))
    assert said_of(session, query, "EXPLAIN ").notifications == []
    assert "Itme" in " ".join(said_of(session, misspelt, "EXPLAIN ").notifications)


@pytest.mark.parametrize("query", PAGES.values(), ids=PAGES)
def test_a_page_of_the_hash_is_read_at_once(
    gateway: Neo4jGateway, session: neo4j.Session, query: Query
) -> None:
    """Not id by id: each may be a scan, in a graph that was large and is small."""
    gateway.run(EVERYTHING)
    parameters = {"prefix": "4:", "first": 0, "last": 9_999}
    plan = session.run(f"EXPLAIN {query.text}", parameters).consume().plan
    assert "Unwind" not in operators(plan)


@pytest.mark.parametrize("folder", ["metapaths", "explain"])
def test_whether_all_interactions_speak_is_asked_of_indexes(
    gateway: Neo4jGateway, session: neo4j.Session, folder: str
) -> None:
    """In a graph of any size: no interaction is read for that."""
    gateway.run(EVERYTHING)
    query = catalogue()[f"{folder}/item_user_item"]
    parameters = {name: VALUES[kind] for name, kind in query.params.items()}
    planned = operators(session.run(f"EXPLAIN {query.text}", parameters).consume().plan)
    assert {"DirectedRelationshipIndexScan", "DirectedRelationshipIndexSeekByRange"} <= planned
    assert not {name for name in planned if name.endswith("TypeScan")}


@pytest.mark.long
@on_later_lines_long
def test_a_query_with_one_parameter_is_planned_once_for_all_sizes(
    gateway: Neo4jGateway, session: neo4j.Session
) -> None:
    gateway.run(EVERYTHING)
    sizes = (0, 1, 5, 50, 500)
    names = ["serve/user_evidence", "serve/live_items", "serve/category_items"]
    names += [name for name in catalogue() if name.startswith("serve/paths[")]

    def planned(names: list[str], *, one: bool) -> int:
        session.run("CALL db.clearQueryCaches()").consume()
        for name in names:
            query = catalogue()[name]
            for size in sizes:
                values = {
                    "user_ids": ["u"] * size, "user_id": "u" * size, "item_ids": ["i"] * size,
                    "category_ids": ["c"] * size, "limit": 1, "seen_limit": 1,
                    "pairs": [{"evidence_id": "i", "item_id": "i"}] * size, "kinds": ["e"] * size,
                }  # fmt: skip
                given = {name: values[name] for name in query.params}
                text = with_one_parameter(query.text) if one else query.text
                session.run(text, {"all": given} if one else given).consume()
        (cleared,) = session.run("CALL db.clearQueryCaches()").single(strict=True)
        return int(re.findall(r"\d+", cleared)[0])

    assert planned(names, one=True) == len(names)
    assert planned(names[:1], one=False) > 2  # else nobody needs it


COPIES = ", ".join(
    f"u.embedding_{model}_{slot} = vector" for model in EMBEDDING_MODELS for slot in "ab"
)
OTHER_MODELS = replace(
    EMPTY, text=f"MATCH (u:User) WITH u, u.embedding_lightgcn_a AS vector SET {COPIES}"
)


@on_later_lines_long
def test_nearest_users_are_found_in_every_slot(gateway: Neo4jGateway) -> None:
    gateway.run(EVERYTHING)
    gateway.run(OTHER_MODELS)
    for query in catalogue().folder("writeback"):
        if query.mode == "schema":
            gateway.run(query)
    gateway.run(catalogue()["ingest/await_indexes"])
    queries = [q for q in catalogue().folder("serve") if "similar_users" in q.name]
    assert len(queries) == 2 * len(EMBEDDING_MODELS)  # two slots each
    for query in queries:
        (found,) = gateway.run(query, user_id="u", k=1)
        # The index keeps vectors quantized, which moves its scores a little.
        assert found == {"id": "v", "name": "V", "score": pytest.approx(0.6, abs=0.01)}


# 130 people, 240 items, 64 categories. Person 0 has more items, item 0 more people, items 0 and 1
# more categories and category 0 more items than a hop may take; some pairs have two events; weights
# tie often.
MADE = Query(
    "tests/made", "", "write", {}, {},
    """
    FOREACH (n IN range(0, 129) | CREATE (:User {user_id: 'u' + n}))
    FOREACH (n IN range(0, 239) | CREATE (:Item {item_id: 'i' + n}))
    FOREACH (n IN range(0, 63) | CREATE (:Category {category_id: 'c' + n}))
    WITH 1 AS made
    MATCH (u:User), (i:Item)
    WITH u, i, toInteger(substring(u.user_id, 1)) AS p, toInteger(substring(i.item_id, 1)) AS q
    WHERE q = 0 OR p = 0 OR (p * 7 + q * 11) % 23 = 0
    CREATE (u)-[:INTERACTED {event: 'play', weight: 1.0 + (p * q) % 5}]->(i)
    FOREACH (_ IN CASE (p + q) % 3 WHEN 0 THEN [1] ELSE [] END |
      CREATE (u)-[:INTERACTED {event: 'buy', weight: 1.0 + q % 2}]->(i))
    WITH DISTINCT 1 AS made
    MATCH (i:Item), (c:Category)
    WITH i, c, toInteger(substring(i.item_id, 1)) AS q, toInteger(substring(c.category_id, 1)) AS r
    WHERE r = 0 OR r < 4 AND q % (r + 1) = 0 OR r >= 4 AND q < 2
    CREATE (i)-[:IN_CATEGORY {weight: 1.0 + (q * (r + 1)) % 4}]->(c)
    WITH DISTINCT 1 AS made
    MATCH (u:User {user_id: 'u0'}), (v:User), (c:Category)
    WHERE v <> u
    MERGE (u)-[:FOLLOWS]->(v)
    MERGE (u)-[:PREFERS {weight: 1.0}]->(c)
    """,
)  # fmt: skip
KINDS = ["buy", "interaction", "play"]
EXPLAINED = [query.name.removeprefix("explain/") for query in catalogue().folder("explain")]
EVIDENCE = {
    "item": ("item_id", ["i0", "i1", "i12", "i239"]),
    "followed": ("user_id", ["u0", "u1", "u77"]),
    "category": ("category_id", ["c0", "c3"]),
}


@on_later_lines_long
@pytest.mark.parametrize(
    "name",
    [
        name if name == "category_item" else pytest.param(name, marks=pytest.mark.long)
        for name in EXPLAINED
    ],
)
def test_paths_add_up_to_the_strength_and_a_limit_keeps_the_strongest(
    gateway: Neo4jGateway, name: str
) -> None:
    apply_schema(gateway)
    gateway.run(MADE)
    key, evidence_ids = EVIDENCE[name.partition("_")[0]]
    query = catalogue()[f"metapaths/{name}"]
    rows = gateway.run(query, **taken(query, {"evidence_ids": evidence_ids, "kinds": KINDS}))
    strength = {(row["evidence_id"], row["item_id"]): row["strength"] for row in rows}
    assert len(strength) == len(rows), "a pair came twice"
    assert {evidence_id for evidence_id, _ in strength} == set(evidence_ids)
    assert len(strength) > 50
    explain = catalogue()[f"explain/{name}"]
    parameters = path_parameters(list(strength), "u0", KINDS, limit=10_000)
    values_of_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    drawn: set[tuple[str, ...]] = set()
    for row in gateway.run(explain, **taken(explain, parameters)):
        pair = row["evidence_id"], row["item_id"]
        first, *_, last = row["path"].nodes
        assert (first[key], last["item_id"]) == pair
        values_of_pair[pair].append(row["strength"])
        ids = tuple(node.element_id for node in row["path"].nodes)
        assert ids not in drawn, "the same nodes were drawn twice"
        drawn.add(ids)
        if row["start"] is not None:
            start, end = row["start"].nodes
            assert (start["user_id"], end.element_id) == ("u0", first.element_id)
    total = {pair: sum(strengths) for pair, strengths in values_of_pair.items()}
    assert total == pytest.approx(strength, rel=1e-9)
    few: dict[tuple[str, str], list[float]] = defaultdict(list)
    parameters = path_parameters(list(strength), None, KINDS, limit=2)
    for row in gateway.run(explain, **taken(explain, parameters)):
        assert row["start"] is None
        few[row["evidence_id"], row["item_id"]].append(row["strength"])
    assert few.keys() == values_of_pair.keys()
    for pair, strengths in few.items():
        assert strengths == pytest.approx(sorted(values_of_pair[pair], reverse=True)[:2])


@pytest.mark.parametrize(
    ("name", "weight"),
    [("category_item", None), ("category_item", -2.0), ("item_category_item", -2.0)],
)
def test_odd_category_weights_do_no_harm(
    gateway: Neo4jGateway, name: str, weight: float | None
) -> None:
    link = Query(
        "tests/link", "", "write", {"weight": "float"}, {},
        "UNWIND ['i', 'j', 'k'] AS id MERGE (c:Category {category_id: 'c'}) "
        "CREATE (:Item {item_id: id})-[r:IN_CATEGORY {weight: 1.0}]->(c) "
        "FOREACH (_ IN CASE id WHEN 'j' THEN [1] ELSE [] END | SET r.weight = $weight)",
    )  # fmt: skip
    gateway.run(link, weight=weight)
    items = IdMap(["i", "j", "k"])
    evidence = IdMap(["c"]) if name == "category_item" else items
    query = catalogue()[f"extract/metapath_rows[{name}]"]
    found = metapath_rows(gateway, query, evidence, items, lambda found: found, kinds=KINDS)
    rows = found.toarray()
    assert (rows[0] >= 0).all(), "NaN is not >= 0"
    assert rows[0, 2] > 0


@on_later_lines_long
@pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=ascii)
def test_pasted_query_reads_the_ids_and_draws_the_paths(
    gateway: Neo4jGateway, session: neo4j.Session, hostile: str
) -> None:
    made = Query(
        "tests/hostile", "", "write", {"id": "str"}, {},
        "CREATE (:User {user_id: $id})-[:INTERACTED {weight: 1.0}]->(i:Item {item_id: $id}), "
        "(i)<-[:INTERACTED {weight: 1.0}]-(:User {user_id: $id + 'p'})"
        "-[:INTERACTED {weight: 1.0}]->(:Item {item_id: $id + 'q'})",
    )  # fmt: skip
    gateway.run(made, id=hostile)
    text = pasteable(
        "item_user_item", path_parameters([(hostile, hostile + "q")], hostile, KINDS, limit=3)
    )
    literal = f"{text[: text.rindex('] AS pair' + chr(10))]}] AS pair RETURN pair"
    (row,) = session.run(literal)  # pyright: ignore[reportArgumentType]
    assert row["pair"] == {"evidence_id": hostile, "item_id": hostile + "q"}
    (row,) = session.run(text)  # pyright: ignore[reportArgumentType]
    ids = [node.get("item_id", node.get("user_id")) for node in row["path"].nodes]
    assert ids == [hostile, hostile + "p", hostile + "q"]
    assert row["start"].nodes[0]["user_id"] == hostile


def test_a_neighbour_that_stays_keeps_its_relationship(gateway: Neo4jGateway) -> None:
    """All others go, a second one between the same items too."""
    made = Query(
        "tests/similar", "", "write", {}, {},
        """
        CREATE (:EmbeddingVersion {model: 'mf', version: 2, status: 'active'}),
          (a:Item {item_id: 'a'}), (b:Item {item_id: 'b'}), (c:Item {item_id: 'c'}),
          (d:Item {item_id: 'd'}),
          (a)-[:SIMILAR {model: 'mf', score: 0.9, rank: 1, mark: 1}]->(b),
          (a)-[:SIMILAR {model: 'mf', score: 0.8, rank: 2, mark: 1}]->(c),
          (a)-[:SIMILAR {model: 'mf', score: 0.8, rank: 2, mark: 1}]->(c),
          (a)-[:SIMILAR {model: 'lightgcn', score: 0.7, rank: 1, mark: 1}]->(d),
          (b)-[:SIMILAR {model: 'mf', score: 0.9, rank: 1, mark: 1}]->(a)
        """,
    )  # fmt: skip
    gateway.run(made)
    items = IdMap(["a", "b", "c", "d"])
    near = np.array([[2, 3], [-1, -1], [0, 1], [0, -1]])
    scores = np.array([[0.75, 0.5], [0, 0], [0.5, 0.25], [0.5, 0]], np.float32)
    stored = Query(
        "tests/stored", "", "read", {}, {},
        """
        MATCH (item:Item)-[s:SIMILAR]->(other:Item)
        RETURN item.item_id + s.model + s.rank AS at, [other.item_id, s.score, s.mark] AS near
        ORDER BY at
        """,
    )  # fmt: skip
    found = {
        "alightgcn1": ["d", 0.7, 1], "amf1": ["c", 0.75, 1], "amf2": ["d", 0.5, None],
        "cmf1": ["a", 0.5, None], "cmf2": ["b", 0.25, None], "dmf1": ["a", 0.5, None],
    }  # fmt: skip
    assert write_similar(gateway, Version("mf", 1, "a"), items, near, scores) == 0
    for _ in range(2):
        assert write_similar(gateway, Version("mf", 2, "b"), items, near, scores) == 5
        rows = gateway.run(stored)
        assert {row["at"]: row["near"] for row in rows} == found
        assert len(rows) == len(found)
