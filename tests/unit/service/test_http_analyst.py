"""The analysts' files over HTTP, as Neo4j Browser asks for them."""

from pathlib import Path

import httpx
import structlog

from recsvc.analyst.kit import PATH, kit
from recsvc.service.app import create_app
from recsvc.settings import load_settings
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes


async def test_a_page_of_another_origin_may_read_them(tmp_path: Path) -> None:
    files = kit(load_settings().events)
    app = create_app(
        FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path), kit=files
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for name, file in files.items():
            found = await client.get(f"{PATH}/{name}", headers={"Origin": "http://127.0.0.1:7474"})
            assert (found.status_code, found.content) == (200, file.content)
            assert found.headers["content-type"] == file.media_type
            assert found.headers["access-control-allow-origin"] == "*"
            asked = await client.options(
                f"{PATH}/{name}",
                headers={
                    "Origin": "http://127.0.0.1:7474",
                    "Access-Control-Request-Method": "GET",
                    "Access-Control-Request-Headers": "cache-control,pragma",
                },
            )
            assert asked.status_code == 204
            assert asked.headers["access-control-allow-origin"] == "*"
            assert asked.headers["access-control-allow-headers"] == "*"
        missing = await client.get(f"{PATH}/password")
        assert missing.status_code == 404
        answer = await client.get("/v1/users/2/recommendations", headers={"Origin": "http://x"})
        assert "access-control-allow-origin" not in answer.headers
    structlog.reset_defaults()
