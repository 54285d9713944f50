"""Neo4j's jars, brought by Maven."""

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import LocalNeo4jError
from loaders.local_neo4j._command import Progress, Runner
from loaders.local_neo4j._versions import neo4j_version, pom_path

_MAVEN_TIMEOUT_SECONDS = 1800.0
# The file by which Neo4j's own launcher finds the main class. 5.26 names CommunityEntryPoint
# there, 2026.x Neo4jCommunity.
_MAIN_CLASS_FILE = "META-INF/services/org.neo4j.server.startup.EntryPoint"
_BROWSER_PAGES = "browser/"
# Bytes 6 and 7 of a class file are its format: 61 for Java 17, 65 for Java 21, and so on.
_CLASS_FORMAT = slice(6, 8)
_FORMAT_OF_JAVA_0 = 44


@dataclass(frozen=True, slots=True)
class Library:
    """A folder of jars that holds a whole Neo4j server.

    Attributes:
        folder: where the jars are.
        main_class: the class that starts the server.
        version: version of Neo4j.
        java_major: the oldest Java that can run it.
    """

    folder: Path
    main_class: str
    version: str
    java_major: int


def library_folder(folder: Path, line: str) -> Path:
    """Where below `folder` the jars of a line, by the pom as it is now, belong.

    Raises:
        LocalNeo4jError: there is no such line.
    """
    digest = hashlib.sha256(pom_path().read_bytes()).hexdigest()[:8]
    return folder / f"lib-{neo4j_version(line)}-{digest}"


def install_library(
    folder: Path, line: str, java_home: Path, run: Runner, progress: Progress
) -> Library:
    """Bring the jars of a line with Maven, unless they are there.

    The folder appears whole or not at all: Maven writes to another one, which is renamed.

    Args:
        folder: the server's folder.
        line: line of Neo4j, such as 5.26.
        java_home: the Java that Maven is to use.
        run: runs Maven.
        progress: told what takes long.

    Raises:
        LocalNeo4jError: there is no such line, or Maven is missing or failed.
    """
    target = library_folder(folder, line)
    if not target.is_dir():
        _install(target, line, java_home, run, progress)
    return read_library(target)


def find_maven() -> str:
    """The program that brings the jars.

    Raises:
        LocalNeo4jError: there is none.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalNeo4jError(
            "no Maven (mvn) on PATH, which brings Neo4j's jars: install it (apt-get install "
            "maven, dnf install maven, brew install maven), or start a Docker engine"
        )
    return maven


def _install(target: Path, line: str, java_home: Path, run: Runner, progress: Progress) -> None:
    maven = find_maven()
    for leftover in target.parent.glob("partial-lib-*"):
        shutil.rmtree(leftover)
    progress(f"installing Neo4j {neo4j_version(line)} with Maven (140 MB, a minute or two)")
    partial = Path(tempfile.mkdtemp(prefix="partial-lib-", dir=target.parent))
    try:
        _copy_jars(maven, line, partial, java_home, run)
        if not os.fspath(target).isascii():
            _unpack_browser(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_jars(maven: str, line: str, target: Path, java_home: Path, run: Runner) -> None:
    command = [maven, "-q", "-B", "-f", str(pom_path()), "-P", line, "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    result = run(
        command,
        timeout_seconds=_MAVEN_TIMEOUT_SECONDS,
        environment={"JAVA_HOME": os.fspath(java_home)},
    )
    if not result.succeeded:
        raise LocalNeo4jError(
            f"Maven could not bring Neo4j's jars (exit code {result.exit_code}): check the network "
            f"and ~/.m2/settings.xml; its last lines:\n{result.last_lines()}"
        )
    read_library(target)


def _unpack_browser(folder: Path) -> None:
    """Put Neo4j Browser's pages beside its jar, where the class path finds them first.

    Neo4j's web server answers 404 for what is in a jar whose path has other letters than ASCII's
    (Jetty 12.1 takes them for links to somewhere else), and serves the same from a folder.
    """
    for jar in folder.glob("neo4j-browser-*.jar"):
        with zipfile.ZipFile(jar) as archive:
            pages = [name for name in archive.namelist() if name.startswith(_BROWSER_PAGES)]
            archive.extractall(folder, pages)


def read_library(folder: Path) -> Library:
    """Read from its jars what a Neo4j is started with.

    Raises:
        LocalNeo4jError: the folder holds no whole Neo4j.
    """
    for jar in sorted(folder.glob("neo4j-[0-9]*.jar")):
        try:
            with zipfile.ZipFile(jar) as archive:
                return _read_server_jar(folder, archive)
        except (KeyError, zipfile.BadZipFile):
            continue
    raise LocalNeo4jError(
        f"no jar in {folder} names Neo4j's main class: remove that folder, the next "
        "`recsvc db up` brings it anew"
    )


def _read_server_jar(folder: Path, archive: zipfile.ZipFile) -> Library:
    main_class = archive.read(_MAIN_CLASS_FILE).decode().strip()
    class_file = archive.read(f"{main_class.replace('.', '/')}.class")
    manifest = archive.read("META-INF/MANIFEST.MF").decode()
    version = re.search(r"^Implementation-Version: (\S+)", manifest, re.MULTILINE)
    return Library(
        folder=folder,
        main_class=main_class,
        version=version[1] if version else "unknown",
        java_major=int.from_bytes(class_file[_CLASS_FORMAT], "big") - _FORMAT_OF_JAVA_0,
    )
