"""The proxy that other tests trust to fail."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.faults.tcp_proxy import TcpProxy, tcp_proxy
from tests.waiting import PATIENCE_SECONDS, until


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    """In front of a server that says what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with tcp_proxy(*listener.getsockname()[:2]) as proxy:
            yield proxy
        listener.shutdown(socket.SHUT_RDWR)


def _echo(listener: socket.socket) -> None:
    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()


def connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS)


def echoed(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        got += connection.recv(65536)
    return got


def test_it_passes_bytes_on_in_their_order(proxy: TcpProxy):
    data = bytes(range(256)) * 4000
    with connected(proxy) as connection:
        assert echoed(connection, data) == data
        proxy.passes(0.05)
        assert echoed(connection, data) == data


def test_a_delay_is_that_of_one_message_and_not_of_those_before_it(proxy: TcpProxy):
    proxy.passes(0.5)
    with connected(proxy) as connection:

        def took() -> float:
            began = time.monotonic()
            for _ in range(5):
                connection.sendall(b"x")
                time.sleep(0.01)
            got = b""
            while len(got) < 5:
                got += connection.recv(5)
            return time.monotonic() - began

        first = took()
        assert first >= 1.0
        until(lambda: min(first, took()) < 2.4)  # some time this machine is not too busy


def test_throttled_bytes_come_slowly_and_all_of_them(proxy: TcpProxy):
    proxy.throttles(5000)
    with connected(proxy) as connection:
        began = time.monotonic()
        assert echoed(connection, bytes(range(250)) * 10) == bytes(range(250)) * 10
        assert time.monotonic() - began >= 0.5
        connection.sendall(bytes(1_000_000))
        connection.settimeout(0.5)
        assert len(connection.recv(1_000_000)) <= 10_000
        connection.settimeout(PATIENCE_SECONDS)
        proxy.passes()  # what is under way too
        rest = 0
        while rest < 900_000:
            rest += len(connection.recv(1_000_000))


def test_half_open_connections_stay_open_answer_nothing_and_never_recover(proxy: TcpProxy):
    with connected(proxy) as old:
        assert echoed(old, b"a") == b"a"
        proxy.half_open()
        with connected(proxy) as new:
            until(lambda: proxy.connections == 2)  # it is let in, and not later
            for connection in (old, new):
                connection.settimeout(0.5)
                connection.sendall(b"b")
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            proxy.passes()
            for connection in (old, new):
                connection.sendall(b"c")
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        with connected(proxy) as later:
            assert echoed(later, b"d") == b"d"


def test_refused_and_cut(proxy: TcpProxy):
    with connected(proxy) as old:
        assert echoed(old, b"a") == b"a"
        proxy.refuses()
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        assert echoed(old, b"b") == b"b"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
    proxy.passes()
    with connected(proxy) as new:
        assert echoed(new, b"c") == b"c"
