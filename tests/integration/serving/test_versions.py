"""Another version, two in an experiment, and a signal alone."""

import json

import pytest

from recsvc.experiments.assignment import Assignment
from tests.integration.serving.asking import recommended
from tests.waiting import until

pytestmark = pytest.mark.neo4j


def _served_version(service):
    return service.client.get("/v1/users/u0/recommendations").json()["versions"]["hybrid"]


@pytest.fixture
def newer(served, service):
    """The versions of the blend before and now: until the test ends LightGCN alone is served."""
    http, before = service.client, _served_version(service)
    known = {(m["model"], m["version"]) for m in http.get("/v1/models").json()["models"]}
    if ("hybrid", before + 1) in known:
        answer = http.post("/v1/models/hybrid/activate", json={"version": before + 1})
        assert answer.status_code == 200
    else:  # the gate may find one model alone worse than three
        done = served.run("refresh", "--model", "lightgcn", "--force", "--json")
        assert done.returncode == 0, done.stderr
    until(lambda: _served_version(service) == before + 1)
    yield before, before + 1
    assert http.post("/v1/models/hybrid/rollback").status_code == 200
    until(lambda: _served_version(service) == before)


def test_a_new_version_is_served_without_a_restart(service, newer):
    before, after = newer
    versions = service.client.get("/v1/users/u0/recommendations").json()["versions"]
    assert versions["hybrid"] == after
    assert "node2vec" not in versions
    models = service.client.get("/v1/models").json()
    statuses = {(m["model"], m["version"]): m["status"] for m in models["models"]}
    assert statuses["hybrid", before] == "retired"
    assert statuses["hybrid", after] == "active"


@pytest.mark.long
def test_an_experiment_compares_two_versions_and_ends(served, service, newer):
    http, users = service.client, [f"u{n}" for n in range(240)]
    old, new = newer
    shown_before = http.get("/v1/exposure", params={"users": 5}).json()["shown"]["places"]
    body = {"variants": [{"name": "now", "share": 0.5},
                         {"name": "before", "share": 0.5, "version": old}]}  # fmt: skip
    assert http.put("/v1/experiments/blend", json=body).status_code == 200
    assert http.put("/v1/experiments/other", json=body).status_code == 409
    body["variants"][1]["version"] = new + 9
    assert http.put("/v1/experiments/blend", json=body).status_code == 404

    def answers():
        results = []
        for at in range(0, len(users), 80):
            asked = {"user_ids": users[at : at + 80], "k": 2, "explain": "none"}
            results += http.post("/v1/recommendations/batch", json=asked).json()["answers"]
        assert [each["user_id"] for each in results] == users
        return results

    count, outcomes = {"now": 0, "before": 0}, []
    assignment = Assignment.of("blend", {"now": 0.5, "before": 0.5})
    for number, answer in enumerate(answers()):
        variant = assignment.variant(answer["user_id"])
        assert answer["variant"] == {"experiment": "blend", "name": variant, "revision": 1}
        assert answer["versions"]["hybrid"] == {"now": new, "before": old}[variant]
        count[variant] += 1
        of = {"recommendation_id": answer["recommendation_id"]}
        outcomes += [of | {"item_id": item["item_id"], "kind": "impression"}
                     for item in answer["items"]]  # fmt: skip
        if variant == "before" or number % 3:
            outcomes.append(of | {"item_id": answer["items"][0]["item_id"], "kind": "click"})
    assert recommended(service, "u7")["variant"]["name"] == assignment.variant("u7")
    told = http.post("/v1/outcomes", json={"outcomes": outcomes}).json()
    assert told == {"received": len(outcomes), "new": len(outcomes), "dropped": 0}
    results = http.get("/v1/experiments/blend/results").json()
    (result,) = results["results"]
    now, before = result["variants"]
    assert [each["users"] for each in (now, before)] == [count["now"], count["before"]]
    assert (before["shown"], before["rate"]) == (2 * count["before"], 0.5)
    assert now["difference"] is None
    assert (
        0.0
        < before["difference"]["low"]
        < before["difference"]["mean"]
        == pytest.approx(0.5 - now["rate"])
    )
    assert not result["mismatch"]
    assert json.loads(served.run("experiments", "results", "blend", "--json").stdout) == results
    each = http.get("/v1/experiments/blend/results", params={"segment": "user_id"}).json()
    assert len({part["value"] for part in each["results"]} & set(users)) == 50
    assert each["left_out"] == len(users) - 50
    shown = http.get("/v1/exposure", params={"users": 5}).json()["shown"]["places"]
    assert shown - shown_before == sum(each["kind"] == "impression" for each in outcomes)
    # It is stopped: everybody gets the other version, and none is counted any more.
    stopped = http.post("/v1/experiments/blend/stop", json={"promote": "before"}).json()
    assert (stopped["promoted"], stopped["stopped_at"] is None) == ("before", False)
    assert {answer["versions"]["hybrid"] for answer in answers()} == {old}
    assert "variant" not in recommended(service, "u7")
    assert http.delete("/v1/experiments/blend").status_code == 204
    assert recommended(service, "u7")["versions"]["hybrid"] == new
    assert served.run("experiments", "results", "blend").returncode == 1


def test_a_signal_alone_answers_what_it_adds_to_the_blend(service):
    everything = recommended(service, "u5", k=170, explain="none")["items"]
    for signal in ("lightgcn", "pagerank", "item_user_item"):
        alone = recommended(service, "u5", k=170, explain="none", signal=signal)["items"]
        assert {name for item in alone for name in item["signals"]} <= {signal, "base"}
        blended = {item["item_id"]: item["signals"] for item in everything}
        # λ of the blend is what lies between the two.
        own = [(item["signals"][signal], blended[item["item_id"]][signal]) for item in alone]
        weight = max(own)[1] / max(own)[0]
        assert [mine * weight for mine, _ in own] == pytest.approx(
            [theirs for _, theirs in own], rel=1e-3, abs=1e-5
        )
        for item in alone:
            assert item["signals"]["base"] == pytest.approx(blended[item["item_id"]]["base"])
            assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)


def test_only_what_is_there_can_answer(service):
    for options, detail in (
        ({"signal": "nonsense"}, "no signal 'nonsense' in this version: expected one of"),
        ({"version": 99}, "no arrays of version 99 of the blend are stored"),
    ):
        answer = service.client.get("/v1/users/u5/recommendations", params=options)
        assert answer.status_code == 404
        assert detail in answer.json()["detail"]
        body = {"evidence": [{"item_id": "i1"}], **options}
        assert service.client.post("/v1/recommendations", json=body).status_code == 404
