"""The routes, one module for each kind, and what they share: ids in paths, and the engine.

An id may hold any character, a slash too, and comes percent-encoded. Servers decode a path before
it is routed, which would let `a%2Fb` look like two segments. So `EncodedPath` gives the router the
path as it was sent, and each `PathId` is decoded after the routing.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, Final, NoReturn, TypeVar
from urllib.parse import quote, unquote_to_bytes

import orjson
from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from recsvc.recommend.engine import Engine
from recsvc.service.observability import Metrics
from recsvc.service.problems import problem
from recsvc.service.schemas import (
    NAMES_ONE,
    NOT_BLANK,
    IdText,
    ScenarioName,
    SeenNumber,
    names_one,
    not_blank,
)

_T = TypeVar("_T")
_NOT_UTF8: Final = "expected percent-encoded UTF-8"


class HeadAsGet:
    """Middleware: HEAD is answered as GET is; the server leaves out the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class EncodedPath:
    """Middleware: the router sees the path percent-encoded, in one spelling for each path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "http":
            # A server without raw_path has lost the difference between / and %2F.
            raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
            scope = {**scope, "path": _one_spelling(raw)}
        await self._app(scope, receive, send)


class ReadableQuery:
    """Middleware: refuses query parameters that are not UTF-8, which would be read as others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        parts: list[bytes] = scope.get("query_string", b"").split(b"&")
        for part in parts:
            try:
                unquote_to_bytes(part).decode()
            except UnicodeDecodeError:
                name = unquote_to_bytes(part.partition(b"=")[0]).decode(errors="replace")
                errors = [{"location": ["query", name], "detail": _NOT_UTF8}]
                answer = problem(scope, 422, f"query.{name}: {_NOT_UTF8}", errors=errors)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _one_spelling(raw_path: bytes) -> str:
    segments = raw_path.split(b"/")
    return "/".join(quote(unquote_to_bytes(segment), safe="") for segment in segments)


def decoded(segment: str) -> str:
    """A segment of a path, which comes percent-encoded.

    Raises:
        PydanticCustomError: it is not UTF-8.
    """
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise PydanticCustomError("unicode", _NOT_UTF8) from None


_DESCRIPTION: Final = "Any characters, percent-encoded."

PathId = Annotated[IdText, BeforeValidator(decoded), Path(description=_DESCRIPTION)]
"""An id in a path."""
NodeId = Annotated[IdText, BeforeValidator(decoded), Path(alias="id", description=_DESCRIPTION)]
"""The id of the node an address is about."""
NewNodeId = Annotated[
    IdText,
    BeforeValidator(decoded),
    AfterValidator(names_one),
    Path(alias="id", description=_DESCRIPTION, json_schema_extra=NAMES_ONE),
]
"""The same of a node that may be made."""
DocumentName = Annotated[
    ScenarioName, BeforeValidator(decoded), Path(alias="name", description=_DESCRIPTION)
]
"""The name of a scenario or an experiment: short, since each `recommendation_id` has it."""
NewDocumentName = Annotated[
    ScenarioName,
    BeforeValidator(decoded),
    AfterValidator(not_blank),
    Path(alias="name", description=_DESCRIPTION, json_schema_extra={"pattern": NOT_BLANK}),
]
"""The same of one that may be made."""

SeenRevision = Annotated[
    SeenNumber | None,
    Query(
        description="The revision that was looked at, 0 for none: where another one is stored, "
        "nothing is, and the answer is a 409. Left out, it takes the place of any.",
    ),
]
"""The revision that a document is to take the place of."""


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


async def _metrics(request: Request) -> Metrics:
    return request.app.state.metrics


EngineDep = Annotated[Engine, Depends(_engine)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]


async def while_wanted(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """What some long work comes to, which is ended where its caller goes away before.

    Args:
        request: whose body has been read, where it has one.
        work: changes nothing.

    Raises:
        ClientDisconnect: the caller is gone.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return await (working if working.done() else leaving)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> NoReturn:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


class PartsResponse(Response):
    """JSON in parts, sent as they are: to put megabytes together would hold up all others."""

    media_type = "application/json"

    def __init__(self, parts: Sequence[bytes]) -> None:
        super().__init__(headers={"Content-Length": str(sum(map(len, parts)))})
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it (ASGI)."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        for part in filter(None, self._parts):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # to compress all of them at once would hold up others too
        await send({"type": "http.response.body", "body": b""})


def json_response(document: dict[str, Any], *, status: int = 200) -> Response:
    """A document as it is, without another check."""
    return Response(orjson.dumps(document), status, media_type="application/json")
