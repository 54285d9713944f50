import fcntl
import re
import shutil
import socket
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from loaders.errors import LocalNeo4jError, Neo4jUnavailableError
from loaders.local_neo4j import loading_graph
from loaders.local_neo4j._library import library_folder
from tests.unit.loaders.local_neo4j.helpers import (
    DIES,
    ENGINE,
    SLEEPS,
    RecordingRunner,
    has_ended,
    local,
    make_server_jar,
    stranger,
    write_record,
)
from tests.waiting import PATIENCE_SECONDS


class TestRuntime:
    def test_what_would_run_it_is_named_and_nothing_is_brought(self, java_on_path, tmp_path):
        java_on_path("exit 0")
        home = tmp_path / "home"
        assert re.fullmatch(r"Java 17 in .*jdk, and Maven in .*mvn", local(home).runtime())
        assert local(home, RecordingRunner(ENGINE)).runtime() == "a Docker engine"
        assert not home.exists()
        assert not (tmp_path / "maven.log").exists()

    def test_a_missing_maven_is_named(self, java_on_path, programs, tmp_path):
        java_on_path("exit 0")
        (programs / "mvn").unlink()
        with pytest.raises(LocalNeo4jError, match=r"no Maven .*: install it"):
            local(tmp_path / "home").runtime()

    def test_jars_that_want_a_newer_java_say_which(self, java_on_path, tmp_path):
        java_on_path("exit 0")
        library = library_folder(tmp_path / "home" / "neo4j", "5.26")
        library.mkdir(parents=True)
        make_server_jar(library / "neo4j-5.26.31.jar", class_format=44 + 55)
        with pytest.raises(LocalNeo4jError, match="Java 55"):
            local(tmp_path / "home").runtime()


class TestStartingJava:
    def test_a_server_that_dies_shows_the_end_of_its_log(self, java_on_path, tmp_path):
        java_on_path(DIES)
        neo4j = local(tmp_path / "home", start_timeout_seconds=3600)
        with pytest.raises(LocalNeo4jError, match="the store is from the future") as caught:
            neo4j.up()
        assert "Main.java" not in str(caught.value)
        assert not neo4j.status().running

    def test_a_server_that_never_answers_is_stopped(self, java_on_path, tmp_path):
        java_on_path(f'echo $$ >"{tmp_path}/pid"; {SLEEPS}')
        neo4j = local(tmp_path / "home", start_timeout_seconds=1.5)
        with pytest.raises(
            LocalNeo4jError, match=r"within 1\.5 s.*RECSVC_NEO4J_START_TIMEOUT_SECONDS"
        ):
            neo4j.up()
        assert not neo4j.status().running
        assert not (tmp_path / "home" / "neo4j" / "server.json").exists()
        pid = tmp_path / "pid"  # none where the machine was too busy for a first line
        number = pid.read_text() if pid.exists() else ""
        assert not number or has_ended(int(number))

    @pytest.mark.parametrize(
        ("port", "setting"), [("bolt_port", "RECSVC_BOLT_PORT"), ("http_port", "RECSVC_HTTP_PORT")]
    )
    def test_a_taken_port_is_named_with_what_moves_it(self, tmp_path, port, setting):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            with pytest.raises(LocalNeo4jError, match=f"port {number} .*{setting}"):
                local(tmp_path / "home", **{port: number}).up()

    def test_too_full_a_disk_is_named_with_both_numbers(self, tmp_path, monkeypatch):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1023 * 1024**2))
        with pytest.raises(LocalNeo4jError, match=r"1023 MiB free, .* 1024 MiB.*RECSVC_HOME"):
            local(tmp_path / "home").up()

    def test_a_later_start_needs_less_room(self, java_on_path, tmp_path, monkeypatch):
        java_on_path(DIES)
        (tmp_path / "home" / "neo4j" / "data" / "databases").mkdir(parents=True)
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 300 * 1024**2))
        with pytest.raises(LocalNeo4jError, match="from the future"):
            local(tmp_path / "home").up()

    def test_a_home_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(LocalNeo4jError, match=r"file/home.*RECSVC_HOME"):
            local(tmp_path / "file" / "home").up()

    def test_a_process_id_of_last_time_is_ignored_and_its_new_owner_lives(
        self, java_on_path, tmp_path
    ):
        java_on_path(DIES)
        with stranger() as process:
            write_record(tmp_path / "home", process.pid)
            neo4j = local(tmp_path / "home")
            assert not neo4j.status().running
            with pytest.raises(LocalNeo4jError, match="from the future"):
                neo4j.up()
            write_record(tmp_path / "home", process.pid)
            assert neo4j.down() is False
            assert process.poll() is None
        assert not (tmp_path / "home" / "neo4j" / "server.json").exists()

    def test_a_record_cut_off_while_being_written_is_ignored(self, java_on_path, tmp_path):
        java_on_path(DIES)
        write_record(tmp_path / "home", 1)
        (tmp_path / "home" / "neo4j" / "server.json").write_text('{"pid": 1, "ho')
        with pytest.raises(LocalNeo4jError, match="from the future"):
            local(tmp_path / "home").up()

    def test_the_log_of_the_start_before_is_kept(self, java_on_path, tmp_path):
        java_on_path(DIES)
        neo4j = local(tmp_path / "home")
        for _ in range(3):
            with pytest.raises(LocalNeo4jError):
                neo4j.up()
        logs = sorted(p.name for p in (tmp_path / "home" / "neo4j" / "logs").iterdir())
        assert logs == ["console.log", "console.previous.log"]

    def test_a_second_command_waits_for_the_first(self, java_on_path, tmp_path):
        java_on_path(DIES)
        (tmp_path / "home" / "neo4j").mkdir(parents=True)
        waiting, errors = threading.Event(), []

        def up():
            try:
                local(tmp_path / "home").up(lambda text: "waiting" in text and waiting.set())
            except LocalNeo4jError as error:
                errors.append(error)

        second = threading.Thread(target=up)
        with (tmp_path / "home" / "neo4j" / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second.start()
            assert waiting.wait(PATIENCE_SECONDS)
            assert not (tmp_path / "maven.log").exists()
        second.join(PATIENCE_SECONDS)
        assert "from the future" in str(errors[0])


class TestNothingRuns:
    def test_down_says_so_and_makes_nothing(self, tmp_path):
        assert local(tmp_path / "home").down() is False
        assert not (tmp_path / "home").exists()

    def test_address_says_how_to_start_one(self, tmp_path):
        with pytest.raises(Neo4jUnavailableError, match="recsvc db up"):
            local(tmp_path / "home").address()

    def test_one_that_is_stopped_is_where_the_next_start_puts_it(self, tmp_path):
        with pytest.raises(Neo4jUnavailableError, match="recsvc db up"):
            local(tmp_path / "home").address(stopped=True)  # none was ever here
        (tmp_path / "home" / "neo4j").mkdir(parents=True)
        (tmp_path / "home" / "neo4j" / "password").write_text("kept")
        neo4j = local(tmp_path / "home")
        assert neo4j.address(stopped=True).password == "kept"
        with pytest.raises(Neo4jUnavailableError, match="recsvc db up"):
            neo4j.address()

    def test_status_has_only_the_places(self, tmp_path):
        status = local(tmp_path / "home").status()
        assert (status.running, status.how, status.pid, status.uri) == (False, None, None, None)
        assert status.password_file == tmp_path / "home" / "neo4j" / "password"


class TestDataOfAnotherLine:
    def written_by(self, home, version):
        (home / "neo4j" / "data" / "databases").mkdir(parents=True, exist_ok=True)
        (home / "neo4j" / "data-version").write_text(f"{version}\n")

    def test_later_data_is_refused_with_what_to_set(self, java_on_path, tmp_path):
        java_on_path(DIES)
        self.written_by(tmp_path / "home", "2026.09.0")
        with pytest.raises(
            LocalNeo4jError, match=r"by Neo4j 2026\.09\.0.* 5\.26.*RECSVC_NEO4J_VERSION=2026"
        ):
            local(tmp_path / "home").up()
        assert not (tmp_path / "maven.log").exists()

    def test_data_of_a_line_that_is_not_run_here_ask_for_another_recsvc(self, tmp_path):
        self.written_by(tmp_path / "home", "2027.01.0")
        with pytest.raises(LocalNeo4jError, match="use a recsvc that runs that one") as refused:
            local(tmp_path / "home").up()
        assert "RECSVC_NEO4J_VERSION" not in str(refused.value)

    def test_a_damaged_note_of_it_is_passed_over(self, java_on_path, tmp_path):
        java_on_path(DIES)
        for damage in (b"\xff\xfe\x00", b"", b"version"):
            self.written_by(tmp_path / "home", "")
            (tmp_path / "home" / "neo4j" / "data-version").write_bytes(damage)
            with pytest.raises(LocalNeo4jError, match="from the future"):
                local(tmp_path / "home").up()

    @pytest.mark.parametrize("password", [None, ""])
    def test_without_their_password_none_is_made_up(self, java_on_path, tmp_path, password):
        java_on_path(DIES)
        (tmp_path / "home" / "neo4j" / "data" / "databases" / "system").mkdir(parents=True)
        file = tmp_path / "home" / "neo4j" / "password"
        if password is not None:
            file.write_text(password)
        with pytest.raises(LocalNeo4jError, match="put it back, or set RECSVC_NEO4J_PASSWORD"):
            local(tmp_path / "home").up()
        assert (file.read_text() if file.exists() else None) == password

    @pytest.mark.parametrize("version", ["5.26.0", "5.26.99", "5.25.1"])
    def test_earlier_data_and_that_of_the_same_line_are_not(self, java_on_path, tmp_path, version):
        java_on_path(DIES)
        self.written_by(tmp_path / "home", version)
        with pytest.raises(LocalNeo4jError, match="from the future"):
            local(tmp_path / "home").up()

    def test_once_the_data_is_removed_its_version_does_not_matter(self, java_on_path, tmp_path):
        java_on_path(DIES)
        self.written_by(tmp_path / "home", "2026.09.0")
        shutil.rmtree(tmp_path / "home" / "neo4j" / "data")
        with pytest.raises(LocalNeo4jError, match="from the future"):
            local(tmp_path / "home").up()


class TestImporting:
    """The order of an import, with a Java that only says what it was asked."""

    @pytest.fixture
    def files(self, tmp_path):
        folder = tmp_path / "home" / "neo4j" / "import"
        folder.mkdir(parents=True)
        return folder

    def test_the_importer_is_told_what_it_needs_and_holds_the_lock(
        self, java_on_path, files, tmp_path
    ):
        lock = tmp_path / "home" / "neo4j" / "lock"
        java_on_path(
            f'/usr/bin/env >"{tmp_path}/env"; pwd >"{tmp_path}/cwd"; echo "$@" >"{tmp_path}/args"\n'
            f'/bin/ls -l /proc/$$/fd >"{tmp_path}/open"; exit 7'
        )
        neo4j = local(tmp_path / "home")
        with (
            pytest.raises(LocalNeo4jError, match=r"could not import.*exit code 7"),
            neo4j.loading(files, ["import", "full", "--nodes=User=./u.csv", "neo4j"]),
        ):
            pytest.fail("the block ran")
        said = (tmp_path / "args").read_text().split()
        after = said[said.index("org.neo4j.cli.AdminTool") :]
        assert after[1:] == ["database", "import", "full", "--nodes=User=./u.csv", "neo4j"]
        assert Path((tmp_path / "cwd").read_text().strip()) == files
        environment = dict(
            line.split("=", 1)
            for line in (tmp_path / "env").read_text().splitlines()
            if "=" in line
        )
        assert environment["NEO4J_HOME"] == str(tmp_path / "home" / "neo4j")
        assert Path(environment["NEO4J_CONF"], "neo4j.conf").is_file()
        # An importer that outlives us goes on being waited for.
        assert str(lock) in (tmp_path / "open").read_text()

    def test_from_then_on_nothing_is_served(self, java_on_path, files, tmp_path):
        java_on_path("exit 7")
        neo4j = local(tmp_path / "home")
        assert not neo4j.half_loaded
        with pytest.raises(LocalNeo4jError, match="exit code 7"), neo4j.loading(files, ["import"]):
            pytest.fail("the block ran")
        assert local(tmp_path / "home").half_loaded
        with pytest.raises(
            LocalNeo4jError, match=r"half loaded.*ingest --bulk.*same command again"
        ):
            local(tmp_path / "home").up()
        with pytest.raises(LocalNeo4jError, match="half loaded"):
            local(tmp_path / "home").address()
        assert local(tmp_path / "home").down() is False

    def test_a_dump_is_loaded_under_the_same_mark(self, java_on_path, files, tmp_path):
        java_on_path(f'/bin/ls "{tmp_path}/home/neo4j" >"{tmp_path}/seen"; exit 7')
        neo4j = local(tmp_path / "home")
        loading = loading_graph(neo4j, files)
        with pytest.raises(LocalNeo4jError, match=r"could not load.*exit code 7"), loading:
            pytest.fail("the block ran")
        assert "half-loaded" in (tmp_path / "seen").read_text().split()
        assert neo4j.half_loaded
        with pytest.raises(LocalNeo4jError, match=r"recsvc restore.*same command again"):
            neo4j.up()
        with pytest.raises(LocalNeo4jError, match="half loaded"), neo4j.stopped():
            pytest.fail("a graph that is not whole was dumped")

    def test_data_of_a_later_line_is_refused_too(self, java_on_path, files, tmp_path):
        java_on_path("exit 7")
        (tmp_path / "home" / "neo4j" / "data" / "databases").mkdir(parents=True)
        (tmp_path / "home" / "neo4j" / "data-version").write_text("2026.09.0")
        neo4j = local(tmp_path / "home")
        with pytest.raises(LocalNeo4jError, match="2026"), neo4j.loading(files, ["import"]):
            pytest.fail("the block ran")
        assert not neo4j.half_loaded
