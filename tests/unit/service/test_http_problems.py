import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from loaders.errors import Neo4jTimeoutError, Neo4jUnavailableError, QueryError
from loaders.limits import MAX_BODY_BYTES
from recsvc.errors import ActivationError, NotFoundError, SnapshotError
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.service.documents import ProblemDocument
from tests.unit.service.fake_engine import FakeEngine

IDS = RecommendationIds(bytes(32))
OUTCOME = {
    "recommendation_id": IDS.issue(IDS.contents(Origin(3, "2"), ["289"])),
    "item_id": "289",
    "kind": "click",
}

ASKS: dict[str, Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]] = {
    "recommend": lambda c: c.get("/v1/users/2/recommendations"),
    "recommend_for": lambda c: c.post(
        "/v1/recommendations", json={"evidence": [{"item_id": "55"}]}
    ),
    "home": lambda c: c.get("/v1/users/2/home"),
    "explain": lambda c: c.get("/v1/users/2/recommendations/289/explanation"),
    "audience": lambda c: c.get("/v1/items/55/audience"),
    "similar_items": lambda c: c.get("/v1/items/55/similar"),
    "similar_users": lambda c: c.get("/v1/users/2/similar"),
    "add_events": lambda c: c.post("/v1/events", json=[{"user_id": "2", "item_id": "55"}]),
    "add_outcomes": lambda c: c.post("/v1/outcomes", json={"outcomes": [OUTCOME]}),
    "change": lambda c: c.put("/v1/users/2", json={}),
    "read": lambda c: c.get("/v1/items/55"),
    "delete": lambda c: c.delete("/v1/categories/24"),
    "models": lambda c: c.get("/v1/models"),
    "activate": lambda c: c.post("/v1/models/lightgcn/activate", json={"version": 2}),
    "roll_back": lambda c: c.post("/v1/models/lightgcn/rollback"),
    "ready": lambda c: c.get("/health/ready"),
}


def checked(response: httpx.Response, status: int) -> dict[str, Any]:
    """The problem document of a response, which has everything RFC 9457 and we ask for."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    ProblemDocument.model_validate(document)
    assert document["type"] == "about:blank"
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-Id"]
    return document


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("error", [Neo4jUnavailableError, Neo4jTimeoutError, SnapshotError])
async def test_503_says_when_to_ask_again(
    client: httpx.AsyncClient, fake: FakeEngine, ask: str, error: type[Exception]
) -> None:
    fake.error = error("bolt://10.0.0.7:7687 is away")
    response = await ASKS[ask](client)
    document = checked(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert "10.0.0.7" not in response.text
    assert document["title"] == "Service Unavailable"
    assert fake.calls[0][0] == ask


@pytest.mark.parametrize("ask", ASKS)
async def test_404_says_what_is_unknown(
    client: httpx.AsyncClient, fake: FakeEngine, ask: str
) -> None:
    fake.error = NotFoundError("no user '2' in the graph")
    document = checked(await ASKS[ask](client), 404)
    assert document["detail"] == "no user '2' in the graph"


@pytest.mark.parametrize("ask", ["activate", "roll_back"])
async def test_409_says_what_is_missing(
    client: httpx.AsyncClient, fake: FakeEngine, ask: str
) -> None:
    fake.error = ActivationError("the arrays of hybrid 1 are no longer stored")
    document = checked(await ASKS[ask](client), 409)
    assert (document["title"], document["detail"]) == ("Conflict", str(fake.error))


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("error", [QueryError("secret"), ValueError("secret"), KeyError("secret")])
async def test_500_tells_nothing(
    client: httpx.AsyncClient, fake: FakeEngine, ask: str, error: Exception
) -> None:
    fake.error = error
    response = await ASKS[ask](client)
    checked(response, 500)
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_a_body_that_is_no_json_says_from_which_character_on(
    client: httpx.AsyncClient,
) -> None:
    body, kind = b'{"evidence": [{"item_id": }]}', {"Content-Type": "application/json"}
    answer = await client.post("/v1/recommendations", content=body, headers=kind)
    document = checked(answer, 422)
    said = "expected JSON, which this is not from here on: Expecting value"
    assert document["errors"] == [{"location": ["body", body.index(b"}")], "detail": said}]


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/users/2/", "/v1/users/2/recommendations/", "/v1/users//recommendations"],
)
async def test_an_unknown_address(client: httpx.AsyncClient, path: str) -> None:
    document = checked(await client.get(path), 404)
    assert document["instance"] == path


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/users/2/recommendations", "GET, HEAD"),
        ("/v1/users/2", "DELETE, GET, HEAD, PUT"),
        ("/v1/users/2/follows/a%2Fb", "DELETE, PUT"),
        ("/v1/refreshes", "GET, HEAD, POST"),
        ("/page/main.js", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_there(
    client: httpx.AsyncClient, path: str, allowed: str
) -> None:
    for method in ("PATCH", "OPTIONS", "TRACE"):
        response = await client.request(method, path)
        checked(response, 405)
        assert response.headers["Allow"] == allowed


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/events"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 15_000,
        b"1" * 5000,
        b"null",
        b"7",
        b'"text"',
        b'{"\\ud800": 1}',
        b'[{"user_id": "\\ud800", "item_id": "1"}]',
    ],
)
async def test_a_body_that_cannot_be_used(
    client: httpx.AsyncClient, fake: FakeEngine, path: str, content: bytes
) -> None:
    document = checked(await client.post(path, content=content, headers=JSON), 422)
    assert document["errors"][0]["location"][0] == "body"
    assert fake.calls == []


async def test_a_body_of_another_type(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    # What a page of another site can send without asking: it must not count as JSON.
    content = b'[{"user_id": "2", "item_id": "55"}]'
    for headers in ({"Content-Type": "text/plain"}, {}):
        document = checked(await client.post("/v1/events", content=content, headers=headers), 422)
        assert "application/json" in document["detail"]
    assert fake.calls == []


async def test_values_are_never_repeated(client: httpx.AsyncClient) -> None:
    body = {"events": [{"user_id": {"password": "hunter2"}, "item_id": ["hunter2"]}]}
    response = await client.post("/v1/events", json=body)
    checked(response, 422)
    assert "hunter2" not in response.text


async def test_many_errors_are_cut_and_counted(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events", json=[{}] * 1000)
    document = checked(response, 422)
    assert len(document["errors"]) == 100
    assert "1999 more" in document["detail"]


async def test_a_long_name_is_cut(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events", json={"events": [], "x" * 100_000: 1})
    checked(response, 422)
    assert len(response.content) < 2000


def body_of(size: int) -> bytes:
    start = b'[{"user_id": "2", "item_id": "55"}'
    return start + b" " * (size - len(start) - 1) + b"]"


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


async def test_the_largest_body(client: httpx.AsyncClient) -> None:
    content = body_of(MAX_BODY_BYTES)
    assert json.loads(content)
    for sent in (content, pieces(content)):
        response = await client.post("/v1/events", content=sent, headers=JSON)
        assert response.status_code == 200


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_above_the_limit(
    client: httpx.AsyncClient, fake: FakeEngine, chunked: bool
) -> None:
    content = body_of(MAX_BODY_BYTES + 1)
    sent = pieces(content) if chunked else content
    response = await client.post("/v1/events", content=sent, headers=JSON)
    document = checked(response, 413)
    assert str(MAX_BODY_BYTES) in document["detail"]
    assert fake.calls == []
