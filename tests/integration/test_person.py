"""What a person takes back by a link is taken back, and a link ends with them, on a real Neo4j."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from recsvc.person_links import PersonLinks, lasting
from tests.conftest import QUICK, Served
from tests.integration.in_process import serving
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
WHO = "ada/..%2Fu3"
PATH = f"/v1/users/{quote(WHO, safe='')}"
OTHER = "u3"

Ask = Callable[..., Any]


@pytest.fixture
def links(tmp_path: Path) -> PersonLinks:
    return PersonLinks(tmp_path)


@pytest.fixture
async def client(
    served: Served, tmp_path: Path, links: PersonLinks
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(served, tmp_path, links=links) as (client, _, _):
        await come(client)
        yield client
        await client.delete(PATH)


async def come(client: httpx.AsyncClient) -> None:
    """Somebody with a piece of evidence of each kind, whose id looks like the way to another."""
    body = {"name": "Ada", "preferences": [{"category_id": "c1"}, {"category_id": "c2"}]}
    (await client.put(PATH, json=body)).raise_for_status()
    (await client.put(f"{PATH}/follows/u1", json={})).raise_for_status()
    events = [
        {"user_id": WHO, "item_id": item, "event": event}
        for item, event in (("i31", "listen"), ("i31", "like"), ("i32", "listen"))
    ]
    (await client.post("/v1/events", json=events)).raise_for_status()


@pytest.fixture
def ask(client: httpx.AsyncClient, links: PersonLinks) -> Ask:
    """Asks with a link of theirs."""
    headers = {"Authorization": f"Bearer {links.make(WHO, lasting(1))}"}

    async def ask_(method: str, path: str = "", **more: Any) -> httpx.Response:
        return await client.request(method, f"/v1/me{path}", headers=headers, **more)

    return ask_


async def known(client: httpx.AsyncClient, path: str = PATH) -> set[str]:
    answer = (await client.get(f"{path}/evidence")).raise_for_status().json()
    return {f"{piece['kind']}:{piece['id']}" for piece in answer["evidence"]}


async def listed(ask: Ask) -> list[str]:
    answer = (await ask("GET", "/recommendations")).raise_for_status().json()
    return [item["item_id"] for item in answer["items"]]


async def test_each_piece_of_evidence_is_taken_back(client: httpx.AsyncClient, ask: Ask) -> None:
    others = await known(client, f"/v1/users/{OTHER}")
    left = {"item:i31", "item:i32", "user:u1", "category:c1", "category:c2"}
    assert await known(client) == left
    like = await ask("DELETE", "/evidence", params={"evidence": "item:i31", "event": "like"})
    assert like.status_code == 204
    assert await known(client) == left
    for piece in ("category:c1", "item:i31", "user:u1"):
        before = await listed(ask)
        assert (await ask("DELETE", "/evidence", params={"evidence": piece})).status_code == 204
        left -= {piece}
        assert await known(client) == left
        again = await ask("DELETE", "/evidence", params={"evidence": piece})
        assert again.status_code == 404, again.text
        assert await listed(ask) != before or piece == "category:c1"
    node = (await client.get(PATH)).json()
    assert [each["category_id"] for each in node["preferences"]] == ["c2"]
    assert node["name"] == "Ada"
    assert await known(client, f"/v1/users/{OTHER}") == others


async def test_what_is_hidden_stays_away_until_it_is_taken_back(
    client: httpx.AsyncClient, ask: Ask, served: Served
) -> None:
    first, *rest = await listed(ask)
    assert (await ask("POST", "/hidden", json={"item_id": first})).status_code == 200
    assert first not in await listed(ask)
    hidden = {"evidence": f"item:{first}", "event": "hide"}
    assert (await ask("DELETE", "/evidence", params=hidden)).status_code == 204
    assert await listed(ask) == [first, *rest]
    assert (await ask("POST", "/hidden", json={"item_id": "no such"})).status_code == 404
    assert not statement(
        served.gateway, "MATCH (i:Item {item_id: 'no such'}) RETURN i.item_id AS id"
    )


async def test_who_is_deleted_is_nowhere_and_whoever_comes_later_is_not_opened(
    client: httpx.AsyncClient, ask: Ask, links: PersonLinks, tmp_path: Path
) -> None:
    assert (await ask("DELETE")).status_code == 204
    assert (await client.get(PATH)).status_code == 404
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "", {}), ("GET", "/export", {}), ("GET", "/evidence", {}), ("DELETE", "", {}),
        ("POST", "/hidden", {"json": {"item_id": "i31"}}),
        ("DELETE", "/evidence", {"params": {"evidence": "item:i31"}}),
    ]  # fmt: skip
    for again in (False, True):
        if again:
            await come(client)
        for method, path, more in tries:
            answer = await ask(method, path, **more)
            assert answer.status_code == 401
            assert "was deleted" in answer.json()["detail"]
        assert (await client.get(PATH)).status_code == (200 if again else 404)
    assert "item:i31" in await known(client)
    assert [
        file.name for file in (tmp_path / "person_links").iterdir() if len(file.name) > 20
    ] == []
    new = {"Authorization": f"Bearer {links.make(WHO, lasting(1))}"}
    assert (await client.get("/v1/me", headers=new)).json()["properties"]["name"] == "Ada"


async def test_who_was_deleted_by_cypher_is_not_made_again(
    client: httpx.AsyncClient, ask: Ask, served: Served
) -> None:
    statement(served.gateway, "MATCH (u:User {user_id: $id}) DETACH DELETE u", id=WHO)
    assert (await ask("GET")).status_code == 404
    assert (await ask("POST", "/hidden", json={"item_id": "i31"})).status_code == 404
    assert (await ask("GET", "/evidence")).status_code == 404
    assert (await client.get(PATH)).status_code == 404


def test_the_command_makes_links_that_open(served: Served) -> None:
    made = served.run("person-link", "u3", "--hours", "2", "--scenario", "front")
    assert made.returncode == 0, made.stderr
    address, token = made.stdout.strip().split("#")
    assert address == "http://127.0.0.1:8000/person?scenario=front"
    assert PersonLinks(served.home).read(token).user_id == "u3"
    assert "until" in made.stderr
    assert token not in made.stderr
    elsewhere = served.run("person-link", "u3", RECSVC_PUBLIC_ADDRESS="https://shop.example/rec")
    assert elsewhere.stdout.startswith("https://shop.example/rec/person#recsvc_person_")
    unknown = served.run("person-link", "nobody")
    assert (unknown.returncode, "no user 'nobody'" in unknown.stderr) == (1, True)
    assert served.run("person-link", "u3", "--hours", "0").returncode == 2
    wrong = served.run("person-link", "u3", RECSVC_PUBLIC_ADDRESS="shop.example/")
    assert (wrong.returncode, "public_address" in wrong.stderr) == (1, True)
