"""What a person may change at any time is the same in every answer, at once, in every process.

Two processes answer, a third writes: over HTTP, and by hand past all of them.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tests.conftest import Service, own_client, running_service
from tests.integration.conftest import OddServed
from tests.odd_shop import SEEDS, in_path
from tests.statement import statement

pytestmark = pytest.mark.neo4j

Document = dict[str, Any]
REQUESTS = 40
MOSTLY_POPULAR = "Popular, and a little because you like Kitchen."
ONE_SHOP = pytest.mark.parametrize("odd", SEEDS[:1], indirect=True, scope="module")


class Asking:
    """The processes of a service; each request is a connection of its own, so any may answer."""

    def __init__(self, service: Service, odd: OddServed) -> None:
        self.service, self.odd = service, odd

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        with own_client(self.service) as client:
            return client.request(method, f"/v1/{path}", **content)

    def get(self, *path: str, status: int = 200, **parameters: Any) -> Document:
        answer = self.request("GET", "/".join(map(in_path, path)), params=parameters)
        assert answer.status_code == status, (path, parameters, answer.text)
        return answer.json()

    def post(self, path: str, body: Document, status: int = 200) -> Document:
        answer = self.request("POST", path, json=body)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    def put(self, *path: str, **body: Any) -> None:
        answer = self.request("PUT", "/".join(map(in_path, path)), json=body)
        assert answer.status_code in (200, 201), answer.text

    def ids(self, user: str, **parameters: Any) -> list[str]:
        found = self.get("users", user, "recommendations", explain="none", **parameters)
        assert found["degraded"] == []
        return [item["item_id"] for item in found["items"]]

    def by_hand(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        return statement(self.odd.served.gateway, text, **parameters)


@pytest.fixture(scope="module")
def asking(odd: OddServed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    environment = odd.served.environment | {
        "RECSVC_ANSWER_CACHE_SECONDS": "0",
    }
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with running_service(environment, log, "--workers", "2") as service:
        yield Asking(service, odd)


@pytest.fixture(scope="module")
def user(odd: OddServed) -> str:
    """Somebody with a taste, who has things to be recommended."""
    return next(each for each in odd.shop.users if odd.shop.parity(each) is not None)


def _everywhere(asking: Asking, user: str, k: int) -> list[Callable[[], list[Document]]]:
    """Each kind of list there is over HTTP: its items, with id and title."""
    evidence = [{"item_id": item} for item in sorted(asking.odd.shop.items[user])[:5]]
    near = sorted(asking.odd.shop.items[user])[0]
    options = {"k": k, "explain": "none"}

    def items(document: Document) -> list[Document]:
        assert document["degraded"] == []
        return [{"item_id": i.get("item_id") or i["id"], **i} for i in document["items"]]

    return [
        lambda: items(asking.get("users", user, "recommendations", **options)),
        lambda: items(asking.get("users", user, "recommendations", diversity=0.5, **options)),
        lambda: items(asking.post("recommendations", {"evidence": evidence, **options})),
        lambda: items(
            asking.post("recommendations/batch", {"user_ids": [user], **options})["answers"][0]
        ),
        lambda: items(asking.get("items", near, "similar", k=k, model="fastrp")),
        lambda: items(asking.get("items", near, "similar", k=k, model="mf")),
    ]


def _asked_often(lists: list[Callable[[], list[Document]]]) -> Iterator[dict[str, Document]]:
    for ask, _ in zip(itertools.cycle(lists), range(REQUESTS), strict=False):
        yield {item["item_id"]: item for item in ask()}


@ONE_SHOP
def test_hidden_nowhere_and_back_everywhere(asking: Asking, user: str) -> None:
    first = asking.ids(user, k=1)[0]
    title = asking.get("items", first)["title"]
    lists = _everywhere(asking, user, 60)
    assert all(first in found for found in _asked_often(lists))
    for write in (
        lambda to: asking.put("items", first, available=to, title=title),
        lambda to: asking.by_hand(
            "MATCH (i:Item {item_id: $id}) SET i.available = $to", id=first, to=to
        ),
    ):
        write(False)
        assert not any(first in found for found in _asked_often(lists))
        explained = asking.get("users", user, "recommendations", first, "explanation")
        assert explained["title"] == title  # it is explained, listed or not
        write(True)
        assert all(first in found for found in _asked_often(lists))


@ONE_SHOP
def test_files_and_commands_too(asking: Asking, user: str, tmp_path: Any) -> None:
    first = asking.ids(user, k=1)[0]
    options = {"k": 5, "model": "fastrp"}
    lists = {i: asking.get("items", i, "similar", **options) for i in asking.odd.shop.titles}
    near = next(i for i, listed in lists.items() if first in [n["id"] for n in listed["items"]])
    asking.by_hand("MATCH (i:Item {item_id: $id}) SET i.available = false", id=first)
    try:
        file = tmp_path / "lists.parquet"
        done = asking.odd.served.run("batch-recommend", "--out", str(file), "-k", "500")
        assert done.returncode == 0, done.stderr
        recommended = pl.read_parquet(file)
        assert first not in recommended["item_id"]
        ours = recommended.filter(pl.col("user_id") == user).sort("rank")["item_id"].to_list()
        assert set(ours) <= asking.odd.shop.eligible(user)
        shown = asking.odd.served.run("similar", near, "-k", "60", "--model", "fastrp", "--json")
        assert shown.returncode == 0, shown.stderr
        assert f'"{first}"' not in shown.stdout
    finally:
        asking.by_hand("MATCH (i:Item {item_id: $id}) SET i.available = true", id=first)


@ONE_SHOP
def test_a_new_title_is_everywhere_at_once(asking: Asking, user: str) -> None:
    first, *_ = asking.ids(user, k=1)
    own = sorted(asking.odd.shop.items[user])[0]
    asking.put("items", first, title="Renamed at last")
    asking.by_hand("MATCH (i:Item {item_id: $id}) SET i.title = 'An old friend'", id=own)
    for found in _asked_often(_everywhere(asking, user, 60)):
        assert found[first]["title"] == "Renamed at last"
    explained = asking.get("users", user, "recommendations", first, "explanation")
    assert explained["title"] == "Renamed at last"
    named = [part["evidence"] for part in explained["explanation"]["contributions"]]
    named += [node for path in explained["explanation"]["paths"] for node in path["nodes"]]
    told = {node["id"]: node["title"] for node in named if node["kind"] == "item"}
    assert told[own] == "An old friend"
    assert told.get(first, "Renamed at last") == "Renamed at last"
    known = asking.get("users", user, "evidence")["evidence"]
    assert "An old friend" in [each["title"] for each in known if each["id"] == own]
    body = {"evidence": [{"item_id": own}], "k": 1, "explain": "full"}
    (item,) = asking.post("recommendations", body)["items"]
    assert item["explanation"]["contributions"][0]["evidence"]["title"] == "An old friend"


@ONE_SHOP
def test_a_moved_item_is_in_its_category_at_every_length(asking: Asking, user: str) -> None:
    shop = asking.odd.shop
    moved = next(i for i in asking.ids(user, k=60) if shop.categories.get(i) == {"A2"})
    lengths = (1, 3, 5, 10, 100)
    asking.put("items", moved, title=shop.titles[moved], categories=["B"])
    try:
        for category in ("A2", "A"):
            for k in lengths:
                assert moved not in asking.ids(user, k=k, category=category)
        for k in lengths:
            whole = asking.ids(user, k=500, category="B")
            assert asking.ids(user, k=k, category="B") == whole[:k]
            assert (
                asking.ids(user, k=k, category=["B", "A2"])
                == asking.ids(user, k=500, category=["A2", "B"])[:k]
            )
            diverse = asking.ids(user, k=500, category="B", diversity=0.7)
            assert asking.ids(user, k=k, category="B", diversity=0.7) == diverse[:k]
        assert set(whole) == (shop.under("B") | {moved}) & shop.eligible(user)
        body = {"evidence": [{"item_id": "i0"}], "k": 500, "category": ["B"], "explain": "none"}
        assert moved in [i["item_id"] for i in asking.post("recommendations", body)["items"]]
    finally:
        asking.put("items", moved, title=shop.titles[moved], categories=["A2"])


@ONE_SHOP
def test_a_parent_means_all_below_it_and_a_stranger_is_named(asking: Asking, user: str) -> None:
    shop = asking.odd.shop
    for category in shop.parents:
        expected = shop.under(category) & shop.eligible(user)
        assert set(asking.ids(user, k=500, category=category)) == expected, category
    assert asking.ids(user, category="none") == []
    circle = "MATCH (a:Category {category_id: 'A2'}), (b:Category {category_id: 'root'}) "
    asking.by_hand(circle + "MERGE (b)-[:SUBCATEGORY_OF]->(a)")
    try:
        everything = shop.under("root") & shop.eligible(user)
        for category in ("A2", "root", "A"):
            assert set(asking.ids(user, k=500, category=category)) == everything
    finally:
        asking.by_hand(circle + "MATCH (b)-[r:SUBCATEGORY_OF]->(a) DELETE r")
    named = {"category": ["A1", "no such"]}
    for problem in (
        asking.get("users", user, "recommendations", status=404, **named),
        asking.post("recommendations", {"evidence": [{"item_id": "i0"}], **named}, 404),
        asking.post("recommendations/batch", {"user_ids": [user], **named}, 404),
    ):
        assert problem["detail"] == "no category 'no such' in the graph"


@ONE_SHOP
def test_who_prefers_a_parent_gets_what_is_below_it(asking: Asking) -> None:
    shop = asking.odd.shop
    asking.put("users", "gardener", preferences=["A"])
    document = asking.get("users", "gardener", "recommendations", k=10, explain="full")
    assert document["degraded"] == []
    for item in document["items"]:
        assert item["item_id"] in shop.under("A")
        # Nobody of the shop prefers anything, so the signal has the weight of popularity.
        assert item["explanation"]["text"] in ("Because you like Kitchen.", MOSTLY_POPULAR)
        contributions = item["explanation"]["contributions"]
        assert {c["signal"] for c in contributions} == {"category_item"}
        paths = item["explanation"]["paths"]
        linked = {node["id"] for path in paths for node in path["nodes"]} & {"A1", "A2"}
        assert linked == shop.categories[item["item_id"]] & {"A1", "A2"}
        assert sum(p["contribution"] for p in paths) == pytest.approx(
            sum(c["value"] for c in contributions), rel=1e-4
        )
        for path in paths:
            kinds = [step["type"] for step in path["relationships"]]
            assert kinds == ["PREFERS", "SUBCATEGORY_OF", "IN_CATEGORY"]
        rows = asking.by_hand(item["explanation"]["cypher"])
        assert len(rows) == len(paths)


@ONE_SHOP
def test_nothing_is_near_to_who_has_no_vector_and_the_reason_is_told(asking: Asking) -> None:
    shop = asking.odd.shop
    asking.put("users", "nobody yet")
    for who in ("only follows", "nobody yet"):
        found = asking.get("users", who, "similar", model="mf")
        assert found["items"] == []
        assert "no vector" in found["reason"]
    for item in ("i87", "i88", "i89"):
        assert not shop.people[item]
        found = asking.get("items", item, "similar", model="mf")
        assert found["items"] == []
        assert "nobody had it" in found["reason"]
    near = asking.get("items", "i0", "similar", k=500, model="mf")
    assert near["reason"] is None
    assert {item["id"] for item in near["items"]} <= {i for i in shop.titles if shop.people[i]}
    shown = asking.odd.served.run("similar", "i88", "--model", "mf")
    assert shown.returncode == 0
    assert "nobody had it" in shown.stderr
    stored = asking.by_hand(
        "MATCH (n) UNWIND [k IN keys(n) WHERE k STARTS WITH 'embedding_'] AS k "
        "WITH n, k WHERE all(x IN n[k] WHERE x = 0) RETURN count(*) AS zero"
    )
    assert stored[0]["zero"] == 0


@ONE_SHOP
def test_what_came_after_the_refresh_is_explained_as_it_is_listed(
    asking: Asking, user: str, tmp_path: Path
) -> None:
    event = {"event_id": "new", "user_id": "somebody", "item_id": "zz-new", "event": "purchase"}
    asking.post("events", {"events": [event]})
    asking.put("items", "zz-new", title="Just out")
    asking.put("items", "yy-new", title="Also", categories=["A1"])
    asking.put("items", "xx-hidden", available=False)
    document = asking.get("users", user, "recommendations", k=500, explain="full")
    listed = {item["item_id"]: item for item in document["items"]}
    assert "xx-hidden" not in listed
    for new in ("zz-new", "yy-new"):
        told = asking.get("users", user, "recommendations", new, "explanation")
        assert told["score"] == listed[new]["score"] == 0.0
        assert told["rank"] == listed[new]["rank"]
        assert told["title"] == listed[new]["title"] is not None
        assert told["explanation"] == listed[new]["explanation"]
        assert told["explanation"]["text"].startswith("It is new")
    assert asking.ids(user, k=500, category="A1").count("yy-new") == 1
    file = tmp_path / "lists.parquet"
    done = asking.odd.served.run("batch-recommend", "--out", str(file), "-k", "500")
    assert done.returncode == 0, done.stderr
    rows = pl.read_parquet(file).sort("rank")
    for who in (user, "somebody"):
        written = rows.filter(pl.col("user_id") == who)["item_id"].to_list()
        assert written == asking.ids(who, k=500), who
        for diversity in (0.0, 0.7):
            whole = asking.ids(who, k=500, diversity=diversity)
            for k in range(1, len(whole), 7):
                assert asking.ids(who, k=k, diversity=diversity) == whole[:k], (who, k)
    assert asking.get("users", user, "recommendations", "xx-hidden", "explanation")["score"] == 0
    asking.get("users", user, "recommendations", "no such", "explanation", status=404)
    asking.by_hand("MATCH (i:Item) WHERE i.item_id IN $ids DETACH DELETE i",
                   ids=["zz-new", "yy-new", "xx-hidden"])  # fmt: skip
