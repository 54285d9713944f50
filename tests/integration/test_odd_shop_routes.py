"""Every route on the odd shop, held against the tables for every user."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from loaders.catalogue import Query, catalogue
from recsvc.analyst.questions import values
from recsvc.settings import load_settings
from tests.conftest import running_service
from tests.integration.conftest import OddServed
from tests.odd_shop import OddShop, in_path, number

pytestmark = pytest.mark.neo4j

Document = dict[str, Any]
SELDOM = ("bot", "u5", "only returns", "long ago", "only follows", "u12")
"""Who has everything, who has nothing, and who has one thing."""
some_and_all = pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
"""Every fourth of those with an odd id, and in a long test everybody."""


class Asking:
    """The service on an odd shop."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def get(self, *path: str, **parameters: Any) -> Document:
        """A 200 and its document."""
        answer = self.client.get(
            "/v1/" + "/".join(in_path(part) for part in path), params=parameters
        )
        assert answer.status_code == 200, (path, parameters, answer.text)
        return answer.json()

    def list(self, user_id: str, **parameters: Any) -> Document:
        """The recommendations of one user, complete."""
        answer = self.get("users", user_id, "recommendations", **parameters)
        assert (answer["user_id"], answer["degraded"]) == (user_id, [])
        return answer


@pytest.fixture(scope="module")
def asking(odd: OddServed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    environment = odd.served.environment | {
        "RECSVC_ANSWER_CACHE_SECONDS": "0",
    }
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with running_service(environment, log) as service:
        yield Asking(service.client)


@pytest.fixture(scope="module")
def full(odd: OddServed, asking: Asking) -> dict[str, Document]:
    """Ten items for everybody, with all that explains them."""
    return {user: asking.list(user, k=10, explain="full") for user in odd.shop.users}


@pytest.fixture(scope="module")
def whole(odd: OddServed, asking: Asking) -> dict[str, Document]:
    """All items for everybody."""
    return {user: asking.list(user, k=500) for user in odd.shop.users}


def ids(answer: Document) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


# --- lists ------------------------------------------------------------------------------------


def test_everybody_gets_exactly_what_they_may(
    odd: OddServed, full: Mapping[str, Document], whole: Mapping[str, Document]
) -> None:
    for user in odd.shop.users:
        eligible = odd.shop.eligible(user)
        assert set(ids(whole[user])) == eligible, user
        assert len(ids(whole[user])) == len(eligible), user
        assert ids(full[user]) == ids(whole[user])[:10], user
        assert len(ids(full[user])) == min(10, len(eligible)), user
        for answer in (full[user], whole[user]):
            assert [i["rank"] for i in answer["items"]] == list(range(1, len(answer["items"]) + 1))
            scores = [(-item["score"], item["item_id"]) for item in answer["items"]]
            assert scores == sorted(scores), user


def test_parts_sum_to_the_score(
    full: Mapping[str, Document], whole: Mapping[str, Document]
) -> None:
    for user in full:
        for item in itertools.chain(full[user]["items"], whole[user]["items"]):
            close = pytest.approx(item["score"], rel=1e-4, abs=1e-9)
            assert sum(item["signals"].values()) == close, (user, item["item_id"])
            parts = item["explanation"]["contributions"]
            total = sum(part["value"] for part in parts) + item["explanation"]["remainder"]
            assert total == close, (user, item["item_id"])


def test_evidence_is_what_the_user_did_and_whom_they_follow(
    odd: OddServed, whole: Mapping[str, Document]
) -> None:
    for user, answer in whole.items():
        known = {"item": odd.shop.items[user], "user": odd.shop.followed(user)}
        for item in answer["items"]:
            for part in item["explanation"]["contributions"]:
                if part["evidence"] is not None:
                    evidence = part["evidence"]
                    assert evidence["id"] in known[evidence["kind"]], (user, part)


def test_titles_are_those_of_the_tables(odd: OddServed, whole: Mapping[str, Document]) -> None:
    for answer in whole.values():
        for item in answer["items"]:
            assert item["title"] == (odd.shop.titles[item["item_id"]] or None)


def test_lists_have_the_taste_of_the_user(odd: OddServed, full: Mapping[str, Document]) -> None:
    judged = 0
    for user, answer in full.items():
        if (parity := odd.shop.parity(user)) is not None:
            own = sum(number(item) % 2 == parity for item in ids(answer))
            assert own >= 8, (user, ids(answer))
            judged += 1
    assert judged > 40


# --- explanations -----------------------------------------------------------------------------


def relationships(shop: OddShop) -> set[tuple[str, str, str]]:
    """(type, from, to); an end begins with its kind, since ids of two kinds may be the same."""
    pairs = {("INTERACTED", f"user {e.user_id}", f"item {e.item_id}") for e in shop.events}
    pairs |= {("FOLLOWS", f"user {a}", f"user {b}") for a, b in shop.follows}
    pairs |= {
        ("IN_CATEGORY", f"item {item}", f"category {category}")
        for item, categories in shop.categories.items() for category in categories
    }  # fmt: skip
    parents = {(child, parent) for child, parent in shop.parents.items() if parent}
    return pairs | {("SUBCATEGORY_OF", f"category {a}", f"category {b}") for a, b in parents}


def exists(path: Document, links: set[tuple[str, str, str]], users: Sequence[str]) -> bool:
    """Whether people stand for those who are not named, so that every relationship is there."""
    nodes = [node["id"] and f"{node['kind']} {node['id']}" for node in path["nodes"]]
    unknown = [place for place, node in enumerate(nodes) if node is None]
    assert len(unknown) <= 2
    assert all(path["nodes"][place]["kind"] == "user" for place in unknown)
    for people in itertools.product(users, repeat=len(unknown)):
        named = {place: f"user {person}" for place, person in zip(unknown, people, strict=True)}
        ends = [
            (link["type"], *(named.get(link[end]) or nodes[link[end]] for end in ("from", "to")))
            for link in path["relationships"]
        ]
        if all(end in links for end in ends):
            return True
    return False


def test_every_path_is_in_the_tables(odd: OddServed, full: Mapping[str, Document]) -> None:
    links, checked, drawn = relationships(odd.shop), set[str](), 0
    for user, answer in full.items():
        allowed = {user, None, *odd.shop.followed(user)}
        for item in answer["items"]:
            for path in item["explanation"]["paths"]:
                named = {node["id"] for node in path["nodes"] if node["kind"] == "user"}
                assert named <= allowed, (user, path)
                key = str((path["nodes"], path["relationships"]))
                if key not in checked:
                    checked.add(key)
                    assert exists(path, links, odd.shop.users), (user, path)
                drawn += 1
    assert drawn > 1000


def whole_path(row: Mapping[str, Any]) -> list[str]:
    """Ids along what a row draws: from the user to the evidence, and on to the item."""
    nodes = [*(row["start"].nodes[:1] if row["start"] else ()), *row["path"].nodes]
    return [n.get("user_id") or n.get("item_id") or n.get("category_id") for n in nodes]


@some_and_all
def test_the_cypher_of_an_answer_draws_its_paths(
    odd: OddServed, full: Mapping[str, Document], step: int
) -> None:
    for user in odd.shop.odd[::step]:
        for item in full[user]["items"][:1]:
            explanation = item["explanation"]
            if not explanation["paths"]:
                continue
            text = explanation["cypher"]
            query = Query("tests/pasted", "", "read", {}, {}, text)
            drawn = [whole_path(row) for row in odd.served.gateway.run(query)]
            for path in explanation["paths"]:
                nodes = [node["id"] for node in path["nodes"]]
                assert any(
                    len(nodes) == len(one)
                    and all(a in (None, b) for a, b in zip(nodes, one, strict=True))
                    for one in drawn
                ), (user, nodes)


def holds(asking: Asking, user: str, item: Document) -> bool:
    """Whether an item leaves the ten and what replaces it comes, when asked again."""
    counterfactual = item["explanation"]["counterfactual"]
    if counterfactual is None:
        return False
    without = [f"{each['kind']}:{each['id']}" for each in counterfactual["without"]]
    found = ids(asking.list(user, k=10, without=without, explain="none"))
    assert item["item_id"] not in found, (user, item["item_id"], without)
    replaced_by = counterfactual["replaced_by"]
    assert replaced_by is None or replaced_by in found, (user, item["item_id"], without)
    return True


def test_a_counterfactual_holds_when_asked_again(
    full: Mapping[str, Document], asking: Asking
) -> None:
    held = sum(
        holds(asking, user, answer["items"][-1]) for user, answer in full.items() if answer["items"]
    )
    assert held > 60


@pytest.mark.long
def test_every_counterfactual_of_everybody_holds(
    full: Mapping[str, Document], asking: Asking
) -> None:
    for user, answer in full.items():
        for item in answer["items"]:
            holds(asking, user, item)


@pytest.mark.long
def test_everybody_can_have_all_items_explained(odd: OddServed, asking: Asking) -> None:
    links = relationships(odd.shop)
    for user in odd.shop.users:
        answer = asking.list(user, k=500, explain="full")
        assert set(ids(answer)) == odd.shop.eligible(user)
        for item in answer["items"][::10]:
            for path in item["explanation"]["paths"]:
                assert exists(path, links, odd.shop.users), (user, path)


def test_all_items_can_be_explained_at_once(odd: OddServed, asking: Asking) -> None:
    for user in (*odd.shop.odd[::4], *SELDOM):
        answer = asking.list(user, k=500, explain="full")
        assert set(ids(answer)) == odd.shop.eligible(user), user


def test_any_item_is_explained_to_anybody(odd: OddServed, asking: Asking) -> None:
    for user, item in zip(odd.shop.odd, itertools.cycle(("i0", "i1", "i86", "i88")), strict=False):
        found = asking.get("users", user, "recommendations", item, "explanation")
        assert (found["user_id"], found["item_id"]) == (user, item)
        assert sum(found["signals"].values()) == pytest.approx(found["score"], rel=1e-4, abs=1e-9)


def test_a_signal_counted_in_cypher_is_that_of_the_answer(
    odd: OddServed, whole: Mapping[str, Document]
) -> None:
    events = values(load_settings().events)["events"]
    query = catalogue()["analyst/score_user"]
    for user in (*odd.shop.odd[::3], "bot", "u5"):
        rows = odd.served.gateway.run(query, user_id=user, events=events, limit=500)
        counted = {row["item_id"]: row["score"] for row in rows}
        told = {i["item_id"]: i["signals"].get("item_user_item", 0.0) for i in whole[user]["items"]}
        assert counted.keys() <= told.keys()
        both = {item: counted.get(item, 0.0) for item in told}
        assert both == pytest.approx(told, rel=1e-4, abs=1e-7), user


# --- filters ----------------------------------------------------------------------------------


@some_and_all
def test_categories_exclusions_and_what_was_seen(odd: OddServed, asking: Asking, step: int) -> None:
    for user in (*odd.shop.odd[::step], *SELDOM):
        eligible = odd.shop.eligible(user)
        for category in ("A1", "i1", "A", "B", "root", "none"):
            found = asking.list(user, k=500, category=category, explain="none")
            assert set(ids(found)) == eligible & odd.shop.under(category), (user, category)
            few = asking.list(user, k=5, category=category, explain="none")
            assert ids(few) == ids(found)[:5], (user, category)
        first = ids(asking.list(user, k=3, explain="none"))
        left = asking.list(user, k=500, exclude=first, explain="none")
        assert set(ids(left)) == eligible - set(first)
        seen = asking.list(user, k=500, exclude_seen="false", explain="none")
        assert set(ids(seen)) == odd.shop.titles.keys() - odd.shop.hidden


# --- other routes -----------------------------------------------------------------------------


def test_many_at_once_get_what_each_would(
    odd: OddServed, asking: Asking, whole: Mapping[str, Document]
) -> None:
    body = {"user_ids": [*odd.shop.odd, "nobody"], "k": 10, "explain": "none"}
    found = asking.client.post("/v1/recommendations/batch", json=body).json()
    assert found["unknown"] == ["nobody"]
    assert [answer["user_id"] for answer in found["answers"]] == list(odd.shop.odd)
    for answer in found["answers"]:
        assert ids(answer) == ids(whole[answer["user_id"]])[:10]


def test_a_session_is_answered_from_what_it_states(odd: OddServed, asking: Asking) -> None:
    stated = [{"item_id": item, "event": "purchase"} for item in ("i2", "i4", "i6")]
    body = {"evidence": stated, "k": 500, "explain": "none"}
    found = asking.client.post("/v1/recommendations", json=body).json()
    seen = {each["item_id"] for each in stated}
    assert set(ids(found)) == odd.shop.titles.keys() - odd.shop.hidden - seen
    assert sum(number(item) % 2 == 0 for item in ids(found)[:10]) >= 8


def test_what_is_known_of_a_user(odd: OddServed, asking: Asking) -> None:
    for user in (*odd.shop.odd, *SELDOM):
        evidence = asking.get("users", user, "evidence")
        assert evidence["seen"] == len(odd.shop.items[user]), user
        kinds = [(kind, event) for who, kind, event in odd.shop.interactions if who == user]
        told = [
            (piece["id"], did["event"])
            for piece in evidence["evidence"] if piece["kind"] == "item"
            for did in piece["interactions"]
        ]  # fmt: skip
        assert set(told) <= set(kinds), user
        assert len(told) == len(set(told)), user
        users = {piece["id"] for piece in evidence["evidence"] if piece["kind"] == "user"}
        assert users == odd.shop.followed(user), user


def test_nodes_are_those_of_the_tables(odd: OddServed, asking: Asking) -> None:
    for user in (*odd.shop.odd, *SELDOM):
        assert asking.get("users", user)["user_id"] == user
        assert asking.client.get(f"/v1/items/{in_path(user)}").status_code in (
            404, 200 if user in odd.shop.titles else 404,
        )  # fmt: skip
    for item, title in odd.shop.titles.items():
        node = asking.get("items", item)
        assert node.get("title") == (title or None)
        assert node["available"] is (item not in odd.shop.hidden)
        links = {each["category_id"] for each in node["categories"]}
        assert links == odd.shop.categories.get(item, frozenset())
    for category, parent in odd.shop.parents.items():
        node = asking.get("categories", category)
        assert node["name"] == odd.shop.names[category]
        assert node["parent_id"] in (parent or None, [parent] if parent else [])


def test_search_finds_each_odd_user_by_id(odd: OddServed, asking: Asking) -> None:
    for user in odd.shop.odd:
        found = asking.get("users", search=user, k=3)["found"]
        assert found[0]["id"] == user, (user, found)


def test_what_is_near(odd: OddServed, asking: Asking) -> None:
    for item in odd.shop.titles:
        near = asking.get("items", item, "similar", k=500)["items"]
        found = [each["item_id"] if "item_id" in each else each["id"] for each in near]
        assert len(found) == len(set(found))
        assert set(found) <= odd.shop.titles.keys() - odd.shop.hidden - {item}
    for user in (*odd.shop.odd, "bot", "u5"):
        near = asking.get("users", user, "similar", k=500)["items"]
        found = [each["id"] for each in near]
        assert len(found) == len(set(found))
        assert set(found) <= set(odd.shop.users) - {user}


def test_nothing_near_has_a_reason(odd: OddServed, asking: Asking) -> None:
    for path in (("users", "only returns"), ("items", "i88")):
        near = asking.get(*path, "similar", k=5)
        assert near["items"] == []
        assert near["reason"]
    unknown = asking.client.get("/v1/users/01/recommendations", params={"category": "no such"})
    assert unknown.status_code == 404
    assert "no such" in unknown.json()["detail"]


def test_some_users_are_drawn_and_come_with_how_much_they_did(
    odd: OddServed, asking: Asking
) -> None:
    for place in (0.0, 0.3, 0.9, 0.999):
        for each in asking.get("users", at=place, k=5)["found"]:
            did = {item for user, item, _ in odd.shop.interactions if user == each["id"]}
            assert each["count"] == len(did)


def test_the_state_of_the_service(odd: OddServed, asking: Asking) -> None:
    versions = {(each["model"], each["version"]) for each in asking.get("models")["models"]}
    assert versions == set(odd.served.report.versions.items())
    active = odd.served.report.versions["hybrid"]
    again = asking.client.post("/v1/models/hybrid/activate", json={"version": active})
    assert again.json()["versions"] == odd.served.report.versions
    assert asking.client.post("/v1/models/hybrid/rollback").status_code in (404, 409)
    assert asking.get("refreshes")["refreshes"][0]["state"] == "activated"
    for path in ("/health/live", "/health/ready", "/metrics", "/", "/openapi.json"):
        assert asking.client.get(path).status_code == 200, path


# --- writes: last, since they change the graph --------------------------------------------------


def test_events_follows_and_deletions_of_odd_ids(odd: OddServed, asking: Asking) -> None:
    client, user, other = asking.client, 'new/"?#%41..', "..😀"
    for event_id in ("once", "once", "twice"):
        event = {"event_id": event_id, "user_id": user, "item_id": "i0", "event": "purchase"}
        assert client.post("/v1/events", json=[event]).status_code == 200
    assert client.put(f"/v1/users/{in_path(other)}", json={"name": "Ö"}).status_code == 201
    path = f"/v1/users/{in_path(user)}/follows/{in_path(other)}"
    assert [client.put(path).status_code for _ in range(2)] == [201, 200]
    known = asking.get("users", user, "evidence")
    assert {each["id"] for each in known["evidence"]} == {"i0", other}
    assert set(ids(asking.list(user, k=500))) == odd.shop.titles.keys() - odd.shop.hidden - {"i0"}
    assert client.delete(path).status_code == 204
    for gone in (user, other):
        assert client.delete(f"/v1/users/{in_path(gone)}").status_code == 204
        assert client.get(f"/v1/users/{in_path(gone)}").status_code == 404


def test_items_and_categories_of_odd_ids(odd: OddServed, asking: Asking) -> None:
    client, item, category = asking.client, "..", "a/b ?#%41"
    put = client.put(f"/v1/categories/{in_path(category)}", json={"name": "Ö", "parent_id": "A"})
    assert put.status_code == 201
    body = {"title": "\u202e<b>x</b>", "categories": [category, "root"], "price": 1.5}
    assert client.put(f"/v1/items/{in_path(item)}", json=body).status_code == 201
    stored = asking.get("items", item)
    assert (stored["title"], stored["price"]) == (body["title"], 1.5)
    assert {each["category_id"] for each in stored["categories"]} == {category, "root"}
    event = {"user_id": "u40", "item_id": item, "event": "purchase"}
    assert client.post("/v1/events", json=[event]).status_code == 200
    assert item not in ids(asking.list("u40", k=500, explain="none"))
    only = asking.list("u42", k=500, category=category)
    assert ids(only) == [item]
    for path in (f"/v1/items/{in_path(item)}", f"/v1/categories/{in_path(category)}"):
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404
    assert set(ids(asking.list("u40", k=500))) == odd.shop.eligible("u40")
