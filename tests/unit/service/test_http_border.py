"""What clients send that no client should: each is answered, and with what is wrong of it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.test_http_openapi import operations
from tests.unit.service.test_http_problems import checked

JSON = {"Content-Type": "application/json"}
EVENT = '[{"user_id": "2", "item_id": "55", "value": %s}]'
ITEM = '{"a": %s}'
SESSION = '{"evidence": [{"item_id": "55", "weight": %s}]}'
COUNT = '{"evidence": [{"item_id": "55"}], "k": %s}'
DIVERSITY = '{"evidence": [{"item_id": "55"}], "diversity": %s}'
ID = '[{"user_id": %s, "item_id": "55"}]'
BODIES = {
    EVENT: ("POST", "/v1/events"),
    ID: ("POST", "/v1/events"),
    ITEM: ("PUT", "/v1/items/2"),
    SESSION: ("POST", "/v1/recommendations"),
    COUNT: ("POST", "/v1/recommendations"),
    DIVERSITY: ("POST", "/v1/recommendations"),
}
NO_VALUES = (
    *("NaN", "Infinity", "-Infinity", "1e999", "1" * 4000, "1" * 5000, "1e400000"),
    *("01", "+1", ".5", "0x1", '"\\ud800"', '"\\udc00a"', "[" * 1000, "[" * 19_000),
    *('{"a":' * 5000, '{"a": {}}', "[[1]]", "\0", "'1'"),
)


@pytest.mark.parametrize("value", NO_VALUES, ids=lambda value: value[:12])
async def test_what_is_no_value(client: httpx.AsyncClient, fake: FakeEngine, value: str) -> None:
    for body, (method, path) in BODIES.items():
        answer = await client.request(method, path, content=body % value, headers=JSON)
        assert checked(answer, 422)["errors"][0]["location"][0] == "body"
    assert not fake.calls


@pytest.mark.parametrize("brackets", ["[", '{"a":', '[{"a":'])
async def test_a_hundred_thousand_brackets(client: httpx.AsyncClient, brackets: str) -> None:
    checked(await client.post("/v1/events", content=brackets * 100_000, headers=JSON), 413)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/json", "text/plain; charset=utf-8", "application/json, text/plain", "application/",
        "json", "multipart/form-data", "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded", "\xff",
    ],
)  # fmt: skip
async def test_what_does_not_say_that_it_is_json(
    client: httpx.AsyncClient, fake: FakeEngine, content_type: str
) -> None:
    headers = {"Content-Type": content_type.encode("latin-1")}
    answer = await client.post("/v1/events", content=EVENT % 1, headers=headers)
    assert "application/json" in checked(answer, 422)["detail"]
    assert not fake.calls


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "latin-1", "nonsense", ""])
async def test_json_has_one_charset_whatever_it_says(
    client: httpx.AsyncClient, fake: FakeEngine, charset: str
) -> None:
    """RFC 8259, §11: the parameter has no meaning."""
    headers = {"Content-Type": f"application/json; charset={charset}"}
    event = '[{"user_id": "Ünal", "item_id": "55"}]'.encode()
    assert (await client.post("/v1/events", content=event, headers=headers)).is_success
    assert fake.calls[-1][1][0]["user_id"] == "Ünal"


async def test_ten_thousand_parameters(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    path = "/v1/users/2/recommendations"
    for query in ("k=1&" * 10_000, "a=1&" * 10_000, "exclude=1&" * 5000, "=&" * 10_000):
        checked(await client.get(f"{path}?{query}"), 422)
    names = "&".join(f"{number}=" for number in range(10_000))
    assert len(checked(await client.get(f"{path}?{names}"), 422)["errors"]) == 100
    assert not fake.calls


def places(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Every place of an id in a path."""
    for name, operation in operations(document).items():
        method, path = name.split(" ")
        for place in re.findall("{(\\w+)}", path):
            yield method, path, place, operation


@pytest.mark.parametrize("id_", ["a", "%00", "%2F", "%F0%9F%98%80" * 512])
async def test_the_shortest_and_the_longest_id_in_every_path(
    document: dict[str, Any], client: httpx.AsyncClient, id_: str
) -> None:
    walked = 0
    for method, path, place, operation in places(document):
        example: dict[str, Any] = {"version": 1} if path.endswith("activate") else {}
        if path.endswith("try"):
            example = {"scenario": {}, "user_id": "2"}
        if (method, path) == ("PUT", "/v1/experiments/{name}"):
            example = {"variants": [{"name": name, "share": 0.5} for name in "ab"]}
        body = {"json": example} if "requestBody" in operation else {}
        others = re.sub("{(?!" + place + "})\\w+}", "2", path)
        most = 100 if place == "name" else 512  # a name stands in each recommendation_id
        made = id_[: most * len("%F0%9F%98%80")]
        answer = await client.request(method, others.replace(f"{{{place}}}", made), **body)
        # There is no such refresh, whatever its name.
        expected = {404} if "/refreshes/" in path else {200, 201, 204}
        assert answer.status_code in expected, (method, path, answer.text)
        answer = await client.request(
            method, others.replace(f"{{{place}}}", "x" * (most + 1)), **body
        )
        assert checked(answer, 422)["errors"][0]["location"] == ["path", place]
        walked += 1
    assert walked > 20


@pytest.mark.parametrize("id_", ["a", "\0", "/", "😀" * 512])
async def test_the_shortest_and_the_longest_id_in_every_body(
    client: httpx.AsyncClient, id_: str
) -> None:
    for made, statuses in ((id_, {200, 201}), ("x" * 513, {422})):
        for method, path, body in (
            ("POST", "/v1/events", [{"user_id": made, "item_id": "2"}]),
            ("POST", "/v1/events", [{"user_id": "2", "item_id": made}]),
            ("POST", "/v1/events", [{"user_id": "2", "item_id": "2", "event_id": made}]),
            ("POST", "/v1/recommendations", {"evidence": [{"item_id": made}]}),
            ("POST", "/v1/recommendations/batch", {"user_ids": [made]}),
            ("POST", "/v1/recommendations/batch", {"user_ids": ["2"], "exclude": [made]}),
            ("POST", "/v1/recommendations/batch", {"user_ids": ["2"], "category": [made]}),
            ("PUT", "/v1/users/2", {"preferences": [made]}),
            ("PUT", "/v1/items/2", {"categories": [{"category_id": made}]}),
            ("PUT", "/v1/categories/2", {"parent_id": made}),
            ("PUT", "/v1/categories/2", {"parent_id": [made]}),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code in statuses, (body, answer.text)
