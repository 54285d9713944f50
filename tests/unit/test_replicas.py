"""Two services behind a proxy, as docker-compose.yml starts them."""

import http.client
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from loaders.shared_files import checkout_root
from recsvc.commands.serving import _IDLE_SECONDS
from recsvc.settings import Settings
from tests.ports import free_ports
from tests.unit.test_deploy import exposed
from tests.waiting import PATIENCE_SECONDS

ROOT = checkout_root()
assert ROOT is not None
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROXY, REPLICAS = SERVICES["proxy"], SERVICES["replicas"]
CONFIGURATION = ROOT / "deploy" / "proxy" / "haproxy.cfg"
TEXT = CONFIGURATION.read_text()
(SERVER,) = re.findall(r"^ *server-template .*$", TEXT, re.MULTILINE)
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
needs_haproxy = pytest.mark.skipif(
    HAPROXY is None, reason="haproxy is not here: apt-get install haproxy"
)


def test_replicas_are_the_service_without_a_port_of_the_machine() -> None:
    assert REPLICAS["ports"] == []
    assert REPLICAS["deploy"] == {"replicas": 2}
    own = {"ports", "deploy", "profiles"}
    assert {name: value for name, value in REPLICAS.items() if name not in own} == {
        name: value for name, value in SERVICES["serve"].items() if name not in own
    }
    assert REPLICAS["profiles"] == PROXY["profiles"] == ["replicas"]


def test_the_proxy_is_asked_on_loopback_and_asks_the_replicas() -> None:
    (published,) = PROXY["ports"]
    host, outer, inner = published.split(":")
    assert (host, int(outer)) == ("127.0.0.1", Settings().port)
    assert re.findall(r"^ *bind :(\d+)$", TEXT, re.MULTILINE) == [inner]
    _, _, count, address, *_ = SERVER.split()
    assert int(count) == REPLICAS["deploy"]["replicas"]
    assert address == f"replicas:{Settings().port}"
    assert "replicas" in PROXY["depends_on"]
    allowed = Settings(allowed_hosts=REPLICAS["environment"]["RECSVC_ALLOWED_HOSTS"]).allowed_hosts
    assert "proxy" in allowed
    (mounted,) = PROXY["volumes"]
    assert (ROOT / mounted["source"]).resolve() == CONFIGURATION
    assert mounted["read_only"] is True


def test_the_proxy_may_do_little() -> None:
    assert (PROXY["cap_drop"], PROXY["read_only"]) == (["ALL"], True)
    assert PROXY["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"haproxy:\d+\.\d+\.\d+-alpine", PROXY["image"])


def test_the_proxy_closes_a_connection_first() -> None:
    (seconds,) = re.findall(r"timeout http-keep-alive (\d+)s", TEXT)
    assert int(seconds) < _IDLE_SECONDS


async def test_the_proxy_asks_whether_a_service_is_ready(tmp_path: Path) -> None:
    assert "recsvc_http_requests_total" in await exposed(tmp_path)  # it is our service
    assert "uri /health/ready" in TEXT
    (host,) = re.findall(r"hdr Host (\S+)", TEXT)
    assert host == "localhost"  # which no setting has to allow


class Replica(ThreadingHTTPServer):
    """Says its number, and whether it is ready."""

    daemon_threads = True

    def __init__(self, number: int) -> None:
        super().__init__(("127.0.0.1", 0), Saying)
        self.number, self.asked, self.ready = number, 0, True


class Saying(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Replica

    def do_GET(self) -> None:
        probed = self.path == "/health/ready"
        self.server.asked += not probed
        self.send_response(503 if probed and not self.server.ready else 200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(str(self.server.number).encode())

    def log_message(self, *_given: object) -> None:
        """Says nothing."""


@contextmanager
def running(number: int) -> Iterator[Replica]:
    with Replica(number) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def proxied(folder: Path, replicas: list[Replica]) -> Iterator[int]:
    """The proxy as it is configured, but for addresses, and how often and patiently it looks."""
    (port,) = free_ports(1)
    servers = "\n".join(
        f"    server replica{each.number} 127.0.0.1:{each.server_port}" for each in replicas
    )
    text = TEXT.replace(SERVER, servers).replace("bind :8080", f"bind 127.0.0.1:{port}")
    text = text.replace("check inter 2s", "check inter 50ms")
    text = text.replace("timeout connect", "timeout check 60s\n    timeout connect")
    (folder / "haproxy.cfg").write_text(text)
    assert HAPROXY is not None
    process = subprocess.Popen([HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def asked(port: int, times: int) -> list[tuple[int, str]]:
    """Status and body of some requests, each on a connection of its own."""
    answers: list[tuple[int, str]] = []
    for _ in range(times):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/v1/users/a%2Fb/recommendations")
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode()))
        connection.close()
    return answers


def until(port: int, wanted: set[tuple[int, str]]) -> None:
    """Wait until some requests have these answers, all of them and no other."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            if set(asked(port, 6)) == wanted:
                return
        time.sleep(0.05)
    raise AssertionError(f"{wanted} did not come; {set(asked(port, 6))} did")


@needs_haproxy
def test_the_proxy_takes_its_configuration() -> None:
    assert HAPROXY is not None
    done = subprocess.run(
        [HAPROXY, "-c", "-f", str(CONFIGURATION)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@needs_haproxy
def test_requests_go_to_both_and_to_the_other_one_when_one_ends(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(running(1))
        with running(2) as second:
            port = stack.enter_context(proxied(tmp_path, [first, second]))
            until(port, {(200, "1"), (200, "2")})
            first.ready = False
            until(port, {(200, "2")})
            first.ready = True
            until(port, {(200, "1"), (200, "2")})
        # One has ended, and the proxy has not looked since: nobody who asks notices.
        assert {status for status, _ in asked(port, 10)} == {200}
        until(port, {(200, "1")})
