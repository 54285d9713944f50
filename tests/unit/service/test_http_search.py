"""Looking for nodes, and at what is known, as far as HTTP goes."""

from typing import Any

import httpx
import pytest

from recsvc.service.search_schemas import FoundDocument, KnownDocument
from tests.unit.service.fake_engine import FOUND, FakeEngine
from tests.unit.service.test_http_problems import checked


@pytest.mark.parametrize(
    ("address", "kind"), [("users", "user"), ("items", "item"), ("categories", "category")]
)
async def test_a_search(
    client: httpx.AsyncClient, fake: FakeEngine, address: str, kind: Any
) -> None:
    answer = await client.get(f"/v1/{address}", params={"search": "kylie & co", "k": 3})
    assert answer.json() == {"found": [FOUND[kind]]}
    FoundDocument.model_validate(answer.json())
    assert fake.calls[-1] == ("find", kind, "kylie & co", 3)


async def test_users_at_a_place(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    answer = await client.get("/v1/users", params={"at": 0.25})
    assert answer.json() == {"found": [FOUND["user"]]}
    assert fake.calls[-1] == ("users_at", 0.25, 10)
    answer = await client.get("/v1/users", params={"k": 3})
    assert answer.json() == {"found": [FOUND["user"]]}
    assert fake.calls[-1] == ("users_at", 0.0, 3)


@pytest.mark.parametrize(
    "address",
    [
        "items", "categories", "users?search=", "items?search=", "users?at=1", "users?at=-0.1",
        "users?at=nan", "users?at=0&search=a", "items?search=a&k=101", "items?at=0.5",
        "categories?search=a&k=0", f"items?search={'a' * 513}",
    ],
)  # fmt: skip
async def test_what_cannot_be_looked_for(client: httpx.AsyncClient, address: str) -> None:
    checked(await client.get(f"/v1/{address}"), 422)


async def test_what_is_known(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    answer = await client.get("/v1/users/a%2Fb/evidence")
    assert fake.calls[-1] == ("evidence", "a/b")
    known = KnownDocument.model_validate(answer.json())
    assert (known.user_id, known.seen) == ("a/b", 2)
    item, person = known.evidence
    assert item.interactions[0].at == "2025-11-21T12:00:00+00:00"
    assert (person.kind, person.interactions) == ("user", [])


async def test_a_signal_and_a_version_can_be_asked_for(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    options = {"signal": "pagerank", "version": 2}
    await client.get("/v1/users/2/recommendations", params=options)
    query = fake.calls[-1][2]
    assert (query.signal, query.version) == ("pagerank", 2)
    body = {"evidence": [{"item_id": "55"}], **options}
    await client.post("/v1/recommendations", json=body)
    assert fake.calls[-1][2] == query
    checked(await client.get("/v1/users/2/recommendations?version=0"), 422)
    checked(await client.get("/v1/users/2/recommendations?signal="), 422)
