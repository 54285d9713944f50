"""What a connection may cost before anybody looks for a key: over real sockets."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn

from recsvc.service import connections
from recsvc.service.app import create_app
from recsvc.service.connections import MAX_HEADER_BYTES, BoundedConnection
from recsvc.service.documents import ProblemDocument
from tests.conftest import key_ring
from tests.unit.service.fake_engine import FakeEngine, FakeNodes
from tests.unit.service.fake_refresh import fake_refreshes
from tests.waiting import PATIENCE_SECONDS, until

CONNECTIONS = 8
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = GET.replace(b"GET /health/live", b"POST /v1/events") + (
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)

Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Connections to the service with a fake engine, in a thread, that waits for minutes."""
    waits_for(PATIENCE_SECONDS, monkeypatch)
    app = create_app(
        FakeEngine().engine, refreshes=fake_refreshes(tmp_path), keys=key_ring(tmp_path)
    )
    config = uvicorn.Config(
        app, port=0, http=BoundedConnection, ws="none", log_config=None, access_log=False,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=int(PATIENCE_SECONDS),
    )  # fmt: skip
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with ExitStack() as opened:

        def connect() -> socket.socket:
            address = listening.getsockname()
            return opened.enter_context(socket.create_connection(address, PATIENCE_SECONDS))

        yield connect
    server.should_exit = True
    thread.join()
    structlog.reset_defaults()


def waits_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the service wait for so long for what has begun."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", seconds)
    monkeypatch.setattr(connections, "BODY_SECONDS", seconds)


def answered(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and document of what is read until the other side closes."""
    parts: list[bytes] = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    whole = b"".join(parts)
    if not whole:
        return 0, {}
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def sent(connection: socket.socket, *parts: bytes) -> None:
    with suppress(ConnectionResetError, BrokenPipeError):
        for part in parts:
            connection.sendall(part)


def test_an_absolute_address_of_the_same_host_is_answered(connect: Connect) -> None:
    connection = connect()
    sent(
        connection,
        GET.replace(b"/health", b"http://LOCALHOST/health"),
        b"Connection: close\r\n\r\n",
    )
    assert answered(connection)[0] == 200


def is_alive(connect: Connect) -> None:
    connection = connect()
    sent(connection, GET + b"Connection: close\r\n\r\n")
    assert answered(connection)[0] == 200


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([GET, b"A: ", *[b"b" * 65536] * 100], 431),
        ([GET, b"A: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\n"], 431),
        ([GET, *[b"A: " + b"b" * 1000 + b"\r\n"] * 20, b"\r\n"], 431),
        ([GET, b"A:b\r\n" * 5000, b"\r\n"], 431),
        ([b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"], 414),
        ([b"GET /", *[b"a" * 65536] * 50], 414),
        ([b"G\x00T / HTTP/1.1\r\n\r\n"], 400),
        ([b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"], 400),
        ([b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n"], 400),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400),
        ([GET, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400),
        ([b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"], 400),
        ([GET.replace(b"/health", b"http://evil.com/health"), b"\r\n"], 400),
        ([GET.replace(b"/health", b"http://localhost@evil.com/health"), b"\r\n"], 400),
        ([b"GET http://localhost/health/live HTTP/1.0\r\n\r\n"], 400),
        ([CHUNKED, b"F" * 17 + b"\r\n[]\r\n"], 400),
        ([CHUNKED, b"2\r\n[]\r\n", b"-5\r\n[]\r\n"], 400),
    ],
    ids=["one header without end", "one header", "several", "many", "url", "url without end",
         "no method", "another method", "version", "TLS", "two lengths", "tunnel",
         "another host", "user of a host", "no Host",
         "endless chunk", "negative chunk"],
)  # fmt: skip
def test_what_is_too_long_or_no_http_is_refused_and_logged(
    connect: Connect, parts: list[bytes], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = connect()
    sent(connection, *parts)
    got, document = answered(connection)
    assert got == status
    ProblemDocument.model_validate(document)
    is_alive(connect)
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert status in [each.get("status") for each in logged]


def test_a_head_of_a_usual_size_is_taken(connect: Connect) -> None:
    connection = connect()
    sent(connection, GET, b"A: " + b"b" * 15_000 + b"\r\nConnection: close\r\n\r\n")
    assert answered(connection)[0] == 200
    connection = connect()
    url = b"/health/live?" + b"a" * 60_000
    sent(connection, GET.replace(b"/health/live", url), b"Connection: close\r\n\r\n")
    assert answered(connection)[0] == 422


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([], 0),
        ([GET], 408),
        ([b"G"], 408),
        ([GET, b"A: b"], 408),
        ([b"\r\n"], 0),
        ([b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
          b"Content-Length: 100\r\n\r\n[{"], 0),
    ],
    ids=["nothing", "head", "letter", "header", "lines", "body"],
)  # fmt: skip
def test_half_a_request_is_not_waited_for(
    connect: Connect, parts: list[bytes], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_for(0.4, monkeypatch)

    def told() -> int:
        began, connection = time.monotonic(), connect()
        sent(connection, *parts)
        got = answered(connection)[0]
        assert time.monotonic() - began > 0.3  # a loop may count from some milliseconds ago
        return got

    # Where this process pauses before it sends, the service has closed already.
    until(lambda: told() == status)


def test_who_goes_in_the_middle_of_a_body_is_no_fault_of_ours(
    connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = connect()
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent(connection, head, b"Content-Length: 100\r\n\r\n[{")
    connection.close()
    logged: list[str] = []

    def told() -> bool:
        logged.extend(capsys.readouterr().err.splitlines())
        return any(json.loads(line)["event"] == "request" for line in logged)

    until(told)
    assert [json.loads(line)["status"] for line in logged] == [422]


def test_one_that_trickles_is_not_waited_for_either(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_for(0.4, monkeypatch)
    connection = connect()
    sent(connection, GET)

    def closed() -> bool:
        try:
            connection.sendall(b"a")
        except OSError:
            return True
        return False

    until(closed)


def test_what_trails_a_body_is_bounded_too(connect: Connect) -> None:
    connection = connect()
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent(connection, head, b"2\r\n[]\r\n0\r\n", *[b"A: " + b"b" * 1000 + b"\r\n"] * 100)
    answered(connection)  # it is closed, whatever could be said before
    is_alive(connect)


def test_one_more_connection_than_allowed_is_told_so(connect: Connect) -> None:
    opened: list[socket.socket] = []

    def refused() -> bool:
        opened.append(connect())
        sent(opened[-1], GET + b"Connection: close\r\n\r\n")
        return answered(opened[-1])[0] == 503

    opened += [connect() for _ in range(CONNECTIONS)]
    until(refused)  # the others are being accepted
    for connection in opened:
        connection.close()
    until(lambda: not refused())


def test_requests_one_after_the_other_on_one_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    for _ in range(3):
        sent(connection, GET, b"\r\n")
        read = b""
        while not read.endswith(b"}") and (part := connection.recv(65536)):
            read += part
        assert read.startswith(b"HTTP/1.1 200")
        waits_for(0.05, monkeypatch)
        time.sleep(0.1)  # idle for longer than a head may take
        waits_for(PATIENCE_SECONDS, monkeypatch)
    sent(connection, (GET + b"\r\n") * 3 + GET + b"Connection: close\r\n\r\n")
    read = b""
    while part := connection.recv(65536):
        read += part
    assert read.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize(
    ("path", "status"), [(b"/health/live", 200), (b"/v1/users/2", 200), (b"/x", 404)]
)
def test_head_is_answered_as_get_without_a_body(connect: Connect, path: bytes, status: int) -> None:
    heads: list[bytes] = []
    for method in (b"GET", b"HEAD"):
        connection = connect()
        sent(connection, GET.replace(b"GET /health/live", method + b" " + path))
        sent(connection, b"X-Request-Id: same\r\nConnection: close\r\n\r\n")
        read = b""
        while part := connection.recv(65536):
            read += part
        head, _, body = read.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % status)
        assert bool(body) == (method == b"GET")
        heads.append(re.sub(rb"\r\ndate: [^\r]*", b"", head))
    assert heads[0] == heads[1]


def test_an_upgrade_is_answered_as_any_other_request(connect: Connect) -> None:
    connection = connect()
    sent(connection, GET, b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert answered(connection)[0] == 200


def test_more_requests_at_once_than_anybody_sends(connect: Connect) -> None:
    connection = connect()
    sent(connection, (GET + b"\r\n") * 5000)
    with suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    is_alive(connect)


BATCH = b'{"user_ids": ["2"]}'


@pytest.mark.parametrize(
    ("fake", "asked", "request_of"),
    [
        (FakeNodes, "audience", b"GET /v1/items/289/audience"),
        (FakeEngine, "home", b"GET /v1/users/2/home"),
        (FakeEngine, "exposure_of_answers", b"GET /v1/exposure"),
        (FakeEngine, "recommend_many", b"POST /v1/recommendations/batch"),
    ],
)
def test_long_work_ends_when_its_caller_goes_away(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, fake: type, asked: str, request_of: bytes
) -> None:
    began, ended = threading.Event(), threading.Event()

    async def takes_long(*_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(fake, asked, takes_long)
    connection = connect()
    length = b"Content-Length: %d\r\n" % len(BATCH) if request_of.startswith(b"POST") else b""
    head = request_of + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent(connection, head + length + b"\r\n" + (BATCH if length else b""))
    assert began.wait(PATIENCE_SECONDS)
    assert not ended.wait(0.05)
    connection.close()
    assert ended.wait(PATIENCE_SECONDS)
