"""`recsvc serve --workers N`, without any Neo4j: it starts, is watched, and ends whole."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Service, running_service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    environment = {
        **os.environ,
        "RECSVC_HOME": str(tmp_path / "home"),
        "RECSVC_NEO4J_URI": "bolt://127.0.0.1:1",
        "RECSVC_NEO4J_PASSWORD": "none",
    }
    log = tmp_path / "log"
    with running_service(environment, log, "--workers", "2", until="/health/live") as service:
        yield service


def answering(service: Service) -> list[psutil.Process]:
    """The processes that answer: those that have the address in use."""
    own = psutil.Process(service.process.pid)
    return [each for each in own.children() if "spawn_main" in " ".join(each.cmdline())]


def requests_counted(service: Service) -> int:
    text = service.client.get("/metrics").text
    found = re.search(r'requests_total{method="GET",route="/health/live",status="200"} (\d+)', text)
    assert found, text
    return int(found[1])


def test_both_answer_and_each_tells_the_metrics_of_all(service: Service) -> None:
    before = requests_counted(service)
    url = service.client.base_url.join("/health/live")
    for _ in range(40):
        httpx.get(url)
    assert len(answering(service)) == 2
    # Asked over many connections, so of both: the sum is the same at each.
    for _ in range(10):
        with httpx.Client(base_url=service.client.base_url) as client:
            assert requests_counted(Service(client, service.process)) == before + 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(service: Service, number: signal.Signals) -> None:
    everyone = psutil.Process(service.process.pid).children(recursive=True)
    assert len(answering(service)) == 2
    service.process.send_signal(number)
    service.process.wait(20)
    _, left = psutil.wait_procs(everyone, timeout=20)
    assert not left


def connections(process: psutil.Process, service: Service) -> int:
    port = service.client.base_url.port
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
        for each in process.net_connections("tcp")
    )


def asked(client: httpx.Client) -> httpx.Response:
    return client.get("/health/live")


@pytest.mark.parametrize("_burst", range(3))  # one process does not win every race
def test_connections_that_are_opened_at_once_are_dealt_out(service: Service, _burst: int) -> None:
    clients = [httpx.Client(base_url=service.client.base_url) for _ in range(40)]
    try:
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = pool.map(asked, clients)
            assert [answer.status_code for answer in answers] == [200] * len(clients)
        shares = [connections(each, service) for each in answering(service)]
    finally:
        for client in clients:
            client.close()
    assert sum(shares) >= len(clients)
    assert min(shares) >= 5  # by chance once in ten million times


def test_an_address_that_is_taken_is_said(service: Service) -> None:
    command = [sys.executable, "-m", "recsvc", "serve", "--workers", "2"]
    environment = {
        **os.environ,
        "RECSVC_NEO4J_URI": "bolt://127.0.0.1:1",
        "RECSVC_NEO4J_PASSWORD": "none",
        "RECSVC_PORT": str(service.client.base_url.port),
    }
    other = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert other.returncode != 0
    assert b"Address already in use" in other.stderr
    assert len(answering(service)) == 2
