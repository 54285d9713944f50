import stat
from pathlib import Path

import pytest

import loaders.local_neo4j
from loaders.errors import LocalNeo4jError
from loaders.local_neo4j import LocalNeo4jOptions
from loaders.local_neo4j._command import NOT_FOUND, TIMED_OUT, run_command, tail
from loaders.local_neo4j._credentials import PasswordFile
from tests.unit.loaders.local_neo4j.helpers import SECRET


class TestPublicSurface:
    def test_exported_names_are_these(self):
        assert loaders.local_neo4j.__all__ == [
            "DEFAULT_LINE",
            "GraphCopy",
            "LocalNeo4j",
            "LocalNeo4jOptions",
            "LocalNeo4jStatus",
            "accounts_changed",
            "copy_graph",
            "dump_file",
            "dump_graph",
            "forget_data",
            "free_port_after",
            "is_later_line",
            "loading_graph",
            "neo4j_version",
            "neo4j_versions",
            "scratch_server",
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

    def test_an_unknown_line_is_refused_with_those_there_are(self, tmp_path):
        with pytest.raises(LocalNeo4jError, match=r"'4\.4'.*5\.26 or 2026.*RECSVC_NEO4J_VERSION"):
            LocalNeo4jOptions(home=tmp_path, version="4.4")

    def test_a_relative_home_is_made_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert LocalNeo4jOptions(home=Path("h")).folder == tmp_path / "h" / "neo4j"


class TestRunCommand:
    def test_a_missing_program_is_a_result(self):
        assert run_command(["/no/such/program"], timeout_seconds=1).exit_code == NOT_FOUND

    def test_a_slow_program_is_a_result(self):
        assert run_command(["/bin/sleep", "600"], timeout_seconds=0.1).exit_code == TIMED_OUT

    def test_both_streams_and_the_added_environment(self):
        command = ["/bin/sh", "-c", 'echo "$ADDED"; echo err >&2; exit 4']
        result = run_command(command, timeout_seconds=600, environment={"ADDED": "out"})
        assert (result.exit_code, result.output) == (4, "out\nerr\n")

    def test_tail_leaves_out_stack_frames_blank_lines_and_colours(self):
        text = "one\n\x1b[1;31mtwo\x1b[m\n\n\tat a.B.c(B.java:1)\nthree\n\x1b[0m\n"
        assert tail(text, 2) == "two\nthree"


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
