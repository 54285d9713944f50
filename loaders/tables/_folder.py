"""A folder of CSV or Parquet files as tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from loaders.errors import RejectedRowsError, TableError
from loaders.tables._check import checked_batch
from loaders.tables._csv import CsvTable
from loaders.tables._parquet import ParquetTable
from loaders.tables._raw import TableFile
from loaders.tables._spec import (
    BATCH_ROWS,
    DEFAULT_EVENT,
    INTERACTIONS,
    TABLES,
    Reject,
    Rejected,
    TableSpec,
)

_FORMATS = {".csv": CsvTable, ".parquet": ParquetTable}
_LIGHTGCN_SUFFIXES = ("", ".txt")
_RESERVED_PREFIX = "embedding_"


class FolderTables:
    """The tables in a folder: `interactions.csv` or `interactions.parquet`, and so on.

    Every header is checked when it is made, before any row is read.

    Raises:
        TableError: the folder or its `interactions` is missing, a table is there both as CSV and
            as Parquet, a required column is missing, or a column cannot become a property.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TableError(f"{folder} is not a folder: expected one that holds the tables")
        self._folder = folder
        self._warnings: list[str] = []
        self._files = {spec: _find(folder, spec) for spec in TABLES}
        self._columns = {
            spec: _columns_used(file, spec, self._warnings)
            for spec, file in self._files.items()
            if file is not None
        }
        self._warnings += _strangers(folder)

    @property
    def specs(self) -> Sequence[TableSpec]:
        """See `Tables.specs`."""
        return tuple(self._columns)

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tables.warnings`: files and columns that are not used."""
        return tuple(self._warnings)

    def row_count(self, spec: TableSpec) -> int | None:
        """See `Tables.row_count`."""
        file = self._files[spec]
        return file.row_count() if file else None

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """See `Tables.batches`."""
        file = self._files[spec]
        if file is not None:
            yield from _checked_batches(file, self._columns[spec], spec, reject)


def read_interactions(path: Path) -> pl.DataFrame:
    """One table of interactions, whole; an event whose `event_id` comes again counts once.

    Args:
        path: CSV, Parquet, or LightGCN's text form (`user item item …` on each line).

    Returns:
        One row per interaction: user_id, item_id, event, value, timestamp.

    Raises:
        TableError: the file cannot be read, or a required column is missing.
        RejectedRowsError: a row is bad; the message names the first.
    """
    if path.suffix in _LIGHTGCN_SUFFIXES:
        return _read_lightgcn(path)
    if path.suffix not in _FORMATS:
        raise TableError(
            f"{path} is neither .csv nor .parquet, nor LightGCN's text form in .txt: "
            "give it the name of what it is"
        )
    file = _FORMATS[path.suffix](path)
    columns = _columns_used(file, INTERACTIONS, [])
    batches = list(_checked_batches(file, columns, INTERACTIONS, _refuse))
    frame = pl.concat([_no_interactions(), *batches])
    first = pl.col("event_id").is_null() | pl.col("event_id").is_first_distinct()
    return frame.filter(first).drop("event_id")


def _refuse(rejected: Rejected) -> None:
    raise RejectedRowsError(f"{rejected}: correct it, or leave it out")


def _checked_batches(
    file: TableFile, columns: Sequence[str], spec: TableSpec, reject: Reject
) -> Iterator[pl.DataFrame]:
    """The good rows, batch by batch; the others go to `reject`, each batch's in line order."""
    noted: list[Rejected] = []

    def note(rejected: Rejected) -> None:
        noted.append(rejected)
        if len(noted) == BATCH_ROWS:
            pass_on()

    def pass_on() -> None:
        for rejected in sorted(noted, key=lambda each: each.line):
            reject(rejected)
        noted.clear()

    for batch in file.batches(columns, note):
        good = checked_batch(batch, spec, file.path.name, note)
        pass_on()
        yield good
    pass_on()


def _find(folder: Path, spec: TableSpec) -> TableFile | None:
    paths = [folder / f"{spec.name}{suffix}" for suffix in _FORMATS]
    there = [path for path in paths if path.is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise TableError(f"{folder} holds {names}: expected one of them")
    if there:
        return _FORMATS[there[0].suffix](there[0])
    if spec is INTERACTIONS:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "nothing"
        raise TableError(
            f"{folder} holds {found}: expected interactions.csv or interactions.parquet"
        )
    return None


def _strangers(folder: Path) -> list[str]:
    known = {spec.name for spec in TABLES}
    return [
        f"{path.name} is not used: there is no table of that name"
        for path in sorted(folder.iterdir())
        if path.suffix in _FORMATS and path.stem not in known
    ]


def _columns_used(file: TableFile, spec: TableSpec, warnings: list[str]) -> list[str]:
    """The columns to read, in their order; a sentence for each other one goes to `warnings`."""
    name, columns = file.path.name, list(file.columns())
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise TableError(f"{name} has several columns {twice[0]!r}: expected different names")
    if missing := [column for column in spec.required if column not in columns]:
        raise TableError(
            f"{name} has no column {missing[0]!r}: it has {', '.join(map(repr, columns))}, "
            f"expected {', '.join(map(repr, spec.required))} and may have others"
        )
    further = [column for column in columns if column not in spec.names]
    if spec.properties:
        for column in further:
            _check_property_name(name, column)
        return columns
    warnings += [f"{name}: column {column!r} is not used" for column in further]
    return [column for column in columns if column in spec.names]


def _check_property_name(file: str, column: str) -> None:
    if column.startswith(_RESERVED_PREFIX):
        raise TableError(
            f"{file}: column {column!r} cannot become a property: names that begin with "
            f"{_RESERVED_PREFIX!r} are kept for embeddings: rename it"
        )
    if not column or "\0" in column:
        raise TableError(f"{file} has a column named {column!r}: expected a name for a property")


def _no_interactions() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "user_id": pl.String,
            "item_id": pl.String,
            "event": pl.String,
            "value": pl.Float64,
            "timestamp": pl.Datetime("us", "UTC"),
            "event_id": pl.String,
        }
    )


def _read_lightgcn(path: Path) -> pl.DataFrame:
    users: list[str] = []
    items: list[str] = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                user, *liked = line.split() or [""]
                users += [user] * len(liked)
                items += liked
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read: {error}") from error
    if not users:
        raise TableError(f"{path} holds no interaction: expected lines of the form `user item …`")
    pairs = pl.DataFrame({"user_id": users, "item_id": items})
    empty = _no_interactions().drop("event_id")
    return pl.concat([empty, pairs], how="diagonal").with_columns(event=pl.lit(DEFAULT_EVENT))
