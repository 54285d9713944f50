"""The checks of times.

A time is ISO 8601 text, extended (2018-07-19T08:26:00Z) or basic (20180719T082600Z), Unix seconds,
a Parquet time or date, or of the form that the caller names. A number such as 20180719 is a date.
"""

from datetime import UTC, datetime

import polars as pl
from polars.datatypes import DataType

from loaders.errors import TableError
from loaders.limits import DATES_AS_NUMBERS, FIRST_SECOND, latest_time
from loaders.tables._problems import (
    Checked,
    WrongTypeError,
    first_problem,
    no_problems,
    problems_where,
)
from loaders.tables._reasons import Reason

MILLISECONDS_FORMAT = "ms"
"""Instead of a form of text: whole numbers are milliseconds since 1970."""
_LEAST_SECOND = -62_135_596_800
"""0001-01-01T00:00:00Z in Unix seconds."""
_END_SECOND = 253_402_300_800
"""10000-01-01T00:00:00Z in Unix seconds."""
_LEAST_MILLISECONDS = 100_000_000_000 * 1_000_000
"""Numbers from here on, as microseconds, are times in milliseconds since 1973."""
_FAR_SECOND = 9_000_000_000_000
"""Milliseconds read as seconds are before it; in microseconds it fits in 64 bits."""
_ISO_8601 = (
    r"^(?P<date>\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:[Tt ](?P<hour>\d{2})"
    r"(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?)"
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


def check_time(column: pl.Series, form: str | None = None) -> Checked:
    """Check a column of times, which lie between 1970-01-02 and tomorrow.

    Args:
        column: as it came.
        form: how its texts and numbers are to be read (`strptime`, or `ms`); text of ISO 8601 is
            read all the same.

    Raises:
        WrongTypeError: no time is of its type.
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime | pl.Date):
        return _within(column, _ticks(column, dtype))
    if dtype.is_numeric():
        if form is None:
            return _within(column, _from_number(column.cast(pl.Float64)), numbers=True)
        column = column.cast(pl.String).str.strip_suffix(".0")
    elif not is_text(dtype):
        raise WrongTypeError
    text = column.cast(pl.String).str.strip_chars().replace("", None)
    return _check_text(text) if form is None else _check_form(text, form)


def check_stored_time(column: pl.Series, dtype: pl.Datetime | pl.Date) -> Checked:
    """Check a column of times that become a property: any that Neo4j can keep."""
    micros = _ticks(column, dtype)
    inside = (micros >= _LEAST_SECOND * 1_000_000) & (micros < _END_SECOND * 1_000_000)
    inside = inside.fill_null(value=True)
    problems = problems_where(~inside, column.to_physical(), Reason.NO_SUCH_YEAR)
    if isinstance(dtype, pl.Date):
        return Checked(column, problems)
    return Checked(_only(micros, inside).cast(_UTC), problems)


def check_format(form: str) -> str:
    """A form of times that the caller names.

    Raises:
        TableError: it tells no date.
    """
    date = datetime(2018, 7, 19, tzinfo=UTC)
    told = _parsed(pl.Series([date.strftime(form)]), form).item()
    if form != MILLISECONDS_FORMAT and told != date.timestamp() * 1_000_000:
        raise TableError(
            f"{form!r} is no form of a time: expected one such as %d/%m/%Y %H:%M, as `strptime` "
            f"takes it, or {MILLISECONDS_FORMAT} for milliseconds since 1970"
        )
    return form


def is_text(dtype: DataType) -> bool:
    """Whether a column holds text."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _check_text(text: pl.Series) -> Checked:
    seconds = text.cast(pl.Float64, strict=False)
    number = seconds.is_finite().fill_null(value=False)
    micros = _from_number(seconds)
    if (number | text.is_null()).all():
        return _within(text, micros, numbers=True)
    iso = _from_iso(text)
    unreadable = text.is_not_null() & ~(number | iso.is_not_null())
    problems = problems_where(unreadable, text, Reason.NOT_A_TIME)
    values, outside = _within(text, micros.zip_with(number, iso), numbers=number)
    return Checked(values, first_problem(problems, outside))


def _check_form(text: pl.Series, form: str) -> Checked:
    if form == MILLISECONDS_FORMAT:
        micros = text.cast(pl.Int64, strict=False).clip(-(2**52), 2**52) * 1_000
    else:
        micros = _parsed(text, form)
    micros = micros.zip_with(micros.is_not_null(), _from_iso(text))
    unreadable = text.is_not_null() & micros.is_null()
    values, outside = _within(text, micros)
    return Checked(
        values, first_problem(problems_where(unreadable, text, Reason.OTHER_FORM), outside)
    )


def _parsed(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, strict=False, time_unit="us").to_physical()


def _within(given: pl.Series, micros: pl.Series, *, numbers: pl.Series | bool = False) -> Checked:
    """Times within the limits, and what is wrong with the others; null microseconds are no time.

    Args:
        given: as they came.
        micros: microseconds since 1970.
        numbers: which of them came as Unix seconds.
    """
    first = FIRST_SECOND * 1_000_000
    latest = int(latest_time(datetime.now(UTC)).timestamp() * 1e6)
    inside = ((micros >= first) & (micros <= latest)).fill_null(value=False)
    values = _only(micros, inside).cast(_UTC)
    if (inside | given.is_null()).all():
        return Checked(values, no_problems(given.len()))
    # Read as seconds, milliseconds are a thousand times as late.
    in_milliseconds = (micros > _LEAST_MILLISECONDS) & (micros // 1_000 <= latest) & numbers
    shown = given.to_physical() if given.dtype.is_temporal() else given
    problems = problems_where(micros < first, shown, Reason.TOO_EARLY)
    for wrong, reason in (
        (in_milliseconds, Reason.MILLISECONDS),
        (micros > latest, Reason.TOO_LATE),
        (given.is_not_null() & micros.is_null(), Reason.NOT_A_TIME),
    ):
        problems = first_problem(problems, problems_where(wrong, shown, reason))
    return Checked(values, problems)


def _only(values: pl.Series, mask: pl.Series) -> pl.Series:
    return values.zip_with(mask, pl.Series([None], dtype=values.dtype))


def _ticks(column: pl.Series, dtype: pl.Datetime | pl.Date) -> pl.Series:
    """Microseconds since 1970 of times and dates, those far off cut where years end."""
    ticks = column.to_physical().cast(pl.Int64)
    if isinstance(dtype, pl.Date):
        return ticks * _SECONDS_PER_DAY * 1_000_000
    if dtype.time_unit == "ns":
        return ticks // 1_000
    if dtype.time_unit == "us":
        return ticks
    return ticks.clip((_LEAST_SECOND - 1) * 1_000, _END_SECOND * 1_000) * 1_000


def _from_number(seconds: pl.Series) -> pl.Series:
    """Microseconds since 1970 of Unix seconds (what is far off is cut) or dates as numbers."""
    cut = seconds.clip(_LEAST_SECOND, _FAR_SECOND)
    micros = (cut * 1e6).round().cast(pl.Int64, strict=False)
    first, end = DATES_AS_NUMBERS
    dates = ((seconds >= first) & (seconds < end)).fill_null(value=False)
    if not dates.any():
        return micros
    digits = _only(seconds, dates & (seconds == seconds.floor())).cast(pl.Int64).cast(pl.String)
    days = digits.str.to_date("%Y%m%d", strict=False).to_physical().cast(pl.Int64)
    return (days * _SECONDS_PER_DAY * 1_000_000).zip_with(dates, micros)


def _from_iso(text: pl.Series) -> pl.Series:
    """Microseconds since 1970 of ISO 8601; null where it is not that."""
    for shape, form in _USUAL_SHAPES:
        if text.str.contains(shape).all():
            return _parsed(text, form)
    parts = text.str.extract_groups(_ISO_8601).struct.unnest()

    def number(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.Int64).fill_null(0)

    date = pl.col("date").str.replace_all("-", "", literal=True)
    days = date.str.to_date("%Y%m%d", strict=False).to_physical().cast(pl.Int64)
    clock = (number("hour") * 60 + number("minute")) * 60 + number("second")
    offset = (number("offset_hour") * 60 + number("offset_minute")) * 60
    east = pl.when(pl.col("sign") == "-").then(-offset).otherwise(offset)
    part = pl.concat_str(pl.col("part").fill_null(""), pl.lit("000000")).str.slice(0, 6)
    exists = (number("hour") < 24) & (number("minute") < 60) & (number("second") < 60)
    exists &= (number("offset_hour") < 24) & (number("offset_minute") < 60)
    micros = (days * _SECONDS_PER_DAY + clock - east) * 1_000_000 + part.cast(pl.Int64)
    return parts.select(pl.when(exists).then(micros)).to_series()
