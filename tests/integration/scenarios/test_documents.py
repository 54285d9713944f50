"""Scenarios that are stored, tried, changed and taken back."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served, Service
from tests.integration.scenarios.asking import Shop, ids, listed, put, run

pytestmark = pytest.mark.neo4j


def test_revisions_are_kept_and_taken_back(service: Service, shop: Shop) -> None:
    client = service.client
    assert [put(service, "many", {"k": number + 1}) for number in range(22)][-1] == 22
    stored = client.get("/v1/scenarios/many").json()
    assert stored["scenario"] == {"k": 22}
    assert stored["revisions"] == list(range(22, 2, -1))
    assert client.get("/v1/scenarios/many", params={"revision": 3}).json()["scenario"] == {"k": 3}
    assert client.get("/v1/scenarios/many", params={"revision": 2}).status_code == 404
    assert client.post("/v1/scenarios/many/rollback").json()["revision"] == 23
    assert len(listed(service, scenario="many")["items"]) == 21
    back = client.post("/v1/scenarios/many/rollback", params={"revision": 5})
    assert back.json()["revision"] == 24
    assert len(listed(service, scenario="many")["items"]) == 5
    names = [each["name"] for each in client.get("/v1/scenarios").json()["scenarios"]]
    assert "many" in names
    assert client.delete("/v1/scenarios/many").status_code == 204
    assert client.delete("/v1/scenarios/many").status_code == 404
    missing = client.get("/v1/users/u3/recommendations", params={"scenario": "many"})
    assert missing.status_code == 404


def test_a_stored_document_that_cannot_be_read_breaks_no_answer(
    service: Service, served: Served, shop: Shop
) -> None:
    put(service, "edited", {"k": 2})
    run(served, "MATCH (s:Scenario {name: 'edited'}) SET s.document = '{\"k\": \"many\"}'")
    assert "k: " in service.client.get("/v1/scenarios/edited").json()["trouble"]
    service.client.get("/v1/scenarios")  # it looks again
    answer = service.client.get(
        "/v1/users/u3/recommendations", params={"scenario": "edited"}
    ).json()
    assert answer["degraded"] == ["scenario"]
    assert len(answer["items"]) == 10
    assert "edited" in service.client.get("/health/ready").json()["degraded"]["scenario"]
    service.client.delete("/v1/scenarios/edited")


def test_what_is_stored_under_blanks_is_read_and_deleted(
    service: Service, served: Served, shop: Shop
) -> None:
    for k in (4, 3):
        put(service, "unnamed", {"k": k})
    run(served, "MATCH (s:Scenario {name: 'unnamed'}) SET s.name = ' '")
    client = service.client
    assert client.put("/v1/scenarios/%20", json={"k": 2}).status_code == 422
    assert " " in [each["name"] for each in client.get("/v1/scenarios").json()["scenarios"]]
    assert len(listed(service, scenario=" ")["items"]) == 3
    assert client.post("/v1/scenarios/%20/rollback").json()["revision"] == 3
    assert len(listed(service, scenario=" ")["items"]) == 4
    assert client.delete("/v1/scenarios/%20").status_code == 204


def test_a_huge_document_breaks_no_answer(service: Service, served: Served, shop: Shop) -> None:
    put(service, "huge", {"k": 2})
    run(
        served,
        "MATCH (s:Scenario {name: 'huge'}) SET s.document = "
        "'{\"weights\": {\"' + reduce(t = 'x', _ IN range(1, 25) | t + t) + '\": 1}}'",
    )
    every = service.client.get("/v1/scenarios")
    assert every.status_code == 200, every.text[:300]
    (trouble,) = [s["trouble"] for s in every.json()["scenarios"] if s["name"] == "huge"]
    assert "8,388,608 characters" in trouble
    answer = service.client.get("/v1/users/u3/recommendations", params={"scenario": "huge"})
    assert answer.json()["degraded"] == ["scenario"]
    assert service.client.delete("/v1/scenarios/huge").status_code == 204


def test_a_revision_that_cannot_be_read_is_not_gone_back_to(
    service: Service, served: Served, shop: Shop
) -> None:
    for k in (1, 2):
        put(service, "broken", {"k": k})
    run(served, "MATCH (s:Scenario {name: 'broken', revision: 1}) SET s.document = '{\"k\": 0}'")
    for which in ({}, {"revision": 1}):
        refused = service.client.post("/v1/scenarios/broken/rollback", params=which)
        assert refused.status_code == 409
        assert "revision 1: k: " in refused.json()["detail"]
    assert len(listed(service, scenario="broken")["items"]) == 2


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
    ({"exploration": {"share": 1e-320}}, ["exploration", "share"]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "place"), BAD)
def test_a_document_that_says_nonsense_is_refused_with_its_place(
    service: Service, document: dict[str, Any], place: list[str | int]
) -> None:
    answer = service.client.put("/v1/scenarios/bad", json=document)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == ["body", *place]


def test_a_trial_shows_both_lists_and_stores_nothing(service: Service, shop: Shop) -> None:
    service.client.delete("/v1/scenarios/tried")
    rule = {"kind": "pin", "item_id": "new", "place": 1}
    body = {"scenario": {"rules": [rule]}, "user_id": "u3"}
    tried = service.client.post("/v1/scenarios/tried/try", json=body).json()
    assert ids(tried["after"])[0] == "new"
    assert ids(tried["after"])[1:] == ids(tried["before"])[:9]
    first = tried["moves"][0]
    assert (first["item_id"], first["before"], first["after"]) == ("new", None, 1)
    assert first["why"] == "pin: place 1"
    assert service.client.get("/v1/scenarios/tried").status_code == 404


def test_a_rule_counts_from_its_beginning_to_its_end(service: Service, shop: Shop) -> None:
    now = datetime.now(UTC)
    pin = {"kind": "pin", "item_id": "new", "place": 1}
    for first, last, counts in ((-2, 2, True), (1, 2, False), (-2, -1, False)):
        window = {
            "from": (now + timedelta(hours=first)).isoformat(),
            "until": (now + timedelta(hours=last)).isoformat(),
        }
        put(service, "timed", {"rules": [pin | window]})
        assert (ids(listed(service, scenario="timed"))[0] == "new") is counts
    assert json.loads(service.client.get("/v1/scenarios/timed").text)["scenario"]["rules"]


def test_commands_store_try_and_take_back(
    service: Service, served: Served, shop: Shop, tmp_path: Path
) -> None:
    file = tmp_path / "cheap.json"
    file.write_text('{"filters": [{"property": "price", "range": {"max": 2}}], "k": 4}')

    def done(*arguments: str):
        said = served.run(*arguments)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    assert done("scenarios", "put", str(file), "--name", "shelf", "--json")["revision"] == 1
    assert done("scenarios", "show", "shelf") == json.loads(file.read_text())
    stored = done("scenarios", "list", "--json")["scenarios"]
    assert "shelf" in [each["name"] for each in stored]
    answer = done("recommend", "u3", "--scenario", "shelf", "--json")
    assert len(answer["items"]) == 4
    assert all(shop[item]["price"] <= 2 for item in ids(answer))
    tried = done("scenarios", "try", str(file), "u3", "--json")
    assert ids(tried["after"]) == ids(answer)
    users, out = tmp_path / "users.txt", tmp_path / "lists.jsonl"
    users.write_text("u3\nu4\n")
    options = ("--users", str(users), "--scenario", "shelf", "--json")
    made = done("batch-recommend", "--out", str(out), *options)
    assert (made["recommendations"], made["missing"]) == (8, 0)  # the scenario says how many
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["item_id"] for row in rows if row["user_id"] == "u3"] == ids(answer)
    file.write_text('{"k": 0}')
    refused = served.run("scenarios", "put", str(file))
    assert refused.returncode == 1
    assert "k: " in refused.stderr
    assert done("scenarios", "delete", "shelf", "--json") == {"deleted": "shelf"}
