"""What stands in the head of an answer: who may keep it, who may read it, how much is left."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from recsvc.errors import SettingsError
from recsvc.service.app import create_app
from recsvc.settings import load_settings
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes

SHOP = "https://shop.example"
PATH = "/v1/users/2/recommendations"
EVENTS = [{"user_id": "2", "item_id": "55"}]
Asking = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Asking]:
    """Clients of a service with these settings."""

    @asynccontextmanager
    async def clients(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(
            FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path),
            **settings,
        )  # fmt: skip
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client

    yield clients
    structlog.reset_defaults()


@pytest.mark.parametrize("path", [PATH, "/v1/models", "/health/ready", "/metrics", "/v1/nothing"])
async def test_no_cache_keeps_an_answer(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).headers["Cache-Control"] == "no-store"


async def test_a_page_says_itself_how_long_it_may_be_kept(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).headers["Cache-Control"] == "no-cache"


async def test_a_long_answer_is_compressed_for_whom_wants_it(client: httpx.AsyncClient) -> None:
    plain, packed = [
        await client.get("/openapi.json", headers={"Accept-Encoding": encoding})
        for encoding in ("identity", "gzip")
    ]
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert packed.json() == plain.json()
    assert 4 * int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])


async def test_pages_of_other_sites_are_strangers_unless_named(asking: Asking) -> None:
    ask = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    send = {"Origin": SHOP, "Sec-Fetch-Site": "cross-site"}
    async with asking() as client:
        for answer in (
            await client.options("/v1/events", headers=ask),
            await client.post("/v1/events", headers=send, json=EVENTS),
            await client.get(PATH, headers=send),
        ):
            assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await client.post("/v1/events", headers=send, json=EVENTS)).status_code == 403
    async with asking(cors_origins=(SHOP,)) as client:
        before = await client.options(
            "/v1/events", headers=ask | {"Access-Control-Request-Headers": "x-api-key,content-type"}
        )
        answers = (
            before,
            await client.post("/v1/events", headers=send, json=EVENTS),
            await client.get(PATH, headers=send),
        )
        for answer in answers:
            assert answer.status_code == 200
            assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        for origin in ("https://shop.example.evil", "http://shop.example", "null"):
            other = await client.post("/v1/events", headers=send | {"Origin": origin}, json=EVENTS)
            assert other.status_code == 403
            assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_page_of_a_named_site_may_read_why_it_was_refused(asking: Asking) -> None:
    async with asking(cors_origins=(SHOP,), requests_per_minute=1) as client:
        for status in (200, 429):
            answer = await client.get(PATH, headers={"Origin": SHOP})
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == SHOP
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/", "*", "ftp://a", "null"]
)
def test_what_is_no_origin_is_no_setting(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("RECSVC_CORS_ORIGINS", f"{SHOP},http://localhost:3000")
    assert load_settings().cors_origins == (SHOP, "http://localhost:3000")
    monkeypatch.setenv("RECSVC_CORS_ORIGINS", f"{SHOP},{origin}")
    with pytest.raises(SettingsError, match=r"cors_origins.*expected an origin such as"):
        load_settings()


async def test_a_caller_with_a_limit_is_told_what_is_left(asking: Asking) -> None:
    async with asking(requests_per_minute=3) as client:
        found = [await client.get(PATH) for _ in range(4)]
        assert [each.headers["RateLimit-Remaining"] for each in found] == ["2", "1", "0", "0"]
        assert {each.headers["RateLimit-Limit"] for each in found} == {"3"}
        assert all(1 <= int(each.headers["RateLimit-Reset"]) <= 60 for each in found)
        assert found[-1].headers["RateLimit-Reset"] == found[-1].headers["Retry-After"]
        assert "RateLimit-Limit" not in (await client.get("/health/live")).headers
    async with asking() as client:
        assert "RateLimit-Limit" not in (await client.get(PATH)).headers


@pytest.mark.parametrize("path", [PATH, "/v1/models", "/docs", "/openapi.json", "/health/live"])
async def test_head_is_answered_as_get_is(client: httpx.AsyncClient, path: str) -> None:
    head, get = await client.head(path), await client.get(path)
    assert head.status_code == get.status_code == 200
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


async def test_an_address_names_all_methods_it_has(client: httpx.AsyncClient) -> None:
    refused = await client.patch("/v1/items/2")
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "DELETE, GET, HEAD, PUT"
