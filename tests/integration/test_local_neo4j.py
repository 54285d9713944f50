"""A real Neo4j as a Java process, in folders whose names hold a space and other letters."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import neo4j
import psutil
import pytest

from loaders.errors import (
    LocalNeo4jError,
    Neo4jAuthError,
    Neo4jServerError,
    Neo4jUnavailableError,
)
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions, scratch_server
from loaders.local_neo4j._command import run_command
from loaders.local_neo4j._java import find_java
from loaders.shared_files import checkout_root
from tests.conftest import running_service
from tests.integration.test_bulk import (
    assert_as_ingested,
    bulk,
    bulk_hash,
    everything,
    on_default_line,
    without_docker,
)
from tests.neo4j_servers import HOME
from tests.ports import free_ports

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]


def local(home, ports, password=None, version="5.26", read_only=False):
    options = LocalNeo4jOptions(
        home=home,
        bolt_port=ports[0],
        http_port=ports[1],
        password=password,
        heap_megabytes=384,
        page_cache_megabytes=64,
        version=version,
        read_only=read_only,
    )
    return LocalNeo4j(options, without_docker)


def link_jars(source, home):
    """Give `home` the jars that `source` has. A folder of another pom's jars is not used."""
    (home / "neo4j").mkdir(parents=True, mode=0o700)
    for folder in (source / "neo4j").glob("lib-*"):
        (home / "neo4j" / folder.name).symlink_to(folder)


def query(address, text, **parameters):
    with neo4j.GraphDatabase.driver(address.uri, auth=address.auth) as driver:
        return [record.data() for record in driver.execute_query(text, parameters).records]


def browser_page(server):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.status().browser_url, timeout=120) as page:
        assert page.status == 200
        return page.read().decode()


def content_of(path):
    """What is in a file; nothing where a running Neo4j removes it at this moment."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def refused_urls(password_file):
    """Files of this machine, and its addresses, each written in several ways."""
    for file in ("password", "../password", quote(str(password_file)), "/etc/hostname"):
        yield f"file:///{file}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0",
                     "2130706433", "169.254.169.254", "10.0.0.1", "192.168.0.1"):  # fmt: skip
            yield f"http://{host}:{port}/x.csv"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A Neo4j after a bulk load, what the load said, and the hash of its graph.

    In a home that has jars from now on: the checkout's, or Maven's.
    """
    home = tmp_path_factory.mktemp("first") / "hömé, (1)+=:x"
    link_jars(HOME, home)
    server = local(home, free_ports(2))
    report = bulk(server, everything())
    yield server, report, bulk_hash(server)
    server.down()


@pytest.fixture(scope="module")
def own(loaded):
    """That Neo4j, which may be killed and stopped."""
    return loaded[0]


@pytest.fixture
def running(neo4j_server):
    """The Neo4j of the session."""
    if neo4j_server.local is None:
        pytest.skip("Neo4j runs in Docker: it has no process here")
    return neo4j_server.local


@pytest.fixture
def make_local(tmp_path):
    """Local Neo4js in homes of their own, stopped at the end."""
    made = []

    def make(name="home", ports=None, **how):
        home = tmp_path / name
        if not home.exists():
            link_jars(HOME, home)
        made.append(local(home, ports or free_ports(2), **how))
        return made[-1]

    yield make
    for server in made:
        server.down()


@pytest.mark.long
@on_default_line
def test_the_graph_of_a_bulk_load_is_that_of_an_ingest(loaded, gateway, tmp_path):
    assert_as_ingested(*loaded, gateway, tmp_path / "rejects.csv")


@on_default_line
class TestRunning:
    def test_the_log_in_works_and_writes(self, running):
        address = running.address()
        query(address, "CREATE (:Probe {name: $name})", name="ü")
        assert query(address, "MATCH (p:Probe) RETURN p.name AS name") == [{"name": "ü"}]

    def test_neither_no_password_nor_the_factory_one_is_let_in(self, running):
        address = running.address()
        for password in ("neo4j", ""):
            wrong = Neo4jAddress(address.uri, address.user, password)
            with pytest.raises(Neo4jAuthError):
                Neo4jGateway(wrong)
        Neo4jGateway(address).close()

    def test_the_status_says_where_everything_is(self, running):
        status = running.status()
        assert (status.running, status.how) == (True, "java")
        assert status.uri == running.address().uri
        assert re.fullmatch(r"5\.26\.\d+", status.version)
        assert stat.S_IMODE(status.password_file.stat().st_mode) == 0o600
        assert status.password_file.read_text().strip() == running.address().password

    def test_the_browser_is_there(self, running):
        assert "Neo4j Browser" in browser_page(running)

    def test_it_listens_on_loopback_only(self, running):
        status = running.status()
        listening = {
            connection.laddr
            for connection in psutil.Process(status.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        ports = {int(re.search(r":(\d+)", url[7:])[1]) for url in (status.uri, status.browser_url)}
        assert {address.port for address in listening} == ports

    def test_the_password_is_in_its_file_and_nowhere_else(self, running):
        password = running.address().password.encode()
        process = Path("/proc") / str(running.status().pid)
        if process.exists():
            assert password not in (process / "cmdline").read_bytes()
            assert password not in (process / "environ").read_bytes()
        holding = [
            path.name
            for path in (running.status().home / "neo4j").rglob("*")
            if path.is_file() and "lib-" not in str(path) and password in content_of(path)
        ]
        assert holding == ["password"]

    @pytest.mark.long
    def test_a_log_in_that_is_refused_for_a_while_is_waited_for(self, running):
        """As when a busy machine leaves Neo4j with log-ins that nobody waited for."""
        wrong = Neo4jAddress(running.address().uri, running.address().user, "wrong-password")
        for _ in range(3):
            with pytest.raises(Neo4jAuthError):
                Neo4jGateway(wrong)
        with pytest.raises(Neo4jServerError, match=r"RateLimit.*some seconds"):
            Neo4jGateway(running.address())
        Neo4jGateway(running.up()).close()

    def test_an_interrupt_at_the_terminal_does_not_reach_it(self, running):
        pid = running.status().pid
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0)

    def test_a_second_up_returns_the_same_at_once_even_with_other_ports(self, running):
        pid = running.status().pid
        assert local(running.status().home, free_ports(2)).up() == running.address()
        assert running.status().pid == pid

    def test_another_home_on_its_ports_is_refused_and_it_goes_on(self, running, make_local):
        bolt_port = int(running.address().uri.rsplit(":", 1)[1])
        other = make_local(ports=(bolt_port, free_ports(2)[1]))
        with pytest.raises(LocalNeo4jError, match=f"port {bolt_port} .*RECSVC_BOLT_PORT"):
            other.up()
        assert query(running.address(), "RETURN 1 AS one") == [{"one": 1}]


@pytest.mark.long
def test_what_was_written_survives_a_stop_a_kill_and_new_ports(make_local):
    server = make_local()
    before = server.up()
    query(before, "CREATE (:Kept {step: 'first'})")
    assert server.down() is True
    assert server.down() is False
    with pytest.raises(Neo4jUnavailableError, match="recsvc db up"):
        server.address()

    moved = make_local(ports=free_ports(2))
    after = moved.up()
    assert after.uri != before.uri
    assert after.password == before.password
    query(after, "CREATE (:Kept {step: 'second'})")

    killed = psutil.Process(moved.status().pid)
    killed.send_signal(signal.SIGKILL)
    psutil.wait_procs([killed], timeout=120)
    assert not moved.status().running
    assert moved.down() is False

    again = moved.up()
    assert again == after
    steps = query(again, "MATCH (k:Kept) RETURN k.step AS step ORDER BY step")
    assert steps == [{"step": "first"}, {"step": "second"}]


PROGRAM = """
import sys
from pathlib import Path
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from loaders.local_neo4j._command import CommandResult, run_command
def run(command, **how):
    return CommandResult(1) if command[0] == 'docker' else run_command(command, **how)
options = LocalNeo4jOptions(home=Path(sys.argv[1]), bolt_port=int(sys.argv[2]),
    http_port=int(sys.argv[3]), heap_megabytes=384, page_cache_megabytes=64)
server = LocalNeo4j(options, run)
said = []
print(server.up(said.append).uri, server.status().pid, *said, sep='|')
"""


@pytest.mark.long
def test_after_a_kill_two_at_once_start_one_with_what_was_written(own):
    query(own.address(), "CREATE (:Kept)")
    killed = psutil.Process(own.status().pid)
    killed.send_signal(signal.SIGKILL)
    psutil.wait_procs([killed], timeout=120)
    # Different ports, so that a second server would not fail for want of a port.
    commands = [
        [sys.executable, "-c", PROGRAM, str(own.status().home), *map(str, free_ports(2))]
        for _ in range(2)
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=checkout_root())
        for command in commands
    ]
    answers = [process.communicate(timeout=600)[0].strip().split("|") for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0][:2] == answers[1][:2]
    assert answers[0][1] == str(own.status().pid)
    said = [text for answer in answers for text in answer[2:]]
    assert sum("starting Neo4j" in text for text in said) == 1
    assert sum("waiting for another command" in text for text in said) == 1
    assert query(own.address(), "MATCH (k:Kept) RETURN count(k) AS found") == [{"found": 1}]


@pytest.mark.long
def test_the_password_can_be_given_changed_and_lost(make_local):
    """Each start takes the data to the password it is asked for, if any that it knows fits."""
    given = make_local(password="given-at-first")
    assert given.up().password == "given-at-first"
    ports = free_ports(2)
    server = make_local(ports=ports)
    assert server.up().password == "given-at-first"

    changed = make_local(password="changed-later")
    Neo4jGateway(changed.up()).close()
    assert server.address().password == "changed-later"

    password_file = server.status().password_file
    password_file.unlink()
    with pytest.raises(LocalNeo4jError, match="RECSVC_NEO4J_PASSWORD"):
        server.address()
    with pytest.raises(LocalNeo4jError, match=r"refuses the password .*given before") as caught:
        make_local(password="never-heard-of").up()
    assert "never-heard-of" not in str(caught.value)
    assert server.status().running
    assert changed.up().password == "changed-later"
    assert password_file.read_text().strip() == "changed-later"


@pytest.mark.long
def test_one_that_is_read_only_takes_no_change_and_tells_nothing_of_this_machine(own, tmp_path):
    """As the copy for analysts, which is in `tests/integration/test_analyst_copy.py`."""
    query(own.address(), "MERGE (:Kept)")
    assert own.down()
    server = local(own.status().home, free_ports(2), read_only=True)
    address = server.up()
    for change in ("CREATE (:User)", "MATCH (n) DETACH DELETE n",
                   "CREATE INDEX FOR (n:User) ON (n.name)"):  # fmt: skip
        with pytest.raises(neo4j.exceptions.ClientError, match="read-only"):
            query(address, change)
    assert query(address, "MATCH (k:Kept) RETURN count(k) AS found") == [{"found": 1}]
    for url in refused_urls(server.status().password_file):
        with pytest.raises(neo4j.exceptions.ClientError, match=r"allow_csv|is blocked"):
            query(address, f"LOAD CSV FROM '{url}' AS line RETURN line")
    names = [row["name"] for row in query(address, "SHOW PROCEDURES YIELD name")]
    assert not [name for name in names if name.startswith("apoc")]

    environment = {
        **os.environ, "RECSVC_HOME": str(tmp_path), "RECSVC_NEO4J_URI": address.uri,
        "RECSVC_NEO4J_PASSWORD": address.password,
    }  # fmt: skip
    with running_service(environment, tmp_path / "log", until="/health/live") as service:
        assert 'recsvc_degraded{part="writes"} 1.0' in service.client.get("/metrics").text
        event = {"event_id": "one", "user_id": "u1", "item_id": "i1"}
        refused = service.client.post("/v1/events", json={"events": [event]})
        assert refused.status_code == 503
        assert "read-only" in refused.json()["detail"]


def test_memory_that_java_cannot_have_is_an_error_with_its_words(tmp_path):
    link_jars(HOME, tmp_path / "home")
    bolt_port, http_port = free_ports(2)
    options = LocalNeo4jOptions(
        home=tmp_path / "home", bolt_port=bolt_port, http_port=http_port, heap_megabytes=10**9
    )
    server = LocalNeo4j(options, without_docker)
    with pytest.raises(LocalNeo4jError, match=r"(?i)ended while it started[\s\S]*(heap|memory)"):
        server.up()
    assert not server.status().running


@pytest.mark.long
def test_the_later_line_takes_the_data_of_the_earlier_one_for_good(make_local):
    try:
        find_java(21, run_command)
    except LocalNeo4jError as error:
        pytest.skip(str(error))
    earlier, later = make_local(), make_local(version="2026")
    query(earlier.up(), "CREATE (:Probe {name: 'kept'})")
    earlier.down()
    address = later.up()
    assert query(address, "MATCH (p:Probe) RETURN p.name AS name") == [{"name": "kept"}]
    assert re.fullmatch(r"2026\.\d+\.\d+", later.status().version)
    assert "Neo4j Browser" in browser_page(later)
    later.down()
    with pytest.raises(LocalNeo4jError, match=r"written by Neo4j 2026.*RECSVC_NEO4J_VERSION=2026"):
        earlier.up()
    assert query(later.up(), "MATCH (p:Probe) RETURN count(p) AS found") == [{"found": 1}]


KILLED = """
import sys, time
from pathlib import Path
from loaders.local_neo4j import scratch_server
with scratch_server(Path(sys.argv[1]), heap_megabytes=384) as server:
    print(server.folder, server.status().pid, flush=True)
    time.sleep(99)
"""


@pytest.mark.long
def test_the_next_scratch_neo4j_ends_and_removes_that_of_a_killed_process(tmp_path):
    link_jars(HOME, tmp_path)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        folder, pid = process.stdout.readline().rsplit(maxsplit=1)
        process.kill()
    assert psutil.pid_exists(int(pid))
    os.utime(Path(folder).parent, (time.time() - 3600,) * 2)
    with scratch_server(tmp_path, heap_megabytes=384) as server:
        assert not psutil.pid_exists(int(pid))
        assert list((tmp_path / "scratch").iterdir()) == [server.folder.parent]
    assert list((tmp_path / "scratch").iterdir()) == []
