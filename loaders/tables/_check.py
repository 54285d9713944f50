"""The checks of rows, a batch at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
from loaders.tables._spec import INTERACTIONS, Column, Kind, Reject, Rejected, TableSpec

_EXPECTED: dict[Kind, str] = {
    "id": "text or whole numbers",
    "text": "text",
    "kind": "text",
    "number": "numbers",
    "time": "ISO 8601 text, Unix seconds or a time type",
    "flag": "booleans",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What else the check of a table's rows depends on.

    Attributes:
        names: what the file calls columns that it names otherwise.
        reading: what the caller says of the cells.
        kinds: the kinds of event in the batches before; those of each batch are added.
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    reading: Reading = AS_DESCRIBED
    kinds: set[str] = field(default_factory=set[str])


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
    columns = dict(_columns(batch.frame, spec, file, rules.reading))
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


def as_table(spec: TableSpec, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows made in code, given every column of a table and its type.

    Raises:
        TableError: a row is bad.
    """

    def refuse(rejected: Rejected) -> None:
        raise TableError(str(rejected))

    lines = pl.int_range(1, frame.height + 1, eager=True)
    return checked_batch(RawBatch(frame, lines), spec, spec.name, refuse)


def checked_type(dtype: pl.DataType, name: str, spec: TableSpec, file: str) -> pl.DataType:
    """The type that a column of such a type has once it is checked.

    Raises:
        TableError: it can never hold what is expected.
    """
    empty = pl.DataFrame({name: pl.Series(dtype=dtype)})
    columns = {column.name: column for column in spec.columns}
    if name in columns:
        return _check_column(empty, columns[name], file, AS_DESCRIBED).values.dtype
    return _check_further_column(empty[name], spec, file).values.dtype


def _columns(
    frame: pl.DataFrame, spec: TableSpec, file: str, reading: Reading
) -> Iterable[tuple[str, Checked]]:
    for column in spec.columns:
        yield column.name, _check_column(frame, column, file, reading)
    for name in frame.columns:
        if name not in spec.names:
            yield name, _check_further_column(frame[name], spec, file)


def _check_column(frame: pl.DataFrame, column: Column, file: str, reading: Reading) -> Checked:
    if column.name not in frame.columns:
        missing = pl.Series([column.default], dtype=DTYPES[column.kind])
        return Checked(missing.new_from_index(0, frame.height), no_problems(frame.height))
    cells = frame[column.name]
    try:
        values, problems = check_cells(cells, column.kind, reading)
    except WrongTypeError:
        raise TableError(
            f"{file}: column {column.name!r} holds {cells.dtype}: expected {_EXPECTED[column.kind]}"
        ) from None
    if column.required and values.null_count():
        missing = pl.Series([Reason.MISSING.value]).zip_with(
            values.is_null(), no_problems(values.len())
        )
        problems = first_problem(problems, missing)
    if column.default is not None:
        values = values.fill_null(pl.Series([column.default], dtype=values.dtype).item())
    return Checked(values, problems)


def _check_further_column(cells: pl.Series, spec: TableSpec, file: str) -> Checked:
    try:
        return check_property(cells)
    except WrongTypeError:
        raise TableError(
            f"{file}: column {cells.name!r} holds {cells.dtype}, which cannot be a property: "
            f"leave it out with --drop {spec.name}.{cells.name}, or store it as text, number, "
            "boolean, time or a list of those"
        ) from None


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
        known = values.is_in(list(kinds)) | problems.is_not_null()
        more = problems_where(~known, values, Reason.MANY_KINDS)
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
