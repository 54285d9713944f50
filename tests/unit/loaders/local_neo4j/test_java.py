import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import run_command
from loaders.local_neo4j._java import JavaServer, find_java
from loaders.local_neo4j._library import (
    install_library,
)
from tests.unit.loaders.local_neo4j.helpers import (
    SECRET,
    SLEEPS,
    has_ended,
    local,
    make_java,
    options_for,
    stranger,
    wait_for,
    write_record,
)


class TestFindJava:
    @pytest.fixture
    def find(self, programs, tmp_path):
        jvm_folder = tmp_path / "jvm"
        return lambda minimum=17: find_java(minimum, run_command, jvm_folder)

    def test_java_home_comes_before_path(self, find, java_on_path, tmp_path, monkeypatch):
        java_on_path("exit 0", version="21")
        make_java(tmp_path / "mine", "17")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "mine"))
        assert find().home == tmp_path / "mine"

    @pytest.mark.parametrize("version", ["1.8", "11"])
    def test_a_java_home_that_is_too_old_does_not_hide_a_newer_one(
        self, find, java_on_path, tmp_path, monkeypatch, version
    ):
        make_java(tmp_path / "old", version)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
        java_on_path("exit 0", version="17")
        assert find().major == 17

    def test_a_java_home_without_java_is_passed_over(self, find, java_on_path, monkeypatch):
        monkeypatch.setenv("JAVA_HOME", "/no/such/folder")
        java_on_path("exit 0")
        assert find().major == 17

    def test_the_folder_of_the_distribution_comes_last(self, find, tmp_path):
        make_java(tmp_path / "jvm" / "java-25", "25")
        assert find().home == tmp_path / "jvm" / "java-25"

    def test_too_old_says_what_came_what_is_needed_and_how_to_install_it(self, find, java_on_path):
        java_on_path("exit 0", version="11")
        with pytest.raises(
            LocalNeo4jError, match=r"Java 11 in .* too old, .* 17 .*openjdk-17-jre-headless"
        ):
            find()

    def test_the_version_asked_for_is_the_one_to_install(self, find, java_on_path):
        java_on_path("exit 0", version="17")
        with pytest.raises(LocalNeo4jError, match="openjdk-21-jre-headless"):
            find(21)

    def test_none_says_how_to_install_one(self, find):
        with pytest.raises(LocalNeo4jError, match=r"no Java found.*apt-get install .*Docker"):
            find()


class TestJavaProcess:
    """The process without Neo4j in it: how it is started, found and stopped."""

    @pytest.fixture
    def start(self, java_on_path, tmp_path):
        folder = tmp_path / "home" / "neo4j"
        (folder / "logs").mkdir(parents=True)
        started = []

        def start(body, **changes):
            java_on_path(body)
            library = install_library(folder, "5.26", Path("/jdk"), run_command, lambda _: None)
            server = JavaServer(folder)
            java = find_java(17, run_command)
            options = options_for(tmp_path / "home", **changes)
            record = server.start(java, library, options)
            started.append(record.pid)
            return server, record

        yield start
        left = [pid for pid in started if not has_ended(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert started
        assert not left

    def test_it_is_found_by_another_command_and_stopped(self, start, tmp_path):
        _, record = start(SLEEPS)
        other = local(tmp_path / "home", password=SECRET)
        assert other.status().pid == record.pid
        assert other.address().uri == f"bolt://127.0.0.1:{record.bolt_port}"
        assert other.down() is True
        assert other.down() is False

    def test_one_that_does_not_listen_is_killed_after_the_timeout(self, start, tmp_path):
        ready = tmp_path / "ready"
        start(f"trap '' TERM; : >'{ready}'; {SLEEPS}")
        wait_for(ready.exists)
        began = time.monotonic()
        assert local(tmp_path / "home").down(timeout_seconds=0.5) is True
        assert time.monotonic() - began > 0.5

    def test_a_process_that_is_not_the_server_is_never_signalled(self, start, tmp_path):
        server, record = start(SLEEPS)
        with stranger() as process:
            write_record(tmp_path / "home", process.pid)
            with pytest.raises(LocalNeo4jError, match=f"process {process.pid} is not"):
                server.stop(1)
            assert process.poll() is None
        write_record(tmp_path / "home", record.pid)
        server.stop(5)

    def test_a_living_server_whose_record_is_gone_is_not_started_twice(
        self, start, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("loaders.local_neo4j._java._RECORD_TIMEOUT_SECONDS", 0.3)
        server, record = start(SLEEPS)
        (tmp_path / "home" / "neo4j" / "server.json").unlink()
        # The script that stands for Java is seen twice while it starts its `sleep`.
        try:
            with pytest.raises(LocalNeo4jError, match=rf"process( \d+)* {record.pid}\b.* by hand"):
                local(tmp_path / "home").up()
        finally:
            write_record(tmp_path / "home", record.pid)
        server.stop(5)

    def test_a_pause_does_not_hide_a_record_that_has_come_meanwhile(self, start, monkeypatch):
        server, record = start(SLEEPS)
        clock, found = [0.0], iter([None, record])

        def read(_folder):
            clock[0] += 3600  # the pause
            return next(found)

        with monkeypatch.context() as patch:
            paused = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda _: None)
            patch.setattr("loaders.local_neo4j._java.time", paused)
            patch.setattr("loaders.local_neo4j._java.read_record", read)
            assert server.record() == record
        server.stop(5)

    def test_it_has_a_session_of_its_own_and_none_of_our_settings(
        self, start, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("RECSVC_NEO4J_PASSWORD", SECRET)
        seen, ready = tmp_path / "seen", tmp_path / "ready"
        server, record = start(
            f'/usr/bin/env >"{seen}"; echo "$@" >>"{seen}"; : >"{ready}"; {SLEEPS}'
        )
        wait_for(ready.exists)
        assert os.getsid(record.pid) != os.getsid(0)
        server.stop(5)
        text = seen.read_text()
        assert "--home-dir=" in text
        assert SECRET not in text

    def test_the_process_id_of_last_time_is_not_taken_for_the_new_one(self, start, tmp_path):
        last_time = 999_999_999
        write_record(tmp_path / "home", last_time)
        server, record = start(SLEEPS)
        assert psutil.Process(record.pid).is_running()
        server.stop(5)

    def test_its_configuration(self, start, tmp_path):
        server, record = start(SLEEPS, heap_megabytes=300, page_cache_megabytes=90)
        server.stop(5)
        lines = (tmp_path / "home" / "neo4j" / "conf" / "neo4j.conf").read_text().splitlines()
        conf = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
        addresses = {k: v for k, v in conf.items() if k.endswith("_address")}
        assert len(addresses) == 5
        assert {v.split(":")[0] for v in addresses.values()} == {"127.0.0.1"}
        assert conf["server.bolt.listen_address"].endswith(f":{record.bolt_port}")
        assert conf["server.http.advertised_address"].endswith(f":{record.http_port}")
        assert conf["dbms.security.auth_enabled"] == "true"
        assert conf["dbms.security.allow_csv_import_from_file_urls"] == "false"
        assert conf["dbms.usage_report.enabled"] == "false"
        assert conf["server.https.enabled"] == "false"
        assert conf["server.memory.heap.max_size"] == "300m"
        assert conf["server.memory.pagecache.size"] == "90m"
