"""What the OpenAPI document says of a body is what is taken: no more and no less."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from recsvc.service.allowed import PERSON
from recsvc.service.keys import Scope
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine
from tests.unit.service.test_http_openapi import operations

EVENT = {"user_id": "2", "item_id": "55"}
ITEMS: list[dict[str, Any]] = [
    *({"item_id": value} for value in ("2", "", 2, 2.0, 2.5, True, [], "x" * 513)),
    *({"title": value} for value in ("x", "", 5, 5.0, 5.5, False, {}, None)),
    *({"available": value} for value in (True, 0, 1.0, 2, 0.5, " TRUE ", "No", "", "maybe", None)),
    *({"created_at": value} for value in ("2007-10-25", "", " ", 86_400, 86_399, True, None)),
    *({"categories": value} for value in ([0], [1.0], ["a"], [""], [1.5], [None], "24", None)),
    *(
        {"categories": [{"category_id": "24", "weight": value}]}
        for value in (1, -1e6, 1e6 + 1, "2.5", " -3e2 ", "", " ", "x", "1_0", True, None)
    ),
    *({"a": value} for value in ("x", 1, 1.5, True, None, {}, [], [1, 2.5], [True], ["x"])),
    *({"a": value} for value in ([1, "x"], [True, 1], [None], [[1]], [1] * 1000, [1] * 1001)),
    *({name: 1} for name in ("", "a" * 512, "a" * 513, "a\0", "embedding_a", "an embedding_")),
    {"categories": [{"category_id": "24", "more": 1}]},
]
CATEGORIES = [
    {"parent_id": value} for value in ("7", "", 7, 7.0, 7.5, [], ["8", 9], [""], [None], None, {})
]
EVENTS: list[Any] = [
    *({"events": [{**EVENT, "event": value}]} for value in ("x", "", 0, 1.5, None, "x" * 101)),
    *({"events": [{**EVENT, "event_id": value}]} for value in ("x", "", 0, 1.5, None, "x" * 513)),
    *(
        {"events": [{**EVENT, name: value}]}
        for name in ("user_id", "event_id")
        for value in ("null", " ", "\x1c", "\x85", "a b")
    ),
    *({"events": events} for events in ([], [EVENT] * 1000, [EVENT] * 1001, [{}], None)),
    *([EVENT], [], [[EVENT]], {}, EVENT, "x", 1, None),
]
LISTS = [
    *({"k": value} for value in (1, 65.0, 65.5, 500, 500.0, 501, 501.0, 0, "5", True, None)),
    *({"version": value} for value in (1, 2.0, 2.5, 0, 2**31, 2**31 + 1, None, True, "2")),
    *({"category": value} for value in ([], [1], ["a"], [1.0], [1.5], [""], None)),
]
BODIES = [
    *(("PUT", "/v1/items/{id}", body) for body in ITEMS),
    *(("PUT", "/v1/users/{id}", body) for body in ({"preferences": [0]}, {"user_id": 3.5})),
    *(("PUT", "/v1/categories/{id}", body) for body in CATEGORIES),
    *(("POST", "/v1/events", body) for body in EVENTS),
    *(("POST", "/v1/recommendations", {"evidence": [EVIDENCE], **body})
      for EVIDENCE in [{"item_id": 55}] for body in LISTS),
    *(("POST", "/v1/recommendations/batch", {"user_ids": ids})
      for ids in ([], [2], [2.0], [2.5], ["2"] * 100, ["2"] * 101)),
    *(("POST", "/v1/models/{model}/activate", {"version": v}) for v in (2, 2.0, 2.5, 0, "2")),
    *(("PUT", "/v1/users/{id}/follows/{other_id}", {"since": s}) for s in (None, "", 0, True)),
]  # fmt: skip


@pytest.fixture
def schemas(document: dict[str, Any]) -> dict[str, Draft202012Validator]:
    """What each operation says of its body."""
    return {
        name: Draft202012Validator(
            operation["requestBody"]["content"]["application/json"]["schema"]
            | {"components": document["components"]}
        )
        for name, operation in operations(document).items()
        if "requestBody" in operation
    }


async def test_a_body_is_taken_where_the_document_says_so(
    client: httpx.AsyncClient, schemas: dict[str, Draft202012Validator]
) -> None:
    answers = {200: 0, 422: 0}
    for method, path, body in BODIES:
        address = path.format(id="2", other_id="3", model="hybrid")
        answer = await client.request(method, address, json=body)
        taken = schemas[f"{method} {path}"].is_valid(body)
        assert answer.is_success == taken, (path, str(body)[:200], answer.text)
        answers[200 if taken else 422] += 1
    assert min(answers.values()) > 50


async def test_an_id_of_an_address_is_taken_where_the_document_says_so(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    (parameter,) = operations(document)["PUT /v1/items/{id}"]["parameters"]
    schema = Draft202012Validator(parameter["schema"])
    taken: list[str] = []
    for value in ("2", "null", "NaN", " ", "\x1c", "\x85", "\u2003", "a b", "\x1ca", "x" * 513):
        answer = await client.put(f"/v1/items/{quote(value)}", json={})
        assert answer.is_success == schema.is_valid(value), (value, answer.text)
        taken += [value] if answer.is_success else []
    assert taken == ["2", "a b", "\x1ca"]


@pytest.mark.parametrize("number", [65, 65.0])
async def test_a_float_without_a_fraction_is_a_whole_number(
    client: httpx.AsyncClient, fake: FakeEngine, number: float
) -> None:
    await client.post("/v1/recommendations/batch", json={"user_ids": [number], "k": number})
    _, user_ids, query = fake.calls[-1]
    assert (user_ids, query.k, type(query.k)) == (["65"], 65, int)
    await client.post("/v1/models/hybrid/activate", json={"version": number})
    assert fake.calls[-1] == ("activate", "hybrid", 65)


async def test_a_number_that_tells_no_id_from_the_next(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    for body in ('{"user_ids": [1e300]}', '{"user_ids": [9007199254740993.0]}'):
        headers = {"Content-Type": "application/json"}
        answer = await client.post("/v1/recommendations/batch", content=body, headers=headers)
        assert answer.status_code == 422
        assert "whole number within ±9,007,199,254,740,991" in answer.json()["detail"]
    assert not fake.calls
    await client.post("/v1/recommendations/batch", json={"user_ids": [2**63]})
    assert fake.calls[-1][1] == ["9223372036854775808"]


async def test_a_key_is_optional_until_there_is_one(app: FastAPI, tmp_path: Any) -> None:
    def optional() -> dict[bool, set[bool]]:
        """Whether it is, where the link of a person is needed and where it is not."""
        found: dict[bool, set[bool]] = {True: set(), False: set()}
        for operation in operations(app.openapi()).values():
            if operation["security"]:
                linked = operation["x-key-scope"] == PERSON
                found[linked].add({} in operation["security"])
        return found

    assert optional() == {True: {False}, False: {True}}
    key_ring(tmp_path)._file.create("somebody", Scope.READ)
    assert optional() == {True: {False}, False: {False}}
