"""Recommendations that were made already, answered before anything of FastAPI runs."""

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from recsvc.answer import Source
from recsvc.errors import SnapshotError
from recsvc.recommend.answers import request_id_var
from recsvc.recommend.engine import Engine
from recsvc.service.answer_cache import AnswerCache, Served
from recsvc.service.observability import Metrics
from recsvc.service.strict import may_have_body

if TYPE_CHECKING:
    from recsvc.service.answer_cache import Asked

_SERVED = "recsvc.served"
_PATIENCE_SECONDS = 0.1
"""How long to wait for the same answer that is being made for somebody else."""


def offer(scope: Scope, served: Served, source: Source | None) -> None:
    """Offer the answer to a request to those who ask the same.

    Args:
        scope: of the request.
        served: the answer.
        source: whose evidence it was made from.
    """
    scope[_SERVED] = served, source


class KeptAnswers:
    """Middleware: answers what was asked before, and keeps what a route offers.

    It stands behind what counts, limits and authorises requests.
    """

    def __init__(
        self, app: ASGIApp, cache: AnswerCache, engine: Engine, metrics: Metrics, route: BaseRoute
    ) -> None:
        self._app = app
        self._cache = cache
        self._engine = engine
        self._metrics = metrics
        self._route = route
        self._making: dict[Asked, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if not _is_for_recommendations(scope):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        asked = (scope["path"], scope["query_string"])
        served = self._found(asked)
        if served is None and (making := self._making.get(asked)):
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await making.wait()
            served = self._found(asked)
        self._metrics.observe_kept(kept=served is not None)
        if served is None:
            await self._make(asked, scope, receive, send)
        else:
            scope["route"] = self._route
            self._metrics.observe_variant(served.variant)
            took_ms = round((time.perf_counter() - started) * 1000, 3)
            named = self._engine.ids.issue(served.contents)
            await _send(served.body(request_id_var.get(), named, took_ms), send)

    def _found(self, asked: "Asked") -> Served | None:
        snapshot = _snapshot(self._engine)
        return None if snapshot is None else self._cache.find(asked, snapshot)

    async def _make(self, asked: "Asked", scope: Scope, receive: Receive, send: Send) -> None:
        """Have the answer made, and keep it where it is offered and nothing was swapped."""
        made = self._making.setdefault(asked, asyncio.Event())
        snapshot, began = _snapshot(self._engine), time.monotonic()
        number = self._cache.begin()
        try:
            await self._app(scope, receive, send)
            if _SERVED in scope and snapshot is _snapshot(self._engine):
                served, source = scope[_SERVED]
                self._cache.keep(asked, snapshot, served, source, number, began)
        finally:
            made.set()
            if self._making.get(asked) is made:
                del self._making[asked]


def _is_for_recommendations(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and scope["path"].startswith("/v1/users/")
        and scope["path"].endswith("/recommendations")
        and not may_have_body(scope)  # which the route refuses
    )


def _snapshot(engine: Engine) -> object:
    """What is served, or None."""
    try:
        return engine.made_from
    except SnapshotError:
        return None


async def _send(body: bytes, send: Send) -> None:
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
