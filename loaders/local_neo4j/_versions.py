"""The lines of Neo4j that can be run, and which of them can read what another one wrote."""

import re
from pathlib import Path
from xml.etree import ElementTree

from loaders.errors import LocalNeo4jError
from loaders.shared_files import shared_path

DEFAULT_LINE = "5.26"
_DATA_VERSION = "data-version"


def pom_path() -> Path:
    """The file that names the lines, each as a profile, and their versions."""
    return shared_path("deploy/neo4j") / "pom.xml"


def neo4j_versions() -> dict[str, str]:
    """The version of each line that can be run, the oldest line first."""
    profiles = ElementTree.parse(pom_path()).getroot().iterfind("profiles/profile")
    return {
        profile.findtext("id", ""): profile.findtext("properties/neo4j.version", "")
        for profile in profiles
    }


def neo4j_version(line: str) -> str:
    """The version of one line.

    Raises:
        LocalNeo4jError: there is no such line.
    """
    versions = neo4j_versions()
    if line not in versions:
        raise LocalNeo4jError(
            f"{line!r} is no line of Neo4j that can be run here: expected "
            f"{' or '.join(versions)} in RECSVC_NEO4J_VERSION"
        )
    return versions[line]


def check_data_version(folder: Path, version: str) -> None:
    """Make sure that a version can read the data in the server's folder.

    Raises:
        LocalNeo4jError: a later line wrote it.
    """
    written_by = _data_version(folder)
    if written_by and is_later_line(written_by, version):
        line = next((name for name in neo4j_versions() if written_by.startswith(name)), None)
        able = f"set RECSVC_NEO4J_VERSION={line}" if line else "use a recsvc that runs that one"
        raise LocalNeo4jError(
            f"the data in {folder / 'data'} was written by Neo4j {written_by}, and Neo4j {version} "
            f"cannot read it: {able}, or remove that folder to start afresh"
        )


def is_later_line(written_by: str, version: str) -> bool:
    """Whether data of one version are of a later line than another version can read."""
    return _line(written_by) > _line(version)


def write_data_version(folder: Path, version: str) -> None:
    """Remember which version wrote the data in the server's folder last."""
    (folder / _DATA_VERSION).write_text(f"{version}\n", encoding="utf-8")


def _data_version(folder: Path) -> str | None:
    """The version that wrote the data last; None where there is no data, or nothing is known."""
    if not (folder / "data" / "databases").is_dir():
        return None
    try:
        text = (folder / _DATA_VERSION).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    version = re.match(r"\d+\.\d+[\w.-]*", text)
    return version[0] if version else None


def _line(version: str) -> list[int]:
    """5.26.31 → [5, 26]."""
    return [int(number) for number in re.findall(r"\d+", version)[:2]]
