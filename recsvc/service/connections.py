"""What one connection may cost: how many there are, how long a head is, how long one is waited for.

All of it is decided before a request is there, so before anybody looks for a key. uvicorn has no
limit of its own for these where httptools parses: a header of 60 MB is gathered whole, and half a
request is waited for without end.
"""

import re
import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httptools
import orjson
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle

MAX_HEADER_BYTES: Final = 16 * 1024
"""All headers of a request, and what trails its body."""
MAX_URL_BYTES: Final = 64 * 1024 - 1
"""Path and query."""
HEAD_SECONDS: Final = 10.0
"""How long a connection may take to send the head of a request, its first one or half of one."""
BODY_SECONDS: Final = 60.0
"""How long the body may take after that."""
RETRY_AFTER_SECONDS: Final = 5

_LINGER_SECONDS = 1.0
"""How long a caller that is refused has to read why, while what it still sends is left unread."""
_MOST_WAITING = 100
_HEADER_OVERHEAD = len(": \r\n")
_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)", re.I)
_log = structlog.get_logger()


class _RefusedError(Exception):
    """What came is not taken.

    Attributes:
        status: HTTP status.
        detail: what came, what was expected.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


_NOT_HTTP = _RefusedError(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
_OTHER_HOST = _RefusedError(
    HTTPStatus.BAD_REQUEST, "the address of the request and its header Host name different hosts"
)
_LONG_URL = _RefusedError(
    HTTPStatus.REQUEST_URI_TOO_LONG, f"path and query are longer than {MAX_URL_BYTES} bytes"
)
_LONG_HEADERS = _RefusedError(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"the headers are longer than {MAX_HEADER_BYTES} bytes, all of them together",
)
_SLOW = _RefusedError(
    HTTPStatus.REQUEST_TIMEOUT, f"the head of the request took more than {HEAD_SECONDS:g} seconds"
)
_TOO_MANY = _RefusedError(
    HTTPStatus.BAD_REQUEST, f"more than {_MOST_WAITING} requests came before the first was answered"
)
_FULL = _RefusedError(
    HTTPStatus.SERVICE_UNAVAILABLE, "there are too many connections: ask again later"
)


class BoundedConnection(HttpToolsProtocol):
    """A connection of uvicorn's with limits; `limit_concurrency` is how many may be open."""

    def connection_made(self, transport: Any) -> None:
        """A caller is there."""
        super().connection_made(transport)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._refused = False
        self._in_message = self._in_head = False
        self._unread = 0  # bytes of what is not whole yet: of a head, or of what is between bodies
        self._head_bytes = 0
        self._timer: TimerHandle | None = None
        if self._most is not None and len(self.connections) > self._most:
            self._refuse(_FULL)
        else:
            self._give(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._take_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        parser = self.parser
        if self._refused or parser is None or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._unread += len(data)
        try:
            parser.feed_data(data)
            self._check_unread()
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # it is answered as any other request, and is the last
        except (httptools.HttpParserError, _RefusedError) as error:
            refused = error if isinstance(error, _RefusedError) else error.__context__
            self._refuse(refused if isinstance(refused, _RefusedError) else _NOT_HTTP)
            return
        self._keep_time()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._unread = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of path and query."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise _LONG_URL

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what trails a body is counted and left aside."""
        self._head_bytes += len(name) + len(value) + _HEADER_OVERHEAD
        if self._head_bytes > MAX_HEADER_BYTES:
            raise _LONG_HEADERS
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request can be answered; its body may still come."""
        if absolute := _ABSOLUTE.match(self.url):
            hosts = {value.lower() for name, value in self.headers if name == b"host"}
            if hosts != {absolute[1].lower()}:
                raise _OTHER_HOST
        super().on_headers_complete()
        self._in_head, self._unread = False, 0
        self._take_time()
        if len(self.pipeline) > _MOST_WAITING:
            raise _TOO_MANY

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is here."""
        self._in_message, self._unread = False, 0
        self._take_time()
        super().on_message_complete()

    def _check_unread(self) -> None:
        most = MAX_URL_BYTES + MAX_HEADER_BYTES if self._in_head else MAX_HEADER_BYTES
        if self._unread > most and self._in_message:
            raise _LONG_HEADERS if self._in_head else _NOT_HTTP

    def _keep_time(self) -> None:
        """Wait for the rest of what has begun, but not for ever."""
        if self._timer is None and (self._in_message or self._unread):
            self._give(BODY_SECONDS if self._in_message and not self._in_head else HEAD_SECONDS)

    def _give(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._end_waiting)

    def _take_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_waiting(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_answering() and (self._in_head or not self._in_message):
            self.cycle.keep_alive = False  # what is being answered still is
        elif self._in_head:
            self._refuse(_SLOW)
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return not getattr(self.cycle, "response_complete", True)

    def _refuse(self, refused: _RefusedError) -> None:
        """Say why, and read no more; what is being answered already still is."""
        self._refused = True
        self._take_time()
        _log.warning("a connection was refused", status=refused.status.value, reason=str(refused))
        if self._in_message and not self._in_head:
            if self.pipeline or self.cycle.response_started:
                self.transport.close()
                return
            self.cycle.disconnected = True  # nobody waits for the rest of this body
            self.cycle.message_event.set()
        elif self._is_answering():
            self.cycle.keep_alive = False
            return
        self.transport.write(_problem(refused))
        with suppress(OSError, RuntimeError):  # the caller is gone
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _problem(refused: _RefusedError) -> bytes:
    """A problem document as an answer, whole."""
    request_id = uuid.uuid4().hex
    document = {
        "type": "about:blank",
        "title": refused.status.phrase,
        "status": refused.status.value,
        "detail": refused.detail,
        "instance": "",
        "request_id": request_id,
    }
    body = orjson.dumps(document)
    retry = f"retry-after: {RETRY_AFTER_SECONDS}\r\n" if refused is _FULL else ""
    head = (
        f"HTTP/1.1 {refused.status.value} {refused.status.phrase}\r\n"
        f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n{retry}connection: close\r\n\r\n"
    )
    return head.encode() + body
