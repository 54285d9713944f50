"""Experiments through the service in this process, on a real Neo4j."""

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from recsvc.experiments.assignment import Assignment
from recsvc.experiments.document import Experiment, Variant
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import MOST_WORK
from recsvc.recommend.scenario_trial import try_scenario
from recsvc.recommend.workshop import WORKSHOP
from recsvc.scenarios.document import Scenario
from tests.conftest import QUICK, Served
from tests.faults.tcp_proxy import tcp_proxy
from tests.integration.in_process import CLEAN, ask, ids, serving
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
USERS = [f"u{n}" for n in range(60)]
DOCUMENT = Experiment(variants=[Variant(name="now", share=0.5), Variant(name="before", share=0.5)])
NOTHING = {"filters": [{"property": "nowhere", "exists": True}]}


@pytest.fixture
def client(engine_and_client: tuple[Engine, httpx.AsyncClient]) -> httpx.AsyncClient:
    return engine_and_client[1]


async def store(client: httpx.AsyncClient, name: str, document: dict[str, Any]) -> None:
    assert (await client.put(f"/v1/scenarios/{name}", json=document)).status_code == 200


async def begin(
    client: httpx.AsyncClient, name: str, *scenarios: str | None, **more: Any
) -> dict[str, Any]:
    """An experiment of variants a, b, … of equal shares, each by its scenario."""
    variants = [
        {"name": "abcdefghij"[n], "share": 1.0 / len(scenarios), "scenario": each}
        for n, each in enumerate(scenarios)
    ]
    answer = await client.put(f"/v1/experiments/{name}", json={"variants": variants} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def end(client: httpx.AsyncClient, name: str, promote: str | None = None) -> httpx.Response:
    return await client.post(f"/v1/experiments/{name}/stop", json={"promote": promote})


async def tell(client: httpx.AsyncClient, answers: list[dict[str, Any]], **more: Any) -> None:
    outcomes = [
        {"recommendation_id": each["recommendation_id"], "item_id": item, "kind": "impression"}
        | more
        for each in answers
        for item in ids(each)
    ]
    told = await client.post("/v1/outcomes", json={"outcomes": outcomes})
    assert (told.status_code, told.json()["dropped"]) == (200, 0), told.text


async def shown(client: httpx.AsyncClient, name: str) -> int:
    (result,) = (await client.get(f"/v1/experiments/{name}/results")).json()["results"]
    return sum(each["shown"] for each in result["variants"])


async def batch(client: httpx.AsyncClient, users: list[str], k: int) -> list[dict[str, Any]]:
    asked = {"user_ids": users, "explain": "none", "k": k}
    return (await client.post("/v1/recommendations/batch", json=asked)).json()["answers"]


async def test_what_a_request_says_wins_over_a_scenario_that_an_experiment_chose(
    client: httpx.AsyncClient,
) -> None:
    said = {"k": 5, "exclude_seen": True, "diversity": 0.0}
    before = {user: ids(await ask(client, user, **said)) for user in USERS[:3]}
    home = (await client.get("/v1/users/u1/home")).json()["rows"]
    await store(client, "seen", {"k": 3, "exclude_seen": False, "diversity": 0.9})
    await begin(client, "all", "seen", "seen")
    for promote in (None, "b"):
        if promote:
            assert (await end(client, "all", promote)).status_code == 200
        assert len(ids(await ask(client, "u1"))) == 3
        assert {user: ids(await ask(client, user, **said)) for user in USERS[:3]} == before
        assert all(len(ids(each)) == 5 for each in await batch(client, USERS[:5], 5))
        now = (await client.get("/v1/users/u1/home")).json()["rows"]
        assert [[i["item_id"] for i in row["items"]] for row in now] == [
            [i["item_id"] for i in row["items"]] for row in home
        ]


async def test_what_was_promoted_last_counts_until_another_one_begins(
    client: httpx.AsyncClient,
) -> None:
    async def k() -> int:
        return len(ids(await ask(client)))

    async def promotions() -> dict[str, tuple[str | None, bool]]:
        listed = (await client.get("/v1/experiments")).json()["experiments"]
        return {e["name"]: (e["promoted"], e["promoted_until"] is None) for e in listed}

    for name, length in (("two", 2), ("three", 3)):
        await store(client, name, {"k": length})
    await begin(client, "z first", "two", "three")
    await end(client, "z first", "a")
    assert await k() == 2
    await begin(client, "a second", "two", "three")
    refused = await end(client, "z first", "b")
    assert (refused.status_code, "'a second' runs" in refused.text) == (409, True)
    await end(client, "a second", "b")
    assert await k() == 3
    assert await promotions() == {"a second": ("b", True), "z first": ("a", False)}
    await begin(client, "m third", "two", "three")
    await end(client, "m third")
    assert await k() == 10
    await end(client, "z first", "a")
    assert await k() == 2
    assert await promotions() == {
        "a second": ("b", False), "m third": (None, True), "z first": ("a", True),
    }  # fmt: skip
    assert (await client.delete("/v1/experiments/z first")).status_code == 204
    assert await k() == 10


def test_the_list_of_experiments_says_which_promotion_counts(served: Served) -> None:
    plant = """
        UNWIND [['a', null, null], ['b', 'now', null], ['c', 'now', datetime()],
                ['d', null, null]] AS row
        CREATE (e:Experiment {name: row[0], revision: 1, document: $document, at: datetime(),
                              promoted: row[1], promoted_until: row[2]})
        SET e.stopped_at = CASE WHEN row[0] <> 'a' THEN datetime() END
        """
    statement(served.gateway, CLEAN)
    statement(served.gateway, plant, document=DOCUMENT.model_dump_json())
    table = served.run("experiments", "list", COLUMNS="200").stdout
    statement(served.gateway, CLEAN)
    rows = [[cell.strip() for cell in line.split("│")] for line in table.splitlines()]
    assert {row[1]: row[3] for row in rows if len(row) > 4} == {
        "a": "runs", "b": "now promoted", "c": "stopped, now was promoted", "d": "stopped",
    }  # fmt: skip


async def test_a_scenario_that_an_experiment_uses_stays_and_one_that_is_gone_harms_nobody(
    served: Served, engine_and_client: tuple[Engine, httpx.AsyncClient]
) -> None:
    engine, client = engine_and_client
    for name, length in (("front", 4), ("short", 2)):
        await store(client, name, {"k": length})
    await begin(client, "length", None, "short", scenario="front")
    for name in ("front", "short"):
        refused = await client.delete(f"/v1/scenarios/{name}")
        assert (refused.status_code, "'length' runs" in refused.text) == (409, True)
    made = {len(ids(await ask(client, user, scenario="front"))) for user in USERS[:12]}
    assert made == {2, 4}
    for gone, status in (("short", 200), ("front", 404)):
        statement(served.gateway, "MATCH (s:Scenario {name: $gone}) DELETE s", gone=gone)
        await engine.scenarios.reload()
        for user in USERS[:12]:
            path = f"/v1/users/{user}/recommendations"
            answer = await client.get(path, params={"scenario": "front"})
            assert answer.status_code == status, user
            if status == 200:
                assert len(ids(answer.json())) == 4
                of_a = Assignment.of("length", {"a": 0.5, "b": 0.5}).variant(user) == "a"
                assert ("variant" in answer.json()) == of_a
    await end(client, "length")
    assert (await client.delete("/v1/scenarios/short")).status_code == 404


async def test_each_put_is_told_its_own_revision(served: Served, tmp_path: Any) -> None:
    statement(served.gateway, CLEAN)
    async with (
        serving(served, tmp_path / "a") as (one, *_), serving(served, tmp_path / "b") as (two, *_),
    ):  # fmt: skip
        effects = [round(0.1 + n / 100, 2) for n in range(12)]
        told = await asyncio.gather(
            *(begin((one, two)[n % 2], "raced", None, None, effect=effect)
              for n, effect in enumerate(effects))
        )  # fmt: skip
        assert sorted(each["revision"] for each in told) == list(range(1, 13))
        assert [each["effect"] for each in told] == effects
        last = max(told, key=lambda each: each["revision"])
        for client in (one, two):
            assert (await client.get("/v1/experiments/raced")).json() == last
        # One of its name that comes after it goes on from there.
        assert (await one.delete("/v1/experiments/raced")).status_code == 204
        assert (await two.get("/v1/experiments")).json() == {"experiments": [], "unreadable": []}
        assert (await begin(two, "raced", None, None))["revision"] == 13
    statement(served.gateway, CLEAN)


async def test_results_are_those_of_the_answers_of_one_revision(
    served: Served, client: httpx.AsyncClient
) -> None:
    about = await begin(client, "again", None, None)
    early = [await ask(client, user, k=2) for user in USERS[:6]]
    assert {each["variant"]["revision"] for each in early} == {about["revision"]}
    await tell(client, early[:3], at=time.time() - 200)  # its clock is late
    assert await shown(client, "again") == 6
    clock = "MATCH (e:Experiment) SET e.at = datetime() + duration($later)"
    for later in ("PT30M", "P3D"):  # that of the database was ahead, and was set
        statement(served.gateway, clock, later=later)
        assert await shown(client, "again") == 6
    statement(served.gateway, "MATCH (o:Outcome) SET o.at = o.at - duration('PT2H')")
    statement(served.gateway, clock, later="PT0S")  # that of the service was late
    assert await shown(client, "again") == 6
    await begin(client, "again", None, None)
    await tell(client, early[3:])
    assert await shown(client, "again") == 0
    await tell(client, [await ask(client, "u7", k=2)])
    assert await shown(client, "again") == 2
    stored = statement(
        served.gateway,
        "MATCH (o:Outcome) RETURN o.experiment_revision AS revision, count(*) AS n "
        "ORDER BY revision",
    )
    assert stored == [{"revision": 1, "n": 12}, {"revision": 2, "n": 2}]
    await client.delete("/v1/experiments/again")
    await begin(client, "again", None, None)
    assert await shown(client, "again") == 0


async def test_results_say_what_changed_while_it_ran(
    served: Served, client: httpx.AsyncClient
) -> None:
    await store(client, "shelf", {"k": 3})
    await store(client, "other", {"k": 3})
    await begin(client, "steady", "shelf", None)

    async def changed() -> list[tuple[str, str, int]]:
        found = (await client.get("/v1/experiments/steady/results")).json()["changed"]
        assert all(each["at"] for each in found)
        return [(each["kind"], each["name"], each["number"]) for each in found]

    assert await changed() == []
    await store(client, "shelf", {"k": 4})
    await store(client, "other", {"k": 4})
    version = (await ask(client))["versions"]["hybrid"]
    moment = "MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'}) SET v.activated_at = "
    statement(served.gateway, f"{moment}datetime()")
    assert await changed() == [("scenario", "shelf", 2), ("version", "hybrid", version)]
    await end(client, "steady")
    await store(client, "shelf", {"k": 5})
    assert await changed() == [("scenario", "shelf", 2), ("version", "hybrid", version)]
    await begin(client, "steady", "shelf", None)
    assert await changed() == []
    # Nobody is answered by the active version, whichever that is.
    both = [{"name": name, "share": 0.5, "version": version} for name in "ab"]
    await client.put("/v1/experiments/steady", json={"variants": both})
    statement(served.gateway, f"{moment}datetime()")
    assert await changed() == []


async def test_nobody_takes_the_place_of_a_revision_that_they_did_not_see(
    client: httpx.AsyncClient,
) -> None:
    async def put(path: str, body: dict[str, Any], seen: int) -> tuple[int, str]:
        answer = await client.put(path, json=body, params={"revision": seen})
        return answer.status_code, answer.json().get("detail", "")

    two = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5}]
    for path, first, second in (
        ("/v1/scenarios/seen", {"k": 3}, {"k": 4}),
        ("/v1/experiments/seen", {"variants": two}, {"variants": two, "kind": "buy"}),
    ):
        assert (await put(path, first, 1))[0] == 409
        assert (await put(path, first, 0))[0] == 200
        status, said = await put(path, second, 0)
        assert (status, "revision 1 is stored, and none was" in said) == (409, True)
        raced = await asyncio.gather(*(put(path, second, 1) for _ in range(4)))
        assert sorted(status for status, _ in raced) == [200, 409, 409, 409]
        assert (await client.get(path)).json()["revision"] == 2
        assert (await client.put(path, json=first)).status_code == 200
        assert (await client.delete(path)).status_code == 204
        assert (await put(path, first, 3))[0] == 409
        assert (await put(path, first, 0))[0] == 200
        assert (await client.put(path, json=first, params={"revision": -1})).status_code == 422
    late = {"promote": "b", "revision": 3}
    stop = "/v1/experiments/seen/stop"
    assert (await client.post(stop, json=late)).status_code == 409
    assert (await client.get("/v1/experiments/seen")).json()["stopped_at"] is None
    assert (await client.post(stop, json=late | {"revision": 4})).json()["promoted"] == "b"


async def test_a_batch_is_bounded_over_all_variants_together(client: httpx.AsyncClient) -> None:
    await store(client, "shelf", {"diversity": 0.1})
    await begin(client, "half", "shelf", None)
    shares = Assignment.of("half", {"a": 0.5, "b": 0.5})
    # Each half alone is small enough.
    users = [u for name in "ab" for u in [u for u in USERS if shares.variant(u) == name][:12]]
    assert len(users) == 24
    asked = {"user_ids": users, "explain": "full", "k": 500}
    refused = await client.post("/v1/recommendations/batch", json=asked)
    assert (refused.status_code, "24 answers" in refused.text) == (422, True)
    again = await client.post("/v1/recommendations/batch", json=asked | {"user_ids": ["u1"] * 99})
    assert (again.status_code, "99 answers" in again.text) == (422, True)
    few = asked | {"user_ids": users[:2]}
    with WORKSHOP.room(MOST_WORK):
        busy = await client.post("/v1/recommendations/batch", json=few)
    assert (busy.status_code, "Retry-After" in busy.headers) == (503, True)
    assert (await client.post("/v1/recommendations/batch", json=few)).status_code == 200


async def test_segments_are_whole_and_those_that_are_left_out_are_counted(
    served: Served, client: httpx.AsyncClient
) -> None:
    await begin(client, "parts", *[None] * 10)
    await tell(client, await batch(client, USERS, 1))
    answer = await client.get("/v1/experiments/parts/results", params={"segment": "user_id"})
    assert (len(answer.json()["results"]), answer.json()["left_out"]) == (50, 10)
    for result in answer.json()["results"]:
        assert sum(each["users"] for each in result["variants"]) == 1
    set_ = "MATCH (u:User) SET u.mixed = CASE WHEN u.user_id < 'u3' THEN 4 ELSE '4' END, "
    long = "u.long = reduce(t = 'é', _ IN range(1, 8) | t + t) + u.user_id"
    statement(served.gateway, set_ + long)
    for name, value in (("mixed", "4"), ("long", "é" * 100), ("nowhere", "")):
        answer = await client.get("/v1/experiments/parts/results", params={"segment": name})
        assert [each["value"] for each in answer.json()["results"]] == [value]
    whole = (await client.get("/v1/experiments/parts/results")).json()
    assert (len(whole["results"]), whole["left_out"]) == (1, 0)
    assert await shown(client, "parts") == 60


async def test_what_names_the_active_version_is_outside_of_experiments(
    engine_and_client: tuple[Engine, httpx.AsyncClient],
) -> None:
    engine, client = engine_and_client
    await store(client, "nothing", NOTHING)
    await store(client, "front", {"k": 4})
    await begin(client, "empty", "nothing", "nothing")
    await begin(client, "empty front", "nothing", "nothing", scenario="front")
    assert ids(await ask(client)) == ids(await ask(client, scenario="front")) == []
    answers = (await client.get("/v1/exposure", params={"users": 5})).json()["answers"]
    assert (answers["lists"], answers["places"]) == (5, 50)
    before, after, moves = await try_scenario(engine, "front", Scenario(k=4), "u1")
    assert len(before.items) == len(after.items) == 4
    assert moves == []


@pytest.mark.long
async def test_a_degraded_answer_is_in_no_variant_and_what_is_known_is_served(
    served: Served, tmp_path: Any
) -> None:
    statement(served.gateway, CLEAN)
    where = urlsplit(served.address.uri)
    with tcp_proxy(where.hostname or "", where.port or 0) as proxy:
        uri = f"bolt://127.0.0.1:{proxy.port}"
        async with serving(served, tmp_path, uri=uri, seconds=20.0) as (client, _, engine):
            await store(client, "short", {"k": 2})
            await begin(client, "cut", "short", None)
            answers = [await ask(client, user) for user in USERS[:6]]
            assert {each["variant"]["name"] for each in answers} == {"a", "b"}
            proxy.refuses()
            proxy.cut()
            for user in USERS[:6]:
                answer = await ask(client, user)
                assert answer["degraded"]
                assert "variant" not in answer
                origin = engine.ids.read(answer["recommendation_id"]).origin
                assert (origin.experiment, origin.variant) == (None, None)
            version = answers[0]["versions"]["hybrid"]
            named = await ask(client, version=version)
            assert named["versions"]["hybrid"] == version
            unknown = await client.get(
                "/v1/users/u1/recommendations", params={"version": version + 9}
            )
            assert unknown.status_code == 503
            proxy.passes()
    statement(served.gateway, CLEAN)
