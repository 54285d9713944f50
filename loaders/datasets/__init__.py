"""Named public data sets, each as `loaders.tables.Tables`."""

import glob
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loaders.datasets._download import DataSet, Progress, Publication, download
from loaders.datasets.lastfm import LastfmTables
from loaders.errors import TableError
from loaders.tables import (
    INTERACTIONS,
    SAME_NAMES,
    TableMapping,
    Tables,
    TableSpec,
    open_tables,
)

_data_sets: dict[str, DataSet] = {}
for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    if not _module.name.rpartition(".")[2].startswith("_"):
        _data_sets |= importlib.import_module(_module.name).DATA_SETS

DATASETS: Mapping[str, Callable[[Path], Tables]] = {n: d.read for n, d in _data_sets.items()}
"""What reads a data set from the folder with its files, by its name. Each public module here says
in `DATA_SETS` which it reads."""
PUBLICATIONS: Mapping[str, Publication] = {n: d.publication for n, d in _data_sets.items()}
"""Where a data set is published, by its name."""


def open_source(
    source: str,
    files: Path | None = None,
    *,
    download_to: Path | None = None,
    mapping: TableMapping = SAME_NAMES,
    needed: Sequence[TableSpec] = (INTERACTIONS,),
    progress: Progress = lambda _what, _done, _total: None,
) -> Tables:
    """The tables that `recsvc ingest SOURCE` names.

    Args:
        source: a named data set, or the tables that `open_tables` opens (`./lastfm` for a folder
            of that name).
        files: the folder with the files of a named data set.
        download_to: the folder to fetch a named data set's files into, from where it is
            published; None to fetch nothing.
        mapping: other names of files and columns.
        needed: the tables that a folder of them has to hold.
        progress: told how far a download is, in bytes.

    Raises:
        TableError: there is no such data set, folder or file, it cannot be read or fetched, or an
            argument does not go with it.
    """
    if source in DATASETS:
        if mapping != SAME_NAMES:
            raise TableError(
                f"{source} is a named data set, whose columns are known: leave out what says how "
                f"to read files, or write ./{source} for a folder of that name"
            )
        return _open_named(source, files, download_to, progress)
    if files is not None or download_to is not None:
        raise TableError(
            f"{source!r} is not a named data set, which alone has files elsewhere: "
            f"expected one of {', '.join(DATASETS)}"
        )
    if not glob.has_magic(source) and not Path(source).exists():
        raise TableError(
            f"{source!r} is neither a folder of tables nor a named data set: "
            f"expected a folder, or one of {', '.join(DATASETS)}"
        )
    return open_tables(source, mapping, needed)


def _open_named(
    name: str, files: Path | None, download_to: Path | None, progress: Progress
) -> Tables:
    if download_to is not None:
        if files is not None:
            raise TableError(f"{name}: expected either --from {files} or --download, not both")
        download(name, PUBLICATIONS[name], download_to, progress)
        return DATASETS[name](download_to)
    if files is not None:
        return DATASETS[name](files)
    if name == "lastfm":
        return LastfmTables()
    raise TableError(
        f"the files of {name} are not part of this project: fetch them from "
        f"{PUBLICATIONS[name].page} and name their folder (--from DIR), or have them fetched "
        "(--download)"
    )
