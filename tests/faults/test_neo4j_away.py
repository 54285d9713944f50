"""The service while Neo4j is away: answers keep coming and say what they lack."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = pytest.mark.neo4j


class Proxy:
    """A TCP proxy on a free loopback port that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[socket.socket] = set()
        self._cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut.set()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut.is_set():
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        self._open.add(one)
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.discard(one)
        one.close()


@pytest.fixture
def proxied(served) -> Iterator[tuple[Proxy, httpx.Client]]:
    address = urlsplit(served.address.uri)
    proxy = Proxy(address.hostname, address.port)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "recsvc", "serve"],
        env={
            **served.environment,
            "RECSVC_NEO4J_URI": f"bolt://127.0.0.1:{proxy.port}",
            "RECSVC_PORT": str(port),
            "RECSVC_REQUEST_TIMEOUT_SECONDS": "10",
        },
        stderr=subprocess.DEVNULL,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        _wait(client, 200)
        yield proxy, client
    process.terminate()
    process.wait(timeout=20)
    proxy.close()


def _wait(client: httpx.Client, status: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if client.get("/health/ready").status_code == status:
                return
        time.sleep(0.1)
    pytest.fail(f"/health/ready did not come to {status}")


def test_answers_keep_coming_without_neo4j_and_recover_with_it(proxied):
    proxy, client = proxied
    whole = client.get("/v1/users/u1/recommendations", params={"explain": "full"}).json()
    assert whole["degraded"] == []
    proxy.cut()
    away = client.get("/v1/users/u1/recommendations", params={"explain": "full"})
    assert away.status_code == 200
    assert away.json()["degraded"] == ["evidence", "availability"]
    assert len(away.json()["items"]) == 10
    assert set(away.json()["items"][0]["signals"]) == {"base"}
    evidence = {"evidence": [{"item_id": "i61"}, {"item_id": "i64"}], "explain": "full"}
    session = client.post("/v1/recommendations", json=evidence)
    assert session.status_code == 200
    assert set(session.json()["degraded"]) == {"availability", "paths"}
    assert len(session.json()["items"][0]["signals"]) > 2
    event = {"events": [{"event_id": "f1", "user_id": "u1", "item_id": "i1"}]}
    refused = client.post("/v1/events", json=event)
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 503
    proxy.mend()
    _wait(client, 200)
    again = client.get("/v1/users/u1/recommendations", params={"explain": "full"}).json()
    assert again["degraded"] == []
    assert again["items"] == whole["items"]
    assert client.post("/v1/events", json=event).json() == {"received": 1, "new": 1}
