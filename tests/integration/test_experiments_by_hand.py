"""Experiments and scenarios that somebody edited in the graph, and a service that was killed."""

import contextlib
import json
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsvc.experiments.assignment import Assignment
from recsvc.recommend.engine import Engine
from tests.conftest import QUICK, Served, patient_service
from tests.integration.in_process import CLEAN, ask, ids
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS, until_then

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
HALVES: dict[str, Any] = {"variants": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]}
BLEND = "/v1/experiments/blend"


async def put(client: httpx.AsyncClient, path: str, seen: int | None = None) -> tuple[int, str]:
    asked = {} if seen is None else {"revision": seen}
    body = HALVES if "experiments" in path else {"k": 3}
    answer = await client.put(path, json=body, params=asked)
    return answer.status_code, answer.text


async def test_one_that_somebody_deletes_is_gone_for_everybody(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient]
) -> None:
    engine, client = engine_and_client
    await put(client, BLEND)
    assert (await ask(client))["variant"]["experiment"] == "blend"
    statement(served.gateway, "MATCH (e:Experiment) DETACH DELETE e")
    await until_then(lambda: not engine.experiments.now.known)
    assert "variant" not in await ask(client)
    assert (await client.post(f"{BLEND}/stop", json={})).status_code == 404
    assert (await client.get(f"{BLEND}/results")).status_code == 404
    assert (await put(client, BLEND, 1))[0] == 409
    status, said = await put(client, BLEND, 0)
    assert (status, '"revision":1,' in said) == (200, True)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        ("e.document = '{\"variants\": []}'", "variants: List should have at least 2 items"),
        ("e.document = 7", "document: Invalid JSON"),
        ("e.document = reduce(t = ' ', _ IN range(1, 22) | t + t) + e.document",
         "document: Invalid JSON"),
        *((f"e.revision = {value}", "its revision is no whole number from 1")
          for value in ("'seven'", "7.5", "-1", "0", "4611686018427387904", "null")),
    ],
)  # fmt: skip
async def test_one_that_cannot_be_read_makes_no_list_and_is_named(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient], edit: str, why: str
) -> None:
    engine, client = engine_and_client
    await put(client, BLEND)
    statement(served.gateway, f"MATCH (e:Experiment) SET {edit}")
    await until_then(lambda: engine.experiments.now.unreadable)
    assert "variant" not in await ask(client)
    listed = (await client.get("/v1/experiments")).json()
    assert (listed["experiments"], [e["name"] for e in listed["unreadable"]]) == ([], ["blend"])
    assert listed["unreadable"][0]["trouble"].startswith(f"experiment 'blend': {why}")
    for answer in (
        await client.get(BLEND), await client.get(f"{BLEND}/results"),
        await client.post(f"{BLEND}/stop", json={}),
    ):  # fmt: skip
        assert (answer.status_code, "put it anew, or delete it" in answer.text) == (409, True)
    assert engine.troubles == {"experiment": listed["unreadable"][0]["trouble"]}
    assert 'recsvc_degraded{part="experiment"} 1.0' in (await client.get("/metrics")).text
    status, said = await put(client, "/v1/experiments/other")
    assert (status, "'blend' runs for the same lists" in said) == (409, True)
    assert (await put(client, BLEND))[0] == 200
    assert (await ask(client))["variant"]["experiment"] == "blend"
    assert engine.troubles == {}
    assert (await client.delete(BLEND)).status_code == 204
    assert (await put(client, "/v1/experiments/other"))[0] == 200


@pytest.mark.parametrize(
    ("edit", "runs"),
    [
        ("at = datetime({year: 99999})", True), ("at = 'today'", True),
        ("stopped_at = 'yesterday'", False), ("stopped_at = datetime({year: 99999})", False),
    ],
)  # fmt: skip
async def test_a_time_that_cannot_be_read_breaks_nothing(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient], edit: str, runs: bool
) -> None:
    _, client = engine_and_client
    await put(client, BLEND)
    statement(served.gateway, f"MATCH (e:Experiment) SET e.{edit}")
    (listed,) = (await client.get("/v1/experiments")).json()["experiments"]
    assert (listed["began_at"] is None, listed["stopped_at"] is None) == (runs, runs)
    assert ("variant" in await ask(client)) == runs
    assert (await client.get(f"{BLEND}/results")).status_code == 200
    assert (await put(client, "/v1/experiments/other"))[0] == (409 if runs else 200)
    await client.delete("/v1/experiments/other")
    stopped = (await client.post(f"{BLEND}/stop", json={"promote": "b"})).json()
    assert stopped["stopped_at"] > "2026"
    assert stopped == (await client.get(BLEND)).json()


async def test_a_revision_that_somebody_changes_is_the_one_that_counts(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient]
) -> None:
    _, client = engine_and_client
    await put(client, "/v1/scenarios/front")
    await put(client, BLEND)
    for label, path in (("Scenario", "/v1/scenarios/front"), ("Experiment", BLEND)):
        statement(served.gateway, f"MATCH (n:{label}) SET n.revision = 41")
        assert (await client.get(path)).json()["revision"] == 41
        status, said = await put(client, path, 1)
        assert (status, "revision 41 is stored, and revision 1 was seen" in said) == (409, True)
        assert (await put(client, path, 41))[0] == 200
        assert (await client.get(path)).json()["revision"] == 42


@pytest.mark.parametrize("revision", ["9223372036854775807", "0", "-7", "'two'"])
async def test_a_scenario_whose_revision_cannot_be_read_is_stored_anew(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient], revision: str
) -> None:
    _, client = engine_and_client
    front = "/v1/scenarios/front"
    await put(client, front)
    statement(served.gateway, f"MATCH (s:Scenario) SET s.revision = {revision}")
    assert (await client.get(front)).status_code == 404
    assert await put(client, front, 0) == (200, '{"name":"front","revision":1}')
    assert len(ids(await ask(client, scenario="front"))) == 3
    assert (await client.delete(front)).status_code == 204
    assert statement(served.gateway, "MATCH (s:Scenario) RETURN s.name AS name") == []


async def test_scenarios_that_no_request_can_have_made_are_in_no_list(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient]
) -> None:
    engine, client = engine_and_client
    await put(client, "/v1/scenarios/front")
    statement(
        served.gateway,
        "CREATE (:Scenario {name: reduce(t = 'x', _ IN range(1, 20) | t + t), revision: 1, "
        "document: '{'})",
    )
    listed = (await client.get("/v1/scenarios")).json()["scenarios"]
    assert [each["name"] for each in listed] == ["front"]
    assert engine.troubles == {}
    statement(
        served.gateway,
        "MATCH (s:Scenario {name: 'front'}) UNWIND range(2, 50) AS n "
        "CREATE (:Scenario {name: 'front', revision: n, document: s.document})",
    )
    front = (await client.get("/v1/scenarios/front")).json()
    assert (front["revision"], front["revisions"]) == (50, list(range(50, 30, -1)))


async def test_one_with_a_name_that_no_id_holds_does_not_run(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient]
) -> None:
    engine, client = engine_and_client
    await put(client, BLEND)
    statement(served.gateway, "MATCH (e:Experiment) SET e.name = reduce(t = 'x', _ IN "
              "range(1, 12) | t + t)")  # fmt: skip
    await until_then(lambda: not engine.experiments.now.known)
    assert "variant" not in await ask(client)
    assert (await put(client, BLEND))[0] == 200


def test_commands_take_no_name_that_no_id_holds(served: Served, tmp_path: Path) -> None:
    long = "x" * 101
    (tmp_path / "front.json").write_text("{}")
    (tmp_path / f"{long}.json").write_text("{}")
    for arguments in (
        ("experiments", "put", long, str(tmp_path / "front.json")),
        ("scenarios", "put", str(tmp_path / "front.json"), "--name", long),
        ("scenarios", "put", str(tmp_path / f"{long}.json")),
        ("scenarios", "try", str(tmp_path / f"{long}.json"), "u1"),
    ):
        refused = served.run(*arguments, COLUMNS="200")
        assert refused.returncode == 2, arguments
        assert "expected a name of 1 to 100 characters, got 101" in refused.stderr


def test_commands_overwrite_nothing_that_was_not_seen(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, CLEAN)
    scenario, experiment = tmp_path / "front.json", tmp_path / "blend.json"
    scenario.write_text('{"k": 3}')
    experiment.write_text(json.dumps(HALVES))
    for command in (
        ("scenarios", "put", str(scenario)), ("experiments", "put", "blend", str(experiment)),
    ):  # fmt: skip
        said = [served.run(*command, "--revision", str(seen)) for seen in (1, 0, 0, 1)]
        assert [each.returncode for each in said] == [1, 0, 1, 0], said
        assert "none is stored, and revision 1 was seen" in said[0].stderr
        assert "revision 1 is stored, and none was" in said[2].stderr
    late = served.run("experiments", "stop", "blend", "--revision", "1")
    assert (late.returncode, "revision 2 is stored" in late.stderr) == (1, True)
    assert served.run("experiments", "stop", "blend", "--revision", "2").returncode == 0
    statement(served.gateway, CLEAN)


def test_results_say_where_older_outcomes_are_not_kept(served: Served) -> None:
    statement(served.gateway, CLEAN)
    began = (
        "MERGE (e:Experiment {name: 'blend', revision: 1, document: $document, place: ''}) "
        "SET e.at = datetime() - duration($ago)"
    )
    statement(served.gateway, began, document=json.dumps(HALVES), ago="P89D")
    young = served.run("experiments", "results", "blend", "--json")
    statement(served.gateway, began, document=json.dumps(HALVES), ago="P91D")
    old = served.run("experiments", "results", "blend", COLUMNS="200")
    statement(served.gateway, CLEAN)
    assert json.loads(young.stdout)["last_days"] is None
    assert "results are of the last 90 days" in old.stderr


def test_a_command_names_what_cannot_be_read(served: Served) -> None:
    statement(served.gateway, CLEAN)
    statement(served.gateway, "CREATE (:Experiment {name: 'blend', revision: 1, document: '{}'})")
    said = served.run("experiments", "list", COLUMNS="200")
    checked = served.run("doctor", COLUMNS="200")
    statement(served.gateway, CLEAN)
    assert said.returncode == 0
    trouble = "experiment 'blend': variants: Field required"
    assert f"{trouble}: put it anew, or delete it" in said.stdout + said.stderr
    assert f"{trouble}: recsvc experiments put or delete" in checked.stdout


@pytest.mark.long
def test_a_service_that_is_killed_loses_and_doubles_nothing(served: Served, tmp_path: Path) -> None:
    statement(served.gateway, CLEAN)
    users = [f"u{n}" for n in range(40)]
    asked = {"user_ids": users, "explain": "none", "k": 5}
    with patient_service(served, tmp_path / "first.log") as service:
        client = service.client
        client.put(BLEND, json=HALVES).raise_for_status()
        answers = client.post("/v1/recommendations/batch", json=asked).json()["answers"]
        told = [
            {"outcome_id": f"{n} {item['item_id']}", "recommendation_id": each["recommendation_id"],
             "item_id": item["item_id"], "kind": "impression"}
            for n, each in enumerate(answers) for item in each["items"]
        ]  # fmt: skip
        said: list[int] = []

        def tell() -> None:
            with contextlib.suppress(httpx.HTTPError):
                for first in range(len(told)):
                    outcomes = told[first : first + 1]
                    answer = client.post("/v1/outcomes", json={"outcomes": outcomes})
                    said.append(answer.json()["new"])
                    if len(said) > 40:
                        half.set()

        half = threading.Event()
        telling = threading.Thread(target=tell)
        telling.start()
        assert half.wait(PATIENCE_SECONDS)
        service.process.send_signal(signal.SIGKILL)
        telling.join()
        assert service.process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    count = "MATCH (o:Outcome) RETURN count(o) AS n"
    (kept,) = statement(served.gateway, count)
    assert sum(said) <= kept["n"] < len(told)
    with patient_service(served, tmp_path / "second.log") as service:
        client = service.client
        again = client.post("/v1/outcomes", json={"outcomes": told}).json()
        assert (again["new"], again["dropped"]) == (len(told) - kept["n"], 0)
        (result,) = client.get(f"{BLEND}/results").json()["results"]
        assert sum(each["shown"] for each in result["variants"]) == len(told)
        shares = Assignment.of("blend", {"a": 0.5, "b": 0.5})
        for each in client.post("/v1/recommendations/batch", json=asked).json()["answers"]:
            assert each["variant"]["name"] == shares.variant(each["user_id"])
    statement(served.gateway, CLEAN)
