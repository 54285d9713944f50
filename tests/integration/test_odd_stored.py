"""What this product itself keeps in the graph, and ids, edited by hand: everybody is answered."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import orjson
import pytest

from loaders.catalogue import Query, catalogue
from loaders.errors import QueryError
from loaders.extract import extract_graph
from loaders.schema import apply_schema
from recsvc.refresh.pipeline import refresh
from recsvc.report import build_report
from recsvc.settings import load_settings
from recsvc.snapshot.deletion import pending_deletions
from tests.conftest import QUICK, Served, Service
from tests.statement import statement
from tests.waiting import until

pytestmark = pytest.mark.neo4j

T = TypeVar("T")

REFRESH_OPTIONS = QUICK


@pytest.mark.parametrize(
    "note",
    [
        "{}",
        "{note: 'n', kind: 'user', digest: [1]}",
        "{note: ['n'], kind: 'user', digest: 'd'}",
        "{note: 'n', kind: 'x', digest: 'd'}",
    ],
)
def test_notes_of_deletions_that_cannot_be_read(
    served: Served, service: Service, log_file: Path, note: str
) -> None:
    (made,) = statement(served.gateway, f"CREATE (n:Deletion {note}) RETURN elementId(n) AS id")
    try:
        statement(served.gateway, "MERGE (:User {user_id: 'gone'})")
        assert service.client.delete("/v1/users/gone").status_code == 204
        listed = service.client.get("/v1/models")
        assert listed.status_code == 200
        assert listed.json()["deletions"]["pending"] == 0
        assert made["id"] in log_file.read_text()
    finally:
        statement(served.gateway, "MATCH (n:Deletion) DELETE n")


def test_a_note_of_which_only_the_number_or_time_is_odd_is_worked_on(
    served: Served, service: Service
) -> None:
    statement(
        served.gateway,
        "CREATE (:Deletion {note: 'n', kind: 'user', digest: 'd', number: 'a', at: 'z'})",
    )
    assert pending_deletions(served.gateway).count == 1
    statement(served.gateway, "MERGE (:User {user_id: 'gone'})")
    assert service.client.delete("/v1/users/gone").status_code == 204
    assert statement(served.gateway, "MATCH (n:Deletion) RETURN n") == []


ODD_VERSION = """
MATCH (v:EmbeddingVersion {status: 'active'})
WITH v, properties(v) AS before
SET v.metrics = '{', v.options = '[1]', v.activated_at = 'yesterday', v.seconds = 'long',
    v.validation_ndcg = 'x'
RETURN elementId(v) AS id, before
"""


@pytest.mark.long
def test_versions_that_were_edited(served: Served, service: Service) -> None:
    before = statement(served.gateway, ODD_VERSION)
    try:
        listed = service.client.get("/v1/models")
        assert listed.status_code == 200
        told = served.run("versions")
        assert told.returncode == 0, told.stderr
        for version in listed.json()["models"]:
            assert version["unreadable"] == ["activated_at", "metrics", "options"]
            named = f"{version['model']} {version['version']}: activated_at, metrics, options"
            assert named in " ".join(told.stderr.split())
            assert version["status"] == "active"
        answer = served.run("recommend", "u0", "--json")
        assert answer.returncode == 0, answer.stderr
        assert len(orjson.loads(answer.stdout)["items"]) == 10
        report = refresh(
            served.gateway, REFRESH_OPTIONS, load_settings().events, home=served.home, force=True
        )
        assert report.versions["hybrid"] == 2
    finally:
        for row in before:
            statement(
                served.gateway,
                "MATCH (v) WHERE elementId(v) = $id "
                "SET v.metrics = $before.metrics, v.options = $before.options",
                **row,
            )


@pytest.mark.parametrize(
    ("node", "id_"),
    [("Item", "item_id"), ("User", "user_id"), ("Category", "category_id")],
)
def test_ids_that_are_lists(served: Served, service: Service, node: str, id_: str) -> None:
    """Those who are linked with such a node are answered without it."""
    statement(
        served.gateway,
        f"""
        MATCH (u:User {{user_id: 'u0'}})-[:INTERACTED]->(had:Item)
        WITH u, collect(had) AS all
        CREATE (n:{node} {{note: 'odd', {id_}: ['x'], title: 'Odd', name: 'Odd'}})
        WITH u, all, n, n:Item AS item, n:User AS user
        FOREACH (_ IN CASE WHEN item THEN [1] ELSE [] END |
          CREATE (u)-[:INTERACTED {{event: 'listen', weight: 1.0}}]->(n))
        FOREACH (_ IN CASE WHEN user THEN [1] ELSE [] END |
          CREATE (u)-[:FOLLOWS]->(n)
          FOREACH (had IN all | CREATE (n)-[:INTERACTED {{event: 'listen', weight: 1.0}}]->(had)))
        FOREACH (_ IN CASE WHEN user OR item THEN [] ELSE [1] END |
          CREATE (u)-[:PREFERS]->(n)
          FOREACH (had IN all | CREATE (had)-[:IN_CATEGORY]->(n)))
        """,
    )
    try:
        listed = service.client.get(
            "/v1/users/u0/recommendations", params={"explain": "full", "k": 20}
        )
        assert listed.status_code == 200, listed.text
        assert listed.json()["degraded"] == []
        item = listed.json()["items"][0]["item_id"]
        explained = service.client.get(f"/v1/users/u0/recommendations/{item}/explanation")
        assert explained.status_code == 200, explained.text
        many = service.client.post("/v1/recommendations/batch", json={"user_ids": ["u0"], "k": 10})
        assert many.status_code == 200, many.text
        assert '["x"]' not in listed.text + explained.text + many.text
        told = served.run("explain", "u0", item)
        assert told.returncode == 0, told.stderr
    finally:
        statement(served.gateway, "MATCH (n {note: 'odd'}) DETACH DELETE n")


@pytest.mark.parametrize("weight", ["1e308", "1e7", "9223372036854775807"])
def test_a_category_link_beyond_the_limit_counts_nothing(
    served: Served, service: Service, weight: str
) -> None:
    """An explanation gives such a link no strength, as if it were not there."""
    item = service.client.get("/v1/users/u0/recommendations", params={"k": 1}).json()["items"][0]
    path = f"/v1/users/u0/recommendations/{item['item_id']}/explanation"
    links = "MATCH (:Item {item_id: $item})-[r:IN_CATEGORY]->(c)"
    count = statement(served.gateway, f"{links} RETURN count(*) AS count", item=item["item_id"])[0][
        "count"
    ]
    statement(served.gateway, f"{links} SET r.weight = {weight}", item=item["item_id"])
    try:
        explained = service.client.get(path)
        assert explained.status_code == 200, explained.text
        paths = explained.json()["explanation"]["paths"]
        through = [p for p in paths if "category" in [node["kind"] for node in p["nodes"]]]
        assert count > 0
        assert through == []
        rows = served.gateway.run(
            catalogue()["extract/metapath_rows[item_category_item]"],
            evidence_ids=[item["item_id"]],
        )
        assert rows == []
        rows = served.gateway.run(
            catalogue()["extract/metapath_rows[category_item]"], evidence_ids=["c0", "c1"]
        )
        assert all(item["item_id"] not in row["item_ids"] for row in rows)
    finally:
        statement(served.gateway, f"{links} REMOVE r.weight", item=item["item_id"])


def schema(text: str) -> Query:
    return Query("tests/schema", "", "schema", {}, {}, text)  # pyright: ignore[reportArgumentType] (names are no parameters)


def degraded(service: Service) -> dict[str, str]:
    return service.client.get("/health/ready").json()["degraded"]


@pytest.mark.long
def test_a_dropped_vector_index_is_named(served: Served, service: Service) -> None:
    model = service.client.get("/v1/users/u0/similar").json()["model"]
    slot = statement(
        served.gateway,
        "MATCH (v:EmbeddingVersion {status: 'active', model: $model}) RETURN v.slot AS slot",
        model=model,
    )[0]["slot"]
    name = f"user_embedding_{model}_{slot}"
    served.gateway.run(schema(f"DROP INDEX {name}"))
    answer = service.client.get("/v1/users/u0/similar")
    assert answer.status_code == 404
    assert name in answer.json()["detail"]
    assert service.client.get("/v1/items/i0/similar").status_code == 200
    with pytest.raises(QueryError, match=f"no such vector schema index: {name}"):
        served.gateway.run(catalogue()["analyst/nearest_users"], user_id="u0", model=model, limit=5)
    told = until(lambda: degraded(service).get("schema"))
    assert name in told
    makes = told.partition("CREATE")[2].partition(" makes it")[0]
    assert f"CREATE{makes} makes it" in answer.json()["detail"]
    served.gateway.run(schema(f"CREATE{makes}"))
    until(lambda: degraded(service) == {})
    assert service.client.get("/v1/users/u0/similar").json()["items"]


def test_two_users_of_one_id(served: Served, service: Service, log_file: Path) -> None:
    """The service's log names the second, and a refresh says how many nodes count as one."""
    (constraint,) = served.gateway.run(
        Query(
            "tests/constraints", "", "read", {}, {},
            "SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE labelsOrTypes = ['User'] "
            "RETURN name",
        )
    )  # fmt: skip
    served.gateway.run(schema(f"DROP CONSTRAINT {constraint['name']}"))
    statement(served.gateway, "CREATE (:User {user_id: 'u0', note: 'odd'})")
    try:
        assert service.client.get("/v1/users/u0/recommendations").status_code == 200
        assert "User.user_id of another" in log_file.read_text()
        heard: list[Mapping[str, int]] = []
        extract_graph(served.gateway, unread=heard.append)
        assert heard == [{"User": 1}]
        faults = {
            row["fault"]: row for row in served.gateway.run(catalogue()["analyst/data_quality"])
        }
        assert faults["id of several nodes"] == {
            "fault": "id of several nodes", "count": 1, "example": "u0",
        }  # fmt: skip
        told = until(lambda: degraded(service).get("schema"))
        query = f"MATCH{told.partition('MATCH')[2].partition(' finds nodes')[0]}"
        assert [row["user_id"] for row in statement(served.gateway, query)] == ["u0"]
        assert "u0" not in told
    finally:
        statement(served.gateway, "MATCH (u:User {note: 'odd'}) DETACH DELETE u")
        apply_schema(served.gateway)
    until(lambda: degraded(service) == {})


@pytest.mark.long
def test_links_that_say_nothing(served: Served, service: Service) -> None:
    """Who follows themselves, a category that holds an item twice, an item without an id."""
    statement(
        served.gateway,
        "MATCH (u:User {user_id: 'u0'}), (i:Item {item_id: 'i0'})-[:IN_CATEGORY]->(c) "
        "WITH u, i, head(collect(c)) AS c "
        "CREATE (u)-[:FOLLOWS]->(u), (i)-[:IN_CATEGORY {weight: 2.0}]->(c), "
        "(u)-[:INTERACTED {event: 'listen'}]->(:Item {item_id: ['x'], note: 'odd'})",
    )
    try:
        evidence = service.client.get("/v1/users/u0/evidence").json()
        assert ("user", "u0") not in [(each["kind"], each["id"]) for each in evidence["evidence"]]
        graph = extract_graph(served.gateway)
        assert (graph.follows.source != graph.follows.target).all()
        listed = service.client.get("/v1/items/i0").json()["categories"]
        assert len({link["category_id"] for link in listed}) == len(listed)
        found = service.client.get("/v1/users", params={"search": "u0", "k": 1}).json()["found"]
        items = statement(
            served.gateway,
            "MATCH (:User {user_id: 'u0'})-[:INTERACTED]->(i) WHERE i.item_id IS :: STRING "
            "RETURN count(DISTINCT i) AS count",
        )
        assert found[0]["count"] == items[0]["count"]
    finally:
        statement(
            served.gateway,
            "MATCH (u:User {user_id: 'u0'})-[f:FOLLOWS]->(u) DELETE f "
            "WITH count(*) AS done MATCH (:Item {item_id: 'i0'})-[r:IN_CATEGORY {weight: 2.0}]->() "
            "DELETE r WITH count(*) AS done MATCH (n {note: 'odd'}) DETACH DELETE n",
        )


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("İzmir", ["t1"]), ("izmir", ["t1"]), ("ที่รัก", ["t2"]), ("ที่", ["t2"]),
        ("été", ["t3", "t4"]), ("e\u0301te\u0301", ["t3", "t4"]), ("ete", ["t3", "t4"]),
        ("bjork", ["t5", "t6"]), ("Björk", ["t5", "t6"]), ("bjo\u0308r", ["t5", "t6"]),
    ],
)  # fmt: skip
def test_titles_with_marks_are_found(
    served: Served, service: Service, typed: str, found: list[str]
) -> None:
    """Marks that are characters of their own, in what is typed and in the title."""
    titles = {"t1": "İzmir", "t2": "ที่รัก", "t3": "été", "t4": "e\u0301te\u0301",
              "t5": "Björk", "t6": "Bjo\u0308rk"}  # fmt: skip
    statement(
        served.gateway,
        "UNWIND keys($titles) AS id MERGE (i:Item {item_id: id}) SET i.title = $titles[id]",
        titles=titles,
    )
    told = service.client.get("/v1/items", params={"search": typed, "k": 100}).json()["found"]
    assert sorted(each["id"] for each in told if each["id"] in titles) == found


def test_a_category_is_not_put_below_one_of_its_own(service: Service) -> None:
    put = service.client.put
    assert put("/v1/categories/top", json={}).status_code == 201
    assert put("/v1/categories/middle", json={"parent_id": "top"}).status_code == 201
    assert put("/v1/categories/low", json={"parent_id": ["middle"]}).status_code == 201
    refused = put("/v1/categories/top", json={"parent_id": "low"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["location"] == ["body", "parent_id"]
    assert put("/v1/categories/low", json={"parent_id": "top"}).status_code == 200
    assert put("/v1/categories/top", json={"parent_id": "low-2"}).status_code == 200


def test_two_puts_at_once_make_no_category_its_own_ancestor(
    served: Served, service: Service
) -> None:
    def put(category: str, parent: str) -> int:
        path = f"/v1/categories/{category}"
        return service.client.put(path, json={"parent_id": parent}).status_code

    with ThreadPoolExecutor(2) as threads:
        for n in range(8):
            # Over two levels: each parent is above the other category.
            assert (put(f"low a{n}", f"a{n}"), put(f"low b{n}", f"b{n}")) == (201, 201)
            answers = threads.map(put, (f"a{n}", f"b{n}"), (f"low b{n}", f"low a{n}"))
            assert sorted(answers) == [200, 422]
    own = statement(
        served.gateway,
        "MATCH (c:Category)-[:SUBCATEGORY_OF*1..4]->(c) RETURN c.category_id AS id",
    )
    assert own == []
    assert put("fresh", "a0") == 201  # what is refused holds nobody else up


def test_categories_that_are_their_own_ancestors_by_hand_hold_nobody_up(
    served: Served, service: Service
) -> None:
    """Of 9 categories each is below each: their ways of ten levels are a thousand million."""
    gateway = served.gateway
    statement(
        gateway,
        "UNWIND range(0, 8) AS n CREATE (c:Category {category_id: 'knot' + n}) "
        "WITH collect(c) AS knots UNWIND knots AS one UNWIND knots AS other "
        "WITH one, other WHERE one <> other CREATE (one)-[:SUBCATEGORY_OF]->(other)",
    )
    asked = {"category": "knot0", "explain": "full"}
    path = "/v1/users/tied/recommendations"
    try:
        quality = {row["fault"]: row for row in gateway.run(catalogue()["analyst/data_quality"])}
        assert quality["category that is its own ancestor"]["count"] == 9
        assert quality["category that is its own ancestor"]["example"] == "knot0"
        statement(
            gateway,
            "MATCH (k:Category {category_id: 'knot8'}), (o:Category {category_id: 'knot3'}) "
            "MERGE (i:Item {item_id: 'i3'}) CREATE (i)-[:IN_CATEGORY]->(k) "
            "CREATE (:User {user_id: 'tied'})-[:PREFERS]->(o)",
        )
        rows = gateway.run(
            catalogue()["extract/metapath_rows[category_item]"], evidence_ids=["knot0"]
        )
        assert [row["item_ids"] for row in rows] == [["i3"]]
        answer = service.client.get(path, params=asked)
        assert [item["item_id"] for item in answer.json()["items"]] == ["i3"]
        assert service.client.get(f"{path}/i3/explanation").status_code == 200
        assert len(service.client.get("/v1/categories/knot0").json()["parent_id"]) == 8
        put = service.client.put("/v1/categories/knot0", json={"parent_id": "knot1"})
        assert put.status_code == 422
        assert service.client.put("/v1/categories/above", json={}).status_code == 201
        moved = service.client.put("/v1/categories/below", json={"parent_id": "knot1"})
        assert moved.status_code == 201
    finally:
        statement(
            gateway,
            "MATCH (n) WHERE n.category_id STARTS WITH 'knot' OR n.user_id = 'tied' "
            "DETACH DELETE n",
        )


NAN = """
MATCH (u:User {user_id: 'u1'})-[:INTERACTED]->(i:Item)
WITH u, i LIMIT 1
MATCH (c:Category {category_id: 'nan'}), (f:User {user_id: 'nan'})
SET i.title = 0.0 / 0.0, c.name = 0.0 / 0.0, c.kind = 0.0 / 0.0, f.name = 0.0 / 0.0
MERGE (u)-[:PREFERS]->(c) MERGE (u)-[:FOLLOWS]->(f) MERGE (i)-[:IN_CATEGORY]->(c)
RETURN i.item_id AS id
"""


def test_a_title_that_is_not_a_number_is_none(served: Served, service: Service) -> None:
    statement(served.gateway, "CREATE (:Category {category_id: 'nan'}), (:User {user_id: 'nan'})")
    (item,) = statement(served.gateway, NAN)
    get, item_id = service.client.get, item["id"]
    try:
        for kind, node in (("items", item_id), ("users", "nan"), ("categories", "nan")):
            found = get(f"/v1/{kind}", params={"search": node}).json()["found"]
            assert [each["title"] for each in found if each["id"] == node] == [None]
        evidence = get("/v1/users/u1/evidence").json()["evidence"]
        titles = {each["id"]: each["title"] for each in evidence}
        assert (titles[item_id], titles["nan"]) == (None, None)
        answers = [
            get("/v1/users/u1/recommendations", params={"explain": "full"}),
            get("/v1/users/u1/recommendations", params={"category": "nan", "exclude_seen": False}),
            get(f"/v1/users/u1/recommendations/{item_id}/explanation"),
            get(f"/v1/items/{item_id}"),
            get("/v1/categories/nan"),
        ]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert answers[1].json()["items"][0]["item_id"] == item_id
        alone = re.compile(r"(?<![\w-])NaN(?![\w-])")  # not within an id
        assert not [answer.text for answer in answers if alone.search(answer.text)]
        report = build_report(served.gateway, events=load_settings().events)
        assert "NaN" not in str(report.document())
    finally:
        statement(
            served.gateway,
            "MATCH (i:Item {item_id: $id}) REMOVE i.title WITH i "
            "MATCH (n) WHERE n.user_id = 'nan' OR n.category_id = 'nan' DETACH DELETE n",
            id=item_id,
        )


def test_an_explanation_says_that_the_user_knows_the_item(served: Served, service: Service) -> None:
    (known,) = statement(
        served.gateway,
        "MATCH (:User {user_id: 'u1'})-[:INTERACTED]->(i:Item) RETURN min(i.item_id) AS id",
    )
    path = "/v1/users/u1/recommendations"
    explained = service.client.get(f"{path}/{known['id']}/explanation").json()
    assert explained["explanation"]["text"].startswith("You know it already. ")
    first = service.client.get(path, params={"k": 1}).json()["items"][0]
    explained = service.client.get(f"{path}/{first['item_id']}/explanation").json()
    assert "already" not in explained["explanation"]["text"]


def test_a_local_time_gains_no_offset(served: Served, service: Service) -> None:
    statement(
        served.gateway,
        "MATCH (i:Item {item_id: 'i3'}) SET i.seen = localdatetime('2024-01-02T03:04:05'), "
        "i.made = datetime('2024-01-02T03:04:05+02:00')",
    )
    item = service.client.get("/v1/items/i3").json()
    assert (item["seen"], item["made"]) == ("2024-01-02T03:04:05", "2024-01-02T03:04:05+02:00")
