"""An empty Neo4j for one piece of work, removed with everything in it afterwards."""

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from loaders.files import held_folder
from loaders.local_neo4j._local import LocalNeo4j
from loaders.local_neo4j._options import LocalNeo4jOptions, free_ports
from loaders.local_neo4j._versions import DEFAULT_LINE


@contextmanager
def scratch_server(
    home: Path,
    progress: Callable[[str], None] = lambda _message: None,
    *,
    heap_megabytes: int = 1024,
    version: str = DEFAULT_LINE,
) -> Generator[LocalNeo4j]:
    """Start an empty Neo4j on free ports, and stop and remove it when the block ends.

    Args:
        home: the folder of a local Neo4j; its installed jars are used, and kept there for
            the next time where it has none.
        progress: told what is done.
        heap_megabytes: Java heap, in MiB.
        version: line of Neo4j.

    Raises:
        LocalNeo4jError: it cannot be started.
    """
    home = home.expanduser().absolute()
    with held_folder(home / "scratch", "neo4j-", _remove) as scratch:
        folder = home / "neo4j"
        (scratch / "neo4j").mkdir()
        for jars in folder.glob("lib-*"):
            (scratch / "neo4j" / jars.name).symlink_to(jars)
        bolt_port, http_port = free_ports(2)
        server = LocalNeo4j(
            LocalNeo4jOptions(
                scratch,
                bolt_port,
                http_port,
                heap_megabytes=heap_megabytes,
                page_cache_megabytes=256,
                version=version,
            )
        )
        try:
            server.up(progress)
            keep_jars(scratch / "neo4j", folder)
            yield server
        finally:
            server.down()


def _remove(scratch: Path) -> None:
    """Stop the server of a process that was killed, and remove what it left."""
    LocalNeo4j(LocalNeo4jOptions(scratch)).down()
    shutil.rmtree(scratch)


def keep_jars(installed: Path, kept: Path) -> None:
    """Copy jars that were installed just now; the folder appears whole or not at all."""
    for jars in installed.glob("lib-*"):
        if jars.is_symlink() or (kept / jars.name).exists():
            continue
        kept.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix="partial-lib-", dir=kept))
        try:
            shutil.copytree(jars, partial, dirs_exist_ok=True)
            partial.rename(kept / jars.name)
        except OSError:
            if not (kept / jars.name).is_dir():  # else another process was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
