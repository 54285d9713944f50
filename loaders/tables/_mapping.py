"""How files are to be read: which holds a table, which of its columns is which, and what counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loaders.errors import TableError
from loaders.limits import MAX_KIND_CHARACTERS
from loaders.tables._category_cells import ONE_EACH, CategoryCells
from loaders.tables._cells import AS_DESCRIBED, Reading
from loaders.tables._raw import Expected
from loaders.tables._spec import DEFAULT_EVENT, TABLES, TableSpec
from loaders.tables._times import check_format

_FORM = "expected TABLE.COLUMN=COLUMN IN THE FILE or TABLE=NAME OF THE FILE"
Columns = Mapping[str, frozenset[str]]
"""Names of columns in the file, by name of the table."""


@dataclass(frozen=True, slots=True)
class TableMapping:
    """Other names of files and columns (where there is none, ours counts), and what is used.

    Attributes:
        files: name of the file, without its suffixes, by name of the table.
        columns: name of the column in the file, by name of the table and our name of the column.
        only: the further columns that become properties, of tables where not all do.
        drop: columns that are not used.
        null: by name of the table and the column in the file, the cells that count as empty.
        reading: what else counts for all cells.
        categories: how a cell names more than one category.
    """

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    only: Columns = field(default_factory=dict[str, frozenset[str]])
    drop: Columns = field(default_factory=dict[str, frozenset[str]])
    null: Mapping[str, Columns] = field(default_factory=dict[str, Columns])
    reading: Reading = AS_DESCRIBED
    categories: CategoryCells = ONE_EACH

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
        """The tables that something is said of, which have to be there then."""
        named = {*self.files, *self.columns, *self.only, *self.drop, *self.null}
        return [spec for spec in TABLES if spec.name in named]


SAME_NAMES = TableMapping()
"""Files and columns have the names that docs/tables.md gives."""


def parse_mapping(
    texts: Sequence[str],
    *,
    only: Sequence[str] = (),
    drop: Sequence[str] = (),
    null: Sequence[str] = (),
    event: str | None = None,
    date_format: str | None = None,
    null_ids: bool = False,
    decimal_comma: bool = False,
    categories: CategoryCells = ONE_EACH,
) -> TableMapping:
    """A mapping from what is written on a command line.

    Args:
        texts: `interactions.user_id=visitorid` says that the table's column has another name,
            `interactions=events` that its file has.
        only: `items.price` says that of the further columns of the table this one becomes a
            property, `items` that none does.
        drop: `items.price` says that the table's column is not used.
        null: `interactions.item_id=POST` says that this text in the table's column is an empty
            cell.
        event: the kind of interactions that name none; `interaction` where it is None.
        date_format: see `Reading`.
        null_ids: see `Reading`.
        decimal_comma: see `Reading`.
        categories: how a cell names more than one category.

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
    event = DEFAULT_EVENT if event is None else event
    if not 0 < len(event) <= MAX_KIND_CHARACTERS:
        raise TableError(f"{event!r} is no kind: expected 1 to {MAX_KIND_CHARACTERS} characters")
    form = check_format(date_format) if date_format is not None else None
    reading = Reading(form, null_ids, event, decimal_comma)
    left_out = _columns(only), _columns(drop), _nulls(null)
    return TableMapping(files, columns, *left_out, reading, categories)


def _nulls(texts: Sequence[str]) -> dict[str, Columns]:
    nulls: dict[str, dict[str, frozenset[str]]] = {}
    for text in texts:
        name, _, cell = text.partition("=")
        table, _, column = (part.strip() for part in name.partition("."))
        if not (column and cell.strip()):
            raise TableError(f"{text!r} empties no cell: expected TABLE.COLUMN=CELL")
        columns = nulls.setdefault(_spec(table, text).name, {})
        columns[column] = columns.get(column, frozenset()) | {cell.strip()}
    return dict(nulls)


def _columns(texts: Sequence[str]) -> Columns:
    columns: dict[str, frozenset[str]] = {}
    for text in texts:
        table, _, column = (part.strip() for part in text.partition("."))
        name = _spec(table, text).name
        columns[name] = columns.get(name, frozenset()) | ({column} if column else set())
    return columns


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
