"""Of the OWASP API Security Top 10 (2023), what is true of every route, also of those to come.

docs/reliability.md names the tests of all ten; here are those that walk the OpenAPI document.
"""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsvc.person_links import PersonLinks
from recsvc.service.keys import KeyFile, Scope
from tests.openapi_requests import one_each, reading, writing
from tests.unit.service.fake_engine import FakeEngine

URLS = ("http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "//internal:7687/")
ORDER = (Scope.READ, Scope.WRITE, Scope.ADMIN)


@pytest.fixture
def link(links: PersonLinks) -> str:
    return links.make("2", datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def bearers(tmp_path: Path) -> dict[str, str]:
    """A key of each scope."""
    file = KeyFile(tmp_path / "keys.json")
    return {scope.value: file.create(scope.value, scope) for scope in ORDER}


def schemas(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What comes in: parameters, and the schemas of bodies with all that they name."""
    waiting, walked = [*_taken(document)], set[str]()
    while waiting:
        place, schema = waiting.pop()
        if name := schema.get("$ref", "").rpartition("/")[2]:
            if name not in walked:
                walked.add(name)
                waiting.append((name, document["components"]["schemas"][name]))
        else:
            yield place, schema
            waiting += _inside(place, schema)


def _taken(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for route, operations in document["paths"].items():
        for operation in operations.values():
            for p in operation.get("parameters", []):
                yield f"{route} {p['in']}.{p['name']}", p["schema"]
            for each in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{route} body", each["schema"]


def _inside(place: str, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{place}.{name}", each
    for several in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(several, []):
            yield place, each
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            yield f"{place}[]", schema[inner]


async def test_api1_a_link_reaches_no_object_of_others(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine, link: str
) -> None:
    """Broken object level authorization."""
    headers, walked = {"Authorization": f"Bearer {link}"}, 0
    for made in one_each(document, {}):
        if not made.route.startswith("/v1/me"):
            answer = await client.request(**made.sent, headers=headers)
            assert answer.status_code == 403, made
            walked += 1
    assert walked > 40
    assert not fake.calls


async def test_api2_nothing_of_the_service_opens_without_a_key_or_with_a_wrong_one(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine, bearers: dict[str, str]
) -> None:
    """Broken authentication."""
    wrong = [{}, {"X-API-Key": ""}, {"X-API-Key": bearers["admin"][:-1]},
             {"Authorization": f"Basic {bearers['admin']}"},
             {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIyIn0."}]  # fmt: skip
    for made in one_each(document, {}):
        for headers in wrong:
            answer = await client.request(**made.sent, headers=headers)
            assert answer.status_code == 401, (made, headers)
    assert not fake.calls


def test_api4_every_list_and_every_text_of_an_address_has_a_bound(
    document: dict[str, Any],
) -> None:
    """Unrestricted resource consumption."""
    unbounded: list[str] = []
    walked = 0
    for place, schema in schemas(document):
        walked += 1
        kind, of_address = schema.get("type"), place.startswith("/v1") and " body" not in place
        listed = kind == "array" and "maxItems" not in schema
        text = kind == "string" and not {"maxLength", "enum", "const", "format"} & schema.keys()
        if listed or (text and of_address):
            unbounded.append(place)
    assert walked > 100
    assert unbounded == []


async def test_api5_a_lesser_key_calls_no_greater_function(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine, bearers: dict[str, str]
) -> None:
    """Broken function level authorization."""
    refused = 0
    for made in one_each(document, {}):
        needed = document["paths"][made.route][made.method.lower()].get("x-key-scope")
        if needed not in [scope.value for scope in ORDER]:
            continue
        for scope in ORDER[: [each.value for each in ORDER].index(needed)]:
            headers = {"X-API-Key": bearers[scope.value]}
            answer = await client.request(**made.sent, headers=headers)
            assert answer.status_code == 403, (made, scope)
            refused += 1
    assert refused > 30
    assert not fake.calls


async def test_api7_no_request_has_the_service_ask_another_address(
    document: dict[str, Any], client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    """Server side request forgery."""
    asked: list[Any] = []

    def refuse(*arguments: Any, **_more: Any) -> Any:
        asked.append(arguments)
        raise OSError

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    urls = cycle(URLS)
    for made in (*reading(document, urls), *writing(document, urls)):
        headers = {"Authorization": f"Bearer {link}"} if made.route.startswith("/v1/me") else {}
        answer = await client.request(**made.sent, headers=headers)
        assert answer.status_code < 500, made
    assert asked == []
