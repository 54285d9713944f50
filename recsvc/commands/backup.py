"""A backup of the local graph, with keys and settings, and putting it back."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from loaders.catalogue import Query, catalogue
from loaders.errors import LocalNeo4jError
from loaders.files import held_folder, write_bytes
from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import (
    LocalNeo4j,
    dump_file,
    dump_graph,
    is_later_line,
    loading_graph,
    neo4j_version,
)
from recsvc.commands import console
from recsvc.commands._shared import AsJson, print_document
from recsvc.commands.connecting import local_neo4j, neo4j_address, open_write_counters
from recsvc.errors import BackupError, RefreshRunningError
from recsvc.settings import SETTINGS_FILE, Settings, load_settings

_MANIFEST: Final = "backup.json"
_FORMAT: Final = 1
_OF_HOME: Final = ("keys.json", "keys.json.made", "recommendation_ids")
"""What a service keeps in RECSVC_HOME and cannot make again."""
_NODES: Final = Query(
    name="admin/nodes",
    title="Whether there is anything in the graph.",
    mode="read",
    params={},
    returns={"node": "str"},
    text="MATCH (n) RETURN elementId(n) AS node LIMIT 1",
)

Folder = Annotated[Path, typer.Argument(help="The folder of the backup.")]


class Manifest(BaseModel):
    """What is in a backup.

    Attributes:
        format: of the backup.
        made_at: when it was made.
        neo4j: the version of Neo4j that wrote the graph.
        files: SHA-256 of each file, by its name.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    made_at: datetime
    neo4j: str
    files: dict[str, str]


def backup(folder: Folder, as_json: AsJson = False) -> None:
    """Write the local graph, keys and settings into a new folder.

    Neo4j is stopped while it is dumped, and started again.
    """
    settings = load_settings()
    local = _local(settings)
    if os.path.lexists(folder):  # a link to nothing too
        raise _taken(folder)
    _refuse_refresh(settings, local)
    parent = folder.absolute().parent
    with held_folder(parent, ".recsvc-backup-") as part:
        away = dump_graph(local, part, console.say)
        for name in _OF_HOME:
            _copy_if_there(settings.home / name, part / name)
        _copy_if_there(Path(SETTINGS_FILE), part / SETTINGS_FILE)
        files = {path.name: _sha256(path) for path in sorted(part.iterdir())}
        version = (local.folder / "data-version").read_text(encoding="utf-8").strip()
        manifest = Manifest(format=_FORMAT, made_at=datetime.now(UTC), neo4j=version, files=files)
        (part / _MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        try:
            part.rename(folder)
        except OSError as error:  # made meanwhile, maybe by another backup
            raise _taken(folder) if os.path.lexists(folder) else error from None
        part.mkdir()  # for the context manager to remove
    size = sum((folder / name).stat().st_size for name in files)
    document = {"folder": str(folder), "away_seconds": round(away, 1), "bytes": size}
    print_document(document | {"files": [*files]}, "backup", as_json=as_json)


def restore(
    folder: Folder,
    force: Annotated[
        bool, typer.Option("--force", help="Put it in the place of the graph that is here.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup back: the graph, keys and settings, each as its SHA-256 says.

    Settings that are here stay.
    """
    settings = load_settings()
    local, manifest = _local(settings), _checked(folder)
    kept_here = [name for name in _OF_HOME if name in manifest.files]
    others = [name for name in kept_here if _differs(settings.home / name, folder / name)]
    if others and not force:
        raise BackupError(
            f"{settings.home / others[0]} is another one than the backup's: --force puts the "
            "backup's in its place"
        )
    here = neo4j_version(settings.neo4j_version)
    if is_later_line(manifest.neo4j, here):
        raise BackupError(
            f"the backup is of Neo4j {manifest.neo4j}, which {here} cannot read: set "
            "RECSVC_NEO4J_VERSION to that line"
        )
    _refuse_loss(settings, local, force=force)
    write_counters = open_write_counters(settings)
    try:
        with loading_graph(local, folder.absolute(), console.say):
            kept = _put_files(settings.home, folder, manifest)
    finally:  # no service on this machine keeps what it answered before
        write_counters.note_write(anybody=True)
        write_counters.close()
    document = {"folder": str(folder), "made_at": manifest.made_at.isoformat()}
    print_document(document | {"settings_kept": kept}, "restored", as_json=as_json)


def _put_files(home: Path, folder: Path, manifest: Manifest) -> bool:
    """Put the files beside the graph back; returns whether other settings stay."""
    _say_of_services(home, folder)
    for name in _OF_HOME:
        _copy_if_there(folder / name, home / name)
    kept = SETTINGS_FILE in manifest.files and _differs(Path(SETTINGS_FILE), folder / SETTINGS_FILE)
    if kept:
        console.say(f"{SETTINGS_FILE} here is another one and stays; the backup's is in {folder}")
    else:
        _copy_if_there(folder / SETTINGS_FILE, Path(SETTINGS_FILE))
    return kept


def _taken(folder: Path) -> BackupError:
    return BackupError(f"{folder} is there already: name a folder that is not")


def _local(settings: Settings) -> LocalNeo4j:
    if settings.neo4j_uri is not None:
        raise LocalNeo4jError(
            f"RECSVC_NEO4J_URI is set ({settings.neo4j_uri}), and only the Neo4j on this machine "
            "can be dumped: docs/backup.md says how to back up yours"
        )
    return local_neo4j(settings)


def _refuse_refresh(settings: Settings, local: LocalNeo4j) -> None:
    """See that no refresh is at work, which would fail when Neo4j stops."""
    if not local.status().running:
        return
    with Neo4jGateway(neo4j_address(settings)) as gateway:
        if holders := gateway.run(catalogue()["lease/holder"]):
            raise RefreshRunningError(
                f"a refresh is running ({holders[0]['holder']}), and Neo4j has to stop for a "
                "moment: wait for its end"
            )


def _refuse_loss(settings: Settings, local: LocalNeo4j, *, force: bool) -> None:
    """See that nobody works on the graph that is here, and that it may be lost.

    What was half loaded is nothing that anybody could lose.
    """
    if local.half_loaded:
        return
    local.up(console.say)
    _refuse_refresh(settings, local)
    with Neo4jGateway(local.address()) as gateway:
        if not force and gateway.run(_NODES):
            raise BackupError(
                f"there is a graph in {local.folder}: --force puts the backup in its place"
            )


def _say_of_services(home: Path, folder: Path) -> None:
    """What a service that runs cannot know by itself."""
    secret = "recommendation_ids"
    if (folder / secret).exists() and _differs(home / secret, folder / secret):
        console.say(
            "a service that runs signs recommendation_ids with the secret that was here: start it "
            "again, so that it knows those of the backup"
        )


def _checked(folder: Path) -> Manifest:
    """What is in a backup, each file of which is as it was written."""
    try:
        manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup: it has no {_MANIFEST}") from None
    except ValidationError:
        raise BackupError(f"{folder / _MANIFEST} is not what `recsvc backup` wrote") from None
    names = {*_OF_HOME, SETTINGS_FILE, dump_file(folder).name}
    if manifest.format != _FORMAT or not manifest.files.keys() <= names:
        raise BackupError(
            f"{folder} is a backup of another form: restore it with the recsvc that wrote it"
        )
    for name, sha256 in ({dump_file(folder).name: ""} | manifest.files).items():
        path = folder / name
        if not path.is_file():
            raise BackupError(f"{path} is missing: the backup is not whole")
        if _sha256(path) != sha256:
            raise BackupError(f"{path} is not what was written: take another backup")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _differs(here: Path, there: Path) -> bool:
    """Whether a file is here already and is another one than the backup's."""
    return here.exists() and here.read_bytes() != there.read_bytes()


def _copy_if_there(source: Path, target: Path) -> None:
    """Copy a small file; who reads the target meanwhile finds one of both, whole."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, source.read_bytes())
