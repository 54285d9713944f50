"""What a followed user does counts at once, though its row is of the last refresh."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter

import httpx
import pytest

from loaders.catalogue import Query
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS, until

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


def test_a_new_item_has_the_vectors_of_its_neighbourhood(served, service):
    fans = [f"u{6 * n + 1}" for n in range(8)]  # of taste 1, whose items are i30 to i59
    nobody = service.client.get("/v1/items/just-out/similar")
    assert nobody.status_code == 404
    rows = [
        {"event_id": f"out-{user}", "user_id": user, "item_id": "just-out", "event": "listen"}
        for user in [*fans, "only-new"]
    ]
    assert service.client.post("/v1/events", json={"events": rows}).status_code == 200
    for model in ("lightgcn", "node2vec"):
        answer = service.client.get("/v1/items/just-out/similar", params={"model": model, "k": 10})
        assert answer.status_code == 200, answer.text
        near = answer.json()["items"]
        assert sum(30 <= int(item["id"][1:]) < 60 for item in near) >= 9
        assert [item["score"] for item in near] == sorted((i["score"] for i in near), reverse=True)
    options = {"k": 10, "explain": "full"}
    document = service.client.get("/v1/users/only-new/recommendations", params=options).json()
    assert document["degraded"] == []
    assert sum(30 <= int(item["item_id"][1:]) < 60 for item in document["items"]) >= 9
    for item in document["items"]:
        parts = {
            part["signal"]: part["value"]
            for part in item["explanation"]["contributions"]
            if part["evidence"]["id"] == "just-out"
        }
        assert {"lightgcn", "node2vec"} <= parts.keys()
        listed = sum(part["value"] for part in item["explanation"]["contributions"])
        total = listed + item["explanation"]["remainder"]
        assert total == pytest.approx(item["score"], rel=1e-4)


ASKERS = 4
PASSING = [f"passing-{number}" for number in range(8)]
"""Items that are made, bought and deleted while others ask."""


def _asks(user: str, item: str) -> Iterator[tuple[str, dict[str, str | int]]]:
    """What reads a new item: as evidence, as a candidate, by its neighbourhood."""
    recommendations = f"/v1/users/{user}/recommendations"
    yield recommendations, {"k": 20, "explain": "full"}
    yield f"{recommendations}/{item}/explanation", {}
    yield recommendations, {"k": 20, "explain": "none"}
    yield f"/v1/items/{item}/similar", {"k": 10}
    yield f"/v1/users/{user}/evidence", {}


def test_requests_while_items_come_and_go_are_answered(service):
    """Each answer is whole, of the moment before a deletion or of the one after."""
    fans = [f"u{6 * n + 1}" for n in range(ASKERS)]
    events = [
        {"user_id": user, "item_id": item, "event": "listen"} for item in PASSING for user in fans
    ]
    over, answered = threading.Event(), Counter[int]()

    def ask(user: str) -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=PATIENCE_SECONDS) as client:
            for item in itertools.cycle(PASSING):
                for path, parameters in _asks(user, item):
                    answer = client.get(path, params=parameters)
                    assert answer.status_code in (200, 404), (path, answer.text)
                    assert answer.json().get("degraded", []) == []
                    answered[answer.status_code] += 1
                if over.is_set():
                    return

    with ThreadPoolExecutor(ASKERS) as pool:
        asking = [pool.submit(ask, user) for user in fans]
        try:
            rows = [{"event_id": f"pass-{n}", **row} for n, row in enumerate(events)]
            assert service.client.post("/v1/events", json={"events": rows}).status_code == 200
            for item in PASSING:
                assert service.client.delete(f"/v1/items/{item}").status_code == 204
            until(lambda: answered[200] >= 5 * ASKERS or any(each.done() for each in asking))
        finally:
            over.set()
        for each in asking:
            each.result()
    assert answered[200] >= 5 * ASKERS


@pytest.mark.parametrize("more", [0, pytest.param(1, marks=pytest.mark.long)])
def test_nothing_of_before_stays_of_a_user_who_is_deleted_under_events(served, service, more):
    """Those of after the deletion are a new user's; without any, the user is gone."""

    def post(name: str, user: str, item: str) -> None:
        events = [{"event_id": f"{name}-{n}", "user_id": user, "item_id": item} for n in range(20)]
        answer = service.client.post("/v1/events", json=events)
        assert answer.json()["new"] == 20

    def write(name: str, user: str, deleted: threading.Event) -> None:
        number = 0
        while not deleted.is_set():
            post(f"{name}-{number}", user, f"after {name}")
            number += 1
        for _ in range(more):
            post(f"{name}-last", user, f"after {name}")

    for user in ("u201", "u202", "u203"):
        post(f"before {user} {more}", user, "i5")
        deleted = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write, f"{user} {more} {n}", user, deleted) for n in range(4)]
            try:
                assert service.client.delete(f"/v1/users/{user}").status_code == 204
            finally:
                deleted.set()
            for writer in writers:
                writer.result()
        links = statement(
            served.gateway,
            "MATCH (u:User {user_id: $user}) OPTIONAL MATCH (u)-[r]-(other) "
            "RETURN keys(u) AS keys, type(r) AS type, other.item_id AS item, r.count AS count",
            user=user,
        )
        entries = statement(
            served.gateway,
            "MATCH (e:Event {user_id: $user}) RETURN e.item_id AS item, count(*) AS count",
            user=user,
        )
        assert len(entries) == 4 or not more
        assert all(entry["item"].startswith("after ") for entry in entries)
        new = {"keys": ["user_id"], "type": "INTERACTED"}
        by_item = sorted(({**new, **entry} for entry in entries), key=itemgetter("item"))
        assert sorted(links, key=itemgetter("item")) == by_item
        known = service.client.get(f"/v1/users/{user}/evidence")
        assert known.status_code == (200 if links else 404)
        if links:
            assert {each["id"] for each in known.json()["evidence"]} == {
                entry["item"] for entry in entries
            }
        parts = statement(
            served.gateway,
            "MATCH (:EmbeddingVersion)-[:HAS_PART]->(part) RETURN part.content AS content "
            "ORDER BY part.entry, part.number",
        )
        assert f'"{user}"'.encode() not in b"".join(part["content"] for part in parts)
        assert statement(served.gateway, "MATCH (n:Deletion) RETURN n") == []


# --- dislikes, hiding and taking back ---------------------------------------------------------

LISTS = {"k": 50, "explain": "full"}


def _answer(service, user, **options):
    """A list without what is each request's own."""
    answer = service.client.get(f"/v1/users/{user}/recommendations", params={**LISTS, **options})
    assert answer.status_code == 200, answer.text
    own = ("request_id", "recommendation_id", "took_ms")
    return {n: v for n, v in answer.json().items() if n not in own}


def _ids(answer):
    return [item["item_id"] for item in answer["items"]]


def _post(service, name, user, item, event, new=1):
    row = {"event_id": name, "user_id": user, "item_id": item, "event": event}
    answer = service.client.post("/v1/events", json=[row])
    assert (answer.status_code, answer.json()["new"]) == (200, new)


def _take_back(service, user, item, *, status=204, **options):
    answer = service.client.delete(f"/v1/users/{user}/interactions/{item}", params=options)
    assert answer.status_code == status, answer.text


def test_a_dislike_counts_at_once_and_is_taken_back_to_the_last_bit(service):
    user = "u20"
    before = _answer(service, user)
    item = _ids(before)[0]
    _post(service, "no-1", user, item, "dislike")
    after = _answer(service, user)
    assert item not in _ids(after)
    scores = {each["item_id"]: each["score"] for each in before["items"]}
    less = [
        each["item_id"] for each in after["items"] if each["score"] < scores.get(each["item_id"], 0)
    ]
    assert less
    told = _explained(service, user, less[0])["explanation"]["contributions"]
    assert any(each["evidence"]["id"] == item and each["value"] < 0 for each in told)
    assert _explained(service, user, item)["explanation"]["text"].startswith("You do not like it. ")
    known = service.client.get(f"/v1/users/{user}/evidence").json()["evidence"]
    assert [each["weight"] for each in known if each["id"] == item] == [-1.0]
    _take_back(service, user, item, event="Dis-Like")
    assert _answer(service, user) == before
    _post(service, "no-1", user, item, "dislike", new=0)  # sent again, it stays taken back
    assert _answer(service, user) == before


def test_only_what_is_there_is_taken_back(served, service):
    _post(service, "two-1", "u26", "i2", "listen")
    _post(service, "two-2", "u26", "i2", "like")
    _take_back(service, "u26", "i2", event="purchase", status=404)
    _take_back(service, "u26", "i2", event="like")
    _take_back(service, "u26", "i2", event="like", status=404)
    _take_back(service, "u26", "i2")
    for user, item in (("u26", "i2"), ("nobody", "i2"), ("u26", "nothing")):
        _take_back(service, user, item, status=404)
    _take_back(service, "u26", "i2", kind="like", status=422)
    _post(service, "two-3", "u26", "i2", "like")
    assert served.run("retract", "u26", "i2", "--event", "LIKE", "--json").returncode == 0
    again = served.run("retract", "u26", "i2")
    assert (again.returncode, again.stderr) == (
        1, "recsvc: user 'u26' did nothing with item 'i2'\n",
    )  # fmt: skip
    properties = service.client.get("/v1/users/u26").json()
    assert properties.keys() == {"user_id", "preferences"}


@pytest.mark.parametrize("kind", ["hide", "BLOCK"])
def test_a_hidden_item_never_comes_back(service, kind):
    user = "u32"
    before = _answer(service, user, exclude_seen=False)
    item = _ids(before)[0]
    _post(service, f"hide-{kind}", user, item, kind)
    session = {"evidence": [{"item_id": item, "event": kind}], "k": 50, "exclude_seen": False}
    lists = [
        _answer(service, user, k=500, explain="none"),
        whole := _answer(service, user, k=500, explain="none", exclude_seen=False),
        _answer(service, user, exclude_seen=False, diversity=0.5),
        _answer(service, user, exclude_seen=False, without=f"item:{item}"),
        service.client.post("/v1/recommendations", json=session).json(),
        service.client.post(
            "/v1/recommendations/batch",
            json={"user_ids": [user], "k": 50, "exclude_seen": False},
        ).json()["answers"][0],
    ]
    assert all(answer["items"] and item not in _ids(answer) for answer in lists)
    assert whole["short"].endswith("of these 1 hidden by this user")
    told = _explained(service, user, item)["explanation"]["text"]
    assert told.startswith("You hid it. ")
    _post(service, f"hide-new-{kind}", user, f"made by {kind}", kind)
    told = _explained(service, user, f"made by {kind}")["explanation"]["text"]
    assert told == "You hid it. It is new: nothing is known of it before the next refresh."
    assert service.client.delete(f"/v1/items/made by {kind}").status_code == 204
    _take_back(service, user, item, event=kind)
    assert _answer(service, user, exclude_seen=False) == before


def test_followers_see_what_is_taken_back_though_as_much_is_there_as_before(served, service):
    (found,) = statement(
        served.gateway,
        "MATCH (user:User)-[:FOLLOWS]->(other:User)-[:INTERACTED]->(had:Item), (new:Item) "
        "WHERE other.user_id STARTS WITH 'u' AND had.item_id STARTS WITH 'i' "
        "AND new.item_id STARTS WITH 'i' AND NOT (other)-[:INTERACTED]->(new) "
        "AND NOT (user)-[:INTERACTED]->(had) "
        "RETURN user.user_id AS user, other.user_id AS other, had.item_id AS had, "
        "new.item_id AS new ORDER BY user, other, had, new LIMIT 1",
    )
    user, other, had, new = (found[name] for name in ("user", "other", "had", "new"))
    before = _answer(service, user)
    assert _by(_explained(service, user, had), other)
    _post(service, "swap", other, new, "listen")
    _take_back(service, other, had)
    assert _by(_explained(service, user, new), other)
    assert not _by(_explained(service, user, had), other)
    _take_back(service, other, new)
    _post(service, "back", other, had, "listen")
    assert _ids(_answer(service, user)) == _ids(before)
