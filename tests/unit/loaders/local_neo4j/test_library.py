from pathlib import Path

import pytest

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import run_command
from loaders.local_neo4j._library import (
    install_library,
    library_folder,
    read_library,
)
from loaders.shared_files import shared_path
from tests.unit.loaders.local_neo4j.helpers import make_server_jar, write_program


class TestLibrary:
    def install(self, folder, line="5.26"):
        said = []
        folder.mkdir(exist_ok=True)
        self.library = install_library(folder, line, Path("/jdk"), run_command, said.append)
        return said

    def test_maven_runs_once(self, programs, tmp_path):
        folder = tmp_path / "neo4j"
        assert "with Maven" in self.install(folder)[0]
        assert self.install(folder) == []
        assert (tmp_path / "maven.log").read_text().count("\n") == 1
        assert self.library.main_class.endswith("CommunityEntryPoint")

    def test_each_line_has_a_folder_of_its_own(self, programs, tmp_path):
        self.install(tmp_path / "neo4j", "5.26")
        assert "2026." in self.install(tmp_path / "neo4j", "2026")[0]
        log = (tmp_path / "maven.log").read_text().splitlines()
        assert [words.split("-P ")[1].split()[0] for words in log] == ["5.26", "2026"]
        assert len(list((tmp_path / "neo4j").iterdir())) == 2

    def test_what_an_interrupted_install_left_is_removed_and_not_used(self, programs, tmp_path):
        leftover = tmp_path / "neo4j" / "partial-lib-x"
        leftover.mkdir(parents=True)
        (leftover / "half.jar").write_text("half")
        self.install(tmp_path / "neo4j")
        assert [p.name for p in (tmp_path / "neo4j").iterdir()] == [
            library_folder(tmp_path / "neo4j", "5.26").name
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
        folders = [p.name for p in library_folder(tmp_path / name, "5.26").iterdir() if p.is_dir()]
        assert folders == (["browser"] if is_unpacked else [])

    def test_another_pom_gets_another_folder(self, tmp_path, monkeypatch):
        pom = shared_path("deploy/neo4j") / "pom.xml"
        changed = tmp_path / "pom.xml"
        changed.write_text(pom.read_text().replace("5.24.0", "5.24.1"))
        before = library_folder(tmp_path, "5.26")
        monkeypatch.setattr("loaders.local_neo4j._library.pom_path", lambda: changed)
        assert library_folder(tmp_path, "5.26") != before
