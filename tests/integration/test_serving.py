"""The promises of CONTRACT §5 that exist so far, on the real service and a real Neo4j."""

import http.client
import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from loaders.catalogue import Query
from recsvc.experiments.assignment import Assignment
from tests.generated_client import made_client
from tests.waiting import until

pytestmark = pytest.mark.neo4j

PARTS = {"user": ("User", "user_id"), "item": ("Item", "item_id"),
         "category": ("Category", "category_id")}  # fmt: skip


def _rows(served, text, **parameters):
    query = Query("tests/check", "", "read", dict.fromkeys(parameters, "any"), {}, text)
    return served.gateway.run(query, **parameters)


def _recommend(service, user_id, **parameters):
    answer = service.client.get(
        f"/v1/users/{quote(user_id, safe='')}/recommendations", params=parameters
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def _path_exists(served, path):
    """Whether some nodes of the graph, equal where ids are given, are linked like the path."""
    names = [f"n{position}" for position in range(len(path["nodes"]))]
    nodes = []
    for name, node in zip(names, path["nodes"], strict=True):
        label, key = PARTS[node["kind"]]
        wanted = f" {{{key}: $ids[{names.index(name)}]}}" if node["id"] is not None else ""
        nodes.append(f"({name}:{label}{wanted})")
    steps = [
        f"(n{step['from']})-[:{step['type']}]->(n{step['to']})" for step in path["relationships"]
    ]
    text = f"MATCH {', '.join([*nodes, *steps])} RETURN true AS found LIMIT 1"
    return bool(_rows(served, text, ids=[node["id"] for node in path["nodes"]]))


def test_users_get_exact_sums_and_paths_that_exist(served, service):
    checked_paths = 0
    for user in range(0, 200, 5):
        answer = _recommend(service, f"u{user}", explain="full", k=5)
        assert len(answer["items"]) == 5
        assert answer["degraded"] == []
        for rank, item in enumerate(answer["items"], start=1):
            explanation = item["explanation"]
            assert item["rank"] == rank
            assert sum(item["signals"].values()) == pytest.approx(item["score"], rel=1e-4)
            listed = sum(c["value"] for c in explanation["contributions"])
            assert listed + explanation["remainder"] == pytest.approx(item["score"], rel=1e-4)
            assert explanation["contributions"]
            assert explanation["paths"]
            for path in explanation["paths"]:
                assert path["nodes"][0] == {"kind": "user", "id": f"u{user}", "title": None}
                assert path["nodes"][-1]["id"] == item["item_id"]
                assert len(path["relationships"]) == len(path["nodes"]) - 1
            if user % 20 == 0:
                assert all(_path_exists(served, path) for path in explanation["paths"])
                checked_paths += len(explanation["paths"])
    assert checked_paths > 50


def test_the_paths_of_a_contribution_never_claim_more_than_it_and_all_of_them_add_up(service):
    """At most 2 paths are drawn for a contribution; where there are fewer, those are all."""
    whole = 0
    for user in (0, 13, 50):
        for item in _recommend(service, f"u{user}", explain="full", k=120)["items"]:
            explanation = item["explanation"]
            parts = {
                c["evidence"]["id"]: c["value"]
                for c in explanation["contributions"]
                if c["signal"] == "item_user_item"
            }
            drawn: dict[str, list[float]] = {}
            for path in explanation["paths"]:
                if [node["kind"] for node in path["nodes"]] == ["user", "item", "user", "item"]:
                    drawn.setdefault(path["nodes"][1]["id"], []).append(path["contribution"])
            for evidence_id in drawn.keys() & parts.keys():
                values = drawn[evidence_id]
                assert sum(values) <= parts[evidence_id] * (1 + 1e-4)
                if len(values) < 2:
                    assert sum(values) == pytest.approx(parts[evidence_id], rel=1e-4)
                    whole += 1
    assert whole > 20


def test_people_who_are_not_followed_stay_anonymous(served, service):
    seen_anonymous = seen_named = 0
    for user in range(0, 60, 3):
        follows = {
            row["id"]
            for row in _rows(
                served,
                "MATCH (:User {user_id: $user})-[:FOLLOWS]->(o:User) RETURN o.user_id AS id",
                user=f"u{user}",
            )
        }
        answer = _recommend(service, f"u{user}", explain="full", k=5)
        for item in answer["items"]:
            for path in item["explanation"]["paths"]:
                people = [n["id"] for n in path["nodes"][1:] if n["kind"] == "user"]
                assert set(people) <= follows | {None}
                seen_anonymous += people.count(None)
                seen_named += len(people) - people.count(None)
    assert seen_anonymous > 7
    assert seen_named > 7


def test_the_cypher_of_an_answer_draws_its_paths(served, service):
    item = _recommend(service, "u3", explain="full", k=1)["items"][0]
    text = item["explanation"]["cypher"]
    rows = _rows(served, text)
    assert len(rows) == len(item["explanation"]["paths"])
    for row in rows:
        assert row["path"].end_node["item_id"] == item["item_id"] or (
            row["path"].start_node["item_id"] == item["item_id"]
        )
        assert row["start"].start_node["user_id"] == "u3"


def test_seen_excluded_and_unavailable_items_never_come(served, service):
    seen = {
        row["id"]
        for row in _rows(
            served, "MATCH (:User {user_id: 'u8'})-[:INTERACTED]->(i) RETURN i.item_id AS id"
        )
    }
    first = [item["item_id"] for item in _recommend(service, "u8", k=20)["items"]]
    assert not seen & set(first)
    without = [
        item["item_id"] for item in _recommend(service, "u8", k=20, exclude=first[0])["items"]
    ]
    assert first[0] not in without
    change = "MATCH (i:Item {item_id: $item}) SET i.available = $available"
    query = Query("tests/set", "", "write", {"item": "", "available": ""}, {}, change)
    served.gateway.run(query, item=first[1], available=False)
    try:
        now = [item["item_id"] for item in _recommend(service, "u8", k=20)["items"]]
    finally:
        served.gateway.run(query, item=first[1], available=True)
    assert first[1] not in now
    assert len(now) == 20


def test_a_category_filter_leaves_exactly_k_of_that_category(served, service):
    answer = _recommend(service, "u1", category="x3", k=15)
    in_category = {
        row["id"]
        for row in _rows(
            served, "MATCH (i:Item)-[:IN_CATEGORY]->({category_id: 'x3'}) RETURN i.item_id AS id"
        )
    }
    assert len(answer["items"]) == 15
    assert {item["item_id"] for item in answer["items"]} <= in_category


def test_a_posted_event_changes_the_next_answer(served, service):
    before = _recommend(service, "u5", k=30)
    liked = next(i["item_id"] for i in before["items"] if i["rank"] == 1)
    events = {"events": [{"event_id": "e-1", "user_id": "u5", "item_id": liked, "event": "listen"}]}
    posted = service.client.post("/v1/events", json=events)
    assert posted.json() == {"received": 1, "new": 1, "unknown_kinds": []}
    again = service.client.post("/v1/events", json=events)
    assert again.json() == {"received": 1, "new": 0, "unknown_kinds": []}
    after = _recommend(service, "u5", k=30)
    assert liked not in {item["item_id"] for item in after["items"]}
    assert [i["score"] for i in after["items"]] != [i["score"] for i in before["items"][1:]]


def test_a_session_without_a_user_gets_its_own_taste(service):
    evidence = [{"item_id": f"i{60 + n}"} for n in (1, 4, 7)]
    answer = service.client.post("/v1/recommendations", json={"evidence": evidence, "k": 10}).json()
    ids = [int(item["item_id"][1:]) for item in answer["items"]]
    assert answer["user_id"] is None
    assert sum(60 <= n < 90 for n in ids) >= 9
    assert not {61, 64, 67} & set(ids)


def test_someone_who_only_prefers_a_category_gets_items_of_it(service):
    answer = _recommend(service, "fan", explain="full", k=5)
    assert all(90 <= int(item["item_id"][1:]) < 120 for item in answer["items"])
    first = answer["items"][0]["explanation"]
    assert first["text"] == "Because you like c3."
    assert {c["signal"] for c in first["contributions"]} == {"category_item"}


def test_any_item_can_be_explained_and_has_its_rank(service):
    ranked = _recommend(service, "u9", k=100)["items"]
    fortieth = ranked[39]
    answer = service.client.get(
        f"/v1/users/u9/recommendations/{fortieth['item_id']}/explanation"
    ).json()
    assert answer["rank"] == 40
    assert answer["score"] == pytest.approx(fortieth["score"], rel=1e-6)
    assert answer["explanation"]["cypher"]


def test_similar_items_and_users_share_the_taste(service):
    items = service.client.get("/v1/items/i95/similar", params={"k": 10}).json()["items"]
    assert sum(90 <= int(item["id"][1:]) < 120 for item in items) >= 8
    for model in ("lightgcn", "node2vec"):
        users = service.client.get("/v1/users/u4/similar", params={"k": 10, "model": model}).json()[
            "items"
        ]
        assert len(users) == 10
        assert sum(int(user["id"][1:]) % 6 == 4 for user in users) >= 8


def test_the_same_question_gets_the_same_answer(service):
    one, two = (_recommend(service, "u10", explain="full") for _ in range(2))
    for volatile in ("request_id", "recommendation_id", "took_ms"):
        one.pop(volatile), two.pop(volatile)
    assert one == two


def test_a_connection_that_was_idle_still_answers(service):
    """As one of a proxy or of a client's pool, which keep them for longer than uvicorn does."""
    url = service.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=10)
    for idle_seconds in (6.0, 0.0):
        connection.request("GET", "/health/live")
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (200, True)
        time.sleep(idle_seconds)
    connection.close()


def test_the_service_process_has_not_loaded_torch(service):
    _recommend(service, "u0", explain="full")
    maps = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "numpy" in maps
    for library in ("libtorch", "numba", "gensim", "llvmlite"):
        assert library not in maps


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
        found = []
        for at in range(0, len(users), 80):
            asked = {"user_ids": users[at : at + 80], "k": 2, "explain": "none"}
            found += http.post("/v1/recommendations/batch", json=asked).json()["answers"]
        assert [each["user_id"] for each in found] == users
        return found

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
    assert _recommend(service, "u7")["variant"]["name"] == assignment.variant("u7")
    told = http.post("/v1/outcomes", json={"outcomes": outcomes}).json()
    assert told == {"received": len(outcomes), "new": len(outcomes), "dropped": 0}
    found = http.get("/v1/experiments/blend/results").json()
    (result,) = found["results"]
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
    assert json.loads(served.run("experiments", "results", "blend", "--json").stdout) == found
    each = http.get("/v1/experiments/blend/results", params={"segment": "user_id"}).json()
    assert len({part["value"] for part in each["results"]} & set(users)) == 50
    assert each["left_out"] == len(users) - 50
    shown = http.get("/v1/exposure", params={"users": 5}).json()["shown"]["places"]
    assert shown - shown_before == sum(each["kind"] == "impression" for each in outcomes)
    # It is stopped: everybody gets the other version, and none is counted any more.
    stopped = http.post("/v1/experiments/blend/stop", json={"promote": "before"}).json()
    assert (stopped["promoted"], stopped["stopped_at"] is None) == ("before", False)
    assert {answer["versions"]["hybrid"] for answer in answers()} == {old}
    assert "variant" not in _recommend(service, "u7")
    assert http.delete("/v1/experiments/blend").status_code == 204
    assert _recommend(service, "u7")["versions"]["hybrid"] == new
    assert served.run("experiments", "results", "blend").returncode == 1


def test_a_signal_alone_answers_what_it_adds_to_the_blend(service):
    everything = _recommend(service, "u5", k=170, explain="none")["items"]
    for signal in ("lightgcn", "pagerank", "item_user_item"):
        alone = _recommend(service, "u5", k=170, explain="none", signal=signal)["items"]
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


def test_what_is_known_is_what_counts(served, service):
    known = service.client.get("/v1/users/u11/evidence").json()
    rows = _rows(
        served,
        "MATCH (:User {user_id: 'u11'})-[r:INTERACTED]->(i) RETURN i.item_id AS id, r.weight AS w",
    )
    items = {each["id"]: each for each in known["evidence"] if each["kind"] == "item"}
    assert known["seen"] == len(items) == len(rows)
    for row in rows:
        (did,) = items[row["id"]]["interactions"]
        assert (did["event"], did["weight"], did["at"]) == ("listen", row["w"], None)
        assert items[row["id"]]["weight"] == pytest.approx(row["w"] ** 0.3)
        assert items[row["id"]]["title"] == f"Song {row['id']}"
    follows = _rows(served, "MATCH (:User {user_id: 'u11'})-[:FOLLOWS]->(u) RETURN u.user_id AS id")
    people = {each["id"] for each in known["evidence"] if each["kind"] == "user"}
    assert people == {row["id"] for row in follows}
    assert service.client.get("/v1/users/nobody/evidence").status_code == 404
    fan = service.client.get("/v1/users/fan/evidence").json()["evidence"]
    assert [(each["kind"], each["id"]) for each in fan] == [("category", "c3")]


@pytest.fixture
def generated_client(service, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with made_client(service.client, tmp_path) as client:
        yield client


def test_a_generated_client_does_what_an_integrator_does_first(generated_client):
    models, ask = generated_client
    answer = ask("recommend", "u12", k=3, explain=models.RecommendExplain.FULL).parsed
    assert [item.rank for item in answer.items] == [1, 2, 3]
    first = answer.items[0]
    signals = first.signals.additional_properties
    assert sum(signals.values()) == pytest.approx(first.score, rel=1e-4)
    assert ask("explain", "u12", first.item_id).parsed.explanation.text == first.explanation.text

    shown = models.OutcomeIn(
        recommendation_id=answer.recommendation_id, item_id=first.item_id, kind="impression"
    )
    for new in (1, 0):
        told = ask("add_outcomes", body=models.OutcomesRequest(outcomes=[shown])).parsed
        assert (told.received, told.new, told.dropped) == (1, new, 0)
    event = models.EventIn(user_id="u12", item_id=first.item_id, event="listen", event_id="made 1")
    for new in (1, 0):
        posted = ask("add_events", body=models.EventsRequest(events=[event])).parsed
        assert (posted.received, posted.new) == (1, new)
    later = ask("recommend", "u12", k=3).parsed
    assert first.item_id not in {item.item_id for item in later.items}

    odd = "a/b ü?"
    assert ask("put_item", odd, body=models.ItemIn(title="Made", available=False)).parsed.id == odd
    put = ask("get_item", odd).parsed
    assert (put.item_id, put.title, put.available) == (odd, "Made", False)
    assert ask("delete_item", odd).status_code == 204
    gone = ask("get_item", odd)
    assert isinstance(gone.parsed, models.ProblemDocument)
    assert (gone.status_code, gone.parsed.status) == (404, 404)
    assert odd in gone.parsed.detail
    wrong = ask("recommend", "u12", k=0).parsed
    assert [error.location for error in wrong.errors] == [["query", "k"]]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npx") is None, reason="the linters are Node's, which is not here")
@pytest.mark.parametrize(
    "linter",
    [
        "@stoplight/spectral-cli@6.16.3 lint --ruleset ruleset.yaml --fail-severity hint",
        "@redocly/cli@2.77.0 lint",
    ],
)
def test_linters_of_openapi_find_nothing(service, tmp_path, linter):
    (tmp_path / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    (tmp_path / "openapi.json").write_bytes(service.client.get("/openapi.json").content)
    command = ["npx", "--yes", *linter.split(), "openapi.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said.replace("Deprecation warning: Node.js", "")
