"""A copy of a local Neo4j's graph in another one, by a dump."""

import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from loaders.catalogue import Query
from loaders.errors import LocalNeo4jError, Neo4jAuthError
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j._command import Progress
from loaders.local_neo4j._local import LocalNeo4j
from loaders.local_neo4j._options import check_disk

_DATABASE = "neo4j"
_LOAD = ("load", _DATABASE, "--from-path=.", "--overwrite-destination=true")
_DUMP = "dump-"
_MEBIBYTE = 1024**2
_USERS = Query(
    name="admin/users",
    title="Who may log in.",
    mode="autocommit",
    params={},
    returns={"user": "str"},
    text="SHOW USERS YIELD user",
)


@dataclass(frozen=True, slots=True)
class GraphCopy:
    """What a copy took.

    Attributes:
        away_seconds: how long the first server did not answer; 0 where it did not run.
        load_seconds: how long loading took.
        dump_bytes: size of the dump, which is removed again.
        store_bytes: size of the copy.
    """

    away_seconds: float
    load_seconds: float
    dump_bytes: int
    store_bytes: int


def copy_graph(
    source: LocalNeo4j, target: LocalNeo4j, progress: Progress = lambda _message: None
) -> GraphCopy:
    """Make `target` anew, with the graph of `source`.

    Community Edition dumps a database only while its server is stopped: `source` is away for
    that time. Users and passwords are not copied, and those that `target` had are gone: it takes
    the password that is kept for it.

    Raises:
        ValueError: `target` is no copy.
        LocalNeo4jError: there is nothing to copy, no room for it, or a step failed; `source` runs
            again if it did.
    """
    _require_copy(target)
    home = target.folder.parent
    target.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_disk(home, 2 * _stored_bytes(source) // _MEBIBYTE + 64)
    _share_jars(source.folder, target.folder)
    for leftover in home.glob(f"{_DUMP}*"):  # of a command that was killed
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=_DUMP, dir=home) as folder:
        away = dump_graph(source, Path(folder), progress)
        start = time.monotonic()
        with target.stopped(progress) as administer:
            progress("loading the copy")
            forget_data(target)
            administer(_LOAD, Path(folder)).require("load the graph")
        size = dump_file(Path(folder)).stat().st_size
    return GraphCopy(away, time.monotonic() - start, size, _stored_bytes(target))


def dump_file(folder: Path) -> Path:
    """The file that `dump_graph` writes."""
    return folder / f"{_DATABASE}.dump"


def dump_graph(
    source: LocalNeo4j, folder: Path, progress: Progress = lambda _message: None
) -> float:
    """Write the graph into a file of a folder.

    Community Edition dumps a database only while its server is stopped.

    Returns:
        For how many seconds the server was away; 0 where it did not run.

    Raises:
        LocalNeo4jError: there is nothing to dump, or a step failed; `source` runs again if it did.
    """
    if not source.has_data:
        raise LocalNeo4jError(
            f"no graph in {source.folder} to copy: start it with `recsvc db up` and load one with "
            "`recsvc ingest`"
        )
    start, running = time.monotonic(), source.status().running
    with source.stopped(progress) as administer:
        progress("dumping the graph")
        administer(("dump", _DATABASE, "--to-path=."), folder).require("dump the graph")
    return time.monotonic() - start if running else 0.0


@contextmanager
def loading_graph(
    target: LocalNeo4j, folder: Path, progress: Progress = lambda _message: None
) -> Generator[None]:
    """Put the graph of a dump in the place of the one that is there, and start the server.

    Its accounts stay. The block is part of the work: where either is cut off, the graph counts as
    half loaded.

    Raises:
        LocalNeo4jError: a step failed; the graph is half loaded then.
    """
    with target.loading(folder, _LOAD, progress):
        yield


def accounts_changed(server: LocalNeo4j) -> bool:
    """Whether somebody gave a running copy another password or more users.

    Community Edition has no roles, and its system database cannot be made read-only: anybody who
    logs in to the copy may do that, and the copy is then made anew.

    Raises:
        Neo4jError: it does not answer.
    """
    address = server.address()
    try:
        with Neo4jGateway(replace(address, database="system")) as gateway:
            users = gateway.run(_USERS)
    except Neo4jAuthError:
        return True
    return [row["user"] for row in users] != [address.user]


def forget_data(server: LocalNeo4j) -> None:
    """Remove the graph and the accounts of a copy that does not run.

    Raises:
        ValueError: it is none.
        LocalNeo4jError: they cannot be removed.
    """
    _require_copy(server)
    data = server.folder / "data"
    try:
        for entry in data.iterdir() if data.is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    except OSError as error:
        raise LocalNeo4jError(
            f"{data}, a copy of the graph, cannot be removed ({error}): remove it by hand"
        ) from error


def _require_copy(server: LocalNeo4j) -> None:
    if not server.read_only:
        raise ValueError(f"the Neo4j in {server.folder} is no copy: its data stay")


def _stored_bytes(server: LocalNeo4j) -> int:
    folder = server.folder / "data" / "databases" / _DATABASE
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _share_jars(source: Path, target: Path) -> None:
    for jars in source.glob("lib-*"):
        if not (target / jars.name).exists():
            (target / jars.name).symlink_to(jars)
