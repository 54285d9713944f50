"""What a route does not take is refused, on every route, also on those that are still to come."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from loaders.limits import MAX_BODY_BYTES
from recsvc.person_links import PersonLinks
from tests.unit.service.fake_engine import FakeEngine

OPERATIONS = ("get", "put", "post", "delete", "patch")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method in OPERATIONS & methods.keys():
            yield method.upper(), re.sub(r"{\w+}", "2", path), methods[method]


@pytest.fixture(autouse=True)
def those_below_me_have_a_link(client: httpx.AsyncClient, links: PersonLinks) -> None:
    link = links.make("2", datetime.now(UTC) + timedelta(hours=1))

    async def add_link(request: httpx.Request) -> None:
        if request.url.path.startswith("/v1/me"):
            request.headers["Authorization"] = f"Bearer {link}"

    client.event_hooks["request"].append(add_link)


@pytest.mark.parametrize("query", ["dry_run=true", "K=3", "user_id=2", "%6B%00=1", "=1", "dry_run"])
async def test_no_route_takes_a_parameter_that_it_does_not_have(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine, query: str
) -> None:
    walked = 0
    for method, path, operation in operations(document):
        body = {"json": {}} if "requestBody" in operation else {}
        answer = await client.request(method, f"{path}?{query}", **body)
        assert answer.status_code == 422, (method, path)
        assert answer.json()["errors"][0]["location"][0] == "query", (method, path)
        walked += 1
    assert walked > 25
    assert not fake.calls


async def test_no_route_takes_a_body_that_it_does_not_read(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    walked = 0
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            answer = await client.request(method, path, json={"dry_run": True})
            assert answer.status_code == 422, (method, path)
            assert answer.json()["errors"][0]["location"] == ["body"]
            walked += 1
    assert walked > 15
    assert not fake.calls


async def test_no_body_takes_a_field_that_it_does_not_have(
    document: dict[str, Any], client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    """Items and users do: a further field is a property."""
    for method, path, operation in operations(document):
        if "requestBody" in operation and not path.startswith(("/v1/users/2", "/v1/items/2")):
            answer = await client.request(method, path, json={"dry_run": True})
            locations = [each["location"] for each in answer.json()["errors"]]
            assert ["body", "dry_run"] in locations, (method, path)
    assert not fake.calls


@pytest.mark.parametrize("name", ["k", "explain", "exclude_seen", "diversity", "signal", "version"])
async def test_what_counts_once_comes_once(
    client: httpx.AsyncClient, fake: FakeEngine, name: str
) -> None:
    answer = await client.get(f"/v1/users/2/recommendations?{name}=1&{name}=1")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == ["query", name]
    assert not fake.calls


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"events": [], "events": [{"user_id": "2", "item_id": "55"}]}', "events"),
        ('[{"user_id": "2", "user_id": "3", "item_id": "55"}]', "user_id"),
        ('[{"user_id": "2", "item_id": "55", "item_\\u0069d": "56"}]', "item_id"),
    ],
)
async def test_no_field_comes_twice(
    client: httpx.AsyncClient, fake: FakeEngine, body: str, name: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/v1/events", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"location": ["body", name], "detail": "expected once"}]
    assert not fake.calls


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/v1/events", '[{"user_id": %s, "item_id": "5"}]', "user_id"),
        ("POST", "/v1/events", '{"events": [{"user_id": "2", "item_id": -%s}]}', "item_id"),
        ("POST", "/v1/events", '[{"user_id": "2", "item_id": "5", "value": %s}]', "value"),
        ("POST", "/v1/recommendations/batch", '{"user_ids": ["2", %s]}', "user_ids"),
        ("PUT", "/v1/items/5", '{"categories": [{"category_id": %s}]}', "category_id"),
    ],
)
async def test_a_number_that_nobody_can_read_is_named(
    client: httpx.AsyncClient, fake: FakeEngine, method: str, path: str, body: str, name: str
) -> None:
    headers = {"Content-Type": "application/json"}
    sent = body % ("9" * 5000)
    answer = await client.request(method, path, content=sent, headers=headers)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error == {"location": ["body", name], "detail": "expected at most 512 digits"}
    assert not fake.calls


async def test_text_of_many_digits_is_no_number(client: httpx.AsyncClient) -> None:
    body = {"title": "9" * 5000, "price": 1}
    assert (await client.put("/v1/items/5", json=body)).is_success


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "GZIP"])
async def test_no_encoding_is_left_aside(
    client: httpx.AsyncClient, fake: FakeEngine, encoding: str
) -> None:
    event = [{"user_id": "2", "item_id": "55"}]
    for taken, coding in ((False, encoding), (True, "identity")):
        answer = await client.post("/v1/events", json=event, headers={"Content-Encoding": coding})
        assert answer.is_success == taken
    assert len(fake.calls) == 1


async def test_an_empty_body_is_none(client: httpx.AsyncClient) -> None:
    for method, path in (("POST", "/v1/models/hybrid/rollback"), ("DELETE", "/v1/users/2")):
        answer = await client.request(method, path, headers={"Content-Length": "0"})
        assert answer.is_success
    answer = await client.post("/v1/models/hybrid/rollback", content=_nothing())
    assert answer.is_success


async def test_the_page_has_a_query_of_its_own(client: httpx.AsyncClient) -> None:
    for path in ("/?user=2&k=5", "/docs?x=1"):
        assert (await client.get(path)).status_code == 200


async def _nothing() -> Any:
    yield b""


def _fields(number: int) -> dict[str, int]:
    return {f"f{each}": each for each in range(number)}


@pytest.mark.parametrize(
    ("path", "body", "status", "errors"),
    [
        ("/v1/recommendations/batch", {"user_ids": ["2"], **_fields(100_000)}, 422, 1),
        ("/v1/events", [_fields(50)] * 1000, 422, 1000),
        ("/v1/events", {"events": [[]] * 240_000}, 413, 0),
        ("/v1/events", {"events": [[]] * 19_000}, 422, 1),
        ("/v1/events", [1] * 250_001, 413, 0),
    ],
    ids=["fields", "fields of events", "lists", "events", "values"],
)
async def test_a_body_of_any_form_is_refused_after_few_errors(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, body: Any, status: int, errors: int
) -> None:
    """Each error takes time, so a list or an object that is too long is one, not one an entry."""
    content = json.dumps(body, separators=(",", ":")).encode()
    assert len(content) < MAX_BODY_BYTES
    headers = {"Content-Type": "application/json"}
    answer = await client.post(path, content=content, headers=headers)
    assert answer.status_code == status
    more = re.search(r"\(and (\d+) more\)$", answer.json()["detail"])
    assert int(more[1] if more else 0) + (status == 422) == errors
    assert not fake.calls
