"""Counterfactuals, `without` and diversity of CONTRACT §5, on the real service."""

from itertools import pairwise
from urllib.parse import quote

import pytest

from tests.conftest import QUICK

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK


def _recommend(service, user_id, **parameters):
    answer = service.client.get(
        f"/v1/users/{quote(user_id, safe='')}/recommendations", params=parameters
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def _ids(answer):
    return [item["item_id"] for item in answer["items"]]


def _names(nodes):
    return [f"{node['kind']}:{node['id']}" for node in nodes]


@pytest.mark.parametrize("diversity", [pytest.param(0.0, marks=pytest.mark.long), 0.5])
def test_counterfactuals_hold_when_asked_again(service, diversity):
    sizes = []
    for user in range(0, 200, 25 if diversity else 8):
        asked = {"k": 5, "diversity": diversity}
        answer = _recommend(service, f"u{user}", explain="full", **asked)
        for item in answer["items"]:
            counterfactual = item["explanation"]["counterfactual"]
            sizes.append(len(counterfactual["without"]) if counterfactual else 0)
            if counterfactual is None:
                continue
            without = _names(counterfactual["without"])
            again = _ids(_recommend(service, f"u{user}", explain="none", without=without, **asked))
            assert item["item_id"] not in again
            assert counterfactual["replaced_by"] in again
            assert counterfactual["replaced_by"] not in _ids(answer)
            if len(without) == 2:
                for one in without:
                    alone = _recommend(service, f"u{user}", explain="none", without=one, **asked)
                    assert item["item_id"] in _ids(alone)
    assert sum(size > 0 for size in sizes) > len(sizes) / 2
    assert set(sizes) > {0, 1}


def test_an_explanation_of_one_item_has_the_counterfactual_of_the_list(service):
    answer = _recommend(service, "u3", explain="full", k=10)
    wanted = {i["item_id"]: i["explanation"]["counterfactual"] for i in answer["items"]}
    assert any(wanted.values())
    for item_id, counterfactual in wanted.items():
        explained = service.client.get(f"/v1/users/u3/recommendations/{item_id}/explanation").json()
        assert explained["explanation"]["counterfactual"] == counterfactual


def test_evidence_that_is_left_out_counts_nowhere_and_stays_out_of_the_list(service):
    everything = _recommend(service, "u7", explain="full", k=200, exclude_seen=False)
    evidence = {
        f"{c['evidence']['kind']}:{c['evidence']['id']}"
        for item in everything["items"]
        for c in item["explanation"]["contributions"]
    }
    assert {name.split(":")[0] for name in evidence} >= {"item", "user"}
    for name in sorted(evidence)[:6]:
        answer = _recommend(service, "u7", explain="full", k=200, exclude_seen=False, without=name)
        kind, _, node_id = name.partition(":")
        named = [
            (c["evidence"]["kind"], c["evidence"]["id"])
            for item in answer["items"]
            for c in item["explanation"]["contributions"]
        ]
        assert (kind, node_id) not in named
        if kind == "item":
            assert node_id in _ids(everything)
            assert node_id not in _ids(answer)
    known = [name for name in evidence if not name.startswith("user:")]
    nobody = _recommend(service, "u7", without=sorted(evidence), k=3)
    assert all(set(item["signals"]) == {"base"} for item in nobody["items"])
    assert len(known) > 0


def test_evidence_of_the_body_can_be_left_out_too(service):
    body = {"evidence": [{"item_id": "i1"}, {"item_id": "i2"}], "k": 5}
    one = service.client.post("/v1/recommendations", json=body | {"without": ["item:i2"]}).json()
    alone = service.client.post(
        "/v1/recommendations", json={"evidence": body["evidence"][:1], "k": 5, "exclude": ["i2"]}
    ).json()
    assert [(i["item_id"], i["score"]) for i in one["items"]] == [
        (i["item_id"], i["score"]) for i in alone["items"]
    ]


def test_diversity_is_a_part_of_the_score(service):
    plain = _recommend(service, "u11", k=10)
    assert all("diversity" not in item["signals"] for item in plain["items"])
    diverse = _recommend(service, "u11", k=10, diversity=0.7)
    assert _ids(diverse)[0] == _ids(plain)[0]
    assert _ids(diverse) != _ids(plain)
    assert diverse["items"][0]["signals"]["diversity"] == 0.0
    scores = [item["score"] for item in diverse["items"]]
    assert all(first >= second for first, second in pairwise(scores))
    for item in diverse["items"]:
        assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
        explanation = item["explanation"]
        listed = sum(c["value"] for c in explanation["contributions"])
        assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4)
        assert item["signals"]["diversity"] <= 0.0
    assert any(item["signals"]["diversity"] < 0.0 for item in diverse["items"])


def test_many_users_at_once_get_what_each_would_get_alone(service):
    users = [f"u{n}" for n in range(12)]
    body = {"user_ids": [*users, "nobody"], "k": 4, "explain": "full"}
    batch = service.client.post("/v1/recommendations/batch", json=body).json()
    assert batch["unknown"] == ["nobody"]
    assert [answer["user_id"] for answer in batch["answers"]] == users
    for answer in batch["answers"]:
        alone = _recommend(service, answer["user_id"], k=4, explain="full")
        assert answer["items"] == alone["items"]
