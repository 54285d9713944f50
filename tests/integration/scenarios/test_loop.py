"""The rows of a home, experiments between scenarios, and who is shown what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Served, Service
from tests.integration.scenarios.asking import Shop, ids, listed, put, run

pytestmark = pytest.mark.neo4j


def test_a_home_has_titled_rows_without_an_item_twice(service: Service, shop: Shop) -> None:
    answer = service.client.get("/v1/users/u3/home").json()
    assert answer["degraded"] == []
    kinds = [row["kind"] for row in answer["rows"]]
    assert kinds[0] == "because"
    assert {"new", "popular"} <= set(kinds)
    assert answer["rows"][0]["title"].startswith("Because you listened to Song ")
    shown = [item["item_id"] for row in answer["rows"] for item in row["items"]]
    assert len(set(shown)) == len(shown)
    since = datetime.now(UTC) - timedelta(days=31)
    for row in answer["rows"]:
        assert 3 <= len(row["items"]) <= 10
        assert [item["rank"] for item in row["items"]] == list(range(1, len(row["items"]) + 1))
        assert all(item["explanation"]["text"] for item in row["items"])
        if row["kind"] == "new":
            assert all(shop[i["item_id"]]["created_at"].to_native() > since for i in row["items"])
        if row["kind"] == "new" and row["evidence"] is not None:
            assert row["title"] == f"New in {row['evidence']['title']}"
            inside: dict[str, Any] = {
                "category": row["evidence"]["id"], "k": 500, "exclude_seen": False,
            }  # fmt: skip
            assert {item["item_id"] for item in row["items"]} <= set(ids(listed(service, **inside)))
        if row["kind"] == "because":
            name = f"{row['evidence']['kind']}:{row['evidence']['id']}"
            assert name.startswith("item:")
    assert service.client.get("/v1/users/nobody/home").status_code == 404


def test_an_experiment_compares_two_scenarios(service: Service, shop: Shop) -> None:
    put(service, "plain", {"k": 3})
    put(service, "short", {"k": 2})
    variants = [{"name": "three", "share": 0.5},
                {"name": "two", "share": 0.5, "scenario": "short"}]  # fmt: skip
    about = "/v1/experiments/length"
    document = {"scenario": "plain", "variants": variants}
    missing = {"scenario": "nowhere", "variants": variants}
    assert service.client.put(about, json=missing).status_code == 404
    assert service.client.put(about, json=document).status_code == 200
    seen = set()
    for number in range(12):
        answer = listed(service, f"u{number}", scenario="plain")
        name = answer["variant"]["name"]
        made_by = {"three": ("plain", 3), "two": ("short", 2)}[name]
        assert (answer["scenario"]["name"], len(answer["items"])) == made_by
        seen.add(name)
        assert "variant" not in listed(service, f"u{number}")
        assert "variant" not in listed(service, f"u{number}", scenario="short")
    assert seen == {"three", "two"}
    assert service.client.post(f"{about}/stop", json={"promote": "two"}).status_code == 200
    assert {len(listed(service, f"u{n}", scenario="plain")["items"]) for n in range(12)} == {2}
    # What was promoted is gone: lists are made as they are asked for.
    assert service.client.delete("/v1/scenarios/short").status_code == 204
    assert {len(listed(service, f"u{n}", scenario="plain")["items"]) for n in range(12)} == {3}
    assert service.client.delete(about).status_code == 204


def test_what_does_not_say_whether_it_is_available_is(service: Service, shop: Shop) -> None:
    found = service.client.get("/v1/exposure", params={"property": "available", "users": 1}).json()
    by_value = found["answers"]["by_value"]
    assert {value: share["items"] for value, share in by_value.items()} == {"true": len(shop)}


def test_exposure_is_told_by_groups_of_users_and_by_day(
    service: Service, served: Served, shop: Shop
) -> None:
    run(served, "MATCH (o:Outcome) DELETE o")
    run(
        served,
        "MATCH (u:User) SET u.country = CASE WHEN u.user_id < 'u2' THEN 'at' "
        "ELSE reduce(t = 'fi', _ IN range(1, 9) | t + t) + u.user_id END "
        "WITH count(*) AS users UNWIND [['u1', 'i1', 0], ['u1', 'i2', 0], ['u3', 'i1', 0], "
        "['u3', 'i1', 2], [null, 'i3', 2]] AS o CREATE (:Outcome {outcome_id: randomUUID(), "
        "kind: 'impression', user_id: o[0], item_id: o[1], "
        "at: datetime() - duration({days: o[2]})})",
    )
    asked = {"users": 500, "k": 3, "group": "country"}
    try:
        found = service.client.get("/v1/exposure", params=asked).json()
    finally:
        run(served, "MATCH (o:Outcome) DELETE o")
        run(served, "MATCH (u:User) REMOVE u.country")
    answers, shown, long = found["answers"], found["shown"], "fi" * 50
    assert set(answers["by_group"]) == {"at", long}
    assert sum(each["places"] for each in answers["by_group"].values()) == answers["places"]
    assert {value: each["places"] for value, each in shown["by_group"].items()} == {
        "at": 2, long: 2, "": 1,
    }  # fmt: skip
    assert [each["places"] for each in shown["by_day"].values()] == [3, 2]
    items = round(2 / shown["by_day"][max(shown["by_day"])]["coverage"])
    # Of n items one has a place, or two: Σᵢ (2i − n − 1)·xᵢ / (n·Σᵢ xᵢ).
    assert shown["by_group"][""]["gini"] == pytest.approx((items - 1) / items)
    assert shown["by_group"]["at"]["gini"] == pytest.approx((items - 2) / items)
