"""A shard over HTTP: what the service asks of it, and what probes do."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recsvc.blend.item_range import ItemRange
from recsvc.blend.shard_messages import Message
from recsvc.recommend.served_items import ServedItems
from recsvc.recommend.shard_client import KEY_HEADER, MAX_MESSAGE_BYTES
from recsvc.service.problems import problem, unavailable


def create_shard_app(served: ServedItems, key: SecretStr | None) -> Starlette:
    """The shard that holds some items, which it starts and stops.

    Args:
        served: those items.
        key: what a service has to show; None: nothing.
    """
    routes = _Routes(served, key)

    @asynccontextmanager
    async def running(_app: Starlette) -> AsyncGenerator[None]:
        await served.start()
        try:
            yield
        finally:
            await served.stop()

    return Starlette(
        routes=[
            Route("/items/{version}", routes.has, methods=["GET"]),
            Route("/items/{version}/{operation}", routes.answer, methods=["POST"]),
            Route("/health/live", routes.live, methods=["GET"]),
            Route("/health/ready", routes.ready, methods=["GET"]),
        ],
        lifespan=running,
        exception_handlers={_RefusedError: _refused},
    )


class _RefusedError(Exception):
    """A request that is not answered."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    return problem(request.scope, error.status, error.detail)


class _Routes:
    """What a shard is asked."""

    def __init__(self, served: ServedItems, key: SecretStr | None) -> None:
        self._served = served
        self._key = None if key is None else key.get_secret_value().encode()

    async def has(self, request: Request) -> Response:
        """From where to where it holds the items of a version."""
        items = self._items(request)
        return JSONResponse({"begin": items.begin, "end": items.end})

    async def answer(self, request: Request) -> Response:
        """What one pass over these items comes to."""
        items, body = self._items(request), await _body(request)
        operation = request.path_params["operation"]
        try:
            made = await run_in_threadpool(_answered, items, operation, body)
        except ValueError as error:
            raise _RefusedError(422, str(error)) from error
        return Response(made, media_type="application/octet-stream")

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return JSONResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """It holds the items of a version."""
        if not self._served.serves:
            return unavailable(request.scope, "not ready: no version is loaded yet")
        return JSONResponse({"status": "ready"})

    def _items(self, request: Request) -> ItemRange:
        """The items that are asked for.

        Raises:
            _RefusedError: the service does not show the key, or the shard holds no such version.
        """
        told = request.headers.get(KEY_HEADER, "").encode()
        if self._key is not None and not secrets.compare_digest(told, self._key):
            raise _RefusedError(401, f"expected the shard_key of this shard in {KEY_HEADER}")
        items = self._served.of(request.path_params["version"])
        if items is None:
            raise _RefusedError(404, "this shard does not hold that version: ask again soon")
        return items


async def _body(request: Request) -> bytes:
    """The body of a request.

    Raises:
        _RefusedError: it is larger than any question.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_MESSAGE_BYTES:
            raise _RefusedError(413, f"the body is larger than {MAX_MESSAGE_BYTES} bytes")
    return bytes(body)


def _answered(items: ItemRange, operation: str, body: bytes) -> bytes:
    return items.answer(operation, Message.unpacked(body)).packed()
