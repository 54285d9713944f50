import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
import zipfile
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

import loaders.local_neo4j
from loaders.errors import LocalNeo4jError, Neo4jUnavailableError
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions
from loaders.local_neo4j._command import NOT_FOUND, TIMED_OUT, CommandResult, run_command, tail
from loaders.local_neo4j._credentials import PasswordFile
from loaders.local_neo4j._java import JavaServer, find_java
from loaders.local_neo4j._library import (
    install_library,
    library_folder,
    neo4j_version,
    read_library,
)
from loaders.shared_files import shared_path

SECRET = "a-secret-of-tests"
DIES = """
echo "2026-01-01 INFO  Starting..."
echo "2026-01-01 ERROR Failed to start Neo4j: the store is from the future"
echo "	at org.neo4j.server.Main.main(Main.java:1)"
exit 3
"""
SLEEPS = "while :; do /bin/sleep 0.1; done"
IGNORES_TERM = "trap '' TERM; while :; do /bin/sleep 0.1; done"


class RecordingRunner:
    """Runs everything for real, but answers for Docker by itself; keeps what was asked."""

    def __init__(self, docker=None):
        self.docker = {"info": NOT_FOUND, "version": NOT_FOUND} | (docker or {})
        self.calls = []

    def __call__(self, command, *, timeout_seconds, environment=None):
        self.calls.append((list(command), dict(environment or {})))
        if command[0] != "docker":
            return run_command(command, timeout_seconds=timeout_seconds, environment=environment)
        answer = next(self.docker[word] for word in command if word in self.docker)
        return answer if isinstance(answer, CommandResult) else CommandResult(answer)

    def compose_calls(self):
        """(arguments after the project, environment) of each `docker compose` of this project."""
        return [(c[6:], e) for c, e in self.calls if c[:2] == ["docker", "compose"] and "-p" in c]


ENGINE = {
    "info": CommandResult(0, '["name=seccomp,profile=builtin"]'),
    "version": 0,
    "up": 0,
    "down": 0,
    "logs": CommandResult(0, "the container's own words"),
    "ps": CommandResult(0, "0123456789ab\n"),
}


def write_program(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make_java(home, version, body="exit 0"):
    return write_program(
        home / "bin" / "java",
        'if [ "$1" = "-XshowSettings:properties" ]; then\n'
        f'  echo "    java.home = {home}"\n'
        f'  echo "    java.specification.version = {version}"\n'
        "  exit 0\n"
        f"fi\n{body}",
    )


def make_server_jar(path, main_class="org.neo4j.server.CommunityEntryPoint", class_format=61):
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Implementation-Version: 5.26.31\r\n")
        jar.writestr("META-INF/services/org.neo4j.server.startup.EntryPoint", f"{main_class}\n")
        jar.writestr(
            f"{main_class.replace('.', '/')}.class",
            b"\xca\xfe\xba\xbe\x00\x00" + class_format.to_bytes(2, "big"),
        )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """PATH holds only this folder, with a Maven that brings one small jar."""
    folder = tmp_path / "programs"
    (tmp_path / "jars").mkdir()
    make_server_jar(tmp_path / "jars" / "neo4j-5.26.31.jar")
    with zipfile.ZipFile(tmp_path / "jars" / "neo4j-browser-5.24.0.jar", "w") as jar:
        jar.writestr("browser/index.html", "the page")
        jar.writestr("META-INF/maven/pom.xml", "")
    write_program(
        folder / "mvn",
        f'echo run >>"{tmp_path}/maven.log"\n'
        'for word in "$@"; do case "$word" in\n'
        f'  -DoutputDirectory=*) /bin/cp "{tmp_path}"/jars/* "${{word#*=}}/" ;;\n'
        "esac; done",
    )
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


@pytest.fixture
def java_on_path(programs, tmp_path):
    """Put a Java on PATH whose server does what the given shell lines say."""

    def make(body, version="17"):
        java = make_java(tmp_path / "jdk", version, body)
        (programs / "java").unlink(missing_ok=True)
        (programs / "java").symlink_to(java)

    return make


def options_for(home, **changes):
    values = {
        "bolt_port": free_port(),
        "http_port": free_port(),
        "start_timeout_seconds": 0.5,
    }
    return LocalNeo4jOptions(home=home, **(values | changes))


def local(home, run=None, **changes):
    return LocalNeo4j(options_for(home, **changes), run or RecordingRunner())


@contextmanager
def stranger():
    """A process that is none of ours."""
    process = subprocess.Popen(["/bin/sleep", "60"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def has_ended(pid):
    """Whether a process is over, be it that nobody has collected it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def write_record(home, pid, how="java"):
    folder = home / "neo4j"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"how": how, "bolt_port": 1, "http_port": 2, "version": "x", "pid": pid}
    (folder / "server.json").write_text(json.dumps(record))


class TestPublicSurface:
    def test_exported_names_are_these(self):
        assert loaders.local_neo4j.__all__ == [
            "LocalNeo4j",
            "LocalNeo4jOptions",
            "LocalNeo4jStatus",
            "scratch_neo4j",
        ]


class TestOptions:
    def test_one_port_for_both_is_refused(self, tmp_path):
        with pytest.raises(LocalNeo4jError, match=r"port 7000.*RECSVC_BOLT_PORT"):
            LocalNeo4jOptions(home=tmp_path, bolt_port=7000, http_port=7000)

    def test_a_short_password_is_refused_with_both_lengths_and_not_shown(self, tmp_path):
        with pytest.raises(LocalNeo4jError, match=r"has 7 .* wants 8") as caught:
            LocalNeo4jOptions(home=tmp_path, password="seven77")
        assert "seven77" not in str(caught.value)

    def test_the_password_is_not_in_the_repr(self, tmp_path):
        assert SECRET not in repr(LocalNeo4jOptions(home=tmp_path, password=SECRET))

    def test_a_relative_home_is_made_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert LocalNeo4jOptions(home=Path("h")).folder == tmp_path / "h" / "neo4j"


class TestRunCommand:
    def test_a_missing_program_is_a_result(self):
        assert run_command(["/no/such/program"], timeout_seconds=1).exit_code == NOT_FOUND

    def test_a_slow_program_is_a_result(self):
        assert run_command(["/bin/sleep", "9"], timeout_seconds=0.1).exit_code == TIMED_OUT

    def test_both_streams_and_the_added_environment(self):
        command = ["/bin/sh", "-c", 'echo "$ADDED"; echo err >&2; exit 4']
        result = run_command(command, timeout_seconds=5, environment={"ADDED": "out"})
        assert (result.exit_code, result.output) == (4, "out\nerr\n")

    def test_tail_leaves_out_stack_frames_blank_lines_and_colours(self):
        text = "one\n\x1b[1;31mtwo\x1b[m\n\n\tat a.B.c(B.java:1)\nthree\n\x1b[0m\n"
        assert tail(text, 2) == "two\nthree"


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


class TestLibrary:
    def install(self, folder):
        said = []
        folder.mkdir(exist_ok=True)
        install_library(folder, Path("/jdk"), run_command, said.append)
        return said

    def test_maven_runs_once(self, programs, tmp_path):
        folder = tmp_path / "neo4j"
        assert "with Maven" in self.install(folder)[0]
        assert self.install(folder) == []
        assert (tmp_path / "maven.log").read_text() == "run\n"
        assert read_library(library_folder(folder)).main_class.endswith("CommunityEntryPoint")

    def test_what_an_interrupted_install_left_is_removed_and_not_used(self, programs, tmp_path):
        leftover = tmp_path / "neo4j" / "partial-lib-x"
        leftover.mkdir(parents=True)
        (leftover / "half.jar").write_text("half")
        self.install(tmp_path / "neo4j")
        assert [p.name for p in (tmp_path / "neo4j").iterdir()] == [
            library_folder(tmp_path / "neo4j").name
        ]

    def test_a_failing_maven_shows_its_last_lines_and_leaves_nothing(self, programs, tmp_path):
        write_program(programs / "mvn", 'echo "[ERROR] Could not resolve dependencies"; exit 1')
        with pytest.raises(LocalNeo4jError, match=r"exit code 1[\s\S]*Could not resolve"):
            self.install(tmp_path / "neo4j")
        assert list((tmp_path / "neo4j").iterdir()) == []

    def test_a_maven_that_brings_no_server_leaves_nothing(self, programs, tmp_path):
        write_program(programs / "mvn", "exit 0")
        with pytest.raises(LocalNeo4jError, match="main class"):
            self.install(tmp_path / "neo4j")
        assert list((tmp_path / "neo4j").iterdir()) == []

    def test_no_maven_says_how_to_install_it(self, programs, tmp_path):
        (programs / "mvn").unlink()
        with pytest.raises(LocalNeo4jError, match="apt-get install maven"):
            self.install(tmp_path / "neo4j")

    def test_the_main_class_and_the_oldest_java_come_from_the_jars(self, tmp_path):
        make_server_jar(tmp_path / "neo4j-2026.09.0.jar", "org.neo4j.server.Neo4jCommunity", 65)
        library = read_library(tmp_path)
        assert library.main_class == "org.neo4j.server.Neo4jCommunity"
        assert library.java_major == 21

    @pytest.mark.parametrize(("name", "is_unpacked"), [("neo4j", False), ("nëo4j", True)])
    def test_the_browser_is_unpacked_where_jetty_cannot_serve_it_from_its_jar(
        self, programs, tmp_path, name, is_unpacked
    ):
        self.install(tmp_path / name)
        folders = [p.name for p in library_folder(tmp_path / name).iterdir() if p.is_dir()]
        assert folders == (["browser"] if is_unpacked else [])

    def test_another_pom_gets_another_folder(self, tmp_path, monkeypatch):
        pom = shared_path("deploy/neo4j") / "pom.xml"
        changed = tmp_path / "pom.xml"
        changed.write_text(pom.read_text().replace("5.24.0", "5.24.1"))
        before = library_folder(tmp_path)
        monkeypatch.setattr("loaders.local_neo4j._library._pom", lambda: changed)
        assert library_folder(tmp_path) != before


class TestPassword:
    def test_it_is_made_once_random_and_for_its_owner_only(self, tmp_path):
        first = PasswordFile(tmp_path / "a")
        made = first.read_or_make()
        assert first.read_or_make() == made
        assert PasswordFile(tmp_path / "b").read_or_make() != made
        assert len(made) >= 24
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600

    def test_no_file_left_over_from_writing(self, tmp_path):
        PasswordFile(tmp_path / "a").write(SECRET)
        PasswordFile(tmp_path / "a").write(SECRET + "2")
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        assert PasswordFile(tmp_path / "a").read() == SECRET + "2"


class TestStartingJava:
    def test_a_server_that_dies_shows_the_end_of_its_log(self, java_on_path, tmp_path):
        java_on_path(DIES)
        neo4j = local(tmp_path / "home", start_timeout_seconds=20)
        started = time.monotonic()
        with pytest.raises(LocalNeo4jError, match="the store is from the future") as caught:
            neo4j.up()
        assert time.monotonic() - started < 10
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
        assert has_ended(int((tmp_path / "pid").read_text()))

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
            assert waiting.wait(10)
            assert not (tmp_path / "maven.log").exists()
        second.join(10)
        assert "from the future" in str(errors[0])


class TestNothingRuns:
    def test_down_says_so_and_makes_nothing(self, tmp_path):
        assert local(tmp_path / "home").down() is False
        assert not (tmp_path / "home").exists()

    def test_address_says_how_to_start_one(self, tmp_path):
        with pytest.raises(Neo4jUnavailableError, match="recsvc db up"):
            local(tmp_path / "home").address()

    def test_status_has_only_the_places(self, tmp_path):
        status = local(tmp_path / "home").status()
        assert (status.running, status.how, status.pid, status.uri) == (False, None, None, None)
        assert status.password_file == tmp_path / "home" / "neo4j" / "password"


class TestJavaProcess:
    """The process without Neo4j in it: how it is started, found and stopped."""

    @pytest.fixture
    def start(self, java_on_path, tmp_path):
        folder = tmp_path / "home" / "neo4j"
        (folder / "logs").mkdir(parents=True)
        started = []

        def start(body, **changes):
            java_on_path(body)
            install_library(folder, Path("/jdk"), run_command, lambda _: None)
            server = JavaServer(folder)
            java = find_java(17, run_command)
            options = options_for(tmp_path / "home", **changes)
            record = server.start(java, read_library(library_folder(folder)), options)
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
        start(IGNORES_TERM)
        began = time.monotonic()
        assert local(tmp_path / "home").down(timeout_seconds=0.5) is True
        assert 0.5 < time.monotonic() - began < 5

    def test_a_process_that_is_not_the_server_is_never_signalled(self, start, tmp_path):
        server, record = start(SLEEPS)
        with stranger() as process:
            write_record(tmp_path / "home", process.pid)
            with pytest.raises(LocalNeo4jError, match=f"process {process.pid} is not"):
                server.stop(1)
            assert process.poll() is None
        write_record(tmp_path / "home", record.pid)
        server.stop(5)

    def test_a_living_server_whose_record_is_gone_is_not_started_twice(self, start, tmp_path):
        server, record = start(SLEEPS)
        (tmp_path / "home" / "neo4j" / "server.json").unlink()
        with pytest.raises(LocalNeo4jError, match="by hand"):
            local(tmp_path / "home").up()
        write_record(tmp_path / "home", record.pid)
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
        assert conf["dbms.usage_report.enabled"] == "false"
        assert conf["server.https.enabled"] == "false"
        assert conf["server.memory.heap.max_size"] == "300m"
        assert conf["server.memory.pagecache.size"] == "90m"


class TestDocker:
    def up(self, home, run, **changes):
        """`up` with a Docker that only says it did it: no Bolt answers, so it gives up."""
        with pytest.raises(LocalNeo4jError, match="did not answer"):
            local(home, run, start_timeout_seconds=0.1, **changes).up()

    def test_an_engine_that_answers_wins(self, java_on_path, tmp_path):
        java_on_path(DIES)
        run = RecordingRunner(ENGINE)
        self.up(tmp_path / "home", run)
        assert not (tmp_path / "maven.log").exists()
        command, _ = next(c for c in run.calls if "up" in c[0])
        project = command[5]
        assert re.fullmatch(r"recsvc-[0-9a-f]{8}", project)
        assert command == [
            *("docker", "compose", "-f", str(shared_path("docker-compose.yml"))),
            *("-p", project, "up", "--detach", "--wait", "neo4j"),
        ]

    @pytest.mark.parametrize("silent", ["info", "version"])
    def test_without_an_engine_or_without_compose_it_is_java(self, java_on_path, tmp_path, silent):
        java_on_path(DIES)
        run = RecordingRunner(ENGINE | {silent: 1})
        with pytest.raises(LocalNeo4jError, match="from the future"):
            local(tmp_path / "home", run).up()
        assert run.compose_calls() == []

    @pytest.fixture
    def person(self, monkeypatch):
        monkeypatch.setattr(os, "getuid", lambda: 1234)
        monkeypatch.setattr(os, "getgid", lambda: 5678)

    def test_every_variable_of_the_compose_file_is_set(self, person, tmp_path):
        run = RecordingRunner(ENGINE)
        self.up(tmp_path / "home", run, bolt_port=7001, http_port=7002, password=SECRET)
        environment = next(e for c, e in run.compose_calls() if c[0] == "up")
        named = set(re.findall(r"\$\{(\w+)", shared_path("docker-compose.yml").read_text()))
        assert environment.keys() == named
        assert environment["RECSVC_HOME"] == str(tmp_path / "home")
        assert environment["RECSVC_BOLT_PORT"] == "7001"
        assert environment["RECSVC_HTTP_PORT"] == "7002"
        assert environment["RECSVC_NEO4J_PASSWORD"] == SECRET
        assert environment["RECSVC_NEO4J_CONTAINER_USER"] == "1234:5678"
        assert not any(SECRET in word for command, _ in run.calls for word in command)

    def test_the_folders_are_there_before_docker_would_make_them_as_root(self, tmp_path):
        self.up(tmp_path / "home", RecordingRunner(ENGINE))
        assert (tmp_path / "home" / "neo4j" / "data").is_dir()
        assert (tmp_path / "home" / "neo4j" / "logs").is_dir()

    def test_an_engine_without_root_begins_as_root(self, person, tmp_path):
        info = CommandResult(0, '["name=seccomp,profile=builtin","name=rootless"]')
        run = RecordingRunner(ENGINE | {"info": info})
        self.up(tmp_path / "home", run)
        environment = next(e for c, e in run.compose_calls() if c[0] == "up")
        assert environment["RECSVC_NEO4J_CONTAINER_USER"] == "0:0"

    def test_what_does_not_answer_is_taken_down_again(self, tmp_path):
        run = RecordingRunner(ENGINE)
        self.up(tmp_path / "home", run)
        assert run.compose_calls()[-1][0] == ["down", "--timeout", "20"]

    def test_a_failure_shows_what_docker_and_the_container_said(self, tmp_path):
        run = RecordingRunner(ENGINE | {"up": CommandResult(1, "pull access denied")})
        with pytest.raises(LocalNeo4jError, match=r"denied[\s\S]*the container's own words"):
            local(tmp_path / "home", run).up()
        assert run.compose_calls()[-1][0][0] == "down"
        assert not (tmp_path / "home" / "neo4j" / "server.json").exists()

    def test_a_password_with_a_slash_is_refused_before_anything_starts(self, tmp_path):
        run = RecordingRunner(ENGINE)
        with pytest.raises(LocalNeo4jError, match="slash") as caught:
            local(tmp_path / "home", run, password="before/after").up()
        assert "before" not in str(caught.value)
        assert run.compose_calls() == []

    def test_a_running_container_is_found_and_stopped(self, tmp_path):
        write_record(tmp_path / "home", None, how="docker")
        run = RecordingRunner(ENGINE)
        neo4j = local(tmp_path / "home", run, password=SECRET)
        status = neo4j.status()
        assert (status.how, status.pid, status.uri) == ("docker", None, "bolt://127.0.0.1:1")
        assert status.browser_url == "http://127.0.0.1:2/browser/"
        assert neo4j.address().uri == "bolt://127.0.0.1:1"
        assert neo4j.down(timeout_seconds=7) is True
        assert run.compose_calls()[-1][0] == ["down", "--timeout", "7"]
        assert neo4j.down() is False

    def test_a_container_that_was_removed_does_not_run(self, tmp_path):
        write_record(tmp_path / "home", None, how="docker")
        run = RecordingRunner(ENGINE | {"ps": CommandResult(0, "\n")})
        assert not local(tmp_path / "home", run).status().running

    def test_a_container_that_cannot_be_stopped_is_an_error(self, tmp_path):
        write_record(tmp_path / "home", None, how="docker")
        run = RecordingRunner(ENGINE | {"down": CommandResult(1, "permission denied")})
        with pytest.raises(LocalNeo4jError, match="permission denied"):
            local(tmp_path / "home", run).down()

    def test_each_home_is_a_project_of_its_own(self, tmp_path):
        projects = set()
        for name in ("a", "b", "a"):
            run = RecordingRunner(ENGINE)
            self.up(tmp_path / name, run)
            projects |= {c[5] for c, _ in run.calls if "-p" in c}
        assert len(projects) == 2


class TestComposeFile:
    @pytest.fixture
    def service(self):
        return yaml.safe_load(shared_path("docker-compose.yml").read_text())["services"]["neo4j"]

    def test_the_same_neo4j_as_by_java(self, service):
        assert service["image"] == f"neo4j:{neo4j_version()}-community"

    def test_ports_are_on_loopback_only(self, service):
        assert service["ports"] == [
            "127.0.0.1:${RECSVC_BOLT_PORT:-7687}:7687",
            "127.0.0.1:${RECSVC_HTTP_PORT:-7474}:7474",
        ]

    def test_data_and_logs_are_in_the_home(self, service):
        folders = {v["target"]: v["source"] for v in service["volumes"]}
        assert folders == {
            "/data": "${RECSVC_HOME:-.recsvc}/neo4j/data",
            "/logs": "${RECSVC_HOME:-.recsvc}/neo4j/logs",
        }

    def test_there_is_no_way_without_a_password(self, service):
        assert re.match(r"neo4j/\$\{RECSVC_NEO4J_PASSWORD:\?", service["environment"]["NEO4J_AUTH"])

    def test_drivers_are_told_the_port_on_this_machine(self, service):
        environment = service["environment"]
        assert environment["NEO4J_server_bolt_advertised__address"].endswith(
            "${RECSVC_BOLT_PORT:-7687}"
        )

    def test_memory_the_person_and_health(self, service):
        environment = service["environment"]
        assert "HEAP_MEGABYTES" in environment["NEO4J_server_memory_heap_max__size"]
        assert "CACHE_MEGABYTES" in environment["NEO4J_server_memory_pagecache_size"]
        assert environment["NEO4J_dbms_usage__report_enabled"] == "false"
        assert service["user"].startswith("${RECSVC_NEO4J_CONTAINER_USER:-")
        assert "http://127.0.0.1:7474/" in service["healthcheck"]["test"]
        assert service["logging"]["options"]["max-file"] == "3"

    def test_settings_agree_with_the_java_way(self, service):
        """What neo4j.conf says and Docker does not decide by itself is said there too."""
        from loaders.local_neo4j._java import _CONFIGURATION

        conf = dict(re.findall(r"^([\w.]+)=(.*)$", _CONFIGURATION, re.MULTILINE))
        theirs = {
            name.removeprefix("NEO4J_").replace("_", ".").replace("..", "_"): value
            for name, value in service["environment"].items()
            if name != "NEO4J_AUTH"
        }
        assert theirs.keys() <= conf.keys()
        fixed = {k: v for k, v in theirs.items() if "$" not in v}
        assert len(fixed) == 4
        assert fixed == {k: conf[k] for k in fixed}
