"""What the filters and rules of a scenario do to a list."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Served, Service
from tests.integration.scenarios.asking import Shop, ids, listed, put, run

pytestmark = pytest.mark.neo4j


SINCE = datetime.now(UTC) - timedelta(days=20)


CONDITIONS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
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
def test_a_filter_leaves_what_meets_it(
    service: Service, shop: Shop, condition: dict[str, Any], meets: Callable[[dict[str, Any]], bool]
) -> None:
    put(service, "filtered", {"filters": [condition]})
    answer = listed(service, k=500, scenario="filtered", exclude_seen=False)
    assert set(ids(answer)) == {item for item, p in shop.items() if meets(p)}
    assert answer["scenario"]["name"] == "filtered"
    if not answer["items"]:
        assert "leaves 0 of" in answer["scenario"]["notes"][0]


def test_a_category_holds_what_is_below_it(service: Service, served: Served, shop: Shop) -> None:
    run(
        served,
        "MATCH (c:Category {category_id: 'c1'}) MERGE (p:Category {category_id: 'above'}) "
        "MERGE (c)-[:SUBCATEGORY_OF]->(p)",
    )
    put(service, "below", {"filters": [{"category": ["above"]}]})
    named = listed(service, k=500, category="c1", exclude_seen=False)
    assert set(ids(listed(service, k=500, scenario="below", exclude_seen=False))) == set(ids(named))
    assert named["items"]


def test_rules_place_and_score_what_they_say(service: Service, shop: Shop) -> None:
    rules = [
        {"kind": "pin", "item_id": "new", "place": 2},
        {"kind": "boost", "where": [{"property": "brand", "equals": "b1"}], "amount": 0.5},
        {"kind": "bury", "where": [{"property": "price", "range": {"min": 8}}], "amount": 0.75},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 8},
        {"kind": "at_least", "count": 1, "within": 6,
         "where": [{"property": "created_at", "newer_than_days": 10}]},
    ]  # fmt: skip
    put(service, "ruled", {"rules": rules, "k": 12})
    answer = listed(service, scenario="ruled")
    assert answer["k"] == len(answer["items"]) == 12
    plain = {item["item_id"]: item for item in listed(service, k=500)["items"]}
    second = answer["items"][1]
    assert (second["item_id"], second["placed_by"]) == ("new", "pin: place 2")
    assert second["explanation"]["text"].startswith("Promoted.")
    brands = [shop[item]["brand"] for item in ids(answer)[:8]]
    assert max(map(brands.count, brands)) <= 2
    for item in answer["items"]:
        mine = shop[item["item_id"]]
        expected = 0.5 * (mine["brand"] == "b1") - 0.75 * (mine["price"] >= 8)
        assert item["signals"]["rule"] == pytest.approx(expected)
        if item["item_id"] in plain:
            before = plain[item["item_id"]]["score"]
            assert item["score"] == pytest.approx(before + expected, abs=1e-5)
    assert ids(listed(service, scenario="ruled", k=5)) == ids(answer)[:5]
    whole = listed(service, scenario="ruled", k=5, explain="full")
    assert ids(whole) == ids(answer)[:5]
    for item in whole["items"]:
        found = item["explanation"]["counterfactual"]
        if found:
            without = [f"{node['kind']}:{node['id']}" for node in found["without"]]
            again = ids(listed(service, scenario="ruled", k=5, without=without))
            assert item["item_id"] not in again
            assert found["replaced_by"] in again


def test_a_group_gets_its_share_as_a_part_of_the_score(service: Service, shop: Shop) -> None:
    brand = {"property": "brand", "equals": "b4"}
    rule = {"kind": "at_least_share", "share": 0.45, "within": 10, "where": [brand]}
    put(service, "fair", {"rules": [rule]})
    plain = {item["item_id"]: item for item in listed(service, k=500)["items"]}
    answer = listed(service, scenario="fair", k=20)
    mine = [shop[item]["brand"] == "b4" for item in ids(answer)]
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
    whole = listed(service, scenario="fair", k=5, explain="full")
    assert ids(whole) == ids(answer)[:5]
    found = [item["explanation"]["counterfactual"] for item in whole["items"]]
    assert any(found)
    for item, one in zip(ids(whole), found, strict=True):
        if one is not None:
            without = [f"{each['kind']}:{each['id']}" for each in one["without"]]
            again = ids(listed(service, scenario="fair", k=5, without=without))
            assert item not in again
            assert one["replaced_by"] in again


def test_a_change_of_a_property_counts_at_once(
    service: Service, served: Served, shop: Shop
) -> None:
    put(service, "brand", {"filters": [{"property": "brand", "equals": "b9"}]})
    assert ids(listed(service, scenario="brand")) == []
    run(served, "MATCH (i:Item {item_id: 'new'}) SET i.brand = 'b9'")
    try:
        assert ids(listed(service, scenario="brand")) == ["new"]
    finally:
        run(served, "MATCH (i:Item {item_id: 'new'}) SET i.brand = 'b0'")


def test_what_the_request_says_wins(service: Service, shop: Shop) -> None:
    put(service, "said", {"k": 3, "exclude_seen": False, "weights": {"base": 0, "nothing": 2}})
    answer = listed(service, scenario="said")
    assert len(answer["items"]) == 3
    assert {item["signals"]["base"] for item in answer["items"]} == {0.0}
    assert answer["scenario"]["notes"] == ["weights: no signal 'nothing' in this version"]
    assert len(listed(service, scenario="said", k=4)["items"]) == 4
    assert ids(listed(service, scenario="said", exclude_seen=True)) != ids(answer)


def test_sessions_and_batches_take_a_scenario(service: Service, shop: Shop) -> None:
    put(service, "cheap", {"filters": [{"property": "price", "range": {"max": 2}}]})
    body = {"evidence": [{"item_id": "i1"}], "scenario": "cheap"}
    session = service.client.post("/v1/recommendations", json=body).json()
    body = {"user_ids": ["u1", "u2"], "scenario": "cheap", "k": 5}
    batch = service.client.post("/v1/recommendations/batch", json=body).json()
    for answer in (session, *batch["answers"]):
        assert answer["items"]
        assert all(shop[item]["price"] <= 2 for item in ids(answer))


def test_a_pinned_newcomer_is_only_in_lists_of_its_categories(
    service: Service, served: Served, shop: Shop
) -> None:
    rules = [{"kind": "pin", "item_id": "just in", "place": 1}]
    put(service, "pinned", {"rules": rules})
    made = service.client.put("/v1/items/just in", json={"categories": [{"category_id": "c1"}]})
    assert made.is_success
    try:
        assert ids(listed(service, scenario="pinned", k=3))[0] == "just in"
        assert ids(listed(service, scenario="pinned", k=3, category="c1"))[0] == "just in"
        assert "just in" not in ids(listed(service, scenario="pinned", k=500, category="c2"))
    finally:
        assert service.client.delete("/v1/items/just in").status_code == 204


def test_a_scenario_that_changes_nothing_has_the_counterfactuals_of_none(
    service: Service, shop: Shop
) -> None:
    put(service, "nothing", {})
    count = 0
    for number in range(10, 16):  # three of them have to know what comes in far behind the list
        plain, under = (
            [item["explanation"]["counterfactual"]
             for item in listed(service, f"u{number}", k=2, explain="full", **more)["items"]]
            for more in ({}, {"scenario": "nothing"})
        )  # fmt: skip
        assert under == plain
        count += len(plain) - plain.count(None)
    assert count


def test_what_items_share_is_what_filters_take_for_equal(
    service: Service, served: Served, shop: Shop
) -> None:
    top = ids(listed(service, k=12))
    long = [f"v{n}" for n in range(25)] + ["4"]
    values = dict(zip(top, [4, 4.0, "4", long, 1, True, "1", ["9", "9"], ["9"], 4], strict=False))
    for item, value in values.items():
        changed = service.client.put(f"/v1/items/{item}", json={"size": value})
        assert changed.is_success, changed.text
    once = {"kind": "at_most", "count": 1, "same": {"property": "size"}}
    put(service, "sizes", {"rules": [once], "k": 8})
    expected = [top[n] for n in (0, 2, 4, 5, 6, 7, 10, 11)]
    assert ids(listed(service, scenario="sizes")) == expected
    # A value that an item has twice is one item with it.
    put(service, "sizes", {"rules": [once | {"count": 2}], "k": 9})
    assert ids(listed(service, scenario="sizes")) == top[:9]


def test_notes_count_what_came_since_the_refresh(service: Service, shop: Shop) -> None:
    put(service, "nothing left", {"filters": [{"property": "brand", "equals": "none"}]})
    answer = listed(service, scenario="nothing left", exclude_seen=False)
    assert answer["scenario"]["notes"] == [f"filter brand = none: leaves 0 of {len(shop)} items"]


def test_what_several_filters_leave_together_is_told(
    service: Service, served: Served, shop: Shop
) -> None:
    prices = [{"property": "price", "equals": price} for price in (3, 4)]
    put(service, "together", {"filters": prices})
    answer = listed(service, scenario="together", exclude_seen=False)
    # Other tests put items that have no price afterwards.
    counted = run(served, "UNWIND [3, 4] AS p RETURN COUNT { (:Item {price: p}) } AS items")
    three, four = (row["items"] for row in counted)
    assert three > 0 < four
    assert ids(answer) == []
    assert answer["scenario"]["notes"] == [
        f"filter price = 3: leaves {three} of {len(shop)} items",
        f"filter price = 4: leaves {four} of {len(shop)} items",
        f"filters together: leave 0 of {len(shop)} items",
    ]
    assert "together: leave 0" in answer["short"]


def test_a_pin_that_is_left_out_is_told_with_the_reason(
    service: Service, served: Served, shop: Shop
) -> None:
    top = ids(listed(service, "u4", k=20))
    known = next(iter(set(shop) - {*ids(listed(service, "u4", k=500))} - {"new"}))
    hides = {"user_id": "u4", "item_id": top[0], "event": "hide"}
    assert service.client.post("/v1/events", json=[hides]).status_code == 200
    run(served, "CREATE (:Item {item_id: 'gone', available: false})")
    other = {"property": "brand", "equals": shop[top[1]]["brand"], "not": True}
    left = [item for item in top[2:] if shop[item]["brand"] != shop[top[1]]["brand"]]
    asked: list[tuple[str, str | None]] = [
        (top[0], "the user hid it"),
        (known, "the user knows it already"),
        (top[1], f"filter not brand = {shop[top[1]]['brand']} leaves it out"),
        (left[0], "the request leaves it out"),
        ("nowhere", "there is no such item"),
        ("gone", "it is not available"),
        (left[1], None),
    ]
    rules = [
        {"kind": "pin", "item_id": item, "place": place}
        for place, (item, _) in enumerate(asked, start=1)
    ]
    rules.append({"kind": "pin", "item_id": left[2], "place": 30})
    document = {"filters": [other], "rules": rules}
    put(service, "pinned", document)
    answer = listed(service, "u4", scenario="pinned", exclude=left[0])
    told = [
        f"pin {item} at place {place}: {why}"
        for place, (item, why) in enumerate(asked, start=1)
        if why
    ]
    told.append(f"pin {left[2]} at place 30: the list ends at place 10")
    assert answer["scenario"]["notes"] == told
    assert ids(answer)[6] == left[1]
    body = {"scenario": document, "user_id": "u4"}
    tried = service.client.post("/v1/scenarios/pinned/try", json=body).json()["after"]
    assert tried["scenario"]["notes"] == [each for each in told if "the request" not in each]
    inside = listed(service, "u4", scenario="pinned", category="c1")
    categories = "it is in no category that the request names"
    assert f"pin nowhere at place 5: {categories}" in inside["scenario"]["notes"]
    run(served, "MATCH (i:Item {item_id: 'gone'}) DETACH DELETE i")
    shown = service.client.delete(f"/v1/users/u4/interactions/{top[0]}", params={"event": "hide"})
    assert shown.status_code == 204


def test_a_quota_that_is_not_kept_is_told(service: Service, shop: Shop) -> None:
    rules = [
        {"kind": "pin", "item_id": "new", "place": 1},
        {"kind": "at_least", "count": 1, "within": 1,
         "where": [{"property": "brand", "equals": "b1"}]},
    ]  # fmt: skip
    put(service, "told", {"rules": rules})
    assert listed(service, scenario="told")["scenario"]["notes"] == [
        "not kept: at least 1 with brand = b1 in the first 1: 0 of 1, pinned items have its places"
    ]


def test_categories_are_looked_at_ten_levels_up(
    service: Service, served: Served, shop: Shop
) -> None:
    run(
        served,
        "UNWIND range(0, 11) AS n CREATE (c:Category {category_id: 'level ' + toString(n)}) "
        "WITH collect(c) AS levels UNWIND range(1, 11) AS n "
        "WITH levels[n - 1] AS below, levels[n] AS above CREATE (below)-[:SUBCATEGORY_OF]->(above)",
    )
    try:
        run(served, "MATCH (i:Item {item_id: 'i7'}), (c:Category {category_id: 'level 0'}) "
             "CREATE (i)-[:IN_CATEGORY]->(c)")  # fmt: skip
        for level, found in ((10, ["i7"]), (11, [])):
            put(service, "deep", {"filters": [{"category": [f"level {level}"]}]})
            answer = listed(service, scenario="deep", exclude_seen=False)
            assert ids(answer) == found
            assert "categories: more than 10 levels" in answer["scenario"]["notes"][-1]
    finally:
        run(served, "MATCH (c:Category) WHERE c.category_id STARTS WITH 'level ' DETACH DELETE c")


def test_an_item_is_explained_as_it_is_under_a_scenario(
    service: Service, served: Served, shop: Shop
) -> None:
    rules = [
        {"kind": "pin", "item_id": "new", "place": 2},
        {"kind": "boost", "where": [{"property": "brand", "equals": "b1"}], "amount": 0.5},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 8},
    ]
    filters = [{"property": "price", "range": {"max": 8}}]
    put(service, "explained", {"rules": rules, "filters": filters, "k": 8})

    def explained(item: str, user: str = "u3"):
        about = f"/v1/users/{user}/recommendations/{item}/explanation"
        answer = service.client.get(about, params={"scenario": "explained"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    every = listed(service, scenario="explained", k=500)
    whole = listed(service, scenario="explained", explain="full")["items"]
    # What stands after the list of the scenario has no counterfactual in it.
    for item in [*whole, every["items"][20]]:
        explanation = explained(item["item_id"])
        assert explanation["scenario"] == {**every["scenario"], "notes": []}
        assert explanation["degraded"] == []
        if item in whole:
            assert explanation["explanation"] == item["explanation"]
        for part in ("rank", "title", "signals", "score"):
            assert explanation[part] == item[part]
        assert explanation.get("placed_by") == item.get("placed_by")
    # One that is left out has its rank by score, and the filter that does it.
    dear = next(i for i, p in shop.items() if p["price"] == 9 and i not in ids(every))
    explanation = explained(dear)
    assert explanation["scenario"]["notes"] == ["filter price in ..8.0: leaves out this item"]
    assert sum(explanation["signals"].values()) == pytest.approx(
        explanation["score"], rel=1e-4, abs=1e-6
    )
    better = [item for item in every["items"] if item["score"] > explanation["score"]]
    assert explanation["rank"] == len(better) + 1
    run(served, "MATCH (i:Item {item_id: 'new'}) SET i.price = 9.0, i.brand = 'b1'")
    try:
        explanation = explained("new")
    finally:
        run(served, "MATCH (i:Item {item_id: 'new'}) SET i.price = 1.0, i.brand = 'b0'")
    assert (explanation["score"], len(explanation["scenario"]["notes"])) == (0.5, 1)
    about = "/v1/users/u3/recommendations/i1/explanation"
    assert service.client.get(about, params={"scenario": "none"}).status_code == 404
