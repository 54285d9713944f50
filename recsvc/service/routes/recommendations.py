"""Recommendations, and why."""

from dataclasses import replace
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from loaders.limits import MAX_AMOUNT, MAX_EVIDENCE
from recsvc.answer import Answer, explanation_document
from recsvc.recommend.query import StatedEvidence
from recsvc.recommend.workshop import WORKSHOP
from recsvc.service.answer_cache import Served, answer_json, first_body
from recsvc.service.cells import Time
from recsvc.service.documents import (
    BatchDocument,
    EvidenceAnswerDocument,
    ExplainedItemDocument,
    RecommendationsDocument,
)
from recsvc.service.kept_answers import offer
from recsvc.service.problems import described
from recsvc.service.routes import (
    EngineDep,
    MetricsDep,
    PartsResponse,
    PathId,
    json_response,
    while_wanted,
)
from recsvc.service.schemas import (
    BatchRequest,
    Id,
    Kind,
    RecommendationOptions,
    RequestBody,
    ScenarioName,
    at_most,
)

router = APIRouter(tags=["recommendations"])


class EvidenceIn(RequestBody):
    """One thing somebody did."""

    item_id: Id
    event: Kind = "interaction"
    """Kind of event, which decides how much it counts."""
    weight: Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False)] = 1.0
    """How often or how much; negative for a dislike."""
    timestamp: Time = None
    """When. Where no piece of the evidence says it, the first in the list is the latest."""

    def stated(self) -> StatedEvidence:
        """The same as the engine takes it."""
        at = None if self.timestamp is None else self.timestamp.timestamp()
        return StatedEvidence(self.item_id, self.event, self.weight, at)


class EvidenceRequest(RequestBody, RecommendationOptions):
    """Recommendations for evidence that is not in the graph."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"evidence": [{"item_id": "55"}, {"item_id": "89", "event": "listen"}], "k": 5}
            ]
        }
    )

    evidence: Annotated[
        list[EvidenceIn], Field(min_length=1, max_length=MAX_EVIDENCE), at_most(MAX_EVIDENCE)
    ]


_LARGE_ITEMS = 50


def is_large(answer: Answer) -> bool:
    """Whether an answer takes milliseconds to write."""
    return len(answer.items) > _LARGE_ITEMS


@router.get(
    "/v1/users/{user_id}/recommendations",
    response_model=RecommendationsDocument,
    responses=described(404, 422, 503),
)
async def recommend(
    request: Request,
    user_id: PathId,
    options: Annotated[RecommendationOptions, Query()],
    engine: EngineDep,
    metrics: MetricsDep,
) -> Response:
    """The best items for a user of the graph."""
    answer = await engine.recommend(user_id, options.query())
    metrics.observe_answer(answer)
    served = await WORKSHOP.do(is_large(answer), Served.of, answer)
    # What is drawn in full exists in the graph at the moment of each answer.
    if options.explain != "full" and not answer.degraded:
        offer(request.scope, served, answer.source)
    return Response(first_body(served, answer), media_type="application/json")


@router.post(
    "/v1/recommendations",
    response_model=EvidenceAnswerDocument,
    responses=described(404, 413, 422, 503),
)
async def recommend_for_evidence(
    body: EvidenceRequest, engine: EngineDep, metrics: MetricsDep
) -> Response:
    """The best items for a session, or for a person the graph does not know."""
    stated = [each.stated() for each in body.evidence]
    answer = await engine.recommend_for(stated, body.query())
    metrics.observe_answer(answer)
    unknown = metrics.observe_kinds([each.event for each in stated], engine.unknown_kinds)
    written = await WORKSHOP.do(is_large(answer), answer_json, answer)
    kinds = b',"unknown_kinds":' + orjson.dumps(unknown) + b"}"
    return Response(written.removesuffix(b"}") + kinds, media_type="application/json")


@router.post(
    "/v1/recommendations/batch",
    response_model=BatchDocument,
    responses=described(404, 413, 422, 503),
)
async def recommend_for_many(
    request: Request, body: BatchRequest, engine: EngineDep, metrics: MetricsDep
) -> Response:
    """The best items for each of many users of the graph."""

    def take(answer: Answer) -> tuple[Answer, bytes]:
        """Its JSON, and what is counted of it."""
        return replace(answer, items=()), answer_json(answer)

    asked = engine.recommend_many(body.user_ids, body.query(), take)
    taken, unknown = await while_wanted(request, asked)
    for answer, _ in taken:
        metrics.observe_answer(answer)
    parts = [b'{"answers":[']
    for number, (_, written) in enumerate(taken):
        parts += [b"," * (number > 0), written]
    return PartsResponse([*parts, b'],"unknown":', orjson.dumps(unknown), b"}"])


@router.get(
    "/v1/users/{user_id}/recommendations/{item_id}/explanation",
    response_model=ExplainedItemDocument,
    responses=described(404, 422, 503),
)
async def explain(
    user_id: PathId, item_id: PathId, engine: EngineDep, metrics: MetricsDep,
    scenario: Annotated[ScenarioName | None, Query()] = None,
) -> Response:  # fmt: skip
    """Why a user is, or would be, recommended an item: any item, in full."""
    answer = await engine.explain(user_id, item_id, scenario)
    metrics.observe_answer(answer)
    return json_response(explanation_document(answer))
