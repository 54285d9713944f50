"""Files as tables: a folder of them, a single one, or all that a pattern matches."""

import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os.path import commonpath
from pathlib import Path

import polars as pl

from loaders.errors import TableError
from loaders.tables._files import (
    DataFile,
    data_file,
    file_option,
    find_among,
    find_in_folder,
    known_format,
    missing,
    not_used,
)
from loaders.tables._mapping import SAME_NAMES, TableMapping
from loaders.tables._spec import INTERACTIONS, TABLES, Reject, Tables, TableSpec
from loaders.tables._table import Table

_NAMED = (
    f"expected files named after {', '.join(spec.name for spec in TABLES)}, "
    "or a mapping that says which is which"
)


class FileTables:
    """Tables that are files.

    Every header is checked when it is made, before any row is read.

    Args:
        files: the files of each table, in the order in which they count.
        base: the folder that the names of files are shown relative to.
        mapping: other names of columns.
        warnings: what is there and not used.

    Raises:
        TableError: a column is missing, comes twice, or cannot become a property.
    """

    def __init__(
        self,
        files: Mapping[TableSpec, Sequence[DataFile]],
        base: Path,
        mapping: TableMapping,
        warnings: Sequence[str] = (),
    ) -> None:
        self._tables: dict[TableSpec, Table] = {}
        uses = Counter(file.path for held in files.values() for file in held)
        shared = [path for path, tables in uses.items() if tables > 1]
        for spec in TABLES:
            if spec in files:
                opened = [
                    file.opened(file.path.relative_to(base).as_posix(), mapping.expected(spec))
                    for file in files[spec]
                ]
                self._tables[spec] = Table(spec, opened, mapping, shared)
        columns = [warning for table in self._tables.values() for warning in table.warnings]
        of_shared = [_unused(path, path.relative_to(base), files, self._tables) for path in shared]
        self._warnings = (*columns, *filter(None, of_shared), *warnings)

    @property
    def specs(self) -> Sequence[TableSpec]:
        """See `Tables.specs`."""
        return tuple(self._tables)

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tables.warnings`: files and columns that are not used."""
        return self._warnings

    def row_count(self, spec: TableSpec) -> int | None:
        """See `Tables.row_count`."""
        return self._tables[spec].row_count() if spec in self._tables else None

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """See `Tables.batches`."""
        if spec in self._tables:
            yield from self._tables[spec].batches(reject)


def _unused(
    path: Path,
    name: Path,
    files: Mapping[TableSpec, Sequence[DataFile]],
    tables: Mapping[TableSpec, Table],
) -> str:
    """A sentence on the columns that none of the tables uses that a file serves."""
    serves = [spec for spec, held in files.items() if path in {file.path for file in held}]
    unused = frozenset[str].intersection(*(tables[spec].unused(path) for spec in serves))
    if not unused:
        return ""
    columns = ", ".join(map(repr, sorted(unused)))
    one, *_ = [spec.name for spec in serves if spec.properties] or [serves[0].name]
    return (
        f"{name.as_posix()} serves {' and '.join(spec.name for spec in serves)}, so these columns "
        f"are not used: {columns}: say whose property one is with --only {one}.COLUMN"
    )


class FolderTables(FileTables):
    """The tables in a folder: `interactions.csv` or `interactions.parquet`, and so on.

    Raises:
        TableError: the folder, its `interactions` or a table that is mapped is missing, a table is
            there in several forms, a required column is missing, or a column cannot become a
            property.
    """

    def __init__(
        self,
        folder: Path,
        mapping: TableMapping = SAME_NAMES,
        needed: Sequence[TableSpec] = (INTERACTIONS,),
    ) -> None:
        if not folder.is_dir():
            raise TableError(f"{folder} is not a folder: expected one that holds the tables")
        in_folder = find_in_folder(folder, mapping)
        for spec in (*mapping.tables, *needed):
            if spec not in in_folder.tables:
                raise TableError(missing(folder, list(folder.iterdir()), spec, mapping))
        if not in_folder.tables:
            raise TableError(f"{folder} holds no table: {_NAMED}")
        unused = tuple(not_used(in_folder.unused, folder, mapping))
        super().__init__(in_folder.tables, folder, mapping, unused)


def open_tables(
    source: str,
    mapping: TableMapping = SAME_NAMES,
    needed: Sequence[TableSpec] = (INTERACTIONS,),
) -> Tables:
    """The tables that a folder, a file, or the folders and files of a pattern hold.

    Args:
        source: a path, or a pattern with `*`, `?`, `[…]` or `**`. A single file that is named
            after no table holds interactions. Of several folders, each table is all its files.
        mapping: other names of files and columns.
        needed: the tables that a folder has to hold.

    Raises:
        TableError: there is nothing, or as `FolderTables`; files need not include interactions.
    """
    path = Path(source)
    if path.is_dir():
        return FolderTables(path, mapping, needed)
    if path.is_file():
        return _single_file(path, mapping)
    matches = glob.glob(source, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute one
    paths = sorted(Path(match) for match in matches)
    if not paths:
        what = "matches nothing" if glob.has_magic(source) else "is neither a file nor a folder"
        raise TableError(f"{source} {what}: expected a folder of tables, or a file of one")
    return _several(source, paths, mapping)


def _single_file(path: Path, mapping: TableMapping) -> Tables:
    file = known_format(path)
    tables = find_among([file], mapping).tables or {INTERACTIONS: [file]}
    for spec in mapping.tables:
        if spec not in tables:
            raise TableError(missing(path.parent, [path], spec, mapping))
    return FileTables(tables, path.parent, mapping)


def _several(source: str, paths: Sequence[Path], mapping: TableMapping) -> Tables:
    files = [file for path in paths if path.is_file() and (file := data_file(path))]
    groups = [find_in_folder(path, mapping) for path in paths if path.is_dir()]
    groups.append(find_among(files, mapping))
    tables: dict[TableSpec, dict[Path, DataFile]] = {}
    for group in groups:
        for spec, held in group.tables.items():
            # A pattern like ** matches folders and what is in them.
            tables.setdefault(spec, {}).update({file.path: file for file in held})
    base = Path(commonpath([path.parent for path in paths]))
    for spec in mapping.tables:
        if spec not in tables:
            raise TableError(missing(base, paths, spec, mapping))
    if not tables:
        first = f", such as {file_option(INTERACTIONS, files[0].stem)}" if files else ""
        raise TableError(f"{source} matches no table: {_NAMED}{first}")
    used = {path for held in tables.values() for path in held}
    unused = sorted({path for group in groups for path in group.unused} - used)
    return FileTables(
        {spec: list(held.values()) for spec, held in tables.items()},
        base,
        mapping,
        tuple(not_used(unused, base, mapping)),
    )
