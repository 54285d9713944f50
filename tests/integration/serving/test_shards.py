"""A service whose items two shards hold, each a process, answers as one that holds all of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Served, Service, running_service
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.neo4j

KEY = "a key of sixteen characters"
LISTS = [
    {},
    {"explain": "none", "k": 100},
    {"explain": "full", "k": 3},
    {"diversity": 0.6, "k": 20},
    {"category": "c2", "without": "item:i81"},
]


@dataclass
class Sharded:
    """The service, and its two shards."""

    client: httpx.Client
    shards: list[Service]
    environment: dict[str, str]
    folder: Path


@pytest.fixture(scope="module")
def sharded(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    folder = tmp_path_factory.mktemp("shards")
    environment = {**served.environment, "RECSVC_SHARD_KEY": KEY}
    environment |= {"RECSVC_HOME": str(folder / "home"), "RECSVC_REQUEST_TIMEOUT_SECONDS": "60"}
    with ExitStack() as stack:
        shards = [
            stack.enter_context(
                running_service(environment, folder / f"{n}.log", "--shard", f"{n}/2")
            )
            for n in (1, 2)
        ]
        addresses = ",".join(str(each.client.base_url).rstrip("/") for each in shards)
        more = {"RECSVC_SHARDS": addresses, "RECSVC_ANSWER_CACHE_SECONDS": "0"}
        service = running_service({**environment, **more}, folder / "service.log")
        client = stack.enter_context(service).client
        yield Sharded(client, shards, environment, folder)


def answer(client: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    """An answer without what is another each time."""
    response = client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    document = response.json()
    for name in ("request_id", "recommendation_id", "took_ms"):
        document.pop(name, None)
    return document


def without_paths(document: dict[str, Any]) -> dict[str, Any]:
    """Paths of equal strength come in any order from Neo4j."""
    for item in document.get("items", [document]):
        if item.get("explanation"):
            for part in ("paths", "cypher"):
                item["explanation"].pop(part, None)
    return document


@pytest.mark.parametrize("parameters", LISTS)
def test_lists_are_those_of_one_machine(
    service: Service, sharded: Sharded, parameters: dict[str, Any]
) -> None:
    for user in ("u0", "u7", "u90"):
        path = f"/v1/users/{user}/recommendations"
        expected = without_paths(answer(service.client, path, **parameters))
        assert expected["degraded"] == []
        assert without_paths(answer(sharded.client, path, **parameters)) == expected


@pytest.fixture
def ruled(service: Service, sharded: Sharded) -> Iterator[str]:
    """A scenario, until the test ends."""
    where = [{"category": ["c2"]}]
    rules = [{"kind": "pin", "item_id": "i150", "place": 2},
             {"kind": "boost", "where": where, "amount": 0.5}]  # fmt: skip
    document = {"filters": [{"category": ["c1", "c2", "c5"]}], "rules": rules, "diversity": 0.3}
    path = "/v1/scenarios/of-shards"
    assert service.client.put(path, json=document).status_code in (200, 201)
    every = sharded.client.get("/v1/scenarios").json()["scenarios"]  # it looks again
    assert "of-shards" in [each["name"] for each in every]
    yield "of-shards"
    assert service.client.delete(path).status_code == 204


def test_rules_place_the_items_of_all_shards(
    service: Service, sharded: Sharded, ruled: str
) -> None:
    for path in ("/v1/users/u7/recommendations", "/v1/users/u7/recommendations/i3/explanation"):
        asked = {"scenario": ruled} | ({} if path.endswith("explanation") else {"explain": "full"})
        expected = without_paths(answer(service.client, path, **asked))
        assert without_paths(answer(sharded.client, path, **asked)) == expected


def test_one_item_its_place_and_its_counterfactual_are_those_of_one_machine(
    service: Service, sharded: Sharded
) -> None:
    listed = answer(service.client, "/v1/users/u7/recommendations")["items"]
    for item in (listed[2]["item_id"], "i3", "i170"):
        path = f"/v1/users/u7/recommendations/{item}/explanation"
        expected = without_paths(answer(service.client, path))
        assert without_paths(answer(sharded.client, path)) == expected


def test_people_who_are_not_in_the_graph_and_several_at_once_are_answered_alike(
    service: Service, sharded: Sharded
) -> None:
    session = {"evidence": [{"item_id": "i1"}, {"item_id": "i130"}]}
    many = {"user_ids": ["u3", "u4"], "k": 4}
    for path, body in (("", session), ("/batch", many)):
        both: list[dict[str, Any]] = []
        for client in (service.client, sharded.client):
            response = client.post(f"/v1/recommendations{path}", json=body)
            assert response.status_code == 200, response.text
            both.append(response.json())
        answers = [each.get("answers", [each]) for each in both]
        items = [
            [[(i["item_id"], i["score"]) for i in one["items"]] for one in some] for some in answers
        ]
        assert items[0] == items[1]


def test_a_shard_holds_a_part_of_the_items_and_wants_its_key(sharded: Sharded) -> None:
    (folder,) = (sharded.folder / "home" / "snapshots").glob("hybrid-*")
    held: list[tuple[int, int]] = []
    for number in range(2):
        shard, path = sharded.shards[number].client, f"/items/{folder.name}"
        assert shard.get(path).status_code == 401
        assert shard.post(f"{path}/ends", headers={"X-API-Key": "wrong"}).status_code == 401
        key = {"X-API-Key": KEY}
        assert shard.get(f"{path}0", headers=key).status_code == 404
        refused = shard.post(f"{path}/ends", content=b"nonsense", headers=key)
        assert refused.status_code == 422
        assert "no message" in refused.json()["detail"]
        response = shard.get(path, headers=key)
        assert response.status_code == 200
        held.append((response.json()["begin"], response.json()["end"]))
    assert held == [(0, 128), (128, 180)]


@pytest.mark.long
def test_without_a_shard_answers_are_of_the_other_items_and_say_so(sharded: Sharded) -> None:
    """Last: it stops one of the shards, and starts it again."""
    path = "/v1/users/u7/recommendations"
    whole = answer(sharded.client, path, explain="full", k=180)
    stopped = sharded.shards[1]
    port = str(stopped.client.base_url.port)
    stopped.process.terminate()
    stopped.process.wait(PATIENCE_SECONDS)
    partly = answer(sharded.client, path, explain="full", k=180)
    assert partly["degraded"] == ["shards"]
    assert "a shard did not answer" in partly["short"]
    scores = {item["item_id"]: item["score"] for item in whole["items"]}
    left = [item["item_id"] for item in partly["items"]]
    assert 0 < len(left) < len(scores)
    assert left == [item for item in scores if item in set(left)]
    assert {item["item_id"]: item["score"] for item in partly["items"]}.items() <= scores.items()
    assert not any(item["explanation"]["counterfactual"] for item in partly["items"])

    def troubles() -> dict[str, str]:
        response = sharded.client.get("/health/ready")
        assert response.status_code == 200
        return response.json()["degraded"]

    assert "1 of 2" in until(lambda: troubles().get("shards", ""))
    log = sharded.folder / "again.log"
    with running_service(sharded.environment, log, "--shard", "2/2", port=int(port)):
        until(lambda: "shards" not in troubles())
        again = answer(sharded.client, path, explain="full", k=180)
        assert without_paths(again) == without_paths(whole)
