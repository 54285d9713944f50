"""One table, which may be many files."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from loaders.errors import TableError
from loaders.limits import MAX_COLUMNS
from loaders.tables._check import (
    Rules,
    checked_batch,
    checked_type,
    drop_option,
    in_line_order,
)
from loaders.tables._likely import likely_columns, map_option
from loaders.tables._mapping import SAME_NAMES, TableMapping
from loaders.tables._raw import TableFile
from loaders.tables._spec import Reject, TableSpec

_RESERVED_PREFIX = "embedding_"


class Table:
    """The files of one table, as one.

    Every header is checked when it is made, before any row is read.

    Args:
        spec: the table.
        files: its files, in the order in which they count.
        mapping: how they are to be read.
        shared: the files that serve another table too: of their columns only those are used that
            the table knows or the mapping names.

    Raises:
        TableError: a required or a named column is missing, a column name comes twice, a column
            cannot become a property, or is of different types in different files.
    """

    def __init__(
        self,
        spec: TableSpec,
        files: Sequence[TableFile],
        mapping: TableMapping = SAME_NAMES,
        shared: Collection[Path] = (),
    ) -> None:
        self.warnings: list[str] = []
        self._spec = spec
        self._reading = mapping.reading
        self._categories = mapping.categories
        self._nulls = mapping.null.get(spec.name, {})
        self._parts = [
            _part(file, _Header(spec, mapping, file.path in shared), self.warnings)
            for file in files
        ]
        _refuse_unknown(spec, self._parts, mapping)
        self._further = _further_types(spec, self._parts)

    def unused(self, path: Path) -> frozenset[str]:
        """The columns of a file that this table does not use and was not told to leave out."""
        return frozenset[str]().union(*(p.unused for p in self._parts if p.file.path == path))

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
        kinds: set[str] = set()
        for part in self._parts:
            absent = [
                pl.lit(None, dtype).alias(name)
                for name, dtype in self._further.items()
                if name not in part.columns
            ]
            for batch in self._checked(part, kinds, reject):
                yield batch.with_columns(absent).select(*self._spec.names, *further)

    def _checked(self, part: "_Part", kinds: set[str], reject: Reject) -> Iterator[pl.DataFrame]:
        ours = {theirs: name for name, theirs in part.columns.items()}
        nulls = {
            name: self._nulls[theirs.strip()]
            for name, theirs in part.columns.items()
            if theirs.strip() in self._nulls
        }
        rules = Rules(part.columns, self._reading, kinds, nulls)

        def read(note: Reject) -> Iterator[pl.DataFrame]:
            for batch in part.file.batches(list(ours), note):
                named = replace(batch, frame=batch.frame.rename(ours))
                raw = self._categories.apply(named, self._spec)
                yield checked_batch(raw, self._spec, part.file.name, note, rules)

        return in_line_order(read, self._spec, reject)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of a table.

    Attributes:
        file: the file.
        columns: the columns to read: their names as they are written in the file, by ours.
        types: what they hold once they are checked, by our names.
        there: all columns of the file, without spaces around their names.
        unused: those that are not read and that nobody said to leave out.
    """

    file: TableFile
    columns: Mapping[str, str]
    types: Mapping[str, pl.DataType]
    there: Sequence[str]
    unused: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Header:
    """Which columns of a file a table uses.

    Attributes:
        spec: the table.
        mapping: how its files are to be read.
        shared: whether the file serves another table too.
    """

    spec: TableSpec
    mapping: TableMapping
    shared: bool

    @property
    def names(self) -> Mapping[str, str]:
        """What the file calls columns that it names otherwise, by our names."""
        return self.mapping.column_names(self.spec)

    def drops(self, theirs: str) -> bool:
        """Whether a column is to be left out."""
        return theirs in self.mapping.drop.get(self.spec.name, ())

    def uses(self, theirs: str, name: str) -> bool:
        """Whether a column is read, which we call `name`."""
        if name in self.spec.names or name in self.names:
            return True
        only = self.mapping.only.get(self.spec.name)
        wanted = theirs in only if only is not None else not self.shared
        return self.spec.properties and wanted


def _part(file: TableFile, header: _Header, warnings: list[str]) -> _Part:
    spec, names = header.spec, header.names
    written = file.columns()
    # Spaces around a name are what an editor or a person left there.
    there = [as_written.strip() for as_written, _ in written]
    drop = header.mapping.drop.get(spec.name, frozenset())
    _refuse_bad_header(spec, file, names, there, drop)
    ours = {theirs: name for name, theirs in names.items()}
    columns: dict[str, str] = {}
    types: dict[str, pl.DataType] = {}
    unused: list[str] = []
    twice: dict[str, str] = {}
    for theirs, (as_written, dtype) in zip(there, written, strict=True):
        name = ours.get(theirs, theirs)
        if not theirs:  # such as the row names of pandas and R, or a comma at the end
            warnings.append(f"{file.name}: a column without a name is not used")
        if not theirs or header.drops(theirs):
            continue
        if there.count(theirs) > 1:
            twice[theirs] = f"{file.name}: there are several columns {theirs!r}: none is used"
        elif theirs not in ours and name in names:
            warnings.append(
                f"{file.name}: column {theirs!r} is not used: {names[name]!r} is read as it"
            )
        elif header.uses(theirs, name):
            _check_property_name(spec, file.name, name, theirs)
            columns[name] = as_written
            types[name] = checked_type(dtype, name, spec, file.name, theirs)
        else:
            unused.append(theirs)
    warnings += twice.values()
    meant = header.shared or spec.name in header.mapping.only
    warnings += _of_no_use(file, header, there, types, [] if meant else unused)
    return _Part(file, columns, types, there, unused)


def _refuse_unknown(spec: TableSpec, parts: Sequence[_Part], mapping: TableMapping) -> None:
    """Refuse to use or leave out columns that are not there, or that have to be."""
    there = {name for part in parts for name in part.there}
    only, drop = (named.get(spec.name, frozenset()) for named in (mapping.only, mapping.drop))
    for name in sorted((only | drop | mapping.null.get(spec.name, {}).keys()) - there):
        raise TableError(
            f"{spec.name} has no column {name!r}: expected one of "
            f"{', '.join(map(repr, sorted(there)))}"
        )
    names = mapping.column_names(spec)
    for name in spec.required:
        if names.get(name, name) in drop:
            raise TableError(f"{spec.name} needs its column {names.get(name, name)!r}: keep it")


def _refuse_bad_header(
    spec: TableSpec,
    file: TableFile,
    names: Mapping[str, str],
    there: Sequence[str],
    drop: Collection[str],
) -> None:
    if len(there) > MAX_COLUMNS:
        raise TableError(
            f"{file.name} has {len(there):,} columns: expected at most {MAX_COLUMNS:,}"
        )
    required = [names.get(column, column) for column in spec.required]
    meant = {*required, *names.values(), *spec.names} - set(drop)
    if twice := sorted(column for column in meant if there.count(column) > 1):
        raise TableError(f"{file.name} has several columns {twice[0]!r}: expected different names")
    missing = [column for column in (*required, *names.values()) if column not in there]
    if missing:
        raise TableError(
            f"{file.name} has no column {missing[0]!r}: it has {', '.join(map(repr, there))}, "
            f"expected {', '.join(map(repr, required))} and may have others"
            f"{_suggested(spec, names, there)}"
        )


def _of_no_use(
    file: TableFile,
    header: _Header,
    there: Sequence[str],
    used: Collection[str],
    unused: Sequence[str],
) -> Iterator[str]:
    """A sentence for each column that is not used, or a property and probably one of ours."""
    spec, names = header.spec, header.names
    properties = [name for name in used if name in there and name not in spec.names]
    ours = [name for name in spec.names if name not in there and name not in names]
    likely = {
        theirs: f"; as {name} it is {map_option(spec, name, theirs)}"
        for name, theirs in likely_columns(spec, ours, [*properties, *unused])
    }
    for theirs in properties:
        if theirs in likely:
            yield f"{file.name}: column {theirs!r} becomes a property{likely[theirs]}"
    for theirs in unused:
        yield f"{file.name}: column {theirs!r} is not used{likely.get(theirs, '')}"


def _suggested(spec: TableSpec, names: Mapping[str, str], there: Sequence[str]) -> str:
    """How to map what looks like the columns that are not there."""
    ours = [name for name in spec.names if name not in there and name not in names]
    free = [theirs for theirs in there if theirs not in spec.names]
    likely = list(likely_columns(spec, ours, [t for t in free if t not in names.values()]))
    if not likely:
        return ""
    look = ", ".join(f"{theirs!r} looks like {name}" for name, theirs in likely)
    return f"; {look}: {' '.join(map_option(spec, *pair) for pair in likely)}"


def _check_property_name(spec: TableSpec, file: str, column: str, theirs: str) -> None:
    if column in spec.names:
        return
    if column in spec.reserved:
        raise TableError(
            f"{file}: column {column!r} cannot become a property: the graph keeps its own "
            f"{column} there: map it to another name (`value` is what adds up), or leave it out "
            f"with {drop_option(spec, theirs)}"
        )
    if column.startswith(_RESERVED_PREFIX):
        raise TableError(
            f"{file}: column {column!r} cannot become a property: names that begin with "
            f"{_RESERVED_PREFIX!r} are kept for embeddings: rename it, or leave it out with "
            f"{drop_option(spec, theirs)}"
        )
    if "\0" in column:
        raise TableError(f"{file} has a column named {column!r}: expected a name for a property")


def _further_types(spec: TableSpec, parts: Sequence[_Part]) -> dict[str, pl.DataType]:
    """The type of each column that becomes a property, the same in all files."""
    first: dict[str, str] = {}
    types: dict[str, pl.DataType] = {}
    for part in parts:
        for name, dtype in part.types.items():
            if name in spec.names:
                continue
            earlier = types.setdefault(name, dtype)
            joint = _joint_type(earlier, dtype)
            if joint is None:
                raise TableError(
                    f"{part.file.name}: column {part.columns[name]!r} holds {dtype}, in "
                    f"{first[name]} it holds {earlier}: expected one type: store it so, or leave "
                    f"it out with {drop_option(spec, part.columns[name])}"
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
