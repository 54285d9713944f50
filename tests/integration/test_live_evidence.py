"""What a followed user does counts at once, though its row is of the last refresh."""

import pytest

from loaders.catalogue import Query

pytestmark = pytest.mark.neo4j

NEW = Query(
    "tests/new", "", "read", {}, {},
    """
    MATCH (user:User)-[:FOLLOWS]->(other:User)
    MATCH (item:Item)
    WHERE NOT (user)-[:INTERACTED]->(item)
      AND NOT EXISTS { (user)-[:FOLLOWS]->(:User)-[:INTERACTED]->(item) }
    RETURN user.user_id AS user, other.user_id AS other, item.item_id AS item
    ORDER BY user, other, item LIMIT 1
    """,
)  # fmt: skip


def _explained(service, user, item):
    answer = service.client.get(f"/v1/users/{user}/recommendations/{item}/explanation")
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return answer.json()


def _by(document, other):
    return [
        part["value"]
        for part in document["explanation"]["contributions"]
        if part["evidence"] == {"kind": "user", "id": other, "title": None}
        and part["signal"] == "followed_user_item"
    ]


def test_a_followed_users_event_counts_in_the_next_answer(served, service):
    (found,) = served.gateway.run(NEW)
    user, other, item = found["user"], found["other"], found["item"]
    before = _explained(service, user, item)
    assert _by(before, other) == []
    event = {"event_id": "live-1", "user_id": other, "item_id": item, "event": "listen"}
    assert service.client.post("/v1/events", json={"events": [event]}).status_code == 200
    after = _explained(service, user, item)
    (value,) = _by(after, other)
    assert value > 0.0
    assert after["rank"] < before["rank"]
    assert sum(after["signals"].values()) == pytest.approx(after["score"], rel=1e-4)
    paths = [path for path in after["explanation"]["paths"] if len(path["nodes"]) == 3]
    assert [path["nodes"][1]["id"] for path in paths] == [other]
    assert paths[0]["contribution"] == pytest.approx(value, rel=1e-4)


def test_someone_who_came_after_the_refresh_counts_too(served, service):
    (found,) = served.gateway.run(NEW)
    user, item = found["user"], found["item"]
    assert service.client.put("/v1/users/arrived-late", json={}).status_code == 201
    follow = service.client.put(f"/v1/users/{user}/follows/arrived-late", json={})
    assert follow.status_code in (200, 201), follow.text
    event = {"event_id": "live-2", "user_id": "arrived-late", "item_id": item, "event": "listen"}
    assert service.client.post("/v1/events", json={"events": [event]}).status_code == 200
    (value,) = _by(_explained(service, user, item), "arrived-late")
    assert value > 0.0
