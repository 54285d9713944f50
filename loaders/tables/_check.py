"""The checks of rows, a batch at a time."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from loaders.errors import TableError
from loaders.limits import MAX_KINDS
from loaders.tables._cells import (
    AS_DESCRIBED,
    DTYPES,
    Reading,
    check_cells,
    check_property,
)
from loaders.tables._problems import (
    Checked,
    WrongTypeError,
    first_problem,
    no_problems,
    problems_where,
    shown,
)
from loaders.tables._raw import RawBatch
from loaders.tables._reasons import Reason
from loaders.tables._spec import (
    BATCH_ROWS,
    INTERACTIONS,
    Column,
    Kind,
    Reject,
    Rejected,
    TableSpec,
)
from loaders.tables._times import is_text

_EXPECTED: dict[Kind, str] = {
    "id": "text or whole numbers",
    "text": "text",
    "kind": "text",
    "number": "numbers",
    "time": "ISO 8601 text, Unix seconds or a time type",
    "flag": "booleans",
}
_PROPERTY = "text, numbers, booleans, times, or lists of text, numbers or booleans"


@dataclass(frozen=True, slots=True)
class Rules:
    """What else the check of a table's rows depends on.

    Attributes:
        names: what the file calls columns that it names otherwise.
        reading: what the caller says of the cells.
        kinds: the kinds of event in the batches before; those of each batch are added.
        nulls: by our name of a column, the cells that count as empty.
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    reading: Reading = AS_DESCRIBED
    kinds: set[str] = field(default_factory=set[str])
    nulls: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])


def checked_batch(
    batch: RawBatch, spec: TableSpec, file: str, reject: Reject, rules: Rules | None = None
) -> pl.DataFrame:
    """The good rows of a batch, typed; the others go to `reject`.

    Args:
        batch: the rows, their columns named as in `spec`.
        spec: the table.
        file: name of the file they came from.
        reject: takes note of each other row.
        rules: what else it depends on.

    Raises:
        TableError: a column has a type that can never hold what is expected.
    """
    rules = rules or Rules()
    names = rules.names
    columns = dict(_columns(batch.frame, spec, file, rules))
    if spec.link and spec.links_one_kind:
        _refuse_links_to_itself(columns, spec.link, names)
    if spec.name == INTERACTIONS.name:
        _refuse_many_kinds(columns, rules.kinds)
    table = pl.DataFrame({name: checked.values for name, checked in columns.items()})
    rows = table.height
    reasons, at_fault = no_problems(rows), no_problems(rows)
    for name, (_, problems) in columns.items():
        if problems.null_count() < rows:
            faulty = pl.Series([names.get(name, name)]).zip_with(
                problems.is_not_null(), no_problems(rows)
            )
            at_fault = first_problem(at_fault, faulty)
            reasons = first_problem(reasons, problems)
    if reasons.null_count() == rows:
        return table
    _reject_all(batch, reasons, at_fault, file, reject)
    return table.filter(reasons.is_null())


def in_line_order(
    read: Callable[[Reject], Iterator[pl.DataFrame]], spec: TableSpec, reject: Reject
) -> Iterator[pl.DataFrame]:
    """Batches of a table; the bad rows of each come before it, in line order.

    Args:
        read: reads the batches, told what takes note of bad rows.
        spec: the table.
        reject: takes note of each bad row, with the name of the table.
    """
    noted: list[Rejected] = []

    def note(rejected: Rejected) -> None:
        noted.append(replace(rejected, column=rejected.column.strip(), table=spec.name))
        if len(noted) == BATCH_ROWS:
            pass_on()

    def pass_on() -> None:
        for rejected in sorted(noted, key=lambda rejected_row: rejected_row.line):
            reject(rejected)
        noted.clear()

    for batch in read(note):
        pass_on()
        yield batch
    pass_on()


def as_table(spec: TableSpec, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows made in code, given every column of a table and its type.

    Raises:
        TableError: a row is bad.
    """

    def refuse(rejected: Rejected) -> None:
        raise TableError(str(rejected))

    lines = pl.int_range(1, frame.height + 1, eager=True)
    return checked_batch(RawBatch(frame, lines), spec, spec.name, refuse)


def checked_type(
    dtype: pl.DataType, name: str, spec: TableSpec, file: str, theirs: str
) -> pl.DataType:
    """The type that a column of such a type has once it is checked.

    Args:
        dtype: its type in the file.
        name: what we call it.
        spec: the table.
        file: name of the file.
        theirs: what the file calls it.

    Raises:
        TableError: it can never hold what is expected.
    """
    empty = pl.DataFrame({name: pl.Series(dtype=dtype)})
    checked = dict(_columns(empty, spec, file, Rules({name: theirs})))
    return checked[name].values.dtype


def drop_option(spec: TableSpec, theirs: str) -> str:
    """What leaves a column out on the command line."""
    return f"--drop {shlex.quote(f'{spec.name}.{theirs.strip()}')}"


def _columns(
    frame: pl.DataFrame, spec: TableSpec, file: str, rules: Rules
) -> Iterable[tuple[str, Checked]]:
    columns = {column.name: column for column in spec.columns}
    for name in dict.fromkeys((*columns, *frame.columns)):
        try:
            if name in columns:
                yield name, _check_column(frame, columns[name], rules)
            else:
                yield name, check_property(_emptied(frame[name], rules.nulls.get(name, ())))
        except WrongTypeError:
            theirs = rules.names.get(name, name)
            raise _wrong_type(frame[name].dtype, columns.get(name), spec, file, theirs) from None


def _check_column(frame: pl.DataFrame, column: Column, rules: Rules) -> Checked:
    default = rules.reading.event if column.name == "event" else column.default
    if column.name not in frame.columns:
        missing = pl.Series([default], dtype=DTYPES[column.kind])
        return Checked(missing.new_from_index(0, frame.height), no_problems(frame.height))
    given = frame[column.name]
    left = _emptied(given, rules.nulls.get(column.name, ()))
    values, problems = check_cells(left, column.kind, rules.reading)
    if column.required and left.null_count() > given.null_count():
        emptied = left.is_null() & given.is_not_null()
        problems = first_problem(problems, problems_where(emptied, given, Reason.NULL))
    if column.required and values.null_count():
        missing = pl.Series([Reason.MISSING.value]).zip_with(
            values.is_null(), no_problems(values.len())
        )
        problems = first_problem(problems, missing)
    if default is not None:
        values = values.fill_null(pl.Series([default], dtype=values.dtype).item())
    return Checked(values, problems)


def _emptied(column: pl.Series, texts: Collection[str]) -> pl.Series:
    """A column without the cells that are one of some texts; numbers are compared as numbers."""
    if not texts:
        return column
    if column.dtype.is_numeric():
        numbers = pl.Series(list(texts)).cast(pl.Float64, strict=False).drop_nulls()
        empty = column.cast(pl.Float64).is_in(numbers.implode())
    elif is_text(column.dtype):
        empty = column.cast(pl.String).str.strip_chars().is_in(list(texts))
    else:
        return column
    nothing = pl.Series([None], dtype=column.dtype).new_from_index(0, column.len())
    return nothing.zip_with(empty.fill_null(value=False), column)


def _wrong_type(
    dtype: pl.DataType, column: Column | None, spec: TableSpec, file: str, theirs: str
) -> TableError:
    expected = _EXPECTED[column.kind] if column else _PROPERTY
    instead = (
        f"name another column with --map {spec.name}.{column.name}=COLUMN"
        if column and column.required
        else f"leave it out with {drop_option(spec, theirs)}"
    )
    return TableError(
        f"{file}: column {theirs.strip()!r} holds {dtype}: expected {expected}: "
        f"store it so, or {instead}"
    )


def _refuse_links_to_itself(
    columns: dict[str, Checked], link: tuple[str, str], names: Mapping[str, str]
) -> None:
    source, target = link
    values, problems = columns[target]
    same = (columns[source].values == values).fill_null(value=False)
    if same.any():
        frame = pl.DataFrame({"id": shown(values), "source": names.get(source, source)})
        says = frame.select(pl.format(Reason.ITSELF.value, "id", "source")).to_series()
        problems = first_problem(problems, says.zip_with(same, no_problems(values.len())))
        columns[target] = Checked(values, problems)


def _refuse_many_kinds(columns: dict[str, Checked], kinds: set[str]) -> None:
    """Of the kinds of event, those that come first count."""
    values, problems = columns["event"]
    there = values.filter(problems.is_null()).unique(maintain_order=True).to_list()
    new = [kind for kind in there if kind not in kinds]
    kinds.update(new[: MAX_KINDS - len(kinds)])
    if not kinds.issuperset(new):
        within = values.is_in(list(kinds)) | problems.is_not_null()
        more = problems_where(~within, values, Reason.MANY_KINDS)
        columns["event"] = Checked(values, first_problem(problems, more))


def _reject_all(
    batch: RawBatch, reasons: pl.Series, at_fault: pl.Series, file: str, reject: Reject
) -> None:
    bad = reasons.is_not_null()
    rows = batch.shown(bad.arg_true().to_list())
    for line, column, reason, row in zip(
        batch.lines.filter(bad), at_fault.filter(bad), reasons.filter(bad), rows, strict=True
    ):
        reject(Rejected(file, line, column, reason, row))
