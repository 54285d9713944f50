"""Events, and taking back what they made."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from loaders.errors import SumBeyondError
from loaders.limits import MAX_AMOUNT, MAX_EVENTS, MAX_KINDS
from recsvc.outcomes.outcome import Outcome, OutcomeReader
from recsvc.recommend.graph_writer import Retract, nothing_to_take_back
from recsvc.service.cells import KindText, Number, OptionalId, Time
from recsvc.service.documents import EventsDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, MetricsDep, NodeId, PathId, json_response
from recsvc.service.routes.outcomes import RecommendationId, checked
from recsvc.service.schemas import Document, Kind, NewId, RequestBody, at_most

router = APIRouter(tags=["events"])


class RetractOptions(Document):
    """What of the interactions of a user with an item is taken back."""

    event: Kind | None = None
    """The kind of event; left out, all kinds."""


class EventIn(RequestBody):
    """One thing a user did with an item."""

    event_id: OptionalId = None
    """An event that comes again under the same id counts once; left out, it is new."""
    user_id: NewId
    item_id: NewId
    event: KindText = None
    """Kind of event; left out, `interaction`."""
    value: Number = None
    """How much: a rating, a number of listens. A finite number within ±1,000,000; so is the sum of
    a user's values for an item and kind of event."""
    timestamp: Time = None
    """ISO 8601 or Unix seconds, between 1970-01-02 and tomorrow; left out, the time of receipt."""

    recommendation_id: RecommendationId | None = None
    """Of the answer that had the item: the event then is an outcome of it too, of this kind."""

    def outcome(self, event_id: str) -> dict[str, Any]:
        """The event, under its id, as `OutcomeReader.outcome` takes it."""
        return {
            "recommendation_id": self.recommendation_id,
            "user_id": self.user_id,
            "item_id": self.item_id,
            "kind": self.event or "interaction",
            "at": self.timestamp,
            "event_id": event_id,
        }

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


Events = Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS), at_most(MAX_EVENTS)]


class EventsRequest(RequestBody):
    """Events."""

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

    events: Events

    @model_validator(mode="after")
    def _has_few_kinds(self) -> "EventsRequest":
        kinds = {event.event for event in self.events}
        if len(kinds) > MAX_KINDS:
            raise PydanticCustomError(
                "kinds",
                "{came} kinds of event: expected at most {most}",
                {"came": len(kinds), "most": MAX_KINDS},
            )
        return self


def _from_list(body: object) -> object:
    return {"events": body} if isinstance(body, list) else body


EventsBody = Annotated[
    EventsRequest, BeforeValidator(_from_list, json_schema_input_type=EventsRequest | Events)
]
"""Events; a bare list of them is taken too."""


@router.post("/v1/events", response_model=EventsDocument, responses=described(413, 422, 503))
async def add_events(body: EventsBody, engine: EngineDep, metrics: MetricsDep) -> Response:
    """Store events. When this answers 200 they are in Neo4j, for good."""
    received = datetime.now(UTC)
    rows, outcomes = rows_and_outcomes(body.events, engine.outcome_reader(received), received)
    try:
        new = await engine.add_events(rows, outcomes)
    except SumBeyondError as error:
        raise RequestValidationError(list(_beyond(rows, error.event_ids))) from None
    metrics.observe_outcomes([each.kind for each in outcomes])
    unknown = metrics.observe_kinds([row["event"] for row in rows], engine.unknown_kinds)
    return json_response({"received": len(rows), "new": new, "unknown_kinds": unknown})


def rows_and_outcomes(
    events: Sequence[EventIn], reader: OutcomeReader, received: datetime
) -> tuple[list[dict[str, Any]], list[Outcome]]:
    """Events as `Engine.add_events` takes them, and the outcomes that some of them are.

    Args:
        events: of one request.
        reader: makes the outcomes.
        received: the time of events that have none.

    Raises:
        RequestValidationError: an outcome cannot be, and where it is.
    """
    rows = [event.row(received) for event in events]
    told = [
        (("events", place), event.outcome(row["event_id"]))
        for place, (event, row) in enumerate(zip(events, rows, strict=True))
        if event.recommendation_id is not None
    ]
    return rows, checked(reader, told, {"at": "timestamp"})


@router.delete(
    "/v1/users/{id}/interactions/{item_id}",
    status_code=204,
    responses=described(404, 422, 503),
)
async def take_back(
    user_id: NodeId,
    item_id: PathId,
    options: Annotated[RetractOptions, Query()],
    engine: EngineDep,
) -> Response:
    """Take back what a user did with an item. Committed when this answers.

    The events behind it stay known by their `event_id`: sent again, they do not count again. The
    outcomes that they are go with it.
    """
    if await engine.change(Retract(user_id, item_id, options.event)) == "missing":
        raise nothing_to_take_back(user_id, item_id, options.event)
    return Response(status_code=204)


def _beyond(rows: Sequence[dict[str, Any]], event_ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """Where the events are whose values are too much for a sum."""
    detail = (
        "expected a value with which the sum of this user's values for this item and kind of event "
        f"stays within ±{MAX_AMOUNT:,.0f}"
    )
    for place, row in enumerate(rows):
        if row["event_id"] in event_ids:
            yield {"loc": ("body", "events", place, "value"), "msg": detail, "type": "sum"}
