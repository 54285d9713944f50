"""Cells of a JSON body, checked as the tables check theirs (`loaders.tables`).

The same values are taken and refused, which a test holds against the tables; only the checks there
work on whole columns, and this service does without loading what they need.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta
from itertools import filterfalse
from typing import Annotated, Any, Final, Literal, TypeGuard, cast

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
from recsvc.service.schemas import NAMES_ONE, NewId, text_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ISO_8601 = re.compile(
    r"(\d{4}-\d{2}-\d{2}|\d{8})"
    r"(?:[Tt ](\d{2}:?\d{2}(?::?\d{2}(?:[.,]\d{1,9})?)? ?(?:[Zz]|[+-]\d{2}(?::?[0-5]\d)?)?))?",
    re.ASCII,
)
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes"), True),
    **dict.fromkeys(("false", "0", "no"), False),
    "": None,
}


def _number(value: object) -> object:
    """Text that is a number as one, and empty text as none; anything else as it came."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return float(text) if _NUMBER.fullmatch(text) else text or None


def _finite(value: object) -> object:
    """A number, or text that is one.

    Raises:
        PydanticCustomError: it is not a finite number within the limit.
    """
    number = _number(value)
    if number is None or (_is_number(number) and abs(number) <= MAX_AMOUNT):  # NaN is not either
        return number
    raise PydanticCustomError(
        "number", "expected a finite number within ±{most}", {"most": f"{MAX_AMOUNT:,.0f}"}
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: object) -> datetime | None:
    """ISO 8601 text or Unix seconds, in UTC.

    Raises:
        PydanticCustomError: it is neither, or not between 1970-01-02 and tomorrow.
    """
    value = _number(value)
    if value is None:
        return None
    latest = latest_time(datetime.now(UTC))
    try:
        time = _from_iso(value) if isinstance(value, str) else _from_number(value, latest)
        if _EPOCH + timedelta(seconds=FIRST_SECOND) <= time <= latest:
            return time.astimezone(UTC)
    except (TypeError, ValueError):
        pass
    raise PydanticCustomError(
        "time",
        "expected ISO 8601, such as 2018-07-19 or 2018-07-19T08:26:00Z, or Unix seconds, "
        "between 1970-01-02 and tomorrow",
    )


def _from_number(value: object, latest: datetime) -> datetime:
    """The time of Unix seconds up to the latest, or of a date as a number.

    Raises:
        TypeError: it is no number.
        ValueError: it is neither.
    """
    if not _is_number(value):
        raise TypeError(value)
    first, end = DATES_AS_NUMBERS
    if first <= value < end and value == int(value):
        return _from_iso(str(int(value)))
    if first <= value < end or not FIRST_SECOND <= value <= latest.timestamp():
        raise ValueError(value)
    return _EPOCH + timedelta(microseconds=round(value * 1e6))


def _from_iso(text: str) -> datetime:
    """The time of ISO 8601 text; without a zone, of UTC.

    Raises:
        ValueError: it is no such text, or there is no such time.
    """
    # `fromisoformat` takes more than ISO 8601 has, and zones with 99 minutes.
    shape = _ISO_8601.fullmatch(text)
    if shape is None:
        raise ValueError(text)
    day, clock = shape.groups(default="00")
    time = datetime.fromisoformat(f"{day}T{clock.replace(':', '').replace(' ', '').upper()}")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _present(value: object) -> object:
    """Empty text counts as missing, as in the tables."""
    return None if value == "" else text_of(value)


def _flag(value: object) -> object:
    """Words and digits for true and false as these, empty text as none; else as it came."""
    word = text_of(value)
    return _FLAGS.get(word.strip().lower(), value) if isinstance(word, str) else value


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
_IdOrEmpty = Annotated[
    str,
    StringConstraints(max_length=MAX_ID_CHARACTERS),
    Field(json_schema_extra={**NAMES_ONE, "pattern": rf"^$|{NAMES_ONE['pattern']}"}),
]
_Texts = Annotated[list[str], Field(max_length=MAX_LIST)]
_Numbers = Annotated[list[float], Field(max_length=MAX_LIST)]
_Flags = Annotated[list[bool], Field(max_length=MAX_LIST)]

OptionalId = Annotated[
    NewId | None,
    BeforeValidator(_present, json_schema_input_type=_IdOrEmpty | int | None),
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
