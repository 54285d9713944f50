"""Ids in paths may hold any character. Shown in process and through a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.recommend.graph_writer import DropFollow, Retract
from tests.unit.service.fake_engine import FakeEngine

HOSTILE_IDS = [
    "a/b",
    "/",
    "//",
    "x/recommendations",
    "x/recommendations/y/explanation",
    "2/similar",
    "recommendations",
    "a%2Fb",
    "%",
    "%00",
    "?k=3",
    "#fragment",
    "a b",
    "a+b",
    "a;b=c",
    "&=",
    "nul\0inside",
    "\0",
    "two\r\nlines",
    "😀👩‍👩‍👧",
    "é",
    "e\u0301",
    "\u202eright to left",
    "\ufeff",
    "'; MATCH (n) DETACH DELETE n //",
    "<script>alert(1)</script>",
    "..",
    ".",
    "../..",
    "\\",
    "{user_id}",
    "x" * 512,
    "😀" * 512,
]


def encoded(id_: str) -> str:
    """Percent-encoded, dots too: clients resolve segments that are dots."""
    return quote(id_, safe="").replace(".", "%2E")


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def server(app: FastAPI, parser: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a real server on a free port of loopback."""
    listening = socket.create_server(("127.0.0.1", 0))
    # As uvloop does: else each answer in two parts waits for the client's late acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app, access_log=False, log_config=None, http=parser, timeout_keep_alive=600
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    port = listening.getsockname()[1]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=600
    ) as client:
        yield client
    server.should_exit = True
    await task
    with suppress(OSError):
        listening.close()


async def ask_all(client: httpx.AsyncClient, id_: str) -> None:
    path = encoded(id_)
    for address in (
        f"/v1/users/{path}/recommendations",
        f"/v1/users/{path}/similar",
        f"/v1/items/{path}/similar",
        f"/v1/users/{path}/recommendations/{path}/explanation",
        f"/v1/categories/{path}",
    ):
        response = await client.get(address)
        assert response.status_code == 200, response.text
    response = await client.delete(f"/v1/users/{path}/follows/{path}")
    assert response.status_code == 204, response.text
    response = await client.delete(f"/v1/users/{path}/interactions/{path}?event=like")
    assert response.status_code == 204, response.text


def asked(fake: FakeEngine) -> list[tuple[object, ...]]:
    return [call[:2] for call in fake.calls if call[0] not in ("start", "stop")]


def expected(id_: str) -> list[tuple[object, ...]]:
    asks: list[tuple[object, ...]]
    asks = [(name, id_) for name in ("recommend", "similar_users", "similar_items", "explain")]
    return [
        *asks,
        ("read", "category"),
        ("change", DropFollow(id_, id_)),
        ("change", Retract(id_, id_, "like")),
    ]


@pytest.mark.parametrize("id_", HOSTILE_IDS)
async def test_any_id_arrives_as_it_is(
    client: httpx.AsyncClient, fake: FakeEngine, id_: str
) -> None:
    await ask_all(client, id_)
    assert asked(fake) == expected(id_)
    assert ("explain", id_, id_) in fake.calls
    assert ("read", "category", id_) in fake.calls


async def test_any_id_arrives_through_a_server(server: httpx.AsyncClient, fake: FakeEngine) -> None:
    for id_ in HOSTILE_IDS:
        await ask_all(server, id_)
    assert asked(fake) == [call for id_ in HOSTILE_IDS for call in expected(id_)]


@given(id_=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_id_arrives_as_it_is(app: FastAPI, fake: FakeEngine, id_: str) -> None:
    fake.calls.clear()

    async def ask() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await ask_all(client, id_)

    asyncio.run(ask())
    assert asked(fake) == expected(id_)


@pytest.mark.parametrize("path", ["%FF", "%C3", "%ED%A0%80", "x" * 513, encoded("😀" * 513)])
async def test_what_is_no_id_is_refused(
    client: httpx.AsyncClient, fake: FakeEngine, path: str
) -> None:
    response = await client.get(f"/v1/users/{path}/recommendations")
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"] == ["path", "user_id"]
    assert fake.calls == []


async def test_one_address_has_many_spellings(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    for path in ("/v1/%75sers/a/similar", "/v1/users/%61/similar", "/%76%31/users/a/%73imilar"):
        assert (await client.get(path)).status_code == 200
    assert asked(fake) == [("similar_users", "a")] * 3


async def test_a_server_that_gives_no_raw_path(app: FastAPI, fake: FakeEngine) -> None:
    async def without_raw_path(scope: Any, receive: Any, send: Any) -> None:
        scope.pop("raw_path")
        await app(scope, receive, send)

    transport = httpx.ASGITransport(app=without_raw_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for id_ in ("é%", "a%2Fb"):
            assert (await client.get(f"/v1/users/{quote(id_)}/similar")).status_code == 200
    assert asked(fake) == [("similar_users", "é%"), ("similar_users", "a%2Fb")]


async def test_a_path_that_is_no_url_harms_nothing(server: httpx.AsyncClient) -> None:
    url = server.base_url
    for target in (b"/v1/users/\xc3\xa9/similar", b"//evil/similar", b"/v1/users/%zz/similar"):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.split(b" ")[1] in (b"200", b"400", b"404", b"422"), (target, answer)
        writer.close()
        await writer.wait_closed()


async def test_limits_and_errors_through_a_server(server: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    json = {"Content-Type": "application/json"}
    response = await server.post("/v1/events", content=endless(), headers=json)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert (await server.get("/nothing")).status_code == 404
    assert (await server.get("/health/live")).json() == {"status": "live"}
