"""Copies of a local Neo4j: what is run, in which order, and what is left when it fails."""

import socket
from pathlib import Path

import pytest

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j import copy_graph, forget_data, free_port_after
from loaders.local_neo4j._command import CommandResult
from tests.ports import free_ports
from tests.unit.loaders.local_neo4j.helpers import (
    ENGINE,
    RecordingRunner,
    local,
    write_record,
)


class Admin(RecordingRunner):
    """A Docker whose `neo4j-admin` writes a dump, or fails."""

    def __init__(self, result=0, alive=""):
        super().__init__(ENGINE | {"run": result, "ps": CommandResult(0, alive)})

    def __call__(self, command, **how):
        if "dump" in command:
            folder = Path(command[command.index("--volume") + 1].removesuffix(":/import"))
            (folder / "neo4j.dump").write_bytes(b"d" * 100)
        return super().__call__(command, **how)

    @property
    def done(self):
        words = [
            arguments[-4:] if arguments[0] == "run" else arguments[:1]
            for arguments, _ in self.compose_calls()
        ]
        return [" ".join(each) for each in words if each != ["ps"]]


@pytest.fixture
def homes(tmp_path):
    source, target = tmp_path / "home", tmp_path / "home" / "analyst"
    store = source / "neo4j" / "data" / "databases" / "neo4j"
    store.mkdir(parents=True)
    (store / "nodes").write_bytes(b"n" * 1000)
    return source, target


DUMP = "database dump neo4j --to-path=."
LOAD = "load neo4j --from-path=. --overwrite-destination=true"


def test_a_stopped_one_is_dumped_and_loaded_and_stays_stopped(homes):
    source, target = homes
    (target / "dump-of-one-that-was-killed").mkdir(parents=True)
    accounts = target / "neo4j" / "data" / "databases" / "system"
    accounts.mkdir(parents=True)
    run = Admin()
    made = copy_graph(local(source, run), local(target, run, read_only=True))
    assert run.done == [DUMP, LOAD]
    environments = [e for c, e in run.compose_calls() if c[0] == "run"]
    assert [e["RECSVC_HOME"] for e in environments] == [str(source), str(target)]
    assert [e["RECSVC_NEO4J_READ_ONLY"] for e in environments] == ["false", "true"]
    assert (made.away_seconds, made.dump_bytes) == (0.0, 100)
    assert not list(target.glob("dump-*"))
    assert not accounts.exists()  # it takes the password that is kept for it


def test_the_data_of_the_main_one_are_never_removed(homes):
    source, _ = homes
    with pytest.raises(ValueError, match="no copy"):
        forget_data(local(source, Admin()))
    with pytest.raises(ValueError, match="no copy"):
        copy_graph(local(source, Admin()), local(source / "other", Admin()))
    assert (source / "neo4j" / "data" / "databases" / "neo4j" / "nodes").exists()


def test_a_running_one_is_started_again_on_its_ports_when_the_dump_fails(homes):
    source, target = homes
    write_record(source, None, how="docker")
    run = Admin(CommandResult(3, "the disk is full"), alive="0123\n")
    with pytest.raises(LocalNeo4jError) as caught:
        copy_graph(
            local(source, run, start_timeout_seconds=0.5), local(target, run, read_only=True)
        )
    # It does not answer, since nothing runs here: that it was started is what counts.
    assert "did not answer" in str(caught.value)
    assert "the disk is full" in str(caught.value.__context__)
    assert run.done[:3] == ["down", DUMP, "up"]
    started = next(e for c, e in run.compose_calls() if c[0] == "up")
    assert (started["RECSVC_BOLT_PORT"], started["RECSVC_HTTP_PORT"]) == ("1", "2")
    assert not list(target.glob("dump-*"))


def test_without_a_graph_there_is_nothing_to_copy(tmp_path):
    run = Admin()
    with pytest.raises(LocalNeo4jError, match="recsvc ingest"):
        copy_graph(
            local(tmp_path / "home", run), local(tmp_path / "home" / "analyst", run, read_only=True)
        )
    assert run.done == []


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port_after(port - 1, {port + 1}) > port + 1
    (port,) = free_ports(1)
    assert free_port_after(port - 1, ()) == port
    with pytest.raises(LocalNeo4jError, match="RECSVC_BOLT_PORT"):
        free_port_after(65_535, ())
