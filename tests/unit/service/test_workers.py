"""`recsvc serve --workers N`, without any Neo4j: it starts, is watched, and ends whole."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from recsvc.service.workers import why_replaced
from tests.conftest import Service, own_client, running_service
from tests.waiting import PATIENCE_SECONDS, until


@contextmanager
def two_workers(folder: Path) -> Iterator[Service]:
    environment = {
        **os.environ,
        "RECSVC_HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "RECSVC_NEO4J_URI": "bolt://127.0.0.1:1",
        "RECSVC_NEO4J_PASSWORD": "none",
    }
    log = folder / "log"
    with running_service(environment, log, "--workers", "2", until="/health/live") as service:
        # One answers before the other has begun to listen.
        until(lambda: sum(connections(each, service, "LISTEN") for each in answering(service)) == 2)
        yield service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with two_workers(folder) as service:
        yield service


def answering(service: Service) -> list[psutil.Process]:
    """The processes that answer: those that have the address in use."""
    own = psutil.Process(service.process.pid)
    found: list[psutil.Process] = []
    for each in own.children():
        with suppress(psutil.NoSuchProcess):  # also one that was killed just now
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return found


def connections(process: psutil.Process, service: Service, status: str) -> int:
    port = service.client.base_url.port
    return sum(
        each.status == status and each.laddr.port == port for each in process.net_connections("tcp")
    )


def logged(folder: Path, what: str) -> str:
    """What the service has said, once that is in it."""
    return until(lambda: text if what in (text := (folder / "log").read_text()) else "")


def requests_counted(service: Service) -> int:
    text = service.client.get("/metrics").text
    found = re.search(r'requests_total{method="GET",route="/health/live",status="200"} (\d+)', text)
    assert found, text
    return int(found[1])


def test_both_answer_and_each_tells_the_metrics_of_all(service: Service) -> None:
    before = requests_counted(service)
    for _ in range(40):
        with own_client(service) as client:
            client.get("/health/live")
    assert len(answering(service)) == 2
    until(lambda: requests_counted(service) == before + 40)  # each is counted once it is answered
    # Asked over many connections, so of both: the sum is the same at each.
    for _ in range(10):
        with own_client(service) as client:
            assert requests_counted(Service(client, service.process)) == before + 40


@pytest.mark.long
def test_one_that_is_slow_is_not_ended(service: Service) -> None:
    before = answering(service)
    before[0].suspend()
    time.sleep(7)  # uvicorn itself waits for five
    before[0].resume()
    time.sleep(1)
    assert {each.pid for each in answering(service)} == {each.pid for each in before}


def test_why_one_is_replaced() -> None:
    assert "no answer for 30 seconds" in why_replaced(-signal.SIGKILL, hung=True)
    assert why_replaced(-signal.SIGSEGV, hung=False) == "it was ended by SIGSEGV"
    assert why_replaced(3, hung=False) == "it ended with exit code 3"


def replaced(service: Service) -> None:
    """Kill a process, and wait until another has its place and answers."""
    (one, _) = before = answering(service)
    one.kill()
    until(lambda: set(answering(service)) - set(before))


@pytest.mark.long
def test_metrics_go_on_where_somebody_removed_their_folder(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        (folder,) = tmp_path.glob("recsvc-metrics-*/")
        shutil.rmtree(folder)
        assert service.client.get("/metrics").status_code == 200
        replaced(service)
        until(lambda: list(folder.glob("counter_*.db")))
        assert service.client.get("/metrics").status_code == 200


@pytest.mark.long
def test_all_that_a_service_says_is_json(tmp_path: Path) -> None:
    """Also of a process that cannot start: the file of the keys is damaged."""
    with two_workers(tmp_path) as service:
        (tmp_path / "home" / "keys.json").write_text("{")
        answering(service)[0].kill()
        logged(tmp_path, "cannot start")
    for line in (tmp_path / "log").read_text().splitlines():
        assert "event" in json.loads(line), line


def asked(client: httpx.Client) -> httpx.Response:
    return client.get("/health/live")


@pytest.mark.parametrize("_burst", range(2))  # one process does not win every race
def test_connections_that_are_opened_at_once_are_dealt_out(service: Service, _burst: int) -> None:
    clients = [own_client(service) for _ in range(40)]
    try:
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = pool.map(asked, clients)
            assert [answer.status_code for answer in answers] == [200] * len(clients)
        shares = [connections(each, service, "ESTABLISHED") for each in answering(service)]
    finally:
        for client in clients:
            client.close()
    assert sum(shares) >= len(clients)
    assert min(shares) >= 5  # by chance once in ten million times


@pytest.mark.long
def test_an_address_that_is_taken_is_said(service: Service) -> None:
    command = [sys.executable, "-m", "recsvc", "serve", "--workers", "2"]
    environment = {
        **os.environ,
        "RECSVC_NEO4J_URI": "bolt://127.0.0.1:1",
        "RECSVC_NEO4J_PASSWORD": "none",
        "RECSVC_PORT": str(service.client.base_url.port),
    }
    other = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert other.returncode != 0
    assert b"Address already in use" in other.stderr
    assert len(answering(service)) == 2


def test_one_that_was_ended_is_replaced_and_the_log_says_so(service: Service, folder: Path) -> None:
    first, second = answering(service)
    first.suspend()
    time.sleep(1)  # it is being asked, and will not answer
    first.kill()
    log = logged(folder, "a process was replaced")
    (line,) = [json.loads(each) for each in log.splitlines() if "was replaced" in each]
    assert (line["pid"], line["reason"]) == (first.pid, "it was ended by SIGKILL")
    assert {each.pid for each in answering(service)} == {line["by"], second.pid}


def ended(service: Service, number: signal.Signals) -> None:
    """Send a signal, and wait until no process is left."""
    everyone = psutil.Process(service.process.pid).children(recursive=True)
    assert len(answering(service)) == 2
    service.process.send_signal(number)
    service.process.wait(PATIENCE_SECONDS)
    _, left = psutil.wait_procs(everyone, timeout=PATIENCE_SECONDS)
    assert not left


@pytest.mark.long
def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    with two_workers(tmp_path) as service:
        ended(service, signal.SIGINT)


@pytest.mark.long
def test_a_kill_leaves_no_process(service: Service) -> None:
    """The last one: it ends the service of the others."""
    ended(service, signal.SIGKILL)
