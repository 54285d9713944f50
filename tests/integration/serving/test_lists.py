"""What comes into a list, on the real service and a real Neo4j."""

import http.client
import time
from pathlib import Path

import pytest

from loaders.catalogue import Query
from tests.integration.serving.asking import recommended
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j


def test_seen_excluded_and_unavailable_items_never_come(served, service):
    seen = {
        row["id"]
        for row in statement(
            served.gateway,
            "MATCH (:User {user_id: 'u8'})-[:INTERACTED]->(i) RETURN i.item_id AS id",
        )
    }
    first = [item["item_id"] for item in recommended(service, "u8", k=20)["items"]]
    assert not seen & set(first)
    without = [
        item["item_id"] for item in recommended(service, "u8", k=20, exclude=first[0])["items"]
    ]
    assert first[0] not in without
    change = "MATCH (i:Item {item_id: $item}) SET i.available = $available"
    query = Query("tests/set", "", "write", {"item": "", "available": ""}, {}, change)
    served.gateway.run(query, item=first[1], available=False)
    try:
        now = [item["item_id"] for item in recommended(service, "u8", k=20)["items"]]
    finally:
        served.gateway.run(query, item=first[1], available=True)
    assert first[1] not in now
    assert len(now) == 20


def test_a_category_filter_leaves_exactly_k_of_that_category(served, service):
    answer = recommended(service, "u1", category="x3", k=15)
    in_category = {
        row["id"]
        for row in statement(
            served.gateway,
            "MATCH (i:Item)-[:IN_CATEGORY]->({category_id: 'x3'}) RETURN i.item_id AS id",
        )
    }
    assert len(answer["items"]) == 15
    assert {item["item_id"] for item in answer["items"]} <= in_category


def test_a_posted_event_changes_the_next_answer(served, service):
    before = recommended(service, "u5", k=30)
    liked = next(i["item_id"] for i in before["items"] if i["rank"] == 1)
    events = {"events": [{"event_id": "e-1", "user_id": "u5", "item_id": liked, "event": "listen"}]}
    posted = service.client.post("/v1/events", json=events)
    assert posted.json() == {"received": 1, "new": 1, "unknown_kinds": []}
    again = service.client.post("/v1/events", json=events)
    assert again.json() == {"received": 1, "new": 0, "unknown_kinds": []}
    after = recommended(service, "u5", k=30)
    assert liked not in {item["item_id"] for item in after["items"]}
    assert [i["score"] for i in after["items"]] != [i["score"] for i in before["items"][1:]]


def test_a_session_without_a_user_gets_its_own_taste(service):
    evidence = [{"item_id": f"i{60 + n}"} for n in (1, 4, 7)]
    answer = service.client.post("/v1/recommendations", json={"evidence": evidence, "k": 10}).json()
    ids = [int(item["item_id"][1:]) for item in answer["items"]]
    assert answer["user_id"] is None
    assert sum(60 <= n < 90 for n in ids) >= 9
    assert not {61, 64, 67} & set(ids)


def test_similar_items_and_users_share_the_taste(service):
    items = service.client.get("/v1/items/i95/similar", params={"k": 10}).json()["items"]
    assert sum(90 <= int(item["id"][1:]) < 120 for item in items) >= 8
    for model in ("lightgcn", "node2vec"):
        users = service.client.get("/v1/users/u4/similar", params={"k": 10, "model": model}).json()[
            "items"
        ]
        assert len(users) == 10
        assert sum(int(user["id"][1:]) % 6 == 4 for user in users) >= 8


def test_the_same_question_gets_the_same_answer(service):
    one, two = (recommended(service, "u10", explain="full") for _ in range(2))
    for volatile in ("request_id", "recommendation_id", "took_ms"):
        one.pop(volatile), two.pop(volatile)
    assert one == two


def test_what_is_known_is_what_counts(served, service):
    evidence = service.client.get("/v1/users/u11/evidence").json()
    stored = statement(
        served.gateway,
        "MATCH (:User {user_id: 'u11'})-[r:INTERACTED]->(i) RETURN i.item_id AS id, r.weight AS w",
    )
    items = {each["id"]: each for each in evidence["evidence"] if each["kind"] == "item"}
    assert evidence["seen"] == len(items) == len(stored)
    for row in stored:
        (did,) = items[row["id"]]["interactions"]
        assert (did["event"], did["weight"], did["at"]) == ("listen", row["w"], None)
        assert items[row["id"]]["weight"] == pytest.approx(row["w"] ** 0.3)
        assert items[row["id"]]["title"] == f"Song {row['id']}"
    follows = statement(
        served.gateway, "MATCH (:User {user_id: 'u11'})-[:FOLLOWS]->(u) RETURN u.user_id AS id"
    )
    people = {each["id"] for each in evidence["evidence"] if each["kind"] == "user"}
    assert people == {row["id"] for row in follows}
    assert service.client.get("/v1/users/nobody/evidence").status_code == 404
    fan = service.client.get("/v1/users/fan/evidence").json()["evidence"]
    assert [(each["kind"], each["id"]) for each in fan] == [("category", "c3")]


@pytest.mark.long
def test_a_connection_that_was_idle_still_answers(service):
    """As one of a proxy or of a client's pool, which keep them for longer than uvicorn does."""
    url = service.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE_SECONDS)
    for idle_seconds in (6.0, 0.0):
        connection.request("GET", "/health/live")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
        time.sleep(idle_seconds)
    connection.close()


def test_the_service_process_has_not_loaded_torch(service):
    recommended(service, "u0", explain="full")
    maps = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "numpy" in maps
    for library in ("libtorch", "numba", "gensim", "llvmlite"):
        assert library not in maps
