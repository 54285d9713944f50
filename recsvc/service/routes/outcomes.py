"""What followed answers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from loaders.limits import MAX_KIND_CHARACTERS, MAX_OUTCOMES
from recsvc.errors import RecommendationIdError
from recsvc.outcomes.outcome import Outcome, OutcomeReader
from recsvc.outcomes.recommendation_id import MAX_ID_CHARACTERS, MAX_PLACES
from recsvc.service.cells import OptionalId, Time
from recsvc.service.documents import OutcomesDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, MetricsDep, json_response
from recsvc.service.schemas import Id, RequestBody, at_most, text_of

router = APIRouter(tags=["outcomes"])

RecommendationId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=r"^[A-Za-z0-9_-]+$")
]
"""The `recommendation_id` of an answer."""
_KindText = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_KIND_CHARACTERS, pattern=r"\S")
]
OutcomeKind = Annotated[_KindText, BeforeValidator(text_of, json_schema_input_type=_KindText | int)]
"""What followed."""


class OutcomeIn(RequestBody):
    """What followed an answer for one of its items."""

    outcome_id: OptionalId = None
    """An outcome that comes again under the same id counts once. Left out, it is made of the
    answer, the item and the kind: each kind counts once for an item of an answer."""
    recommendation_id: RecommendationId
    """Of the answer."""
    item_id: Id
    """An item of this answer."""
    kind: OutcomeKind
    """What followed: `impression` where it was shown, then such as `click`, `purchase`,
    `dismissal`, or a word of your own."""
    position: Annotated[int, Field(ge=1, le=MAX_PLACES)] | None = None
    """The place of the item in the answer; left out, it is looked up there. Another one than the
    answer had is refused."""
    at: Time = None
    """ISO 8601 or Unix seconds, not before the answer; left out, the time of receipt."""


Outcomes = Annotated[
    list[OutcomeIn], Field(min_length=1, max_length=MAX_OUTCOMES), at_most(MAX_OUTCOMES)
]


class OutcomesRequest(RequestBody):
    """What followed answers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "outcomes": [
                        {"recommendation_id": "AWkwAbCd", "item_id": "289", "kind": "impression"},
                        {"recommendation_id": "AWkwAbCd", "item_id": "289", "kind": "click"},
                    ]
                }
            ]
        }
    )

    outcomes: Outcomes


@router.post("/v1/outcomes", response_model=OutcomesDocument, responses=described(413, 422, 503))
async def add_outcomes(body: OutcomesRequest, engine: EngineDep, metrics: MetricsDep) -> Response:
    """Store what followed answers. When this answers 200 they are in Neo4j, for good."""
    outcomes = checked(
        engine.outcome_reader(datetime.now(UTC)),
        [(("outcomes", place), each.model_dump()) for place, each in enumerate(body.outcomes)],
    )
    new, dropped = await engine.add_outcomes(outcomes)
    metrics.observe_outcomes([each.kind for each in outcomes])
    return json_response({"received": len(outcomes), "new": new, "dropped": dropped})


def checked(
    reader: OutcomeReader,
    told: Sequence[tuple[tuple[str | int, ...], Mapping[str, Any]]],
    names: Mapping[str, str] = MappingProxyType({}),
) -> list[Outcome]:
    """The outcomes that somebody tells.

    Args:
        reader: makes them.
        told: where each is in the body, and what `OutcomeReader.outcome` takes of it.
        names: what the body calls what that takes, where it is another name.

    Raises:
        RequestValidationError: some cannot be, and where they are.
    """
    outcomes: list[Outcome] = []
    errors: list[dict[str, Any]] = []
    for place, each in told:
        try:
            outcomes.append(reader.outcome(**each))
        except RecommendationIdError as error:
            field = names.get(error.field, error.field)
            errors.append({"loc": ("body", *place, field), "msg": str(error), "type": "outcome"})
    if errors:
        raise RequestValidationError(errors)
    return outcomes
