"""Recourse on a real Neo4j: what it names is done, and the item is in the list."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Served
from tests.integration.in_process import ask, ids, serving

pytestmark = pytest.mark.neo4j


@pytest.fixture
async def client(served: Served, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(served, tmp_path) as (client, _, _):
        yield client


async def recourse(client: httpx.AsyncClient, user: str, item: str, **more: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/users/{user}/recommendations/{item}/recourse", params=more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_is_named_brings_the_item_to_the_place_that_is_told(client: httpx.AsyncClient):
    sizes: set[int] = set()
    for user in ("u3", "u40", "u77"):
        longer = ids(await ask(client, user, k=200, explain="none"))
        for place in (11, 30, 120):
            item = longer[place - 1]
            answer = await recourse(client, user, item, k=10)
            if answer["added"] is None:
                continue
            sizes.add(len(answer["added"]))
            events = [
                {"user_id": user, "item_id": each["id"], "event": "interaction"}
                for each in answer["added"]
            ]
            assert (await client.post("/v1/events", json={"events": events})).status_code == 200
            after = ids(await ask(client, user, k=10, explain="none"))
            for each in answer["added"]:
                taken = await client.delete(f"/v1/users/{user}/interactions/{each['id']}")
                assert taken.status_code in (200, 204)
            assert after.index(item) + 1 == answer["rank_then"]
    assert sizes


async def test_an_item_that_is_in_the_list_needs_nothing(client: httpx.AsyncClient):
    third = ids(await ask(client, "u3", k=10))[2]
    found = await recourse(client, "u3", third, k=10)
    assert (found["rank"], found["added"], found["rank_then"]) == (3, [], 3)
    assert found["certain"]


async def test_what_nothing_can_bring_into_the_list_is_said_with_the_reason(
    client: httpx.AsyncClient, served: Served
):
    known = (await client.get("/v1/users/u3/evidence")).json()["evidence"]
    own = next(each["id"] for each in known if each["kind"] == "item")
    found = await recourse(client, "u3", own)
    assert (found["added"], found["reason"]) == (None, "the user did something with the item")
    found = await recourse(client, "u3", ids(await ask(client, "u3", k=30))[-1], event="whistle")
    assert found["reason"] == "the event 'whistle' counts nothing"
    for user, item in (("nobody", own), ("u3", "nothing")):
        answer = await client.get(f"/v1/users/{user}/recommendations/{item}/recourse")
        assert answer.status_code == 404
    wrong = await client.get(f"/v1/users/u3/recommendations/{own}/recourse", params={"k": 501})
    assert wrong.status_code == 422


def test_the_command_says_it(served: Served):
    done = served.run("recourse", "u3", "i120")
    assert done.returncode == 0
    assert "i120" in done.stderr + done.stdout


async def test_that_of_an_item_adds_up_what_each_user_is_told(client: httpx.AsyncClient):
    longer = ids(await ask(client, "u3", k=60, explain="none"))
    item = longer[25]
    answer = await client.get(f"/v1/items/{item}/recourse", params={"users": 6, "k": 10})
    together = answer.json()
    assert (answer.status_code, 0 < together["users"] <= 6) == (200, True)
    kinds = (
        together["listed"],
        sum(together["sizes"].values()),
        together["not_found"],
        together["never"],
    )
    assert sum(kinds) == together["users"]
    assert together["sizes"]
    assert together["items"]
    assert all(1 <= each["users"] <= sum(together["sizes"].values()) for each in together["items"])
    assert (await client.get("/v1/items/nowhere/recourse")).status_code == 404
