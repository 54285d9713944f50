"""By which names the service may be asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from recsvc.service.app import create_app
from recsvc.service.documents import ProblemDocument
from recsvc.settings import Settings
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.fake_refresh import fake_refreshes

PATH = "/v1/users/2/recommendations"
Asked = Callable[..., Any]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    async def ask(headers: Any, *names: str, method: str = "GET") -> httpx.Response:
        app = create_app(
            FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path),
            allowed_hosts=names,
        )  # fmt: skip
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            path = PATH if method == "GET" else "/v1/models/hybrid/rollback"
            answer = await client.request(method, path, headers=headers)
        structlog.reset_defaults()
        return answer

    return ask


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST.", "recsvc.localhost:1", "127.0.0.1:8000", "[::1]",
     "[::1]:8000", "10.1.2.3:8000"],
)  # fmt: skip
async def test_this_machine_and_addresses_are_taken(asked: Asked, host: str) -> None:
    assert (await asked({"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil", "evil:8000", "evil.example:8000", "localhost.evil", "127.0.0.1.evil", "a@localhost",
     "", "[::1", "0x7f.1", "evillocalhost", "\u00e9", "localhost:8000@evil.com", "localhost:evil",
     "[::1]evil.com", "[::1%evil.com]", "[::1]:1@evil.com", "127.0.0.1:1:evil", "localhost/evil",
     "[localhost]", ":8000", "127.0.0.1%evil"],
)  # fmt: skip
async def test_another_name_is_refused_and_logged(
    asked: Asked, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = [(b"Host", host.encode("latin-1"))]
    answer = await asked(sent)
    assert answer.status_code == 421
    ProblemDocument.model_validate(answer.json())
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert host in [each.get("host") for each in logged]


async def test_a_page_that_had_its_name_point_here_changes_nothing(asked: Asked) -> None:
    headers = {"Host": "evil:8000", "Origin": "http://evil:8000", "Sec-Fetch-Site": "same-origin"}
    assert (await asked(headers, method="POST")).status_code == 421


@pytest.mark.parametrize(
    ("host", "status"),
    [("api.example.org", 200), ("API.example.org:443", 200), ("a.b.shop.example", 200),
     ("shop.example", 421), ("xshop.example", 421), ("other.example.org", 421)],
)  # fmt: skip
async def test_names_of_the_settings_are_taken(asked: Asked, host: str, status: int) -> None:
    answer = await asked({"Host": host}, "api.example.org", "*.shop.example")
    assert answer.status_code == status


@pytest.mark.parametrize(("host", "status"), [("any.example:1", 200), ("a@b", 421), ("a:b", 421)])
async def test_any_name_is_still_a_name(asked: Asked, host: str, status: int) -> None:
    assert (await asked({"Host": host}, "*")).status_code == status


@pytest.mark.parametrize("number", [0, 2])
async def test_there_is_one_host(asked: Asked, number: int) -> None:
    async def without(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"] = [(b"host", b"localhost")] * number
        await app(scope, receive, send)

    tmp = Path("/nonexistent")
    app = create_app(
        FakeEngine().engine, refreshes=fake_refreshes(tmp), keys=key_ring(tmp), allowed_hosts=()
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=without), base_url="http://localhost"
    ) as client:
        assert (await client.get(PATH)).status_code == 400
    structlog.reset_defaults()


def test_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSVC_ALLOWED_HOSTS", "API.example.org, *.shop.example")
    assert Settings().allowed_hosts == ("api.example.org", "*.shop.example")
    assert Settings(allowed_hosts=()).allowed_hosts == ()
    for wrong in ("http://a", "a:8000", "a b", "*a", "a.*"):
        monkeypatch.setenv("RECSVC_ALLOWED_HOSTS", wrong)
        with pytest.raises(ValueError, match="without a port"):
            Settings()
