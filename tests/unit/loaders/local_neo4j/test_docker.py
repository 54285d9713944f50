import os
import re
import stat

import pytest
import yaml

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import CommandResult
from loaders.local_neo4j._versions import DEFAULT_LINE, neo4j_version, neo4j_versions
from loaders.shared_files import shared_path
from tests.unit.loaders.local_neo4j.helpers import (
    DIES,
    ENGINE,
    SECRET,
    RecordingRunner,
    local,
    write_record,
)


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

    def test_the_line_that_is_chosen_is_the_image(self, tmp_path):
        for line, version in neo4j_versions().items():
            run = RecordingRunner(ENGINE)
            self.up(tmp_path / line, run, version=line)
            versions = {
                environment["RECSVC_NEO4J_VERSION"] for _, environment in run.compose_calls()
            }
            assert versions == {version}

    def test_an_import_runs_in_a_container_of_its_own_on_the_same_data(self, person, tmp_path):
        write_record(tmp_path / "home", None, how="docker")
        files = tmp_path / "home" / "neo4j" / "import"
        files.mkdir(mode=0o700)
        run = RecordingRunner(ENGINE | {"neo4j-admin": CommandResult(1, "no such file")})
        loading = local(tmp_path / "home", run).loading(
            files, ["import", "full", "--nodes=User=./u.csv", "neo4j"]
        )
        with (
            pytest.raises(LocalNeo4jError, match=r"could not import[\s\S]*no such file"),
            loading,
        ):
            pytest.fail("the block ran")
        commands = [arguments for arguments, _ in run.compose_calls()]
        assert [words[0] for words in commands] == ["ps", "down", "run"]
        assert commands[-1] == [
            *("run", "--rm", "--no-deps", "--volume", f"{files}:/import", "--workdir", "/import"),
            *("neo4j", "neo4j-admin", "database", "import", "full"),
            *("--nodes=User=./u.csv", "neo4j"),
        ]
        environment = run.compose_calls()[-1][1]
        assert environment["RECSVC_NEO4J_CONTAINER_USER"] == "1234:5678"
        assert stat.S_IMODE(files.stat().st_mode) == 0o777

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
        version = neo4j_version(DEFAULT_LINE)
        assert service["image"] == f"neo4j:${{RECSVC_NEO4J_VERSION:-{version}}}-community"

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
        assert len(fixed) == 5
        assert fixed == {k: conf[k] for k in fixed}
