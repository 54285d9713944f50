"""A thousand clients that open a connection and say nothing, and one that asks."""

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.conftest import CHECKOUT, QUICK, Served, Service, running_service
from tests.waiting import until

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

REFRESH_OPTIONS = QUICK
CLIENTS = 1000
PATH = "/v1/users/u1/recommendations"


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """As many open files as that takes."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 2 * CLIENTS:
        pytest.skip(f"the system lets a process have {limits[1]} files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2 * CLIENTS), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def silent(service: Service, stack: ExitStack) -> list[socket.socket]:
    url = httpx.URL(str(service.client.base_url))
    address = (url.host, url.port or 80)
    return [stack.enter_context(socket.create_connection(address, 60)) for _ in range(CLIENTS)]


def closed(connection: socket.socket) -> bool:
    """Whether the other side has closed, whatever it said before."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def memory_bytes(service: Service) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return 1024 * int(found[1])


@pytest.mark.parametrize("most", [500, 2 * CLIENTS])
def test_they_keep_nobody_out_for_long_and_leave_nothing(
    served: Served, tmp_path: Path, most: int
) -> None:
    environment = {
        **served.environment, "RECSVC_MAX_CONNECTIONS": str(most),
        "RECSVC_REQUEST_TIMEOUT_SECONDS": "60", "PYTHONPATH": str(CHECKOUT),
    }  # fmt: skip
    with running_service(environment, tmp_path / "serve.log") as service, ExitStack() as stack:
        assert service.client.get(PATH).status_code == 200  # its connection stays
        before = memory_bytes(service)
        waiting = silent(service, stack)
        # Who was there before is answered meanwhile, and who comes is, where there is room.
        assert service.client.get(PATH).status_code == 200
        if most > CLIENTS:
            assert httpx.get(service.client.base_url.join(PATH), timeout=60).status_code == 200
        until(lambda: all(map(closed, waiting)))
        assert httpx.get(service.client.base_url.join(PATH), timeout=60).status_code == 200
        assert memory_bytes(service) - before < 100 * 2**20
        assert service.process.poll() is None
    assert "the request failed" not in (tmp_path / "serve.log").read_text()
