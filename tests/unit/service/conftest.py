from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from recsvc.person_links import PersonLinks
from recsvc.service.app import create_app
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes


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
