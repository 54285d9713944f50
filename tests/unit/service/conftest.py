from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from recsvc.person_links import PersonLinks
from recsvc.service import issuer_keys
from recsvc.service.app import create_app
from recsvc.service.callers import issuer_tokens
from recsvc.service.keys import KeyFile, KeyRing
from recsvc.settings import OidcSettings
from tests.conftest import key_ring
from tests.oidc_issuer import AUDIENCE, Issuer, running_issuer
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes
from tests.waiting import PATIENCE_SECONDS

PATH = "/v1/users/2/recommendations"

Asking = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def fake() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def links(tmp_path: Path) -> PersonLinks:
    return PersonLinks(tmp_path)


@pytest.fixture
def app(fake: FakeEngine, tmp_path: Path, links: PersonLinks) -> Iterator[FastAPI]:
    yield create_app(
        fake.engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path), links=links
    )
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI document, which takes a second to make, and which tests only read."""
    folder = tmp_path_factory.mktemp("document")
    refreshes, keys = fake_refreshes(folder), key_ring(folder)
    return create_app(FakeEngine().engine, refreshes=refreshes, keys=keys).openapi()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def asking(
    issuer: Issuer, file: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Asking:
    """The service; the machine may be busy, and so the issuer has minutes to answer.

    For as long it is not asked again.
    """
    monkeypatch.setattr(issuer_keys, "FETCH_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", PATIENCE_SECONDS)

    @asynccontextmanager
    async def asking_(
        requests_per_minute: int | None = None, **changed: Any
    ) -> AsyncIterator[httpx.AsyncClient]:
        oidc = OidcSettings(**{"issuer": issuer.address, "audience": AUDIENCE} | changed)
        app = create_app(
            FakeEngine().engine,
            refreshes=fake_refreshes(tmp_path),
            keys=KeyRing(file),
            tokens=issuer_tokens(oidc),
            requests_per_minute=requests_per_minute,
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            client.app = app  # pyright: ignore
            yield client
        structlog.reset_defaults()

    return asking_


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def status(client: httpx.AsyncClient, token: str, path: str = PATH) -> int:
    return (await client.get(path, headers=bearer(token))).status_code
