"""Named public data sets, each as `loaders.tables.Tables`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from loaders.datasets.lastfm import LastfmTables
from loaders.errors import TableError
from loaders.tables import FolderTables, Tables

DATASETS: Mapping[str, Callable[[Path | None], Tables]] = {"lastfm": LastfmTables}
"""Data sets by name; each takes the folder with its files, or None for where it is by default."""


def open_source(source: str, files: Path | None = None) -> Tables:
    """The tables that `recsvc ingest SOURCE` names.

    Args:
        source: a named data set, or a folder of tables (`./lastfm` for a folder of that name).
        files: the folder with the files of a named data set; None for where they are by default.

    Raises:
        TableError: there is no such data set or folder, or it cannot be read.
    """
    if source in DATASETS:
        return DATASETS[source](files)
    if files is not None:
        raise TableError(
            f"{source!r} is not a named data set, which alone has files elsewhere: "
            f"expected one of {', '.join(DATASETS)}"
        )
    if not Path(source).is_dir():
        raise TableError(
            f"{source!r} is neither a folder of tables nor a named data set: "
            f"expected a folder, or one of {', '.join(DATASETS)}"
        )
    return FolderTables(Path(source))
