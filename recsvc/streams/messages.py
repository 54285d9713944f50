"""What a message says: events, read as the body of `POST /v1/events` is, or why it is refused."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias, cast

from aiokafka import ConsumerRecord
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from loaders.limits import FIRST_SECOND, MAX_BODY_BYTES, MAX_CONTAINERS, MAX_VALUES
from loaders.repeated_names import repeated_names
from recsvc.outcomes.outcome import OutcomeReader
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.service.routes.events import EventIn, EventsBody, EventsRequest, rows_and_outcomes

Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]
Cause = Literal["size", "json", "fields", "refused"]
"""Why a message is refused, in a word: it is too large, no JSON, has wrong fields, or the graph
refuses what it says."""

_BODY: Final = TypeAdapter[EventsRequest](EventsBody)
_REASON_CHARACTERS: Final = 1000
_EVENTS: Final = "events"


@dataclass(frozen=True, slots=True)
class Told:
    """The events of a message.

    Attributes:
        record: the message.
        rows: as `GraphWriter.add_events` takes them.
        outcomes: those that some of them are, likewise.
    """

    record: Record
    rows: Sequence[Mapping[str, Any]]
    outcomes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be stored.

    Attributes:
        record: the message.
        cause: why, in a word.
        reason: why, with the place; it may name what is in the message.
    """

    record: Record
    cause: Cause
    reason: str


class MessageReader:
    """Reads messages.

    Args:
        ids: read the ids of answers.
        keep_days: how long outcomes are kept.
    """

    def __init__(self, ids: RecommendationIds, keep_days: int) -> None:
        self._ids = ids
        self._keep_days = keep_days

    def read(self, record: Record) -> Told | Refused:
        """What a message says: an event, a list of events, or `{"events": […]}`."""
        try:
            body = _BODY.validate_python(_document(record.value or b""))
            events = _with_ids(body.events, record)
            rows, outcomes = rows_and_outcomes(events, self._outcome_reader(), _time_of(record))
        except _TooLargeError as error:
            return Refused(record, "size", str(error))
        except (ValidationError, RequestValidationError) as error:
            return Refused(record, "fields", _first(error))
        except (ValueError, RecursionError) as error:
            return Refused(record, "json", f"expected JSON in UTF-8: {error}"[:_REASON_CHARACTERS])
        return Told(record, rows, [each.row() for each in outcomes])

    def _outcome_reader(self) -> OutcomeReader:
        now = datetime.now(UTC)
        return OutcomeReader(self._ids, keep_days=self._keep_days, received=now)


class _TooLargeError(Exception):
    """Ends the reading of a message; never leaves this module."""


def _document(value: bytes) -> object:
    """The body that a message is.

    Raises:
        _TooLargeError: it is beyond the limits of a request.
        ValueError: it is no JSON, or names a field twice.
        RecursionError: it is nested too deeply.
    """
    if len(value) > MAX_BODY_BYTES:
        raise _TooLargeError(f"it has {len(value)} bytes: expected at most {MAX_BODY_BYTES}")
    containers = value.count(b"[") + value.count(b"{")
    if value.count(b",") >= MAX_VALUES or containers > MAX_CONTAINERS:
        raise _TooLargeError(
            f"expected at most {MAX_VALUES} values, and {MAX_CONTAINERS} lists and objects"
        )
    document = json.loads(value)
    for name in repeated_names(value):
        raise ValueError(f"the field {name!r} stands twice in one object")
    if isinstance(document, dict) and _EVENTS not in document:
        return {_EVENTS: [cast("dict[str, object]", document)]}
    return document


def _with_ids(events: Sequence[EventIn], record: Record) -> list[EventIn]:
    """Events, each with an id: one that has none is known by its place, so it counts once too.

    The time is part of it: a topic that is made anew begins with the same places.
    """
    place = f"{record.topic}/{record.partition}/{record.offset}/{record.timestamp}"
    return [
        event
        if event.event_id is not None
        else event.model_copy(update={"event_id": _digest(f"{place}/{number}")})
        for number, event in enumerate(events)
    ]


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _time_of(record: Record) -> datetime:
    """When a message was sent, or now where it has no time that could be."""
    now = datetime.now(UTC)
    seconds = record.timestamp / 1000
    if FIRST_SECOND <= seconds <= now.timestamp():
        return datetime.fromtimestamp(seconds, UTC)
    return now


def _first(error: ValidationError | RequestValidationError) -> str:
    """The first field at fault and what was expected, without what came."""
    errors = list[Any](error.errors())
    places = [str(part) for part in errors[0]["loc"] if part != "body"]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{'.'.join(places) or _EVENTS}: {errors[0]['msg']}{more}"[:_REASON_CHARACTERS]
