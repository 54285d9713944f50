"""One table, which may be many files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from loaders.errors import TableError
from loaders.tables._check import checked_batch, checked_type
from loaders.tables._raw import TableFile
from loaders.tables._spec import BATCH_ROWS, Reject, Rejected, TableSpec

_RESERVED_PREFIX = "embedding_"


class Table:
    """The files of one table, as one.

    Every header is checked when it is made, before any row is read.

    Args:
        spec: the table.
        files: its files, in the order in which they count.
        names: what the files call columns that they name otherwise, by our names.

    Raises:
        TableError: a required or a mapped column is missing, a column name comes twice, a column
            cannot become a property, or is of different types in different files.
    """

    def __init__(
        self, spec: TableSpec, files: Sequence[TableFile], names: Mapping[str, str]
    ) -> None:
        self.warnings: list[str] = []
        self._spec = spec
        self._parts = [_part(spec, file, names, self.warnings) for file in files]
        self._further = _further_types(spec, self._parts)

    def row_count(self) -> int:
        """About how many rows there are.

        Raises:
            TableError: a file cannot be read.
        """
        return sum(part.file.row_count() for part in self._parts)

    def batches(self, reject: Reject) -> Iterator[pl.DataFrame]:
        """The good rows, see `Tables.batches`; those of a batch that are bad, in line order.

        Raises:
            TableError: a file cannot be read.
        """
        further = [pl.col(name).cast(dtype) for name, dtype in self._further.items()]
        for part in self._parts:
            absent = [
                pl.lit(None, dtype).alias(name)
                for name, dtype in self._further.items()
                if name not in part.columns
            ]
            for batch in self._checked(part, reject):
                yield batch.with_columns(absent).select(*self._spec.names, *further)

    def _checked(self, part: "_Part", reject: Reject) -> Iterator[pl.DataFrame]:
        noted: list[Rejected] = []

        def note(rejected: Rejected) -> None:
            noted.append(replace(rejected, table=self._spec.name))
            if len(noted) == BATCH_ROWS:
                pass_on()

        def pass_on() -> None:
            for rejected in sorted(noted, key=lambda each: each.line):
                reject(rejected)
            noted.clear()

        ours = {theirs: name for name, theirs in part.columns.items()}
        for batch in part.file.batches(list(ours), note):
            raw = replace(batch, frame=batch.frame.rename(ours))
            good = checked_batch(raw, self._spec, part.file.name, note, part.columns)
            pass_on()
            yield good
        pass_on()


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a table.

    Attributes:
        file: the file.
        columns: the columns to read: their names in the file, by ours.
        types: what they hold once they are checked, by our names.
    """

    file: TableFile
    columns: Mapping[str, str]
    types: Mapping[str, pl.DataType]


def _part(spec: TableSpec, file: TableFile, names: Mapping[str, str], warnings: list[str]) -> _Part:
    there = file.columns()
    _refuse_bad_header(spec, file, names, [name for name, _ in there])
    ours = {theirs: name for name, theirs in names.items()}
    columns: dict[str, str] = {}
    types: dict[str, pl.DataType] = {}
    for theirs, dtype in there:
        name = ours.get(theirs, theirs)
        if theirs not in ours and name in names:
            warnings.append(
                f"{file.name}: column {theirs!r} is not used: {names[name]!r} is read as it"
            )
        elif name in spec.names or spec.properties:
            _check_property_name(spec, file.name, name)
            columns[name] = theirs
            types[name] = checked_type(dtype, name, spec, file.name)
        else:
            warnings.append(f"{file.name}: column {theirs!r} is not used")
    return _Part(file, columns, types)


def _refuse_bad_header(
    spec: TableSpec, file: TableFile, names: Mapping[str, str], there: Sequence[str]
) -> None:
    if twice := sorted({column for column in there if there.count(column) > 1}):
        raise TableError(f"{file.name} has several columns {twice[0]!r}: expected different names")
    required = [names.get(column, column) for column in spec.required]
    missing = [column for column in (*required, *names.values()) if column not in there]
    if missing:
        raise TableError(
            f"{file.name} has no column {missing[0]!r}: it has {', '.join(map(repr, there))}, "
            f"expected {', '.join(map(repr, required))} and may have others"
        )


def _check_property_name(spec: TableSpec, file: str, column: str) -> None:
    if column in spec.names:
        return
    if column in spec.reserved:
        raise TableError(
            f"{file}: column {column!r} cannot become a property: the graph keeps its own "
            f"{column} there: map it to another name (`value` is what adds up), or leave it out"
        )
    if column.startswith(_RESERVED_PREFIX):
        raise TableError(
            f"{file}: column {column!r} cannot become a property: names that begin with "
            f"{_RESERVED_PREFIX!r} are kept for embeddings: rename it"
        )
    if not column or "\0" in column:
        raise TableError(f"{file} has a column named {column!r}: expected a name for a property")


def _further_types(spec: TableSpec, parts: Sequence[_Part]) -> dict[str, pl.DataType]:
    """The type of each column that becomes a property, the same in all files."""
    first: dict[str, str] = {}
    types: dict[str, pl.DataType] = {}
    for part in parts:
        for name, dtype in part.types.items():
            if name in spec.names:
                continue
            known = types.setdefault(name, dtype)
            joint = _joint_type(known, dtype)
            if joint is None:
                raise TableError(
                    f"{part.file.name}: column {part.columns[name]!r} holds {dtype}, in "
                    f"{first[name]} it holds {known}: expected one type"
                )
            types[name] = joint
            first.setdefault(name, part.file.name)
    return types


def _joint_type(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    if one == other or isinstance(other, pl.Null):
        return one
    if isinstance(one, pl.Null):
        return other
    if one.is_numeric() and other.is_numeric():
        return pl.Float64()
    return None
