"""Who may ask for what, over HTTP."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.routing import Route

from recsvc.service.allowed import PERSON, needed_scope
from recsvc.service.app import create_app
from recsvc.service.documents import ProblemDocument
from recsvc.service.keys import KeyFile, KeyRing, Scope
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes

PATH = "/v1/users/2/recommendations"
ROLL_BACK = "/v1/models/hybrid/rollback"
EVENTS = [{"user_id": "2", "item_id": "289"}]
READS = """
GET    /v1/users/{user_id}/home
GET    /v1/scenarios
GET    /v1/scenarios/{name}
POST   /v1/scenarios/{name}/try
GET  /metrics
GET  /v1/users
GET  /v1/items
GET  /v1/categories
GET  /v1/users/{id}
GET  /v1/items/{id}
GET  /v1/categories/{id}
GET  /v1/users/{user_id}/evidence
GET  /v1/users/{user_id}/export
GET  /v1/users/{user_id}/recommendations
GET  /v1/users/{user_id}/recommendations/{item_id}/explanation
GET  /v1/users/{user_id}/recommendations/{item_id}/recourse
GET  /v1/users/{user_id}/similar
GET  /v1/items/{item_id}/similar
GET  /v1/exposure
GET  /v1/items/{item_id}/audience
GET  /v1/items/{item_id}/recourse
POST /v1/recommendations
POST /v1/recommendations/batch
"""
WRITES = """
POST   /v1/events
POST   /v1/outcomes
PUT    /v1/users/{id}
PUT    /v1/items/{id}
PUT    /v1/categories/{id}
PUT    /v1/users/{id}/follows/{other_id}
DELETE /v1/users/{id}
DELETE /v1/items/{id}
DELETE /v1/categories/{id}
DELETE /v1/users/{id}/follows/{other_id}
DELETE /v1/users/{id}/interactions/{item_id}
"""
ADMINS = """
PUT    /v1/scenarios/{name}
DELETE /v1/scenarios/{name}
POST   /v1/scenarios/{name}/rollback
GET    /v1/experiments
PUT    /v1/experiments/{name}
GET    /v1/experiments/{name}
DELETE /v1/experiments/{name}
GET    /v1/experiments/{name}/results
POST   /v1/experiments/{name}/stop
GET  /v1/changes
GET  /v1/models
POST /v1/models/{model}/activate
POST /v1/models/{model}/rollback
GET  /v1/refreshes
POST /v1/refreshes
GET  /v1/refreshes/{id}
GET  /v1/refreshes/{id}/report
"""
PERSONS = """
GET    /v1/me
DELETE /v1/me
GET    /v1/me/evidence
DELETE /v1/me/evidence
GET    /v1/me/recommendations
GET    /v1/me/export
POST   /v1/me/hidden
"""
OPEN = """
GET     /
GET     /person
GET     /page/{name}
GET     /docs
GET     /docs/{asset}
GET     /openapi.json
GET     /analyst/{name}
OPTIONS /analyst/{name}
GET     /health/live
GET     /health/ready
"""

Asking = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def asking(file: KeyFile, tmp_path: Path) -> Asking:
    @asynccontextmanager
    async def asking_(
        always: bool = False, requests_per_minute: int | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(
            FakeEngine().engine,
            refreshes=fake_refreshes(tmp_path),
            keys=KeyRing(file, always=always),
            requests_per_minute=requests_per_minute,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            yield client
        structlog.reset_defaults()

    return asking_


def lines(text: str) -> set[tuple[str, str]]:
    return {(method, path) for method, path in (line.split() for line in text.strip().splitlines())}


def every_route(routes: Iterable[Any]) -> Iterator[Route]:
    """The routes of an app; FastAPI keeps those of a router that it includes below it."""
    for each in routes:
        if isinstance(each, Route):
            yield each
        else:
            yield from every_route(each.original_router.routes)


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    document = answer.json()
    ProblemDocument.model_validate(document)
    return document


def test_each_route_needs_what_it_should(tmp_path: Path, file: KeyFile) -> None:
    app = create_app(FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=KeyRing(file))
    routes = {
        (method, route.path)
        for route in every_route(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }
    wanted = {
        Scope.READ: lines(READS),
        Scope.WRITE: lines(WRITES),
        Scope.ADMIN: lines(ADMINS),
        PERSON: lines(PERSONS),
        None: lines(OPEN),
    }
    assert routes == set().union(*wanted.values())
    for scope, those in wanted.items():
        for method, path in those:
            assert needed_scope(method, path) is scope, (method, path)
    structlog.reset_defaults()


async def test_without_any_key_none_is_needed(asking: Asking) -> None:
    async with asking() as client:
        assert (await client.get(PATH)).status_code == 200
        assert (await client.post(ROLL_BACK)).status_code == 200


async def test_from_the_first_key_on_each_request_needs_one(asking: Asking, file: KeyFile) -> None:
    async with asking() as client:
        assert (await client.get(PATH)).status_code == 200
        key = file.create("app", Scope.READ)
        refused = await client.get(PATH)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "no key came" in problem_of(refused)["detail"]
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"authorization": f"bearer  {key} "},
            {"X-API-Key": key},
        ):
            assert (await client.get(PATH, headers=headers)).status_code == 200
        for path in ("/health/live", "/", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200
        file.revoke("app")
        refused = await client.get(PATH, headers={"X-API-Key": key})
        assert refused.status_code == 401
        assert "none of this service's" in problem_of(refused)["detail"]
        assert (await client.get(PATH)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer "},
        {"Authorization": "Basic KEY"},
        {"Authorization": "KEY"},
        {"Authorization": "Bearer KEYx"},
        {"Authorization": "Bearer nothing", "X-API-Key": "KEY"},
        {"X-API-Key": "Bearer KEY"},
        {"X-API-Key": "\u00e9"},
    ],
)
async def test_what_is_not_the_key_is_refused(
    asking: Asking, file: KeyFile, headers: dict[str, str]
) -> None:
    key = file.create("app", Scope.ADMIN)
    sent = [(n.encode(), v.replace("KEY", key).encode("latin-1")) for n, v in headers.items()]
    async with asking() as client:
        refused = await client.get(PATH, headers=sent)
        assert refused.status_code == 401
        assert key not in refused.text


async def test_a_scope_covers_those_before_it(asking: Asking, file: KeyFile) -> None:
    keys = {scope: file.create(scope, scope) for scope in Scope}
    async with asking() as client:
        for scope, expected in (
            (Scope.READ, (200, 403, 403)),
            (Scope.WRITE, (200, 200, 403)),
            (Scope.ADMIN, (200, 200, 200)),
        ):
            headers = {"Authorization": f"Bearer {keys[scope]}"}
            answers = (
                await client.get(PATH, headers=headers),
                await client.post("/v1/events", json=EVENTS, headers=headers),
                await client.post(ROLL_BACK, headers=headers),
            )
            assert tuple(each.status_code for each in answers) == expected, scope
        refused = problem_of(await client.post(ROLL_BACK, headers={"X-API-Key": keys[Scope.READ]}))
        assert refused["title"] == "Forbidden"
        assert "recsvc keys create NAME --scope admin" in refused["detail"]


@pytest.mark.parametrize("path", ["/v1/model%73", "/v1/m%6Fdels", "/v1/models%2Fhybrid"])
async def test_another_spelling_of_an_address_needs_the_same(
    asking: Asking, file: KeyFile, path: str
) -> None:
    key = file.create("app", Scope.READ)
    async with asking() as client:
        answer = await client.get(path, headers={"X-API-Key": key})
        assert answer.status_code in {403, 404}


async def test_where_others_reach_it_a_key_is_always_needed(asking: Asking) -> None:
    async with asking(always=True) as client:
        assert (await client.get(PATH)).status_code == 401
        assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("fault", ["removed", "renamed", "damaged", "of another kind"])
async def test_where_the_keys_were_and_are_not_nobody_is_answered(
    asking: Asking, file: KeyFile, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    key = file.create("app", Scope.ADMIN)
    content = file.path.read_bytes()
    async with asking() as client:
        assert (await client.get(PATH, headers={"X-API-Key": key})).status_code == 200
        if fault == "renamed":
            file.path.rename(file.path.with_name("old.json"))
        else:
            file.path.unlink()
        if fault == "damaged":
            file.path.write_text("[{")
        if fault == "of another kind":
            file.path.mkdir()
        for headers in ({"X-API-Key": key}, {}):
            assert (await client.get(PATH, headers=headers)).status_code == 401
            assert (await client.delete("/v1/users/2", headers=headers)).status_code == 401
        assert "API keys" in capsys.readouterr().err
        if fault == "of another kind":
            file.path.rmdir()
        file.path.write_bytes(content)
        assert (await client.get(PATH, headers={"X-API-Key": key})).status_code == 200
        assert (await client.get(PATH)).status_code == 401


async def test_keys_that_were_gone_before_the_start_open_nothing(
    asking: Asking, file: KeyFile
) -> None:
    key = file.create("app", Scope.READ)
    file.path.unlink()
    async with asking() as client:
        assert (await client.get(PATH)).status_code == 401
        assert (await client.get(PATH, headers={"X-API-Key": key})).status_code == 401
    file.mark.unlink()
    async with asking() as client:
        assert (await client.get(PATH)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://service"}, 200),
        ({"Origin": "https://outside.example", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_no_page_of_another_site_changes_anything(
    asking: Asking, headers: dict[str, str], status: int
) -> None:
    async with asking() as client:
        assert (await client.post(ROLL_BACK, headers=headers)).status_code == status
        assert (await client.get(PATH, headers=headers)).status_code == 200


async def test_each_key_has_a_rate_of_its_own(asking: Asking, file: KeyFile) -> None:
    one, other = file.create("one", Scope.READ), file.create("other", Scope.READ)
    async with asking(requests_per_minute=3) as client:
        for _ in range(3):
            assert (await client.get(PATH, headers={"X-API-Key": one})).status_code == 200
        refused = await client.get(PATH, headers={"X-API-Key": one})
        assert refused.status_code == 429
        assert problem_of(refused)["title"] == "Too Many Requests"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert (await client.get(PATH, headers={"X-API-Key": other})).status_code == 200
        assert (await client.get("/health/live")).status_code == 200


@pytest.mark.parametrize("hours", [-24, -1, 24])
async def test_a_clock_that_is_set_keeps_nobody_out_for_longer(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    real = time.time
    async with asking(requests_per_minute=2) as client:
        monkeypatch.setattr(time, "time", lambda: real() - 30)
        assert [(await client.get(PATH)).status_code for _ in range(3)] == [200, 200, 429]
        monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
        statuses = [(await client.get(PATH)).status_code for _ in range(3)]
        refused = await client.get(PATH)
    assert statuses == [200, 200, 429]
    assert int(refused.headers["Retry-After"]) <= 60


async def test_without_keys_all_share_the_rate(asking: Asking) -> None:
    async with asking(requests_per_minute=1) as client:
        assert (await client.get(PATH)).status_code == 200
        assert (await client.get(PATH)).status_code == 429


async def test_the_log_tells_who_administers_and_who_tried_to(
    asking: Asking, file: KeyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, admin = file.create("the app", Scope.READ), file.create("ops", Scope.ADMIN)
    async with asking() as client:
        for key in (reader, admin):
            headers = {"X-API-Key": key}
            await client.get("/v1/models", headers=headers)
            await client.post("/v1/models/my%20model/rollback", headers=headers)
            await client.delete("/v1/users/2", headers=headers)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [each for each in lines if each["event"] == "administration"]
    path = "/v1/models/my%20model/rollback"
    assert [(each["path"], each.get("key"), each["status"]) for each in told] == [
        (path, "the app", 403),
        (path, "ops", 200),
    ]
    assert all(each["client"] and each["request_id"] for each in told)


async def test_the_log_names_the_key_and_never_holds_it(
    asking: Asking, file: KeyFile, capsys: pytest.CaptureFixture[str]
) -> None:
    key = file.create("the app", Scope.READ)
    async with asking() as client:
        await client.get(PATH, headers={"X-API-Key": key})
        await client.get(PATH, headers={"Authorization": f"Bearer x{key}"})
    logged = capsys.readouterr().err
    requests = [each for each in map(json.loads, logged.splitlines()) if each["event"] == "request"]
    assert [(each["status"], each.get("key")) for each in requests] == [
        (200, "the app"),
        (401, None),
    ]
    assert key not in logged
