"""A real Neo4j for the tests that need one, started once and emptied before each of them.

Integration tests run on every line of Neo4j, all of them on one before the next is started; on
other lines than the default one most of them are long tests. Other tests run on the default line
only. And a small graph with six tastes in it, refreshed once a module, with the real service in
front.
"""

import gc
import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, settings

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import DEFAULT_LINE, neo4j_versions
from loaders.tables import FolderTables
from recsvc import cli
from recsvc.refresh.pipeline import RefreshOptions, refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.service.keys import KeyFile, KeyRing
from recsvc.settings import load_settings
from tests import forked_service
from tests.forked_refresh import Forks, forks
from tests.forked_service import ForkedProcess
from tests.indexes import make_indexes
from tests.neo4j_servers import CHECKOUT, Server, running_server, why_not
from tests.patience import lengthen_constants, lengthen_settings, patient
from tests.ports import free_ports
from tests.prepared_graph import DELETE_ALL, prepared
from tests.scheduling import MEASURES, ByFileAndLine
from tests.taste_tables import write_tables
from tests.waiting import PATIENCE_SECONDS

SHARED_DATA = CHECKOUT.parent / "shared" / "data"
INTEGRATION = CHECKOUT / "tests" / "integration"
# What may differ between lines of Neo4j: queries and their plans, the driver's errors, full text,
# locks, and one refresh with the service in front. `make test-all` runs all others on each line.
ON_EVERY_LINE = {
    "test_gateway.py",
    "test_ingest.py",
    "test_lease.py",
    "test_queries.py",
    "test_round_trips.py",
    "test_schema.py",
    "test_search.py",
}

# How long an example takes says more of the machine than of the code.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in each run: one that finds a fault is there again, and none comes by chance.
settings.register_profile("tests", _PATIENT, max_examples=25, derandomize=True)
settings.register_profile("thorough", _PATIENT)  # others each time: `make test-all` asks for it
settings.load_profile("tests")

WHOLE = RefreshOptions(validation_users=60)
"""Of a refresh of the made graph with the models that are fitted where nobody says which."""
QUICK = RefreshOptions(models=("fastrp", "walk3"), validation_users=60)
"""The same with two models that take little time."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: nobody need look through it for garbage, over and over."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    forked_service.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run integration tests on every line of Neo4j, and others on the default one.

    A test whose behaviour does not depend on the server can name its lines itself. The parameter
    is session-scoped: pytest sorts the tests by it, so that each server starts once.
    """
    named = any(
        "neo4j_line" in mark.args for mark in metafunc.definition.iter_markers("parametrize")
    )
    if "neo4j_line" in metafunc.fixturenames and not named:
        path = metafunc.definition.path
        others = [line for line in neo4j_versions() if line != DEFAULT_LINE]
        if INTEGRATION not in path.parents:
            others = []
        marks = [] if path.name in ON_EVERY_LINE else [pytest.mark.long]
        lines = [DEFAULT_LINE, *(pytest.param(line, marks=marks) for line in others)]
        metafunc.parametrize("neo4j_line", lines, indirect=True, scope="session")


on_later_lines_long = pytest.mark.parametrize(
    "neo4j_line",
    [
        pytest.param(line, marks=[] if line == DEFAULT_LINE else [pytest.mark.long])
        for line in neo4j_versions()
    ],
    indirect=True,
    scope="session",
)
"""For a test of a file of `ON_EVERY_LINE` that takes long and whose like is there."""


def pytest_configure() -> None:
    """Have all workers make way for the one that measures times, whatever these start too."""
    lengthen_settings()
    if os.environ.get("PYTEST_XDIST_WORKER", MEASURES) != MEASURES:
        os.nice(10)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFileAndLine:
    return ByFileAndLine(config, log)


@pytest.fixture(scope="session", autouse=True)
def _patient() -> Iterator[None]:
    """No limit of the product decides what an answer holds."""
    with pytest.MonkeyPatch.context() as patch:
        lengthen_constants(patch.setattr)
        yield


@pytest.fixture(scope="session")
def neo4j_line(request: pytest.FixtureRequest) -> str:
    """The line of Neo4j that the test runs on; skipped where another one cannot be had."""
    line: str = request.param
    if line != DEFAULT_LINE and (reason := why_not(line)):
        pytest.skip(reason)
    return line


def key_ring(folder: Path) -> KeyRing:
    """The API keys in a folder: none, unless a test makes some."""
    return KeyRing(KeyFile(folder / "keys.json"))


@pytest.fixture(scope="session")
def neo4j_server(neo4j_line: str) -> Iterator[Server]:
    """An empty Neo4j."""
    with running_server(neo4j_line) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_address(neo4j_server: Server) -> Neo4jAddress:
    return neo4j_server.address


@pytest.fixture(scope="session")
def session_gateway(neo4j_address: Neo4jAddress) -> Iterator[Neo4jGateway]:
    with Neo4jGateway(neo4j_address) as gateway:
        make_indexes(gateway)
        yield gateway


@pytest.fixture
def gateway(session_gateway: Neo4jGateway) -> Neo4jGateway:
    """A gateway to an emptied database; constraints and indexes stay."""
    session_gateway.run(DELETE_ALL)
    return session_gateway


@pytest.fixture
def environment(neo4j_address: Neo4jAddress, tmp_path: Path) -> dict[str, str]:
    """What a command needs in its environment to work on that database."""
    return {
        "RECSVC_HOME": str(tmp_path / "home"),
        "RECSVC_NEO4J_URI": neo4j_address.uri,
        "RECSVC_NEO4J_USER": neo4j_address.user,
        "RECSVC_NEO4J_PASSWORD": neo4j_address.password,
    }


@pytest.fixture(scope="session")
def forking(neo4j_address: Neo4jAddress) -> Iterator[Forks]:
    """Starts refreshes in processes of their own; takes ten seconds to import what they need."""
    with forks(neo4j_address) as forking:
        yield forking


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the shared research data sets."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the research data sets are not beside this checkout (../shared/data)")
    return SHARED_DATA


@dataclass(frozen=True)
class Served:
    """A refreshed graph and how to reach it."""

    address: Neo4jAddress
    gateway: Neo4jGateway
    report: RunManifest
    home: Path
    tables: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to work on this graph."""
        return {
            **os.environ,
            "RECSVC_HOME": str(self.home),
            "RECSVC_NEO4J_URI": self.address.uri,
            "RECSVC_NEO4J_USER": self.address.user,
            "RECSVC_NEO4J_PASSWORD": self.address.password,
        }

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a recsvc command in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **more}.items():
                patch.setenv(name, value)
            return recsvc(*arguments)


def recsvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a recsvc command in this process: a new one takes seconds to import what it needs."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["recsvc", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    structlog.reset_defaults()
    code = int(ended.value.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest,
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    """The made graph, refreshed; see `prepared`.

    A module says with its `REFRESH_OPTIONS` how, where that matters.
    """
    options = getattr(request.module, "REFRESH_OPTIONS", WHOLE)
    return once_refreshed(neo4j_address, session_gateway, tmp_path_factory, options)


def once_refreshed(
    address: Neo4jAddress,
    gateway: Neo4jGateway,
    folders: pytest.TempPathFactory,
    options: RefreshOptions,
) -> Served:
    """The made graph as it was when it was first refreshed with these options.

    Args:
        address: the Neo4j of the session.
        gateway: the same, with all constraints and indexes.
        folders: where the tables and the home get theirs.
        options: of the refresh.
    """
    folder, events = folders.mktemp("tables"), load_settings().events
    write_tables(folder)

    def make(home: Path) -> RunManifest:
        ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)
        return refresh(gateway, options, events, home=home)

    report, home = prepared(gateway, folders, (options, events), folder, make)
    return Served(address, gateway, report, home, folder)


def refreshed(
    address: Neo4jAddress,
    gateway: Neo4jGateway,
    folders: pytest.TempPathFactory,
    options: RefreshOptions,
    tables: Callable[[Path], None] = write_tables,
) -> Served:
    """A made graph, ingested into an emptied database and refreshed with some options."""
    folder = folders.mktemp("tables")
    tables(folder)
    gateway.run(DELETE_ALL)
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)
    home = folders.mktemp("home")
    report = refresh(gateway, options, load_settings().events, home=home)
    return Served(address, gateway, report, home, folder)


@dataclass(frozen=True)
class Service:
    """A running `recsvc serve`."""

    client: httpx.Client
    process: subprocess.Popen[bytes] | ForkedProcess


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the module's service says."""
    return tmp_path_factory.mktemp("log") / "serve.log"


@pytest.fixture(scope="module")
def service(served: Served, log_file: Path) -> Iterator[Service]:
    """The real service, as a process of its own on a free port."""
    with patient_service(served, log_file) as service:
        yield service


def patient_service(
    served: Served, log_file: Path, *arguments: str, keep_seconds: int = 0
) -> AbstractContextManager[Service]:
    """`recsvc serve` on a graph.

    Args:
        served: the graph.
        log_file: for its log.
        arguments: of the command.
        keep_seconds: for how long it keeps answers; 0 where tests change the graph past it.
    """
    more = {"RECSVC_ANSWER_CACHE_SECONDS": str(keep_seconds)}
    return running_service({**served.environment, **more}, log_file, *arguments)


def shared_by_a_package(options: RefreshOptions) -> tuple[Any, Any]:
    """The fixtures `served` and `service` of a package whose modules share them.

    Args:
        options: of the refresh of the made graph.
    """

    @pytest.fixture(scope="package")
    def served(
        neo4j_address: Neo4jAddress,
        session_gateway: Neo4jGateway,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Served:
        return once_refreshed(neo4j_address, session_gateway, tmp_path_factory, options)

    @pytest.fixture(scope="package")
    def service(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        with patient_service(served, tmp_path_factory.mktemp("log") / "serve.log") as service:
            yield service

    return served, service


def own_client(service: Service) -> httpx.Client:
    """A client with a connection of its own, so that any process of the service may get it.

    Without TLS: all authorities' certificates, which take 20 ms to read, are of no use here.
    """
    return httpx.Client(base_url=service.client.base_url, timeout=PATIENCE_SECONDS, verify=False)


@contextmanager
def running_service(
    environment: Mapping[str, str],
    log_file: Path,
    *arguments: str,
    until: str = "/health/ready",
    port: int | None = None,
) -> Generator[Service]:
    """`recsvc serve` on a free port or this one, from when it is ready."""
    port = port or free_ports(1)[0]
    environment = {**patient(environment), "RECSVC_PORT": str(port)}
    if "--workers" in arguments or "PYTHONPATH" in environment:  # of its own, or of other code
        with log_file.open("wb") as log:
            command = [sys.executable, "-m", "recsvc", "serve", *arguments]
            process = subprocess.Popen(command, env=environment, stderr=log)
    else:
        process = forked_service.start(environment, log_file, *arguments)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
            _wait_until(client, until, process, log_file)
            yield Service(client, process)
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) in (0, -15)


def _wait_until(
    client: httpx.Client,
    path: str,
    process: subprocess.Popen[bytes] | ForkedProcess,
    log_file: Path,
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the service did not become ready: {log_file.read_text()}")
