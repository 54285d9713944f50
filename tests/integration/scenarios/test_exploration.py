"""What a scenario tries out, and what is learned of it."""

import asyncio
import json
from typing import Any

import pytest

from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import load_settings
from tests.conftest import Served, Service
from tests.integration.scenarios.asking import Shop, ids, listed, put, run
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.neo4j


def test_some_places_are_tried_out_and_what_follows_is_learned(
    service: Service, served: Served, shop: Shop
) -> None:
    put(service, "curious", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    plain = ids(listed(service, k=6))
    lists = [listed(service, scenario="curious", k=6) for _ in range(12)]
    for answer in lists:
        assert len(set(ids(answer))) == 6
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
    whole = listed(service, scenario="curious", k=6, explain="full", recommendation_id=named)
    assert ids(whole) == ids(lists[one])
    short = listed(service, scenario="curious", k=3, recommendation_id=named)
    assert ids(short) == ids(whole)[:3]
    found = [item["explanation"]["counterfactual"] for item in whole["items"]]
    assert any(found)
    for item, counterfactual in zip(ids(whole), found, strict=True):
        if counterfactual is not None:
            without = [f"{each['kind']}:{each['id']}" for each in counterfactual["without"]]
            again = listed(
                service, scenario="curious", k=6, without=without, recommendation_id=named
            )
            assert item not in ids(again)
            assert counterfactual["replaced_by"] in ids(again)
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
    rows = run(served, "MATCH (o:Outcome {scenario: 'curious', kind: 'impression'}) RETURN "
                        "o.item_id AS item, o.propensity AS chance, o.tried AS tried")  # fmt: skip
    assert sum(row["tried"] is not None for row in rows) == sum(map(len, tried))
    tries = []
    for row in rows:
        known = {} if row["tried"] is None else json.loads(row["tried"])
        assert row["chance"] < 0.5 if known else row["chance"] == 0.5
        tries.append(known.keys())
    (names, known), from_log = asyncio.run(_learned(served, "curious"))
    assert all(each in (set(), set(names)) for each in tries)
    of_one = names.index("one")
    assert known.precision[of_one, of_one] == 1.0 + sum(map(len, tried))
    assert known.response[of_one] == 1.0
    # Without exploration each list would have been the plain one: an item that is shown there with
    # a chance of a half counts twice.
    assert (from_log.users, from_log.all_users) == (1, 1)
    estimates = from_log.estimates
    assert (estimates.answers, estimates.places) == (12, 72)
    assert estimates.logged.mean == pytest.approx(2 / 12)
    assert estimates.inverse_propensity.mean == pytest.approx(2 / 12)
    assert estimates.weight == pytest.approx(2 * (72 - sum(map(len, tried))) / 72)
    assert 0.0 < estimates.self_normalized.mean < 1.0


def test_an_id_of_another_list_is_refused(service: Service, shop: Shop) -> None:
    put(service, "again", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    put(service, "other", {"exploration": {"share": 0.5, "within": 6, "by": "uniform"}})
    named = listed(service, scenario="again")["recommendation_id"]
    plain = listed(service)["recommendation_id"]
    listed(service, scenario="again", recommendation_id=named)
    listed(service, recommendation_id=plain)

    def told(user: str, recommendation_id: str, **parameters: Any):
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
        for forged in ("x", named[:-2] + ("BA" if named.endswith("AA") else "AA")):
            assert "expected a recommendation_id" in told("u3", forged, **parameters)
    body = {"evidence": [{"item_id": "i1"}], "scenario": "again"}
    own = service.client.post("/v1/recommendations", json=body).json()["recommendation_id"]
    assert told("u3", own, scenario="again") == f"{expected} for the user 'u3'"
    for given, status in ((own, 200), (named, 422)):
        asked = service.client.post("/v1/recommendations", json=body | {"recommendation_id": given})
        assert asked.status_code == status
    batch = {"user_ids": ["u3", "u4"], "scenario": "again", "recommendation_id": named}
    assert service.client.post("/v1/recommendations/batch", json=batch).status_code == 422
    put(service, "again", {"exploration": {"share": 0.2, "within": 6, "by": "uniform"}})
    assert told("u3", named, scenario="again") == (
        f"{expected} under the scenario 'again' in revision 2: this is of one under {of_again}"
    )


async def _learned(served: Served, name: str):
    engine = Engine(
        Store(served.address, timeout_seconds=PATIENCE_SECONDS), snapshot_folder=served.home,
        events=load_settings().events, max_evidence=100,
    )  # fmt: skip
    await engine.start()
    try:
        await engine.explorations.learn()
        assert "new" in engine.explorations.newcomers
        query = RecommendationQuery(scenario=name)
        from_log = await engine.estimate(query, name, "click", 1)
        return engine.explorations.rewards[name], from_log
    finally:
        await engine.stop()
