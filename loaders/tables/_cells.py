"""The checks of one column's cells.

Each check turns a column as it came into its values and the problems with them: texts, null where
there is none.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataType

from loaders.limits import (
    MAX_AMOUNT,
    MAX_CELL_CHARACTERS,
    MAX_EXACT_FLOAT,
    MAX_EXACT_FLOAT32,
    MAX_ID_CHARACTERS,
    MAX_KIND_CHARACTERS,
    NO_IDS,
)
from loaders.tables._problems import (
    Checked,
    WrongTypeError,
    first_problem,
    no_problems,
    problems_where,
)
from loaders.tables._reasons import Reason
from loaders.tables._spec import DEFAULT_EVENT, Kind
from loaders.tables._times import check_stored_time, check_time, is_text

_GROUPED = r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$"
"""1.234,5: points between thousands."""
_TRUE, _FALSE = ["true", "1", "yes"], ["false", "0", "no"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the caller says of the cells of all files.

    Attributes:
        date_format: the form of times (`check_format`).
        null_ids: whether NULL, nan and the like are ids.
        event: the kind of interactions that name none.
        decimal_comma: whether numbers in text are written as 1.234,5.
    """

    date_format: str | None = None
    null_ids: bool = False
    event: str = DEFAULT_EVENT
    decimal_comma: bool = False


AS_DESCRIBED = Reading()
"""Cells are as docs/tables.md says."""


def check_cells(column: pl.Series, kind: Kind, reading: Reading = AS_DESCRIBED) -> Checked:
    """Check a column of a table.

    Raises:
        WrongTypeError: the column's type can never hold what is expected.
    """
    if isinstance(column.dtype, pl.Null):
        return Checked(column.cast(DTYPES[kind]), no_problems(column.len()))
    return _CHECKS[kind](column, reading)


def check_property(column: pl.Series) -> Checked:
    """Check a further column, which Neo4j has to be able to store.

    Raises:
        WrongTypeError: Neo4j has no such type.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        return _check_lists(column, dtype)
    if isinstance(dtype, pl.Datetime | pl.Date):
        return check_stored_time(column, dtype)
    if dtype.is_integer():
        values = column.cast(pl.Int64, strict=False)
        lost = column.is_not_null() & values.is_null()
        return Checked(values, problems_where(lost, column, Reason.BIG_INTEGER))
    if isinstance(dtype, pl.Decimal):
        return Checked(column.cast(pl.Float64), no_problems(column.len()))
    if dtype.is_float():
        problems = problems_where(column.is_infinite(), column, Reason.NOT_A_NUMBER)
        return Checked(column.fill_nan(None), problems)
    if isinstance(dtype, pl.Boolean | pl.Null):
        return Checked(column, no_problems(column.len()))
    if is_text(dtype):
        text = column.cast(pl.String)
        return Checked(text, _too_long(text, MAX_CELL_CHARACTERS, Reason.LONG_TEXT))
    raise WrongTypeError


def _too_long(text: pl.Series, limit: int, reason: Reason) -> pl.Series:
    # No text has more characters than bytes, and those need not be counted.
    if (text.str.len_bytes() <= limit).all():
        return no_problems(text.len())
    characters = text.str.len_chars()
    return problems_where(characters > limit, characters, reason)


def _check_id(column: pl.Series, reading: Reading) -> Checked:
    dtype = column.dtype
    # Databases export whole numbers of any size as decimals without a fraction.
    whole = dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)
    if not (whole or dtype.is_float() or is_text(dtype)):
        raise WrongTypeError
    # A column of whole numbers with a gap is often stored as float.
    fraction = ~_is_whole(column) if dtype.is_float() else _nowhere(column)
    ids = _present(_as_text(column))
    big = (
        fraction & column.is_finite() & (column == column.floor()) if dtype.is_float() else fraction
    )
    problems = first_problem(
        problems_where(big.fill_null(value=False), column, Reason.BIG_ID),
        problems_where(fraction, column, Reason.FRACTION),
    )
    if not reading.null_ids:
        none = ids.is_in(NO_IDS) | (ids.str.strip_chars() == "")
        problems = first_problem(problems, problems_where(none, ids, Reason.NO_ID))
    return Checked(ids, first_problem(problems, _too_long(ids, MAX_ID_CHARACTERS, Reason.LONG_ID)))


def _check_text(column: pl.Series, _: Reading) -> Checked:
    text = _present_text(column)
    return Checked(text, _too_long(text, MAX_CELL_CHARACTERS, Reason.LONG_TEXT))


def _check_kind(column: pl.Series, _: Reading) -> Checked:
    text = _present_text(column)
    return Checked(text, _too_long(text, MAX_KIND_CHARACTERS, Reason.LONG_KIND))


def _check_number(column: pl.Series, reading: Reading) -> Checked:
    if not (column.dtype.is_numeric() or is_text(column.dtype)):
        raise WrongTypeError
    given = written = _trimmed(column) if is_text(column.dtype) else column
    if reading.decimal_comma and is_text(column.dtype):
        plain = given.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        grouped = given.str.contains(_GROUPED) | ~given.str.contains(".", literal=True)
        written = plain.zip_with(grouped, plain.clear(len(plain)))
    values = written.cast(pl.Float64, strict=False)
    wrong = given.is_not_null() & ~values.is_finite().fill_null(value=False)
    problems = problems_where(wrong, given, Reason.NOT_A_NUMBER)
    if is_text(column.dtype):
        comma = wrong & given.str.contains(r"^[+-]?[\d.]*\d,\d+$").fill_null(value=False)
        problems = first_problem(problems_where(comma, given, Reason.COMMA), problems)
    beyond = problems_where(values.abs() > MAX_AMOUNT, given, Reason.BEYOND)
    return Checked(values, first_problem(problems, beyond))


def _check_flag(column: pl.Series, _: Reading) -> Checked:
    dtype = column.dtype
    if not (isinstance(dtype, pl.Boolean) or dtype.is_integer() or is_text(dtype)):
        raise WrongTypeError
    text = _trimmed(column).str.to_lowercase()
    wrong = text.is_not_null() & ~text.is_in(_TRUE + _FALSE)
    return Checked(text.is_in(_TRUE), problems_where(wrong, column, Reason.NOT_A_FLAG))


def _check_time(column: pl.Series, reading: Reading) -> Checked:
    return check_time(column, reading.date_format)


def _check_lists(column: pl.Series, dtype: pl.List | pl.Array) -> Checked:
    inner = dtype.inner if isinstance(dtype.inner, DataType) else dtype.inner()
    wide = isinstance(inner, pl.UInt64 | pl.Int128 | pl.UInt128)
    simple = inner.is_integer() or inner.is_float() or isinstance(inner, pl.String | pl.Boolean)
    if wide or not simple:
        raise WrongTypeError
    lists = column.cast(pl.List(inner))
    gap = lists.list.eval(pl.element().is_null()).list.any().fill_null(value=False)
    problem = pl.Series([Reason.GAP.value])
    return Checked(lists, problem.zip_with(gap, no_problems(column.len())))


def _as_text(column: pl.Series) -> pl.Series:
    """A column as text; whole floats as the integers they stand for."""
    dtype = column.dtype
    if dtype.is_float():
        digits = column.cast(pl.Int64, strict=False).cast(pl.String)
        return digits.zip_with(_is_whole(column), column.cast(pl.String))
    if dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object):
        raise WrongTypeError
    return column.cast(pl.String)


def _is_whole(column: pl.Series) -> pl.Series:
    """Whether each float is a whole number that is told exactly; a missing one is."""
    exact = MAX_EXACT_FLOAT if isinstance(column.dtype, pl.Float64) else MAX_EXACT_FLOAT32
    return ((column == column.floor()) & (column.abs() <= exact)).fill_null(value=True)


def _nowhere(column: pl.Series) -> pl.Series:
    return pl.Series([False]).new_from_index(0, column.len())


def _present_text(column: pl.Series) -> pl.Series:
    """A column as text, null where it is empty; a float that is no number is a missing cell."""
    return _present(_as_text(column.fill_nan(None) if column.dtype.is_float() else column))


def _present(text: pl.Series) -> pl.Series:
    """Text, null where it is empty."""
    return text.replace("", None)


def _trimmed(column: pl.Series) -> pl.Series:
    return _present(column.cast(pl.String).str.strip_chars())


_CHECKS: dict[Kind, Callable[[pl.Series, Reading], Checked]] = {
    "id": _check_id,
    "text": _check_text,
    "kind": _check_kind,
    "number": _check_number,
    "time": _check_time,
    "flag": _check_flag,
}
DTYPES: dict[Kind, DataType] = {
    "id": pl.String(),
    "text": pl.String(),
    "kind": pl.String(),
    "number": pl.Float64(),
    "time": pl.Datetime("us", "UTC"),
    "flag": pl.Boolean(),
}
"""Type of the checked values of each kind."""
