"""Events, checked cell by cell as the tables check theirs (`loaders.tables`).

The same values are taken and refused, which a test holds against the tables; only the checks there
work on whole columns, and this service does without loading what they need.
"""

import math
import re
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, json_response
from recsvc.service.schemas import MAX_EVENTS, EventsDocument, Id, RequestBody, text_of

router = APIRouter(tags=["events"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = -62_135_596_800
"""0001-01-01T00:00:00Z in Unix seconds."""
_END_SECOND = 253_402_300_800
"""10000-01-01T00:00:00Z in Unix seconds."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_ISO_8601 = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r" ?(?:[Zz]|(?P<sign>[+-])(?P<offset_hour>\d{2})(?::?(?P<offset_minute>\d{2}))?)?)?",
    re.ASCII,
)


def _finite(value: object) -> float | None:
    """A number, or text that is one.

    Raises:
        PydanticCustomError: it is not a finite number.
    """
    if isinstance(value, str):
        value = value.strip() or None
    if value is None:
        return None
    number = _float(value)
    if number is None or not math.isfinite(number):
        raise PydanticCustomError("number", "expected a finite number")
    return number


def _time(value: object) -> datetime | None:
    """ISO 8601 text or Unix seconds, in UTC.

    Raises:
        PydanticCustomError: it is neither, or lies outside the years 0001 to 9999.
    """
    if isinstance(value, str):
        value = value.strip() or None
    if value is None:
        return None
    number = _float(value)
    micros = _from_iso(value) if number is None else _from_unix(number)
    if micros is None:
        expected = "expected ISO 8601 or Unix seconds, in the years 0001 to 9999"
        raise PydanticCustomError("time", expected)
    return _EPOCH + timedelta(microseconds=micros)


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


def _from_unix(seconds: float) -> int | None:
    return round(seconds * 1e6) if _FIRST_SECOND <= seconds < _END_SECOND else None


def _from_iso(value: object) -> int | None:
    """Microseconds since 1970; None where the text is no time."""
    found = _ISO_8601.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        days = date.fromisoformat(found["date"]).toordinal() - _EPOCH.toordinal()
    except ValueError:
        return None
    clock = _seconds(found["hour"], found["minute"], found["second"])
    offset = _seconds(found["offset_hour"], found["offset_minute"])
    if clock is None or offset is None:
        return None
    seconds = days * 86_400 + clock + (offset if found["sign"] == "-" else -offset)
    if not _FIRST_SECOND <= seconds < _END_SECOND:
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


class EventIn(RequestBody):
    """One thing a user did with an item."""

    event_id: Annotated[Id | None, BeforeValidator(_present)] = None
    """An event that comes again under the same id counts once; left out, it is new."""
    user_id: Id
    item_id: Id
    event: Annotated[str | None, BeforeValidator(_present)] = None
    """Kind of event; left out, `interaction`."""
    value: Annotated[float | None, BeforeValidator(_finite)] = None
    """How much: a rating, a number of listens. A finite number."""
    timestamp: Annotated[
        datetime | None,
        BeforeValidator(_time, json_schema_input_type=str | float | None),
    ] = None
    """ISO 8601 or Unix seconds; left out, the time of receipt."""

    def row(self, received: datetime) -> dict[str, Any]:
        """The event as `cypher/ingest/events.cypher` takes it."""
        return {
            "event_id": self.event_id or uuid.uuid4().hex,
            "user_id": self.user_id,
            "item_id": self.item_id,
            "event": self.event or "interaction",
            "value": self.value,
            "timestamp": self.timestamp or received,
        }


class EventsRequest(RequestBody):
    """Events; a bare list of them is taken too."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "event_id": "7d1f",
                            "user_id": "2",
                            "item_id": "289",
                            "event": "listen",
                            "timestamp": "2025-11-21T12:00:00Z",
                        }
                    ]
                }
            ]
        }
    )

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)]

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, body: object) -> object:
        return {"events": body} if isinstance(body, list) else body


@router.post("/v1/events", response_model=EventsDocument, responses=described(413, 422, 503))
async def add_events(body: EventsRequest, engine: EngineDep) -> Response:
    """Store events. When this answers 200 they are in Neo4j, for good."""
    received = datetime.now(UTC)
    new = await engine.add_events([event.row(received) for event in body.events])
    return json_response({"received": len(body.events), "new": new})
