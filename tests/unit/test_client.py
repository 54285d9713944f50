"""Calls of the service: what is sent, what is read, and what is sent again."""

from typing import Any

import httpx
import orjson
import pytest
from tenacity import wait_none

from recsvc import client
from recsvc.client import AsyncClient, Call, Client, ServiceError

WROTE = {"received": 1, "new": 1, "unknown_kinds": [], "of a later version": 3}
AGAIN = httpx.Response(503, headers={"Retry-After": "0"}, json={"detail": "Neo4j is away"})


class Answers:
    """Gives answers one after another, the last again and again, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = [*answers]
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def sync(self, key: str | None = None) -> Client:
        http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(self))
        return Client("http://service", key, http=http)

    def asynchronous(self) -> AsyncClient:
        http = httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(self))
        return AsyncClient("http://service", http=http)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(client._RETRYING, "wait", wait_none())


def test_an_event_is_sent_again_under_the_same_id() -> None:
    answers = Answers(httpx.ReadError("cut off"), AGAIN, httpx.Response(200, json=WROTE))
    events = [{"user_id": "2", "item_id": "55"}]
    with answers.sync("a key") as one:
        assert one.send(client.send_events(events)).new == 1
    bodies = [orjson.loads(request.content) for request in answers.requests]
    assert bodies == [bodies[0]] * 3
    assert len(bodies[0]["events"][0].pop("event_id")) == 32
    assert bodies[0]["events"] == events
    assert {r.headers["Authorization"] for r in answers.requests} == {"Bearer a key"}


async def test_so_does_the_asynchronous_one() -> None:
    outcome = {"recommendation_id": "r", "item_id": "55", "kind": "click", "outcome_id": "mine"}
    told = {"received": 1, "new": 1, "dropped": 0}
    answers = Answers(AGAIN, httpx.Response(200, json=told))
    async with answers.asynchronous() as one:
        assert (await one.send(client.send_outcomes([outcome]))).dropped == 0
    assert [orjson.loads(r.content)["outcomes"] for r in answers.requests] == [[outcome]] * 2


def test_after_some_tries_the_last_refusal_is_raised() -> None:
    answers = Answers(AGAIN)
    with answers.sync() as one, pytest.raises(ServiceError, match="503: Neo4j is away"):
        one.send(client.delete_user("2"))
    assert len(answers.requests) == 4
    answers = Answers(httpx.ConnectError("nobody there"))
    with answers.sync() as one, pytest.raises(httpx.ConnectError, match="nobody there"):
        one.send(client.home("2"))
    assert len(answers.requests) == 4


def test_what_is_wrong_is_not_sent_again() -> None:
    errors = [{"location": ["query", "k"], "detail": "expected at most 500"}]
    wrong = httpx.Response(
        422, headers={"X-Request-Id": "5f0c"}, json={"detail": "query.k: …", "errors": errors}
    )
    answers = Answers(wrong)
    with answers.sync() as one, pytest.raises(ServiceError) as caught:
        one.send(client.recommend("2", k=501))
    error = caught.value
    assert (error.status, error.request_id, error.errors) == (422, "5f0c", errors)
    assert len(answers.requests) == 1
    answers = Answers(httpx.Response(500, text="<html>"))
    with answers.sync() as one, pytest.raises(ServiceError, match="500: Internal Server Error"):
        one.send(client.home("2"))


def test_a_deletion_that_was_done_before_it_was_cut_off_is_done() -> None:
    gone = httpx.Response(404, json={"detail": "no user '2' in the graph"})
    with Answers(httpx.ReadError("cut off"), gone).sync() as one:
        assert one.send(client.delete_user("2")) is None
    with Answers(gone).sync() as one, pytest.raises(ServiceError, match="no user"):
        one.send(client.delete_user("2"))


@pytest.mark.parametrize(
    ("call", "route"),
    [
        (client.recommend("a/b ü", k=3), "GET /v1/users/a%2Fb%20%C3%BC/recommendations"),
        (client.explain("a", "x/y"), "GET /v1/users/a/recommendations/x%2Fy/explanation"),
        (client.recourse("a", "x"), "GET /v1/users/a/recommendations/x/recourse"),
        (client.take_back("a", "x", "view"), "DELETE /v1/users/a/interactions/x"),
        (client.similar_items("x"), "GET /v1/items/x/similar"),
        (client.put_item("x", {"title": "X"}), "PUT /v1/items/x"),
        (client.put_user("a", {}), "PUT /v1/users/a"),
        (client.export_user("a"), "GET /v1/users/a/export"),
        (client.recommend_for([{"item_id": "x"}]), "POST /v1/recommendations"),
        (client.delete_user(".."), "DELETE /v1/users/%2E%2E"),
        (client.recommend("."), "GET /v1/users/%2E/recommendations"),
        (client.take_back("..", "."), "DELETE /v1/users/%2E%2E/interactions/%2E"),
    ],
)  # fmt: skip
def test_ids_are_whole_in_addresses(call: Call[Any], route: str) -> None:
    answers = Answers(httpx.Response(418, json={"detail": "seen"}))
    with answers.sync() as one, pytest.raises(ServiceError, match="418: seen"):
        one.send(call)
    (request,) = answers.requests
    path = request.url.raw_path.decode().partition("?")[0]
    assert f"{request.method} {path}" == route


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(307, headers={"Location": "https://service/"}),
        httpx.Response(404, json="no route to it"),
        httpx.Response(403, text="<html>"),
    ],
)
def test_what_a_proxy_says_is_a_refusal_too(answer: httpx.Response) -> None:
    with Answers(answer).sync() as one, pytest.raises(ServiceError) as refused:
        one.send(client.export_user("a"))
    assert refused.value.status == answer.status_code


def test_many_users_are_asked_for_a_hundred_at_a_time() -> None:
    calls = [*client.recommend_many([f"u{n}" for n in range(250)], k=2)]
    bodies = [call.body or {} for call in calls]
    assert [len(body["user_ids"]) for body in bodies] == [100, 100, 50]
    assert {body["k"] for body in bodies} == {2}
