"""What a link opens over HTTP: one user, and nothing of anybody else."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from recsvc.errors import NotFoundError
from recsvc.graph.rows import StoredNode
from recsvc.person_links import PersonLinks, lasting
from recsvc.recommend.graph_writer import DropFollow, Retract
from recsvc.recommend.query import RecommendationQuery
from recsvc.service.app import create_app
from recsvc.service.keys import KeyFile, Scope
from tests.conftest import key_ring
from tests.unit.service.fake_engine import EXPORTED, FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes
from tests.unit.service.test_http_ids import HOSTILE_IDS, encoded

READS = ["/v1/me", "/v1/me/evidence", "/v1/me/recommendations", "/v1/me/export"]
OF_OTHERS = [
    ("GET", "/v1/users"), ("GET", "/v1/users/b"), ("DELETE", "/v1/users/b"),
    ("GET", "/v1/users/b/evidence"), ("GET", "/v1/users/b/export"),
    ("GET", "/v1/users/b/recommendations"), ("GET", "/v1/users/b/home"),
    ("GET", "/v1/users/b/similar"), ("DELETE", "/v1/users/b/interactions/i"),
    ("DELETE", "/v1/users/b/follows/a"), ("PUT", "/v1/users/b"), ("POST", "/v1/events"),
    ("POST", "/v1/outcomes"), ("POST", "/v1/recommendations"), ("GET", "/v1/items"),
    ("POST", "/v1/recommendations/batch"), ("GET", "/v1/exposure"), ("GET", "/v1/items/i/audience"),
    ("GET", "/v1/models"), ("POST", "/v1/models/hybrid/rollback"), ("POST", "/v1/refreshes"),
    ("GET", "/v1/experiments"), ("PUT", "/v1/scenarios/x"), ("GET", "/metrics"), ("GET", "/mcp"),
    ("GET", "/v1/me%2F..%2Fusers%2Fb"), ("GET", "/v1/users/b/evidence%2F..%2F..%2Fme"),
    ("GET", "/v1/%6De/../users/b"), ("GET", "/v1/meuser"), ("GET", "/v1/users/me/export"),
]  # fmt: skip


def bearer(link: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {link}"}


@pytest.fixture(params=["no keys", "keys"])
async def asking(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, tmp_path: Path
) -> httpx.AsyncClient:
    """A client of a service without API keys, and of one with some."""
    if request.param == "keys":
        KeyFile(tmp_path / "keys.json").create("app", Scope.ADMIN)
    return client


def asked(fake: FakeEngine) -> list[tuple[Any, ...]]:
    return [call for call in fake.calls if call[0] not in ("start", "stop")]


@pytest.mark.parametrize("user_id", HOSTILE_IDS)
async def test_it_is_about_whom_the_link_is_for(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks, user_id: str
) -> None:
    headers = bearer(links.make(user_id, lasting(1)))
    for path in READS:
        assert (await client.get(path, headers=headers)).status_code == 200, path
    hidden = await client.post("/v1/me/hidden", json={"item_id": user_id}, headers=headers)
    assert (hidden.status_code, hidden.json()) == (200, {"item_id": user_id})
    for evidence, more in (
        (f"item:{user_id}", {}), (f"item:{user_id}", {"event": "listen"}),
        ("user:u/7", {}), ("category:..", {}),
    ):  # fmt: skip
        query = {"evidence": evidence, **more}
        answer = await client.delete("/v1/me/evidence", params=query, headers=headers)
        assert answer.status_code == 204, query
    assert (await client.delete("/v1/me", headers=headers)).status_code == 204
    (row,) = next(call[1] for call in fake.calls if call[0] == "add_events")
    assert (row["user_id"], row["item_id"], row["event"]) == (user_id, user_id, "hide")
    assert [call for call in asked(fake) if call[0] != "add_events"] == [
        ("read", "user", user_id),
        ("evidence", user_id),
        ("recommend", user_id, RecommendationQuery(explain="full")),
        ("export", user_id),
        ("read", "item", user_id),
        ("read", "user", user_id),
        ("change", Retract(user_id, user_id)),
        ("change", Retract(user_id, user_id, "listen")),
        ("change", DropFollow(user_id, "u/7")),
        ("drop_preference", user_id, ".."),
        ("delete", "user", user_id),
    ]


async def test_what_it_says(
    asking: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks
) -> None:
    end = lasting(2)
    headers = bearer(links.make("2", end))
    fake.stored = StoredNode({"name": "Anna", "town": "Ulm"}, [])
    me, known, recommended, exported = [
        (await asking.get(path, headers=headers)).json() for path in READS
    ]
    assert me == {
        "user_id": "2",
        "expires_at": end.isoformat(),
        "properties": {"name": "Anna", "town": "Ulm"},
    }
    assert [piece["id"] for piece in known["evidence"]] == ["55", "275"]
    assert recommended["items"][0]["explanation"]["paths"]
    assert exported == EXPORTED
    answer = await asking.get("/v1/me/recommendations?scenario=front", headers=headers)
    assert answer.headers["cache-control"] == "no-store"
    query = RecommendationQuery(explain="full", scenario="front")
    assert fake.calls[-1] == ("recommend", "2", query)


@pytest.mark.parametrize(("method", "path"), OF_OTHERS)
async def test_it_opens_nothing_else(
    asking: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks, method: str, path: str
) -> None:
    url = httpx.URL("http://service").copy_with(raw_path=path.encode())
    link = links.make("a", lasting(1))
    for headers in (bearer(link), {"X-API-Key": link}):
        answer = await asking.send(httpx.Request(method, url, headers=headers))
        assert answer.status_code in {403, 404}, (path, answer.text)
        if answer.status_code == 403:
            assert "this link opens /v1/me" in answer.json()["detail"]
        assert link not in answer.text
    assert asked(fake) == []


@pytest.mark.parametrize("id_", HOSTILE_IDS)
async def test_no_id_of_another_leads_there(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks, id_: str
) -> None:
    """Nor of oneself: it is the link that names a user, no address."""
    headers = bearer(links.make(id_, lasting(1)))
    for path in ("", "/evidence", "/export", "/recommendations"):
        for address in (f"/v1/users/{encoded(id_)}{path}", f"/v1/me/users/{encoded(id_)}{path}"):
            assert (await client.get(address, headers=headers)).status_code in {403, 404}
    body = {"item_id": "i", "user_id": "b"}
    assert (await client.post("/v1/me/hidden", json=body, headers=headers)).status_code == 422
    for query in ("user_id=b", "id=b"):
        assert (await client.get(f"/v1/me?{query}", headers=headers)).status_code == 422
    assert asked(fake) == []


@pytest.mark.parametrize("path", READS)
async def test_without_a_link_nothing_opens(
    asking: httpx.AsyncClient, fake: FakeEngine, tmp_path: Path, path: str
) -> None:
    admin = KeyFile(tmp_path / "keys.json").create("admin", Scope.ADMIN)
    for headers in ({}, bearer(admin), {"X-API-Key": admin}, bearer("recsvc_person_"), bearer("x")):
        answer = await asking.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "link" in answer.json()["detail"]
        assert admin not in answer.text
    assert asked(fake) == []


async def test_an_app_without_links_opens_nothing(
    fake: FakeEngine, links: PersonLinks, tmp_path: Path
) -> None:
    app = create_app(fake.engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.get("/v1/me", headers=bearer(links.make("2", lasting(1))))
        assert answer.status_code == 401
    structlog.reset_defaults()


async def test_what_opens_nothing_any_more_says_why(
    asking: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks, tmp_path: Path
) -> None:
    expired = links.make("2", datetime.now(UTC) - timedelta(seconds=1))
    renewed = links.make("2", lasting(1))
    links.make("2", lasting(1), renew=True)
    deleted = links.make("gone", lasting(1))
    links.forget("gone")
    elsewhere = PersonLinks(tmp_path / "elsewhere").make("2", lasting(1))
    for link, why in (
        (expired, "This link has expired"),
        (renewed, "A newer link has taken the place"),
        (deleted, "Whom this link is for was deleted"),
        (elsewhere, "This link is not whole or not of this service"),
    ):
        for method, path in (("GET", "/v1/me"), ("DELETE", "/v1/me"), ("POST", "/v1/me/hidden")):
            answer = await asking.request(method, path, headers=bearer(link))
            assert answer.status_code == 401
            assert answer.json()["detail"].startswith(why[0].lower() + why[1:])
            assert link not in answer.text
    assert asked(fake) == []


async def test_nobody_makes_a_user_or_an_item_by_hiding(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks
) -> None:
    headers = bearer(links.make("2", lasting(1)))
    fake.error = NotFoundError("no item 'x' in the graph")
    answer = await client.post("/v1/me/hidden", json={"item_id": "x"}, headers=headers)
    assert answer.status_code == 404
    assert "add_events" not in {call[0] for call in fake.calls}


async def test_what_is_not_there_cannot_be_taken_back(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks
) -> None:
    headers = bearer(links.make("2", lasting(1)))
    fake.outcome = "missing"
    for evidence, why in (
        ("item:5", "did nothing with item '5'"),
        ("user:5", "user '5' is no evidence of user '2'"),
        ("category:5", "category '5' is no evidence of user '2'"),
    ):
        answer = await client.delete(f"/v1/me/evidence?evidence={evidence}", headers=headers)
        assert answer.status_code == 404
        assert why in answer.json()["detail"]
    fake.calls.clear()
    for query in ("evidence=user:5&event=like", "evidence=5", "", "evidence=shop:5", "event=like"):
        answer = await client.delete(f"/v1/me/evidence?{query}", headers=headers)
        assert answer.status_code == 422, query
    assert fake.calls == []


async def test_the_log_names_neither_link_nor_person(
    client: httpx.AsyncClient, links: PersonLinks, capsys: pytest.CaptureFixture[str]
) -> None:
    link = links.make("secret-person", lasting(1))
    await client.get("/v1/me", headers=bearer(link))
    await client.get("/v1/users", headers=bearer(link))
    await client.get("/v1/me", headers=bearer(f"{link}x"))
    told = capsys.readouterr().err
    lines = [json.loads(line) for line in told.splitlines()]
    assert [(line["route"], line["status"], line.get("key")) for line in lines] == [
        ("/v1/me", 200, None), ("none", 403, None), ("none", 401, None),
    ]  # fmt: skip
    assert not re.search(rf"secret-person|{link[:40]}", told)
    metrics = (await client.get("/metrics")).text
    assert not re.search(rf"secret-person|{link[:40]}", metrics)


@pytest.fixture
async def limited(
    fake: FakeEngine, links: PersonLinks, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        fake.engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path),
        requests_per_minute=2, links=links,
    )  # fmt: skip
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client
    structlog.reset_defaults()


async def test_each_person_has_a_limit_of_their_own(
    limited: httpx.AsyncClient, links: PersonLinks
) -> None:
    ann, bob = (bearer(links.make(user, lasting(1))) for user in ("ann", "bob"))
    again = bearer(links.make("ann", lasting(2)))
    answers = [await limited.get("/v1/me", headers=each) for each in (ann, again, ann, bob)]
    assert [each.status_code for each in answers] == [200, 200, 429, 200]
    assert (await limited.get("/v1/users")).status_code == 200


async def test_another_sites_page_changes_nothing(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks
) -> None:
    headers = bearer(links.make("2", lasting(1))) | {"Sec-Fetch-Site": "cross-site"}
    assert (await client.delete("/v1/me", headers=headers)).status_code == 403
    assert asked(fake) == []
