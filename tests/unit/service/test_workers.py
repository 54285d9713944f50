"""`recsvc serve --workers N`, without any Neo4j: it starts, is watched, and ends whole."""

import os
import re
import signal
from collections.abc import Iterator
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
