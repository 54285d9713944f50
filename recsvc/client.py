"""Calls of the HTTP service for programs in Python, typed, one request each.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.send(recommend("2", k=5))

A call can be sent again: what changes something carries an id under which it counts once. So where
the service is busy, away, or cuts off, `send` waits and tries again.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter
from typing_extensions import TypedDict, Unpack

from loaders._closing import Closing
from recsvc.service.documents import (
    BatchDocument,
    EventsDocument,
    EvidenceAnswerDocument,
    ExplainedItemDocument,
    HomeDocument,
    OutcomesDocument,
    RecommendationsDocument,
    SimilarDocument,
    WrittenDocument,
)
from recsvc.service.export_schemas import ExportDocument
from recsvc.service.recourse_schemas import RecourseDocument

_T = TypeVar("_T", bound=BaseModel | None)

_TRIES: Final = 4
_SECONDS: Final = 30.0
"""How long one try may take."""
_LONGEST_WAIT: Final = 30.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
_USERS_AT_ONCE: Final = 100
_WAIT: Final = wait_exponential_jitter(multiplier=0.2, max=5.0)


class Asked(TypedDict, total=False):
    """What may be asked of a list, see docs/http.md; what is left out has its default."""

    k: int
    category: Sequence[str]
    exclude_seen: bool
    explain: Literal["none", "summary", "full"]
    diversity: float
    exclude: Sequence[str]
    without: Sequence[str]
    signal: str
    version: int
    scenario: str
    recommendation_id: str
    proof: bool


class ServiceError(Exception):
    """The service refused a request.

    Attributes:
        status: of the answer.
        detail: what is wrong, and what to do.
        request_id: under which the service's log has it.
        errors: of a 422: which fields.
    """

    def __init__(
        self, status: int, detail: str, request_id: str, errors: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.request_id = request_id
        self.errors = errors


class _BusyError(Exception):
    """An answer that says to come again.

    Attributes:
        response: the answer.
        seconds: when, if it says so.
    """

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response
        after = response.headers.get("Retry-After", "")
        self.seconds = min(float(after), _LONGEST_WAIT) if after.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Call(Generic[_T]):
    """One request, and what its answer is read as."""

    method: str
    path: str
    reads: type[_T]
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None

    def read(self, response: httpx.Response, tries: int = 1) -> _T:
        """The answer. Fields that this version does not know are left out.

        Args:
            response: what came.
            tries: how often it was sent: what a deletion that was sent again does not find, the
                one before has deleted.

        Raises:
            ServiceError: it is a refusal.
        """
        if response.status_code in _AGAIN:
            raise _BusyError(response)
        gone = self.method == "DELETE" and tries > 1 and response.status_code == 404
        if not response.is_success and not gone:  # a redirection is no answer
            raise _refusal(response)
        if issubclass(self.reads, BaseModel):
            return self.reads.model_validate_json(response.content, extra="ignore")
        return None  # pyright: ignore[reportReturnType] - then _T is None


def recommend(user_id: str, **asked: Unpack[Asked]) -> Call[RecommendationsDocument]:
    """The best items for a user."""
    return Call("GET", f"{_user(user_id)}/recommendations", RecommendationsDocument, {**asked})


def recommend_for(
    evidence: Iterable[Mapping[str, Any]], **asked: Unpack[Asked]
) -> Call[EvidenceAnswerDocument]:
    """The best items for a session: `evidence` is like `[{"item_id": "55", "event": "listen"}]`."""
    body = {"evidence": [*evidence], **asked}
    return Call("POST", "/v1/recommendations", EvidenceAnswerDocument, body=body)


def recommend_many(
    user_ids: Sequence[str], **asked: Unpack[Asked]
) -> Iterator[Call[BatchDocument]]:
    """The best items for each of any number of users: a call for each hundred."""
    for at in range(0, len(user_ids), _USERS_AT_ONCE):
        body = {"user_ids": [*user_ids[at : at + _USERS_AT_ONCE]], **asked}
        yield Call("POST", "/v1/recommendations/batch", BatchDocument, body=body)


def explain(user_id: str, item_id: str) -> Call[ExplainedItemDocument]:
    """Why a user is, or would be, recommended an item."""
    path = f"{_user(user_id)}/recommendations/{_segment(item_id)}/explanation"
    return Call("GET", path, ExplainedItemDocument)


def recourse(user_id: str, item_id: str, *, k: int = 10) -> Call[RecourseDocument]:
    """What a user would have to do for an item to come into their list."""
    path = f"{_user(user_id)}/recommendations/{_segment(item_id)}/recourse"
    return Call("GET", path, RecourseDocument, {"k": k})


def home(user_id: str) -> Call[HomeDocument]:
    """Several titled rows for a user."""
    return Call("GET", f"{_user(user_id)}/home", HomeDocument)


def similar_items(item_id: str, *, k: int = 10) -> Call[SimilarDocument]:
    """The items nearest to an item."""
    return Call("GET", f"{_item(item_id)}/similar", SimilarDocument, {"k": k})


def send_events(events: Iterable[Mapping[str, Any]]) -> Call[EventsDocument]:
    """What users did; each without an `event_id` gets one, so that it counts once."""
    body = {"events": [{"event_id": uuid.uuid4().hex, **each} for each in events]}
    return Call("POST", "/v1/events", EventsDocument, body=body)


def send_outcomes(outcomes: Iterable[Mapping[str, Any]]) -> Call[OutcomesDocument]:
    """What followed answers; each without an `outcome_id` gets one, so that it counts once."""
    body = {"outcomes": [{"outcome_id": uuid.uuid4().hex, **each} for each in outcomes]}
    return Call("POST", "/v1/outcomes", OutcomesDocument, body=body)


def take_back(user_id: str, item_id: str, event: str | None = None) -> Call[None]:
    """Take back what a user did with an item; without `event`, all of it."""
    path = f"{_user(user_id)}/interactions/{_segment(item_id)}"
    return Call("DELETE", path, type(None), {} if event is None else {"event": event})


def put_user(user_id: str, properties: Mapping[str, Any]) -> Call[WrittenDocument]:
    """Make a user, or replace their properties."""
    return Call("PUT", _user(user_id), WrittenDocument, body=properties)


def put_item(item_id: str, properties: Mapping[str, Any]) -> Call[WrittenDocument]:
    """Make an item, or replace its properties."""
    return Call("PUT", _item(item_id), WrittenDocument, body=properties)


def export_user(user_id: str) -> Call[ExportDocument]:
    """All that is known of a user."""
    return Call("GET", f"{_user(user_id)}/export", ExportDocument)


def delete_user(user_id: str) -> Call[None]:
    """Delete a user with all that is derived from them."""
    return Call("DELETE", _user(user_id), type(None))


class Client(Closing):
    """Sends calls, one after another.

    Args:
        base_url: of the service.
        key: an API key, where the service wants one.
        http: what sends requests; made where it is left out.
    """

    def __init__(
        self, base_url: str, key: str | None = None, *, http: httpx.Client | None = None
    ) -> None:
        self._http = http or httpx.Client(base_url=base_url, timeout=_SECONDS)
        self._headers = _headers(key)

    def send(self, call: Call[_T]) -> _T:
        """The answer to a call.

        Raises:
            ServiceError: the service refused it, after some tries where it asked for them.
            httpx.TransportError: the service could not be reached in some tries.
        """
        for attempt in Retrying(**_RETRYING):
            with attempt:
                response = self._http.request(**_request(call, self._headers))
                return call.read(response, attempt.retry_state.attempt_number)
        raise AssertionError("tenacity ends with an answer or an error")

    def close(self) -> None:
        """Close every connection."""
        self._http.close()


class AsyncClient:
    """The same where others go on meanwhile.

    Args:
        base_url: of the service.
        key: an API key, where the service wants one.
        http: what sends requests; made where it is left out.
    """

    def __init__(
        self, base_url: str, key: str | None = None, *, http: httpx.AsyncClient | None = None
    ) -> None:
        self._http = http or httpx.AsyncClient(base_url=base_url, timeout=_SECONDS)
        self._headers = _headers(key)

    async def send(self, call: Call[_T]) -> _T:
        """See `Client.send`."""
        async for attempt in AsyncRetrying(**_RETRYING):
            with attempt:
                response = await self._http.request(**_request(call, self._headers))
                return call.read(response, attempt.retry_state.attempt_number)
        raise AssertionError("tenacity ends with an answer or an error")

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _user(user_id: str) -> str:
    return f"/v1/users/{_segment(user_id)}"


def _item(item_id: str) -> str:
    return f"/v1/items/{_segment(item_id)}"


def _segment(node_id: str) -> str:
    """An id in a path. One of dots would be taken for the folder above."""
    dots = node_id in {".", ".."}
    return node_id.replace(".", "%2E") if dots else quote(node_id, safe="")


def _headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _request(call: Call[Any], headers: Mapping[str, str]) -> dict[str, Any]:
    body = {} if call.body is None else {"json": call.body}
    return {
        "method": call.method, "url": call.path, "params": call.params, "headers": headers,
    } | body  # fmt: skip


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        told = response.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):  # of a proxy on the way
        told = {}
    detail, errors = told.get("detail", response.reason_phrase), told.get("errors", ())
    return ServiceError(
        response.status_code, detail, response.headers.get("X-Request-Id", ""), errors
    )


def _again(error: BaseException) -> bool:
    return isinstance(error, _BusyError | httpx.TransportError)


def _seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.seconds if isinstance(error, _BusyError) else None
    return _WAIT(state) if told is None else told


def _last(state: RetryCallState) -> None:
    """Tell what the last try came to."""
    assert state.outcome is not None
    error = state.outcome.exception()
    raise _refusal(error.response) if isinstance(error, _BusyError) else error or AssertionError()


_RETRYING: Final[dict[str, Any]] = {
    "stop": stop_after_attempt(_TRIES),
    "wait": _seconds,
    "retry": retry_if_exception(_again),
    "retry_error_callback": _last,
}
