"""Cells of a JSON body, checked as the tables check theirs (`loaders.tables`).

The same values are taken and refused, which a test holds against the tables; only the checks there
work on whole columns, and this service does without loading what they need.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from itertools import filterfalse
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from loaders.limits import (
    DATES_AS_NUMBERS,
    FIRST_SECOND,
    INT64,
    MAX_AMOUNT,
    MAX_ID_CHARACTERS,
    MAX_KIND_CHARACTERS,
    MAX_LIST,
    latest_time,
)
from recsvc.service.schemas import NewId, text_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY = 86_400
_FAR_SECOND = 250_000_000_000
"""Nine thousand years in seconds: beyond it `datetime` may have no time."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ISO_8601 = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:[Tt ](?P<hour>\d{2})"
    r":?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r" ?(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>\d{2})(?::?(?P<offset_minute>\d{2}))?)?)?",
    re.ASCII,
)


def _finite(value: object) -> float | None:
    """A number, or text that is one.

    Raises:
        PydanticCustomError: it is not a finite number within the limit.
    """
    if isinstance(value, str):
        value = value.strip() or None
    if value is None:
        return None
    number = _float(value)
    if number is None or not abs(number) <= MAX_AMOUNT:  # NaN is not either
        raise PydanticCustomError(
            "number", "expected a finite number within ±{most}", {"most": f"{MAX_AMOUNT:,.0f}"}
        )
    return number


def _time(value: object) -> datetime | None:
    """ISO 8601 text or Unix seconds, in UTC.

    Raises:
        PydanticCustomError: it is neither, or not between 1970-01-02 and tomorrow.
    """
    if isinstance(value, str):
        value = value.strip() or None
    if value is None:
        return None
    number = _float(value)
    micros = _from_iso(value) if number is None else _from_number(number)
    if micros is not None and micros >= FIRST_SECOND * 1_000_000:
        time = _EPOCH + timedelta(microseconds=micros)
        if time <= latest_time(datetime.now(UTC)):
            return time
    expected = (
        "expected ISO 8601, such as 2018-07-19 or 2018-07-19T08:26:00Z, or Unix seconds, "
        "between 1970-01-02 and tomorrow"
    )
    raise PydanticCustomError("time", expected)


def _float(value: object) -> float | None:
    """A number or text that is one; infinite where it is too large; None for anything else."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _from_number(seconds: float) -> int | None:
    """Microseconds since 1970 of Unix seconds, or of a date as a number; None where far off."""
    first, end = DATES_AS_NUMBERS
    if first <= seconds < end:
        if not seconds.is_integer():
            return None
        try:
            return _days(str(int(seconds))) * _SECONDS_PER_DAY * 1_000_000
        except ValueError:
            return None
    return round(seconds * 1e6) if abs(seconds) < _FAR_SECOND else None


def _days(date_text: str) -> int:
    return date.fromisoformat(date_text).toordinal() - _EPOCH.toordinal()


def _from_iso(value: object) -> int | None:
    """Microseconds since 1970; None where the text is no time."""
    found = _ISO_8601.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        days = _days(found["date"])
    except ValueError:
        return None
    clock = _seconds(found["hour"], found["minute"], found["second"])
    offset = _seconds(found["offset_hour"], found["offset_minute"])
    if clock is None or offset is None:
        return None
    seconds = days * _SECONDS_PER_DAY + clock + (offset if found["sign"] == "-" else -offset)
    if abs(seconds) >= _FAR_SECOND:
        return None
    return seconds * 1_000_000 + int(((found["part"] or "") + "000000")[:6])


def _seconds(hours: str | None, minutes: str | None, seconds: str | None = None) -> int | None:
    """Seconds of a time of day or an offset; None where there is no such time."""
    hour, minute, second = int(hours or 0), int(minutes or 0), int(seconds or 0)
    inside = hour < 24 and minute < 60 and second < 60
    return hour * 3600 + minute * 60 + second if inside else None


def _present(value: object) -> object:
    """Empty text counts as missing, as in the tables."""
    return None if value == "" else text_of(value)


_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})


def _flag(value: object) -> bool | None:
    """True or false, also as text or 1 and 0.

    Raises:
        PydanticCustomError: it is none of them.
    """
    if value is None:
        return None
    value = text_of(value)
    text = str(value).strip().lower() if isinstance(value, str | bool) else "no flag"
    if text and text not in _TRUE | _FALSE:
        raise PydanticCustomError("flag", "expected true or false")
    return text in _TRUE if text else None


def _property(value: object) -> Any:
    """A value Neo4j can keep: text, a number, true or false, or a list of one of these.

    Raises:
        PydanticCustomError: it is something else.
    """
    if isinstance(value, list):
        return _list(cast("list[object]", value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text_of(value) or None
    if isinstance(value, int):
        if value in INT64:
            return value
        raise PydanticCustomError("integer", "expected an integer of 64 bits, or a longer as text")
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise PydanticCustomError(
        "property", "expected text, a finite number, an integer of 64 bits, true, false or a list"
    )


def _list(values: list[object]) -> list[Any]:
    """A list of one type; whole numbers among others count as such."""
    kinds = set(map(type, values))
    one_kind = len(kinds) <= 1 or kinds == {int, float}
    if len(values) > MAX_LIST or not one_kind or not kinds <= {str, bool, int, float}:
        raise PydanticCustomError(
            "list",
            "expected at most {most} values of one type, none of them null or a list",
            {"most": MAX_LIST},
        )
    # All of them at once: a body may hold 250,000 values, and the event loop waits meanwhile.
    if str in kinds:
        _property("".join(cast("list[str]", values)))
    if int in kinds:
        whole = [value for value in values if type(value) is int]
        _property(min(whole))
        _property(max(whole))
    if float in kinds:
        numbers = cast("list[float]", values)
        _property(next(filterfalse(math.isfinite, numbers), 0.0))
        return list(map(float, numbers))
    return values


_Blank = Annotated[str, StringConstraints(pattern=r"^\s*$")]
_NumberText = Annotated[str, StringConstraints(pattern=rf"^\s*(?:{_NUMBER.pattern})?\s*$")]
_FlagText = Annotated[
    str,
    StringConstraints(
        pattern=r"^\s*(?:[Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])?\s*$"
    ),
]
_Amount = Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
_Seconds = Annotated[float, Field(ge=FIRST_SECOND)]
_IdOrBlank = Annotated[str, StringConstraints(max_length=MAX_ID_CHARACTERS)]
_Texts = Annotated[list[str], Field(max_length=MAX_LIST)]
_Numbers = Annotated[list[float], Field(max_length=MAX_LIST)]
_Flags = Annotated[list[bool], Field(max_length=MAX_LIST)]

OptionalId = Annotated[
    NewId | None,
    BeforeValidator(_present, json_schema_input_type=_IdOrBlank | int | None),
]
"""An id that may be missing."""
Text = Annotated[str | None, BeforeValidator(_present, json_schema_input_type=str | int | None)]
"""Text that may be missing."""
_KindText = Annotated[str, StringConstraints(max_length=MAX_KIND_CHARACTERS)]
KindText = Annotated[
    _KindText | None, BeforeValidator(_present, json_schema_input_type=_KindText | int | None)
]
"""A kind of event or of a category that may be missing."""
Number = Annotated[
    float | None, BeforeValidator(_finite, json_schema_input_type=_Amount | _NumberText | None)
]
"""A number within the limit that may be missing."""
Time = Annotated[
    datetime | None,
    BeforeValidator(_time, json_schema_input_type=datetime | date | _Blank | _Seconds | None),
]
"""A time that may be missing."""
Flag = Annotated[
    bool | None,
    BeforeValidator(_flag, json_schema_input_type=bool | Literal[0, 1] | _FlagText | None),
]
"""True or false, or missing."""
Property = Annotated[
    Any,
    BeforeValidator(
        _property,
        json_schema_input_type=str | float | bool | _Texts | _Numbers | _Flags | None,
    ),
]
"""A further property."""
