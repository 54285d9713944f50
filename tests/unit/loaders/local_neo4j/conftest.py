import zipfile

import pytest

from tests.unit.loaders.local_neo4j.helpers import make_java, make_server_jar, write_program


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
        f'echo "$@" >>"{tmp_path}/maven.log"\n'
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
