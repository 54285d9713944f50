"""Which files hold which table.

A table NAME is one file NAME.csv, or many: files NAME-1.csv, NAME_2024-01.csv, NAME.part-3.csv
(after the name one of `-`, `_`, `.`, then a digit, `part` may stand before it), or any files in a
folder NAME. All are of one format.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import TableError
from loaders.tables._csv import CsvTable
from loaders.tables._json import FROM_AN_ARRAY, JsonTable
from loaders.tables._mapping import TableMapping
from loaders.tables._parquet import ParquetTable
from loaders.tables._raw import Expected, TableFile
from loaders.tables._spec import INTERACTIONS, TABLES, TableSpec
from loaders.tables._text import COMPRESSIONS, zipped_name

_TEXT_FORMATS = {".csv": CsvTable, ".tsv": CsvTable, ".jsonl": JsonTable, ".ndjson": JsonTable}
_PART = re.compile(r"[-_.](?:part[-_.]?)?\d.*")
_FORMATS = "CSV (.csv, .tsv), JSON Lines (.jsonl, .ndjson) or Parquet (.parquet)"
_ONE = "expected one of them"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file whose name says that it can hold a table.

    Attributes:
        path: where it is.
        stem: its name without suffixes of format and compression.
        suffix: that of its format.
    """

    path: Path
    stem: str
    suffix: str

    @property
    def format(self) -> type[TableFile]:
        """What reads it."""
        return _TEXT_FORMATS.get(self.suffix, ParquetTable)

    def opened(self, name: str, expected: Expected) -> TableFile:
        """The file as something to read.

        Args:
            name: how rejected rows name it.
            expected: the columns that the table may have.
        """
        if self.suffix in _TEXT_FORMATS:
            return _TEXT_FORMATS[self.suffix](self.path, name, expected)
        return ParquetTable(self.path, name)


def data_file(path: Path) -> DataFile | None:
    """What the name of a file says of it; None where it is of none of the formats."""
    name = path.name
    if path.suffix.lower() in COMPRESSIONS:
        name = path.stem
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    zipped = path.suffix.lower() == ".zip"
    if zipped and suffix not in _TEXT_FORMATS:  # such as orders.zip of orders.csv
        stem, suffix = name, Path(zipped_name(path) or "").suffix.lower()
    if suffix in _TEXT_FORMATS or (suffix == ".parquet" and name == path.name):
        return DataFile(path, stem, suffix)
    return None


def known_format(path: Path) -> DataFile:
    """The same of a file that has to be a table.

    Raises:
        TableError: it is of none of the formats.
    """
    file = data_file(path)
    if file is None:
        raise TableError(
            f"{path} is not {_FORMATS} by its name, where text may also be compressed "
            f"({', '.join(COMPRESSIONS)}): give it the name of what it is"
        )
    return file


def holds(stem: str, table: str) -> bool:
    """Whether a file of this stem is the table of this name or a part of it, in any case."""
    stem, table = stem.casefold(), table.casefold()
    return stem == table or bool(
        stem.startswith(table) and _PART.fullmatch(stem.removeprefix(table))
    )


@dataclass(frozen=True, slots=True)
class Found:
    """The files of each table that is there, and what is not used."""

    tables: dict[TableSpec, list[DataFile]]
    unused: list[Path]


def find_in_folder(folder: Path, mapping: TableMapping) -> Found:
    """The tables in a folder.

    Raises:
        TableError: a table is there in several forms, or half written.
    """
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    files = [file for path in paths if path.is_file() and (file := data_file(path))]
    in_folder = find_among(files, mapping)
    for spec in TABLES:
        inside = _folder_of_parts(folder / mapping.file_name(spec))
        if inside and spec in in_folder.tables:
            here = in_folder.tables[spec][0].path.name
            raise TableError(f"{folder} holds {here} and {inside[0].path.parent.name}/: {_ONE}")
        if inside:
            _refuse_several_forms(inside)
            in_folder.tables[spec] = inside
    return in_folder


def find_among(files: Sequence[DataFile], mapping: TableMapping) -> Found:
    """The tables that files hold, by their names.

    Raises:
        TableError: a table is there in several forms.
    """
    tables = {
        spec: held
        for spec in TABLES
        if (held := [file for file in files if holds(file.stem, mapping.file_name(spec))])
    }
    for held in tables.values():
        for folder in {file.path.parent for file in held}:
            _refuse_several_forms([file for file in held if file.path.parent == folder])
    used = {file.path for held in tables.values() for file in held}
    return Found(tables, [file.path for file in files if file.path not in used])


def not_used(paths: Sequence[Path], base: Path, mapping: TableMapping) -> Iterator[str]:
    """A sentence for each file that could hold a table and is of none."""
    names = [mapping.file_name(spec) for spec in TABLES]
    for path in paths:
        shown = path.relative_to(base).as_posix()
        near = [name for name in names if re.match(rf"{re.escape(name)}[-_.]", path.name)]
        hint = f"; parts of {near[0]} are numbered, like {near[0]}-1.csv" if near else ""
        yield f"{shown} is not used: there is no table of that name{hint}"


def missing(where: Path, found: Sequence[Path], spec: TableSpec, mapping: TableMapping) -> str:
    """What to say of a table that has to be there and is not."""
    names = ", ".join(sorted(path.name for path in found)[:20]) or "nothing"
    name = mapping.file_name(spec)
    expected = f"{name}.csv or {name}.parquet" if spec is INTERACTIONS else f"{name}.csv"
    if any(path.name == f"{name}.json" for path in found):
        expected += f", or {name}.jsonl with one JSON object in each line ({FROM_AN_ARRAY})"
    files = [file for path in sorted(found) if path.is_file() and (file := data_file(path))]
    free = [file.stem for file in files if not any(holds(file.stem, t.name) for t in TABLES)]
    way = f": {file_option(spec, free[0])} says that it is {free[0]!r}" if free else ""
    return f"{where} holds {names}: expected {expected}{way}"


def file_option(spec: TableSpec, stem: str) -> str:
    """What says on the command line which file a table is."""
    return f"--map {shlex.quote(f'{spec.name}={stem}')}"


def _folder_of_parts(folder: Path) -> list[DataFile]:
    """The files in a folder that is a table; hidden ones are of those who wrote the others.

    Raises:
        TableError: Spark has not written it to its end.
    """
    if not folder.is_dir():
        return []
    if (folder / "_temporary").is_dir():
        raise TableError(
            f"{folder} is half written, since Spark's _temporary is in it: let what writes it end, "
            "or run it again"
        )
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]
    return [file for path in paths if path.is_file() and (file := data_file(path))]


def _refuse_several_forms(files: Sequence[DataFile]) -> None:
    """Refuse files of one folder that could hold the same rows twice."""
    first, folder = files[0], files[0].path.parent
    for other in files[1:]:
        same = [file for file in files if file.stem.casefold() == other.stem.casefold()]
        if len(same) > 1:
            names = " and ".join(file.path.name for file in same)
            raise TableError(f"{folder} holds {names}: {_ONE}")
        if other.format is not first.format:
            raise TableError(
                f"{folder} holds {first.path.name} and {other.path.name}: expected one format"
            )
