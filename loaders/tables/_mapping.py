"""Which file holds a table, and which of its columns is which, where they have other names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loaders.errors import TableError
from loaders.tables._raw import Expected
from loaders.tables._spec import TABLES, TableSpec

_FORM = "expected TABLE.COLUMN=COLUMN IN THE FILE or TABLE=NAME OF THE FILE"


@dataclass(frozen=True, slots=True)
class TableMapping:
    """Other names of files and columns; where there is none, ours counts.

    Attributes:
        files: name of the file, without its suffixes, by name of the table.
        columns: name of the column in the file, by name of the table and our name of the column.
    """

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    def file_name(self, spec: TableSpec) -> str:
        """What the file of a table is called, without its suffixes."""
        return self.files.get(spec.name, spec.name)

    def column_names(self, spec: TableSpec) -> Mapping[str, str]:
        """What the file calls the columns of a table that it names otherwise, by our names."""
        return self.columns.get(spec.name, {})

    def expected(self, spec: TableSpec) -> Expected:
        """The columns of a table, by the names that the file has for them."""
        names = self.column_names(spec)
        return {names.get(column.name, column.name): column for column in spec.columns}

    @property
    def tables(self) -> Sequence[TableSpec]:
        """The tables that are mapped, which have to be there then."""
        return [spec for spec in TABLES if spec.name in {**self.files, **self.columns}]


SAME_NAMES = TableMapping()
"""Files and columns have the names that docs/tables.md gives."""


def parse_mapping(texts: Sequence[str]) -> TableMapping:
    """A mapping from what is written on a command line.

    Args:
        texts: `interactions.user_id=visitorid` says that the table's column has another name,
            `interactions=events` that its file has.

    Raises:
        TableError: a text is of another form, names a table or a column that there is not, or
            maps what another text maps already.
    """
    files: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    for text in texts:
        ours, _, theirs = (part.strip() for part in text.partition("="))
        table, dot, column = ours.partition(".")
        if not (ours and theirs) or (dot and not column):
            raise TableError(f"{text!r} maps nothing: {_FORM}")
        spec = _spec(table, text)
        if not dot:
            _add(files, table, theirs, text)
            continue
        if column not in spec.names and (not spec.properties or column in spec.reserved):
            raise TableError(
                f"{text!r}: {table} has no column {column!r}: expected one of "
                f"{', '.join(spec.names)}"
            )
        _add(columns.setdefault(table, {}), column, theirs, text)
    _refuse_shared_columns(columns)
    return TableMapping(files, columns)


def _spec(table: str, text: str) -> TableSpec:
    for spec in TABLES:
        if spec.name == table:
            return spec
    names = ", ".join(spec.name for spec in TABLES)
    raise TableError(f"{text!r}: there is no table {table!r}: expected one of {names}")


def _add(names: dict[str, str], ours: str, theirs: str, text: str) -> None:
    if names.setdefault(ours, theirs) != theirs:
        raise TableError(f"{text!r}: {ours!r} is mapped to {names[ours]!r} already: map it once")


def _refuse_shared_columns(columns: Mapping[str, Mapping[str, str]]) -> None:
    for table, names in columns.items():
        theirs = list(names.values())
        for column in theirs:
            if theirs.count(column) > 1:
                ours = " and ".join(name for name in names if names[name] == column)
                raise TableError(
                    f"{table}: {ours} are both mapped to {column!r}: map a column once"
                )
