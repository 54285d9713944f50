"""Scenarios on the real service and a real Neo4j."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from loaders.catalogue import Query
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import load_settings
from tests.integration.conftest import QUICK

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK


def _run(served, text):
    return served.gateway.run(Query("test/scenario", "", "write", {}, {}, text))


@pytest.fixture(scope="module")
def shop(service, served):
    """Items have a brand, a price, some tags and an age; one came since the refresh."""
    _run(
        served,
        "MATCH (i:Item) WITH i, toInteger(substring(i.item_id, 1)) AS n "
        "SET i.brand = 'b' + toString(n % 5), i.price = toFloat(n % 10), "
        "i.tags = ['t' + toString(n % 3)], i.created_at = datetime() - duration({days: n}) ",
    )
    _run(
        served,
        "CREATE (:Item {item_id: 'new', title: 'New song', brand: 'b0', price: 1.0, "
        "created_at: datetime()})",
    )
    rows = _run(served, "MATCH (i:Item) RETURN i.item_id AS id, properties(i) AS p")
    return {row["id"]: row["p"] for row in rows}


def _put(service, name, document):
    answer = service.client.put(f"/v1/scenarios/{name}", json=document)
    assert answer.status_code == 200, answer.text
    return answer.json()["revision"]


def _list(service, user="u3", **parameters):
    answer = service.client.get(f"/v1/users/{user}/recommendations", params=parameters)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["degraded"] == []
    for item in document["items"]:
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
        explanation = item["explanation"]
        parts = [c["value"] for c in explanation["contributions"]] + [explanation["remainder"]]
        assert sum(parts) == pytest.approx(item["score"], rel=1e-4, abs=1e-6)
    return document


def _ids(document):
    return [item["item_id"] for item in document["items"]]


SINCE = datetime.now(UTC) - timedelta(days=20)
CONDITIONS = [
    ({"property": "brand", "equals": "b2"}, lambda p: p["brand"] == "b2"),
    ({"property": "brand", "in": ["b2", "b3"], "not": True}, lambda p: p["brand"] not in "b2 b3"),
    ({"property": "price", "range": {"min": 3, "max": 5}}, lambda p: 3 <= p["price"] <= 5),
    ({"property": "price", "equals": 4}, lambda p: p["price"] == 4),
    ({"property": "tags", "equals": "t1"}, lambda p: "t1" in p.get("tags", [])),
    ({"property": "nowhere", "exists": False}, lambda _: True),
    ({"property": "brand", "equals": 7}, lambda _: False),
    ({"property": "created_at", "newer_than_days": 30.5},
     lambda p: (datetime.now(UTC) - p["created_at"].to_native()).days <= 30),
    ({"property": "created_at", "range": {"min": SINCE.isoformat()}},
     lambda p: p["created_at"].to_native() >= SINCE),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "meets"), CONDITIONS)
def test_a_filter_leaves_what_meets_it(service, shop, condition, meets):
    _put(service, "filtered", {"filters": [condition]})
    answer = _list(service, k=500, scenario="filtered", exclude_seen=False)
    assert set(_ids(answer)) == {item for item, p in shop.items() if meets(p)}
    assert answer["scenario"]["name"] == "filtered"
    if not answer["items"]:
        assert "leaves 0 of" in answer["scenario"]["notes"][0]


def test_a_category_holds_what_is_below_it(service, served, shop):
    _run(
        served,
        "MATCH (c:Category {category_id: 'c1'}) MERGE (p:Category {category_id: 'above'}) "
        "MERGE (c)-[:SUBCATEGORY_OF]->(p)",
    )
    _put(service, "below", {"filters": [{"category": ["above"]}]})
    named = _list(service, k=500, category="c1", exclude_seen=False)
    assert set(_ids(_list(service, k=500, scenario="below", exclude_seen=False))) == set(
        _ids(named)
    )
    assert named["items"]


def test_rules_place_and_score_what_they_say(service, shop):
    rules = [
        {"kind": "pin", "item_id": "new", "place": 2},
        {"kind": "boost", "where": [{"property": "brand", "equals": "b1"}], "amount": 0.5},
        {"kind": "bury", "where": [{"property": "price", "range": {"min": 8}}], "amount": 0.75},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 8},
        {"kind": "at_least", "count": 1, "within": 6,
         "where": [{"property": "created_at", "newer_than_days": 10}]},
    ]  # fmt: skip
    _put(service, "ruled", {"rules": rules, "k": 12})
    answer = _list(service, scenario="ruled")
    assert answer["k"] == len(answer["items"]) == 12
    plain = {item["item_id"]: item for item in _list(service, k=500)["items"]}
    second = answer["items"][1]
    assert (second["item_id"], second["placed_by"]) == ("new", "pin: place 2")
    assert second["explanation"]["text"].startswith("Promoted.")
    brands = [shop[item]["brand"] for item in _ids(answer)[:8]]
    assert max(map(brands.count, brands)) <= 2
    for item in answer["items"]:
        mine = shop[item["item_id"]]
        expected = 0.5 * (mine["brand"] == "b1") - 0.75 * (mine["price"] >= 8)
        assert item["signals"]["rule"] == pytest.approx(expected)
        if item["item_id"] in plain:
            before = plain[item["item_id"]]["score"]
            assert item["score"] == pytest.approx(before + expected, abs=1e-5)
    assert _ids(_list(service, scenario="ruled", k=5)) == _ids(answer)[:5]
    whole = _list(service, scenario="ruled", k=5, explain="full")
    assert _ids(whole) == _ids(answer)[:5]
    for item in whole["items"]:
        found = item["explanation"]["counterfactual"]
        if found:
            without = [f"{node['kind']}:{node['id']}" for node in found["without"]]
            again = _ids(_list(service, scenario="ruled", k=5, without=without))
            assert item["item_id"] not in again
            assert found["replaced_by"] in again


def test_a_group_gets_its_share_as_a_part_of_the_score(service, shop):
    brand = {"property": "brand", "equals": "b4"}
    rule = {"kind": "at_least_share", "share": 0.45, "within": 10, "where": [brand]}
    _put(service, "fair", {"rules": [rule]})
    plain = {item["item_id"]: item for item in _list(service, k=500)["items"]}
    answer = _list(service, scenario="fair", k=20)
    mine = [shop[item]["brand"] == "b4" for item in _ids(answer)]
    assert sum(mine[:10]) == 5 > sum(shop[item]["brand"] == "b4" for item in [*plain][:10])
    for item in answer["items"]:
        gained = item["signals"]["fairness"]
        assert item["score"] == pytest.approx(plain[item["item_id"]]["score"] + gained, abs=1e-5)
        assert bool(gained) == item["explanation"]["text"].startswith("Promoted.")
    gained = [item["signals"]["fairness"] for item in answer["items"][:10]]
    assert len({round(each, 6) for each in gained}) == 2
    assert [each > 0 for each in gained] == mine[:10]
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert not any("placed_by" in item for item in answer["items"])
    whole = _list(service, scenario="fair", k=5, explain="full")
    assert _ids(whole) == _ids(answer)[:5]
    found = [item["explanation"]["counterfactual"] for item in whole["items"]]
    assert any(found)
    for item, one in zip(_ids(whole), found, strict=True):
        if one is not None:
            without = [f"{each['kind']}:{each['id']}" for each in one["without"]]
            again = _ids(_list(service, scenario="fair", k=5, without=without))
            assert item not in again
            assert one["replaced_by"] in again


def test_some_places_are_tried_out_and_what_follows_is_learned(service, served, shop):
    _put(service, "curious", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    plain = _ids(_list(service, k=6))
    lists = [_list(service, scenario="curious", k=6) for _ in range(12)]
    for answer in lists:
        assert len(set(_ids(answer))) == 6
        for place, item in enumerate(answer["items"]):
            if "placed_by" not in item:
                assert (item["item_id"], item["signals"]["exploration"]) == (plain[place], 0.0)
                continue
            assert item["placed_by"].startswith("exploration: tried out with a chance of ")
            assert item["explanation"]["text"].startswith("Tried out: ")
            assert item["item_id"] not in plain
    tried = [[item for item in answer["items"] if "placed_by" in item] for answer in lists]
    assert len({item["item_id"] for some in tried for item in some}) > 3
    one = next(n for n, some in enumerate(tried) if some)
    named = lists[one]["recommendation_id"]
    # The same is drawn for the id, in full and for a shorter list, and where something is left out.
    whole = _list(service, scenario="curious", k=6, explain="full", recommendation_id=named)
    assert _ids(whole) == _ids(lists[one])
    short = _list(service, scenario="curious", k=3, recommendation_id=named)
    assert _ids(short) == _ids(whole)[:3]
    found = [item["explanation"]["counterfactual"] for item in whole["items"]]
    assert any(found)
    for item, counterfactual in zip(_ids(whole), found, strict=True):
        if counterfactual is not None:
            without = [f"{each['kind']}:{each['id']}" for each in counterfactual["without"]]
            again = _list(
                service, scenario="curious", k=6, without=without, recommendation_id=named
            )
            assert item not in _ids(again)
            assert counterfactual["replaced_by"] in _ids(again)
    document = service.client.get("/v1/scenarios/curious").json()["scenario"]
    body = {"scenario": document, "user_id": "u3"}
    trial = service.client.post("/v1/scenarios/curious/try", json=body).json()
    assert trial["moves"] == []
    assert not any("placed_by" in item for item in trial["after"]["items"])
    outcomes = [{"recommendation_id": answer["recommendation_id"], "item_id": item["item_id"],
                 "kind": "impression"} for answer in lists for item in answer["items"]]  # fmt: skip
    clicked = {"recommendation_id": named, "item_id": tried[one][0]["item_id"], "kind": "click"}
    other = next(each["item_id"] for each in lists[one]["items"] if "placed_by" not in each)
    told = service.client.post(
        "/v1/outcomes", json={"outcomes": [*outcomes, clicked, clicked | {"item_id": other}]}
    )
    assert told.json()["new"] == len(outcomes) + 2
    rows = _run(served, "MATCH (o:Outcome {scenario: 'curious', kind: 'impression'}) RETURN "
                        "o.item_id AS item, o.propensity AS chance, o.tried AS tried")  # fmt: skip
    assert sum(row["tried"] is not None for row in rows) == sum(map(len, tried))
    tries = []
    for row in rows:
        known = {} if row["tried"] is None else json.loads(row["tried"])
        assert row["chance"] < 0.5 if known else row["chance"] == 0.5
        tries.append(known.keys())
    (names, known), estimates = asyncio.run(_learned(served, "curious"))
    assert all(each in (set(), set(names)) for each in tries)
    of_one = names.index("one")
    assert known.precision[of_one, of_one] == 1.0 + sum(map(len, tried))
    assert known.response[of_one] == 1.0
    # Without exploration each list would have been the plain one: an item that is shown there with
    # a chance of a half counts twice.
    assert (estimates.answers, estimates.places) == (12, 72)
    assert estimates.logged.mean == pytest.approx(2 / 12)
    assert estimates.inverse_propensity.mean == pytest.approx(2 / 12)
    assert estimates.weight == pytest.approx(2 * (72 - sum(map(len, tried))) / 72)
    assert 0.0 < estimates.self_normalized.mean < 1.0


def test_an_id_of_another_list_is_refused(service, shop):
    _put(service, "again", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    _put(service, "other", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    named = _list(service, scenario="again")["recommendation_id"]
    plain = _list(service)["recommendation_id"]
    _list(service, scenario="again", recommendation_id=named)
    _list(service, recommendation_id=plain)

    def told(user, recommendation_id, **parameters):
        asked = parameters | {"recommendation_id": recommendation_id}
        answer = service.client.get(f"/v1/users/{user}/recommendations", params=asked)
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["location"] == ["query", "recommendation_id"]
        return error["detail"]

    of_again = "the scenario 'again' in revision 1"
    expected = "expected the id of an answer"
    assert told("u4", named, scenario="again") == f"{expected} for the user 'u4'"
    assert told("u3", named) == f"{expected} under no scenario: this is of one under {of_again}"
    assert told("u3", plain, scenario="again") == (
        f"{expected} under {of_again}: this is of one under no scenario"
    )
    assert told("u3", named, scenario="other").endswith(f"this is of one under {of_again}")
    for parameters in ({}, {"scenario": "again"}):
        for forged in ("x", named[:-2] + "AA"):
            assert "expected a recommendation_id" in told("u3", forged, **parameters)
    body = {"evidence": [{"item_id": "i1"}], "scenario": "again"}
    own = service.client.post("/v1/recommendations", json=body).json()["recommendation_id"]
    assert told("u3", own, scenario="again") == f"{expected} for the user 'u3'"
    for given, status in ((own, 200), (named, 422)):
        asked = service.client.post("/v1/recommendations", json=body | {"recommendation_id": given})
        assert asked.status_code == status
    batch = {"user_ids": ["u3", "u4"], "scenario": "again", "recommendation_id": named}
    assert service.client.post("/v1/recommendations/batch", json=batch).status_code == 422
    _put(service, "again", {"exploration": {"share": 0.2, "within": 6, "by": "uniform"}})
    assert told("u3", named, scenario="again") == (
        f"{expected} under the scenario 'again' in revision 2: this is of one under {of_again}"
    )


async def _learned(served, name):
    engine = Engine(
        Store(served.address, timeout_seconds=20.0), snapshot_folder=served.home,
        events=load_settings().events, max_evidence=100,
    )  # fmt: skip
    await engine.start()
    try:
        await engine.explorations.learn()
        assert "new" in engine.explorations.newcomers
        query = RecommendationQuery(scenario=name)
        estimates = await engine.estimate(query, name, "click", 1)
        return engine.explorations.rewards[name], estimates
    finally:
        await engine.stop()


def test_a_change_of_a_property_counts_at_once(service, served, shop):
    _put(service, "brand", {"filters": [{"property": "brand", "equals": "b9"}]})
    assert _ids(_list(service, scenario="brand")) == []
    _run(served, "MATCH (i:Item {item_id: 'new'}) SET i.brand = 'b9'")
    try:
        assert _ids(_list(service, scenario="brand")) == ["new"]
    finally:
        _run(served, "MATCH (i:Item {item_id: 'new'}) SET i.brand = 'b0'")


def test_what_the_request_says_wins(service, shop):
    _put(service, "said", {"k": 3, "exclude_seen": False, "weights": {"base": 0, "nothing": 2}})
    answer = _list(service, scenario="said")
    assert len(answer["items"]) == 3
    assert {item["signals"]["base"] for item in answer["items"]} == {0.0}
    assert answer["scenario"]["notes"] == ["weights: no signal 'nothing' in this version"]
    assert len(_list(service, scenario="said", k=4)["items"]) == 4
    assert _ids(_list(service, scenario="said", exclude_seen=True)) != _ids(answer)


def test_sessions_and_batches_take_a_scenario(service, shop):
    _put(service, "cheap", {"filters": [{"property": "price", "range": {"max": 2}}]})
    body = {"evidence": [{"item_id": "i1"}], "scenario": "cheap"}
    session = service.client.post("/v1/recommendations", json=body).json()
    body = {"user_ids": ["u1", "u2"], "scenario": "cheap", "k": 5}
    batch = service.client.post("/v1/recommendations/batch", json=body).json()
    for answer in (session, *batch["answers"]):
        assert answer["items"]
        assert all(shop[item]["price"] <= 2 for item in _ids(answer))


def test_revisions_are_kept_and_taken_back(service, shop):
    client = service.client
    for number in range(22):
        revision = _put(service, "many", {"k": number + 1})
    assert revision == 22
    stored = client.get("/v1/scenarios/many").json()
    assert stored["scenario"] == {"k": 22}
    assert stored["revisions"] == list(range(22, 2, -1))
    assert client.get("/v1/scenarios/many", params={"revision": 3}).json()["scenario"] == {"k": 3}
    assert client.get("/v1/scenarios/many", params={"revision": 2}).status_code == 404
    assert client.post("/v1/scenarios/many/rollback").json()["revision"] == 23
    assert len(_list(service, scenario="many")["items"]) == 21
    back = client.post("/v1/scenarios/many/rollback", params={"revision": 5})
    assert back.json()["revision"] == 24
    assert len(_list(service, scenario="many")["items"]) == 5
    names = [each["name"] for each in client.get("/v1/scenarios").json()["scenarios"]]
    assert "many" in names
    assert client.delete("/v1/scenarios/many").status_code == 204
    assert client.delete("/v1/scenarios/many").status_code == 404
    missing = client.get("/v1/users/u3/recommendations", params={"scenario": "many"})
    assert missing.status_code == 404


def test_a_stored_document_that_cannot_be_read_breaks_no_answer(service, served, shop):
    _put(service, "edited", {"k": 2})
    _run(served, "MATCH (s:Scenario {name: 'edited'}) SET s.document = '{\"k\": \"many\"}'")
    assert "k: " in service.client.get("/v1/scenarios/edited").json()["trouble"]
    service.client.get("/v1/scenarios")  # it looks again
    answer = service.client.get(
        "/v1/users/u3/recommendations", params={"scenario": "edited"}
    ).json()
    assert answer["degraded"] == ["scenario"]
    assert len(answer["items"]) == 10
    assert "edited" in service.client.get("/health/ready").json()["degraded"]["scenario"]
    service.client.delete("/v1/scenarios/edited")


def test_a_huge_document_breaks_no_answer(service, served, shop):
    _put(service, "huge", {"k": 2})
    _run(
        served,
        "MATCH (s:Scenario {name: 'huge'}) SET s.document = "
        "'{\"weights\": {\"' + reduce(t = 'x', _ IN range(1, 25) | t + t) + '\": 1}}'",
    )
    listed = service.client.get("/v1/scenarios")
    assert listed.status_code == 200, listed.text[:300]
    (trouble,) = [s["trouble"] for s in listed.json()["scenarios"] if s["name"] == "huge"]
    assert "8,388,608 characters" in trouble
    answer = service.client.get("/v1/users/u3/recommendations", params={"scenario": "huge"})
    assert answer.json()["degraded"] == ["scenario"]
    assert service.client.delete("/v1/scenarios/huge").status_code == 204


def test_a_revision_that_cannot_be_read_is_not_gone_back_to(service, served, shop):
    for k in (1, 2):
        _put(service, "broken", {"k": k})
    _run(served, "MATCH (s:Scenario {name: 'broken', revision: 1}) SET s.document = '{\"k\": 0}'")
    for which in ({}, {"revision": 1}):
        refused = service.client.post("/v1/scenarios/broken/rollback", params=which)
        assert refused.status_code == 409
        assert "revision 1: k: " in refused.json()["detail"]
    assert len(_list(service, scenario="broken")["items"]) == 2


BAD = [
    ({"filter": []}, ["filter"]),
    ({"filters": [{"property": "price"}]}, ["filters", 0]),
    ({"filters": [{"property": "price", "range": {"min": 1, "below": 3}}]},
     ["filters", 0, "range", "below"]),
    ({"rules": [{"kind": "pin", "item_id": "i1", "place": 0}]}, ["rules", 0, "pin", "place"]),
    ({"rules": [{"kind": "boost", "where": [], "amount": 1}]}, ["rules", 0, "boost", "where"]),
    ({"rules": [{"kind": "push"}]}, ["rules", 0]),
    ({"rules": [{"kind": "pin", "item_id": "i1", "place": 1, "from": "2026-01-01"}]},
     ["rules", 0, "pin", "from"]),
    ({"filters": [{"property": "price", "range": {"min": 1, "max": "a"}}]},
     ["filters", 0, "range"]),
    ({"weights": {"lightgcn": -1}}, ["weights", "lightgcn"]),
    ({"k": 501}, ["k"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "place"), BAD)
def test_a_document_that_says_nonsense_is_refused_with_its_place(service, document, place):
    answer = service.client.put("/v1/scenarios/bad", json=document)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == ["body", *place]


def test_a_trial_shows_both_lists_and_stores_nothing(service, shop):
    service.client.delete("/v1/scenarios/tried")
    rule = {"kind": "pin", "item_id": "new", "place": 1}
    body = {"scenario": {"rules": [rule]}, "user_id": "u3"}
    tried = service.client.post("/v1/scenarios/tried/try", json=body).json()
    assert _ids(tried["after"])[0] == "new"
    assert _ids(tried["after"])[1:] == _ids(tried["before"])[:9]
    first = tried["moves"][0]
    assert (first["item_id"], first["before"], first["after"]) == ("new", None, 1)
    assert first["why"] == "pin: place 1"
    assert service.client.get("/v1/scenarios/tried").status_code == 404


def test_a_rule_counts_from_its_beginning_to_its_end(service, shop):
    now = datetime.now(UTC)
    pin = {"kind": "pin", "item_id": "new", "place": 1}
    for first, last, counts in ((-2, 2, True), (1, 2, False), (-2, -1, False)):
        window = {
            "from": (now + timedelta(hours=first)).isoformat(),
            "until": (now + timedelta(hours=last)).isoformat(),
        }
        _put(service, "timed", {"rules": [pin | window]})
        assert (_ids(_list(service, scenario="timed"))[0] == "new") is counts
    assert json.loads(service.client.get("/v1/scenarios/timed").text)["scenario"]["rules"]


def test_a_home_has_titled_rows_without_an_item_twice(service, shop):
    answer = service.client.get("/v1/users/u3/home").json()
    assert answer["degraded"] == []
    kinds = [row["kind"] for row in answer["rows"]]
    assert kinds[0] == "because"
    assert {"new", "popular"} <= set(kinds)
    assert answer["rows"][0]["title"].startswith("Because you listened to Song ")
    ids = [item["item_id"] for row in answer["rows"] for item in row["items"]]
    assert len(set(ids)) == len(ids)
    since = datetime.now(UTC) - timedelta(days=31)
    for row in answer["rows"]:
        assert 3 <= len(row["items"]) <= 10
        assert [item["rank"] for item in row["items"]] == list(range(1, len(row["items"]) + 1))
        assert all(item["explanation"]["text"] for item in row["items"])
        if row["kind"] == "new":
            assert all(shop[i["item_id"]]["created_at"].to_native() > since for i in row["items"])
        if row["kind"] == "new" and row["evidence"] is not None:
            assert row["title"] == f"New in {row['evidence']['title']}"
            inside = {"category": row["evidence"]["id"], "k": 500, "exclude_seen": False}
            assert {item["item_id"] for item in row["items"]} <= set(_ids(_list(service, **inside)))
        if row["kind"] == "because":
            name = f"{row['evidence']['kind']}:{row['evidence']['id']}"
            assert name.startswith("item:")
    assert service.client.get("/v1/users/nobody/home").status_code == 404


def test_commands_store_try_and_take_back(service, served, shop, tmp_path):
    file = tmp_path / "cheap.json"
    file.write_text('{"filters": [{"property": "price", "range": {"max": 2}}], "k": 4}')

    def done(*arguments):
        said = served.run(*arguments)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    assert done("scenarios", "put", str(file), "--name", "shelf", "--json")["revision"] == 1
    assert done("scenarios", "show", "shelf") == json.loads(file.read_text())
    listed = done("scenarios", "list", "--json")["scenarios"]
    assert "shelf" in [each["name"] for each in listed]
    answer = done("recommend", "u3", "--scenario", "shelf", "--json")
    assert len(answer["items"]) == 4
    assert all(shop[item]["price"] <= 2 for item in _ids(answer))
    tried = done("scenarios", "try", str(file), "u3", "--json")
    assert _ids(tried["after"]) == _ids(answer)
    users, out = tmp_path / "users.txt", tmp_path / "lists.jsonl"
    users.write_text("u3\nu4\n")
    options = ("--users", str(users), "--scenario", "shelf", "--json")
    made = done("batch-recommend", "--out", str(out), *options)
    assert (made["recommendations"], made["missing"]) == (8, 0)  # the scenario says how many
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["item_id"] for row in rows if row["user_id"] == "u3"] == _ids(answer)
    file.write_text('{"k": 0}')
    refused = served.run("scenarios", "put", str(file))
    assert refused.returncode == 1
    assert "k: " in refused.stderr
    assert done("scenarios", "delete", "shelf", "--json") == {"deleted": "shelf"}


def test_an_experiment_compares_two_scenarios(service, shop):
    _put(service, "plain", {"k": 3})
    _put(service, "short", {"k": 2})
    variants = [{"name": "three", "share": 0.5},
                {"name": "two", "share": 0.5, "scenario": "short"}]  # fmt: skip
    about = "/v1/experiments/length"
    document = {"scenario": "plain", "variants": variants}
    missing = {"scenario": "nowhere", "variants": variants}
    assert service.client.put(about, json=missing).status_code == 404
    assert service.client.put(about, json=document).status_code == 200
    seen = set()
    for number in range(12):
        answer = _list(service, f"u{number}", scenario="plain")
        name = answer["variant"]["name"]
        made_by = {"three": ("plain", 3), "two": ("short", 2)}[name]
        assert (answer["scenario"]["name"], len(answer["items"])) == made_by
        seen.add(name)
        assert "variant" not in _list(service, f"u{number}")
        assert "variant" not in _list(service, f"u{number}", scenario="short")
    assert seen == {"three", "two"}
    assert service.client.post(f"{about}/stop", json={"promote": "two"}).status_code == 200
    assert {len(_list(service, f"u{n}", scenario="plain")["items"]) for n in range(12)} == {2}
    # What was promoted is gone: lists are made as they are asked for.
    assert service.client.delete("/v1/scenarios/short").status_code == 204
    assert {len(_list(service, f"u{n}", scenario="plain")["items"]) for n in range(12)} == {3}
    assert service.client.delete(about).status_code == 204


def test_a_pinned_newcomer_is_only_in_lists_of_its_categories(service, served, shop):
    rules = [{"kind": "pin", "item_id": "just in", "place": 1}]
    _put(service, "pinned", {"rules": rules})
    put = service.client.put("/v1/items/just in", json={"categories": [{"category_id": "c1"}]})
    assert put.is_success
    try:
        assert _ids(_list(service, scenario="pinned", k=3))[0] == "just in"
        assert _ids(_list(service, scenario="pinned", k=3, category="c1"))[0] == "just in"
        assert "just in" not in _ids(_list(service, scenario="pinned", k=500, category="c2"))
    finally:
        assert service.client.delete("/v1/items/just in").status_code == 204


def test_a_scenario_that_changes_nothing_has_the_counterfactuals_of_none(service, shop):
    _put(service, "nothing", {})
    found = 0
    for number in range(10, 16):  # three of them have to know what comes in far behind the list
        plain, under = (
            [item["explanation"]["counterfactual"]
             for item in _list(service, f"u{number}", k=2, explain="full", **more)["items"]]
            for more in ({}, {"scenario": "nothing"})
        )  # fmt: skip
        assert under == plain
        found += len(plain) - plain.count(None)
    assert found


def test_what_items_share_is_what_filters_take_for_equal(service, served, shop):
    top = _ids(_list(service, k=12))
    long = [f"v{n}" for n in range(25)] + ["4"]
    values = dict(zip(top, [4, 4.0, "4", long, 1, True, "1", ["9", "9"], ["9"], 4], strict=False))
    for item, value in values.items():
        put = service.client.put(f"/v1/items/{item}", json={"size": value})
        assert put.is_success, put.text
    once = {"kind": "at_most", "count": 1, "same": {"property": "size"}}
    _put(service, "sizes", {"rules": [once], "k": 8})
    expected = [top[n] for n in (0, 2, 4, 5, 6, 7, 10, 11)]
    assert _ids(_list(service, scenario="sizes")) == expected
    # A value that an item has twice is one item with it.
    _put(service, "sizes", {"rules": [once | {"count": 2}], "k": 9})
    assert _ids(_list(service, scenario="sizes")) == top[:9]


def test_notes_count_what_came_since_the_refresh(service, shop):
    _put(service, "nothing left", {"filters": [{"property": "brand", "equals": "none"}]})
    answer = _list(service, scenario="nothing left", exclude_seen=False)
    assert answer["scenario"]["notes"] == [f"filter brand = none: leaves 0 of {len(shop)} items"]


def test_a_quota_that_is_not_kept_is_told(service, shop):
    rules = [
        {"kind": "pin", "item_id": "new", "place": 1},
        {"kind": "at_least", "count": 1, "within": 1,
         "where": [{"property": "brand", "equals": "b1"}]},
    ]  # fmt: skip
    _put(service, "told", {"rules": rules})
    assert _list(service, scenario="told")["scenario"]["notes"] == [
        "not kept: at least 1 with brand = b1 in the first 1: 0 of 1, pinned items have its places"
    ]


def test_categories_are_looked_at_ten_levels_up(service, served, shop):
    _run(
        served,
        "UNWIND range(0, 11) AS n CREATE (c:Category {category_id: 'level ' + toString(n)}) "
        "WITH collect(c) AS levels UNWIND range(1, 11) AS n "
        "WITH levels[n - 1] AS below, levels[n] AS above CREATE (below)-[:SUBCATEGORY_OF]->(above)",
    )
    try:
        _run(served, "MATCH (i:Item {item_id: 'i7'}), (c:Category {category_id: 'level 0'}) "
             "CREATE (i)-[:IN_CATEGORY]->(c)")  # fmt: skip
        for level, found in ((10, ["i7"]), (11, [])):
            _put(service, "deep", {"filters": [{"category": [f"level {level}"]}]})
            answer = _list(service, scenario="deep", exclude_seen=False)
            assert _ids(answer) == found
            assert "categories: more than 10 levels" in answer["scenario"]["notes"][-1]
    finally:
        _run(served, "MATCH (c:Category) WHERE c.category_id STARTS WITH 'level ' DETACH DELETE c")


def test_what_does_not_say_whether_it_is_available_is(service, shop):
    found = service.client.get("/v1/exposure", params={"property": "available", "users": 1}).json()
    by_value = found["answers"]["by_value"]
    assert {value: share["items"] for value, share in by_value.items()} == {"true": len(shop)}


def test_an_item_is_explained_as_it_is_under_a_scenario(service, served, shop):
    rules = [
        {"kind": "pin", "item_id": "new", "place": 2},
        {"kind": "boost", "where": [{"property": "brand", "equals": "b1"}], "amount": 0.5},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 8},
    ]
    filters = [{"property": "price", "range": {"max": 8}}]
    _put(service, "explained", {"rules": rules, "filters": filters, "k": 8})

    def explained(item, user="u3"):
        about = f"/v1/users/{user}/recommendations/{item}/explanation"
        answer = service.client.get(about, params={"scenario": "explained"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    every = _list(service, scenario="explained", k=500)
    whole = _list(service, scenario="explained", explain="full")["items"]
    # What stands after the list of the scenario has no counterfactual in it.
    for item in [*whole, every["items"][20]]:
        found = explained(item["item_id"])
        assert found["scenario"] == {**every["scenario"], "notes": []}
        assert found["degraded"] == []
        if item in whole:
            assert found["explanation"] == item["explanation"]
        for part in ("rank", "title", "signals", "score"):
            assert found[part] == item[part]
        assert found.get("placed_by") == item.get("placed_by")
    # One that is left out has its rank by score, and the filter that does it.
    dear = next(i for i, p in shop.items() if p["price"] == 9 and i not in _ids(every))
    found = explained(dear)
    assert found["scenario"]["notes"] == ["filter price in ..8.0: leaves out this item"]
    assert sum(found["signals"].values()) == pytest.approx(found["score"], rel=1e-4, abs=1e-6)
    better = [item for item in every["items"] if item["score"] > found["score"]]
    assert found["rank"] == len(better) + 1
    _run(served, "MATCH (i:Item {item_id: 'new'}) SET i.price = 9.0, i.brand = 'b1'")
    try:
        found = explained("new")
    finally:
        _run(served, "MATCH (i:Item {item_id: 'new'}) SET i.price = 1.0, i.brand = 'b0'")
    assert (found["score"], len(found["scenario"]["notes"])) == (0.5, 1)
    about = "/v1/users/u3/recommendations/i1/explanation"
    assert service.client.get(about, params={"scenario": "none"}).status_code == 404


def test_exposure_is_told_by_groups_of_users_and_by_day(service, served, shop):
    _run(served, "MATCH (o:Outcome) DELETE o")
    _run(
        served,
        "MATCH (u:User) SET u.country = CASE WHEN u.user_id < 'u2' THEN 'at' ELSE 'fi' END "
        "WITH count(*) AS users UNWIND [['u1', 'i1', 0], ['u1', 'i2', 0], ['u3', 'i1', 0], "
        "['u3', 'i1', 2], [null, 'i3', 2]] AS o CREATE (:Outcome {outcome_id: randomUUID(), "
        "kind: 'impression', user_id: o[0], item_id: o[1], "
        "at: datetime() - duration({days: o[2]})})",
    )
    asked = {"users": 500, "k": 3, "group": "country"}
    try:
        found = service.client.get("/v1/exposure", params=asked).json()
    finally:
        _run(served, "MATCH (o:Outcome) DELETE o")
        _run(served, "MATCH (u:User) REMOVE u.country")
    answers, shown = found["answers"], found["shown"]
    assert set(answers["by_group"]) == {"at", "fi"}
    assert sum(each["places"] for each in answers["by_group"].values()) == answers["places"]
    assert {value: each["places"] for value, each in shown["by_group"].items()} == {
        "at": 2, "fi": 2, "": 1,
    }  # fmt: skip
    assert [each["places"] for each in shown["by_day"].values()] == [3, 2]
    items = round(2 / shown["by_day"][max(shown["by_day"])]["coverage"])
    # Of n items one has a place, or two: Σᵢ (2i − n − 1)·xᵢ / (n·Σᵢ xᵢ).
    assert shown["by_group"][""]["gini"] == pytest.approx((items - 1) / items)
    assert shown["by_group"]["at"]["gini"] == pytest.approx((items - 2) / items)
