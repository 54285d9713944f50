"""The checks of one column's cells.

Each check turns a column as it came into its values and the problems with them: texts, null where
there is none.
"""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl
from polars.datatypes import DataType

from loaders.limits import MAX_CELL_CHARACTERS, MAX_EXACT_FLOAT, MAX_ID_CHARACTERS
from loaders.tables._reasons import Reason
from loaders.tables._spec import Kind

_SHOWN_CHARACTERS = 80
_FIRST_SECOND = -62_135_596_800
"""0001-01-01T00:00:00Z in Unix seconds."""
_END_SECOND = 253_402_300_800
"""10000-01-01T00:00:00Z in Unix seconds."""
_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r" ?(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>\d{2})(?::?(?P<offset_minute>\d{2}))?)?)?$"
)
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
# Where a whole column has one of these, the parser of polars does it three times as fast.
_USUAL_SHAPES = (
    (f"{_DATE}T{_CLOCK}Z$", "%Y-%m-%dT%H:%M:%SZ"),
    (f"{_DATE} {_CLOCK}$", "%Y-%m-%d %H:%M:%S"),
)
_SECONDS_PER_DAY = 86_400
_UTC = pl.Datetime("us", "UTC")
_TRUE, _FALSE = ["true", "1", "yes"], ["false", "0", "no"]


class WrongTypeError(Exception):
    """A column's type can never hold what is expected."""


class Checked(NamedTuple):
    """A checked column: its values, and the problem with each or null."""

    values: pl.Series
    problems: pl.Series


def check_cells(column: pl.Series, kind: Kind) -> Checked:
    """Check a column of a table.

    Raises:
        WrongTypeError: the column's type can never hold what is expected.
    """
    if isinstance(column.dtype, pl.Null):
        return Checked(column.cast(DTYPES[kind]), no_problems(column.len()))
    return _CHECKS[kind](column)


def check_property(column: pl.Series) -> Checked:
    """Check a further column, which Neo4j has to be able to store.

    Raises:
        WrongTypeError: Neo4j has no such type.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.List | pl.Array):
        return _check_lists(column, dtype)
    if isinstance(dtype, pl.Datetime):
        return _check_time(column)
    if isinstance(dtype, pl.Date):
        return Checked(column, _check_time(column).problems)
    if dtype.is_integer():
        values = column.cast(pl.Int64, strict=False)
        lost = column.is_not_null() & values.is_null()
        return Checked(values, _says(column, lost, Reason.BIG_INTEGER))
    if isinstance(dtype, pl.Decimal):
        return Checked(column.cast(pl.Float64), no_problems(column.len()))
    if dtype.is_float() or isinstance(dtype, pl.Boolean | pl.Null):
        return Checked(column, no_problems(column.len()))
    if _is_text(dtype):
        text = column.cast(pl.String)
        return Checked(text, _too_long(text, MAX_CELL_CHARACTERS, Reason.LONG_TEXT))
    raise WrongTypeError


def no_problems(rows: int) -> pl.Series:
    """Nothing is wrong with any of so many rows."""
    return pl.Series([None], dtype=pl.String).new_from_index(0, rows)


def first_problem(problems: pl.Series, more: pl.Series) -> pl.Series:
    """`problems`, and where there is none `more`."""
    return problems.zip_with(problems.is_not_null(), more)


def shown(column: pl.Series) -> pl.Series:
    """Cells as an error can show them."""
    return column.cast(pl.String).str.slice(0, _SHOWN_CHARACTERS)


def _says(column: pl.Series, wrong: pl.Series, reason: Reason) -> pl.Series:
    """The reason where a cell is wrong, with the cell in it."""
    if not wrong.any():
        return no_problems(column.len())
    frame = pl.DataFrame({"wrong": wrong, "cell": shown(column)})
    return frame.select(pl.when("wrong").then(pl.format(reason.value, "cell"))).to_series()


def _too_long(text: pl.Series, limit: int, reason: Reason) -> pl.Series:
    # No text has more characters than bytes, and those need not be counted.
    if (text.str.len_bytes() <= limit).all():
        return no_problems(text.len())
    characters = text.str.len_chars()
    return _says(characters, (characters > limit).fill_null(value=False), reason)


def _check_id(column: pl.Series) -> Checked:
    dtype = column.dtype
    if not (dtype.is_integer() or dtype.is_float() or _is_text(dtype)):
        raise WrongTypeError
    # A column of whole numbers with a gap is often stored as float.
    fraction = ~_is_whole(column) if dtype.is_float() else _nowhere(column)
    ids = _present(_as_text(column))
    too_long = _too_long(ids, MAX_ID_CHARACTERS, Reason.LONG_ID)
    return Checked(ids, first_problem(_says(column, fraction, Reason.FRACTION), too_long))


def _check_text(column: pl.Series) -> Checked:
    text = _present(_as_text(column))
    return Checked(text, _too_long(text, MAX_CELL_CHARACTERS, Reason.LONG_TEXT))


def _check_number(column: pl.Series) -> Checked:
    if not (column.dtype.is_numeric() or _is_text(column.dtype)):
        raise WrongTypeError
    given = _trimmed(column) if _is_text(column.dtype) else column
    values = given.cast(pl.Float64, strict=False)
    wrong = given.is_not_null() & ~values.is_finite().fill_null(value=False)
    return Checked(values, _says(given, wrong, Reason.NOT_A_NUMBER))


def _check_flag(column: pl.Series) -> Checked:
    dtype = column.dtype
    if not (isinstance(dtype, pl.Boolean) or dtype.is_integer() or _is_text(dtype)):
        raise WrongTypeError
    text = _trimmed(column).str.to_lowercase()
    wrong = text.is_not_null() & ~text.is_in(_TRUE + _FALSE)
    wrong = wrong.fill_null(value=False)
    return Checked(text.is_in(_TRUE), _says(column, wrong, Reason.NOT_A_FLAG))


def _check_time(column: pl.Series) -> Checked:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        ticks = column.to_physical()
        return _within_years(ticks, _microseconds(ticks, dtype.time_unit))
    if isinstance(dtype, pl.Date):
        days = column.to_physical().cast(pl.Int64)
        return _within_years(days, days * _SECONDS_PER_DAY * 1_000_000)
    if dtype.is_numeric():
        return _within_years(column, _from_unix(column.cast(pl.Float64)))
    if _is_text(dtype):
        return _check_time_text(_trimmed(column))
    raise WrongTypeError


def _check_time_text(text: pl.Series) -> Checked:
    seconds = text.cast(pl.Float64, strict=False)
    number = seconds.is_finite().fill_null(value=False)
    micros = _from_unix(seconds)
    if (number | text.is_null()).all():
        return _within_years(text, micros)
    iso = _from_iso(text)
    unreadable = text.is_not_null() & ~(number | iso.is_not_null())
    values, outside = _within_years(text, micros.zip_with(number, iso))
    problems = _says(text, unreadable, Reason.NOT_A_TIME)
    return Checked(values, first_problem(problems, outside))


def _within_years(given: pl.Series, micros: pl.Series) -> Checked:
    first, end = _FIRST_SECOND * 1_000_000, _END_SECOND * 1_000_000
    inside = ((micros >= first) & (micros < end)).fill_null(value=False)
    values = micros.zip_with(inside, pl.Series([None], dtype=pl.Int64))
    return Checked(
        values.cast(_UTC), _says(given, given.is_not_null() & ~inside, Reason.NO_SUCH_YEAR)
    )


def _microseconds(ticks: pl.Series, unit: str) -> pl.Series:
    """Ticks in microseconds; null where milliseconds lie outside the years 0001 to 9999."""
    if unit == "ns":
        return ticks // 1_000
    if unit == "us":
        return ticks
    inside = (ticks >= _FIRST_SECOND * 1_000) & (ticks < _END_SECOND * 1_000)
    return ticks.zip_with(inside, pl.Series([None], dtype=pl.Int64)) * 1_000


def _from_unix(seconds: pl.Series) -> pl.Series:
    """Microseconds since 1970; null outside the years 0001 to 9999."""
    inside = (seconds >= _FIRST_SECOND) & (seconds < _END_SECOND)
    kept = seconds.zip_with(inside, pl.Series([None], dtype=pl.Float64))
    return (kept * 1e6).round().cast(pl.Int64)


def _from_iso(text: pl.Series) -> pl.Series:
    """Microseconds since 1970 of ISO 8601's extended form; null where it is not that."""
    for shape, form in _USUAL_SHAPES:
        if text.str.contains(shape).all():
            return text.str.to_datetime(form, strict=False, time_unit="us").to_physical()
    parts = text.str.extract_groups(_ISO_8601).struct.unnest()

    def number(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.Int64).fill_null(0)

    days = pl.col("date").str.to_date("%Y-%m-%d", strict=False).to_physical().cast(pl.Int64)
    clock = (number("hour") * 60 + number("minute")) * 60 + number("second")
    offset = (number("offset_hour") * 60 + number("offset_minute")) * 60
    east = pl.when(pl.col("sign") == "-").then(-offset).otherwise(offset)
    part = pl.concat_str(pl.col("part").fill_null(""), pl.lit("000000")).str.slice(0, 6)
    exists = (number("hour") < 24) & (number("minute") < 60) & (number("second") < 60)
    exists &= (number("offset_hour") < 24) & (number("offset_minute") < 60)
    micros = (days * _SECONDS_PER_DAY + clock - east) * 1_000_000 + part.cast(pl.Int64)
    return parts.select(pl.when(exists).then(micros)).to_series()


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
    return ((column == column.floor()) & (column.abs() <= MAX_EXACT_FLOAT)).fill_null(value=True)


def _is_text(dtype: DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _nowhere(column: pl.Series) -> pl.Series:
    return pl.Series([False]).new_from_index(0, column.len())


def _present(text: pl.Series) -> pl.Series:
    """Text, null where it is empty."""
    return text.replace("", None)


def _trimmed(column: pl.Series) -> pl.Series:
    return _present(column.cast(pl.String).str.strip_chars())


_CHECKS: dict[Kind, Callable[[pl.Series], Checked]] = {
    "id": _check_id,
    "text": _check_text,
    "number": _check_number,
    "time": _check_time,
    "flag": _check_flag,
}
DTYPES: dict[Kind, DataType] = {
    "id": pl.String(),
    "text": pl.String(),
    "number": pl.Float64(),
    "time": _UTC,
    "flag": pl.Boolean(),
}
"""Type of the checked values of each kind."""
