"""`bulk_ingest`: read, import, finish."""

import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from loaders.catalogue import catalogue
from loaders.errors import LocalNeo4jError
from loaders.files import file_lock
from loaders.gateway import Neo4jGateway
from loaders.ingest import IngestReport, Progress
from loaders.ingest.bulk._files import ImportFiles
from loaders.ingest.bulk._late import LateProperties
from loaders.ingest.bulk._staging import Staging
from loaders.local_neo4j import LocalNeo4j
from loaders.schema import apply_schema
from loaders.tables import Rejects, Tables, refuse_rejected

_MEBIBYTE = 1024**2
# Files of 780 MB became a database of 1.8 GB and 0.2 GB of other files.
_DATABASE_PER_FILE_BYTE = 3


def bulk_ingest(
    local: LocalNeo4j,
    source: Tables,
    *,
    rejects: Path,
    strict: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> IngestReport:
    """Load every table of `source` into the empty graph of the local Neo4j.

    Until all is done the graph counts as half loaded: whatever cuts this off, no command serves it,
    and the same call again loads it from the start.

    Args:
        local: the local Neo4j; it is stopped for the import and runs afterwards.
        source: a data set.
        rejects: where rejected rows are written, if there are any.
        strict: read everything first and load nothing if a row would be rejected.
        progress: told what is done.

    Returns:
        What became of each table; its time is that of reading it.

    Raises:
        RejectedRowsError: `strict`, and a row is bad.
        TableError: a table cannot be read, or there is no room for what is made of it.
        LocalNeo4jError: the graph is not empty, there is no room for it, or Neo4j cannot be
            stopped, started or brought to import the files.
        Neo4jError: the graph cannot be written.
    """
    started = time.perf_counter()

    def say(message: str) -> None:
        progress(message, 0, None)

    with _files_folder(local) as folder:
        _refuse_filled(local, say)
        with Rejects(rejects) as log, ImportFiles(folder) as files:
            if strict:
                refuse_rejected(source, log)
            late = LateProperties(folder)
            staging = Staging(source, files, late, log, progress)
            tables = staging.run()
        _refuse_full_disk(folder, files.bytes)
        _refuse_filled(local, say)
        with (
            local.loading(folder, ("import", "full", *files.options()), say) as address,
            Neo4jGateway(address) as gateway,
        ):
            say("making indexes")
            apply_schema(gateway)
            late.apply(gateway)
    return IngestReport(
        tables=tables,
        kinds=staging.kinds,
        warnings=(*source.warnings, *staging.warnings),
        reasons=log.reasons(),
        example={},
        rejects=rejects if log.total else None,
        seconds=time.perf_counter() - started,
    )


def forget_files(folder: Path) -> None:
    """Remove what a bulk load left that was killed.

    Args:
        folder: of the local Neo4j.

    Raises:
        OSError: it cannot be removed.
    """
    if not (folder / "import").is_dir():
        return
    with file_lock(folder / "import.lock", wait=False) as free:
        if free:
            shutil.rmtree(folder / "import")


@contextmanager
def _files_folder(local: LocalNeo4j) -> Generator[Path]:
    """An empty folder for the files, removed afterwards; only one command at a time has it."""
    folder = local.folder / "import"
    local.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(local.folder / "import.lock", wait=False) as free:
        if not free:
            raise LocalNeo4jError(
                f"another `recsvc ingest --bulk` is loading the graph in {local.folder}: wait for "
                "it to end, or end it"
            )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_filled(local: LocalNeo4j, say: Callable[[str], None]) -> None:
    """Make sure that nothing would be lost; what an import left half done is nothing."""
    if local.half_loaded or not local.has_data:
        return
    with Neo4jGateway(local.up(say)) as gateway:
        (counts,) = gateway.run(catalogue()["bulk/counts"])
    if counts["nodes"]:
        raise LocalNeo4jError(
            f"the graph in {local.folder} holds {counts['nodes']:,} nodes and "
            f"{counts['relationships']:,} relationships, and --bulk loads an empty one only: leave "
            "out --bulk, which merges the tables into what is there"
        )


def _refuse_full_disk(folder: Path, file_bytes: int) -> None:
    needed = _DATABASE_PER_FILE_BYTE * file_bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LocalNeo4jError(
            f"{folder} has {free // _MEBIBYTE:,} MiB free, the import needs about "
            f"{needed // _MEBIBYTE:,} MiB: make room, or move everything with RECSVC_HOME"
        )
