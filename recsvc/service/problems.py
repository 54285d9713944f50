"""Every error as a problem document (RFC 9457).

    no Host, or two; not HTTP                         400
    no key or link, or none of this service           401
    a key that is not for this, another site's page   403
    invalid request, body that cannot be read         422, with the fields at fault
    TooMuchError, RecommendationIdError               422
    RefusedValueError                                 422
    ForeignGraphError                                 409
    NotFoundError, unknown address                    404
    ActivationError, RefreshRunningError              409
    ExperimentRunningError, RevisionError             409
    ChangesGoneError                                  410
    method an address does not have                   405, with Allow
    body above the limit                              413
    another host                                      421
    too many requests                                 429, with Retry-After
    Neo4jAwayError                                    503, with Retry-After and why
    SnapshotError, RefreshError, BusyError            503, with Retry-After
    DeletionPendingError                              503, with Retry-After
    no room on disk, a folder that cannot be written  503, with Retry-After
    the caller is gone                                nobody is answered
    anything else                                     500, in the log only

No document holds more of a request than its path and the names of its fields, and none holds the
text of an error that was not written for callers.
"""

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from loaders.errors import ForeignGraphError, Neo4jAwayError, RefusedValueError
from recsvc.errors import (
    FOLDER_ERRNOS,
    ActivationError,
    BusyError,
    ChangesGoneError,
    DeletionPendingError,
    ExperimentRunningError,
    NotFoundError,
    RecommendationIdError,
    RefreshError,
    RefreshRunningError,
    RevisionError,
    SnapshotError,
    TooMuchError,
)
from recsvc.recommend.answers import request_id_var
from recsvc.service.documents import ProblemDocument
from recsvc.service.strict import long_numbers

PROBLEM_JSON: Final = "application/problem+json"
_CALLER_GONE = 499
"""As nginx has it."""
RETRY_AFTER_SECONDS = 5
"""When a caller may ask again after a 503."""

# Python's own names for 413 and 422 changed between 3.11 and 3.13.
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    414: "URI Too Long",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_DETAILS = {
    404: "there is nothing at this address: /docs lists the addresses there are",
    405: "this address does not have this method: the header Allow lists those it has",
    422: "the body cannot be read: expected JSON in UTF-8",
}
REFUSALS: Final = (401, 403, 429)
"""What any request may be answered that needs a key where there are keys."""
_SHOWN_ERRORS = 100
_SHOWN_CHARACTERS = 200
_LONGEST_DETAIL = 400

_log = structlog.get_logger()


def problem(
    scope: Scope,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document as a response.

    Args:
        scope: the request it answers.
        status: HTTP status.
        detail: what came, what was expected, what to do.
        headers: further headers.
        members: further members of the document.
    """
    document = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": _writable(detail, _LONGEST_DETAIL),
        "instance": scope["path"],
        "request_id": request_id_var.get(),
        **members,
    }
    return Response(orjson.dumps(document), status, headers, PROBLEM_JSON)


def unavailable(scope: Scope, detail: str, **members: Any) -> Response:
    """A 503 that says when to ask again."""
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return problem(scope, 503, detail, headers=retry, **members)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems a route may answer with, for the OpenAPI document."""
    return {
        status: {"model": ProblemDocument, "description": _TITLES[status]}
        for status in sorted({*statuses, 414, 421, 422, 431, 500})
    }


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    all_errors: Sequence[Any] = error.errors()
    errors = [_field_error(each) for each in all_errors[:_SHOWN_ERRORS]]
    where = ".".join(str(part) for part in errors[0]["location"])
    more = f" (and {len(all_errors) - 1} more)" if len(all_errors) > 1 else ""
    detail = f"{where}: {errors[0]['detail']}{more}"
    return problem(request.scope, 422, detail, errors=errors)


def _field_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """One error without what came: that may be anything, a secret too."""
    location = [part if isinstance(part, int) else _writable(part) for part in error["loc"]]
    said = error["msg"]
    if error.get("type") == "json_invalid":  # the location is that of the character
        said = f"expected JSON, which this is not from here on: {error['ctx']['error']}"
    return {"location": location, "detail": _writable(said)}


async def _http_error(request: Request, error: HTTPException) -> Response:
    # FastAPI says 400 where a body is no UTF-8, is nested too deeply or has a number too long.
    gone = isinstance(error.__cause__, ClientDisconnect)  # in the middle of it: nobody is answered
    if error.status_code == 400 and not gone and (errors := long_numbers(await request.body())):
        return await _invalid(request, RequestValidationError(errors))
    status = 422 if error.status_code == 400 else error.status_code
    members = {"errors": [{"location": ["body"], "detail": _DETAILS[422]}]} if status == 422 else {}
    detail = _DETAILS.get(status, error.detail)
    headers = {"Allow": _allowed(request)} if status == 405 else error.headers
    return problem(request.scope, status, detail, headers=headers, **members)


def _allowed(request: Request) -> str:
    """The methods of an address, of all its routes; a router's own 405 names those of the first."""
    there = (context.original_route for context in iter_route_contexts(request.app.routes))
    methods = {
        method
        for route in there
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


async def _not_found(request: Request, error: Exception) -> Response:
    return problem(request.scope, 404, str(error))


async def _conflict(request: Request, error: Exception) -> Response:
    return problem(request.scope, 409, str(error))


async def _changes_gone(request: Request, error: Exception) -> Response:
    return problem(request.scope, 410, str(error))


async def _neo4j_away(request: Request, error: Neo4jAwayError) -> Response:
    _log.warning("Neo4j cannot do what a request needs", reason=str(error))
    return unavailable(request.scope, f"{error.reason}: ask again later")


async def _no_snapshot(request: Request, error: Exception) -> Response:
    _log.warning("no snapshot", reason=str(error))
    return unavailable(
        request.scope,
        "no version of the models can be served: /health/ready says why, and where none is active "
        "`recsvc refresh` makes one",
    )


async def _deletion_pending(request: Request, _error: Exception) -> Response:
    return unavailable(
        request.scope,
        "it is gone from the graph, and some stored arrays still name it: that is tried again by "
        "itself; /v1/models tells what waits and why; once this is answered 204 or 404, it is done",
    )


async def _no_folder(request: Request, error: OSError) -> Response:
    """Disk full, read-only, not ours: what is wrong there is no fault of the request's."""
    if error.errno not in FOLDER_ERRNOS:
        raise error
    _log.error("a file cannot be used", reason=str(error))
    why = f"the service cannot write where it keeps its files ({os.strerror(error.errno)})"
    return unavailable(request.scope, f"{why}: ask again later")


async def _later(request: Request, error: Exception) -> Response:
    return unavailable(request.scope, str(error))


async def _refused_value(request: Request, error: RefusedValueError) -> Response:
    errors = [{"location": ["body"], "detail": _writable(error.why)}]
    named = f"{', '.join(sorted(error.properties))}: " if error.properties else ""
    return problem(request.scope, 422, f"{named}{error.why}", errors=errors)


async def _no_answer(request: Request, error: RecommendationIdError) -> Response:
    where = "query" if request.method == "GET" else "body"
    errors = [{"loc": (where, error.field), "msg": str(error), "type": "outcome"}]
    return await _invalid(request, RequestValidationError(errors))


async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
    return Response(status_code=_CALLER_GONE)  # for the log and the metrics


async def _too_much(request: Request, error: Exception) -> Response:
    errors = [{"location": ["body"], "detail": str(error)}]
    return problem(request.scope, 422, str(error), errors=errors)


def _writable(text: object, most: int = _SHOWN_CHARACTERS) -> str:
    """Text that JSON in UTF-8 can hold, shortened where it is long."""
    whole = str(text).encode(errors="backslashreplace").decode()
    return whole if len(whole) <= most else f"{whole[:most]}…"


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

HANDLERS: Final[dict[int | type[Exception], Handler]] = {
    RequestValidationError: _invalid,
    HTTPException: _http_error,
    NotFoundError: _not_found,
    ActivationError: _conflict,
    ExperimentRunningError: _conflict,
    RevisionError: _conflict,
    ForeignGraphError: _conflict,
    ChangesGoneError: _changes_gone,
    RefreshRunningError: _conflict,
    RefreshError: _later,
    BusyError: _later,
    TooMuchError: _too_much,
    RecommendationIdError: _no_answer,
    RefusedValueError: _refused_value,
    Neo4jAwayError: _neo4j_away,
    SnapshotError: _no_snapshot,
    DeletionPendingError: _deletion_pending,
    OSError: _no_folder,
    ClientDisconnect: _gone,
}
"""What answers each expected error. Unexpected ones end in `Observed`."""
