"""What whoever comes with a link is told of themselves, and takes back.

No address here names a user: it is the one of the link, see `recsvc.service.allowed`.
"""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from recsvc.errors import NotFoundError
from recsvc.person_links import Person
from recsvc.recommend.engine import Engine
from recsvc.recommend.graph_writer import DropFollow, Retract, nothing_to_take_back
from recsvc.recommend.query import EvidenceKey, RecommendationQuery
from recsvc.service.allowed import person_of
from recsvc.service.answer_cache import answer_json
from recsvc.service.documents import RecommendationsDocument
from recsvc.service.export_schemas import ExportDocument
from recsvc.service.me_schemas import HiddenDocument, HideRequest, MeDocument, TakeBackOptions
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, MetricsDep, json_response, search
from recsvc.service.routes import export as exports
from recsvc.service.schemas import ScenarioName, evidence_key
from recsvc.service.search_schemas import KnownDocument

router = APIRouter(tags=["me"])

_HIDE = "hide"
"""The kind of event by which somebody hides an item."""


async def _person(request: Request) -> Person:
    return person_of(request.scope)


Me = Annotated[Person, Depends(_person)]


@router.get("/v1/me", response_model=MeDocument, responses=described(404, 422, 503))
async def me(person: Me, engine: EngineDep) -> Response:
    """Who the link is for, and until when it opens something."""
    node = await engine.nodes.read("user", person.user_id)
    return json_response({
        "user_id": person.user_id,
        "expires_at": person.expires_at.isoformat(),
        "properties": node.properties,
    })  # fmt: skip


@router.delete("/v1/me", status_code=204, responses=described(404, 422, 503))
async def delete_me(person: Me, engine: EngineDep) -> Response:
    """Delete whom the link is for, and everything derived from them; it opens nothing then."""
    await engine.delete("user", person.user_id)
    return Response(status_code=204)


@router.get("/v1/me/evidence", response_model=KnownDocument, responses=described(404, 422, 503))
async def my_evidence(person: Me, engine: EngineDep) -> Response:
    """What is known: what they did, whom they follow, what they prefer."""
    return await search.get_evidence(person.user_id, engine)


@router.delete("/v1/me/evidence", status_code=204, responses=described(404, 409, 422, 503))
async def take_back_mine(
    person: Me, options: Annotated[TakeBackOptions, Query()], engine: EngineDep
) -> Response:
    """Take one piece of evidence back. Committed when this answers."""
    kind, node_id = key = evidence_key(options.evidence)
    if options.event is not None and kind != "item":
        raise _only_of_items()
    if not await _taken_back(engine, person.user_id, key, options.event):
        if kind == "item":
            raise nothing_to_take_back(person.user_id, node_id, options.event)
        raise NotFoundError(f"{kind} {node_id!r} is no evidence of user {person.user_id!r}")
    return Response(status_code=204)


@router.get(
    "/v1/me/recommendations",
    response_model=RecommendationsDocument,
    responses=described(404, 422, 503),
)
async def my_recommendations(
    person: Me, engine: EngineDep, metrics: MetricsDep,
    scenario: Annotated[ScenarioName | None, Query()] = None,
) -> Response:  # fmt: skip
    """The ten best items for them, each with all that explains it."""
    query = RecommendationQuery(explain="full", scenario=scenario)
    answer = await engine.recommend(person.user_id, query)
    metrics.observe_answer(answer)
    return Response(answer_json(answer), media_type="application/json")


@router.post(
    "/v1/me/hidden", response_model=HiddenDocument, responses=described(404, 409, 413, 422, 503)
)
async def hide(person: Me, body: HideRequest, engine: EngineDep) -> Response:
    """Hide an item: it is in none of their lists from now on. Committed when this answers."""
    await engine.nodes.read("item", body.item_id)  # an event would make either of them
    await engine.nodes.read("user", person.user_id)
    row: dict[str, Any] = {
        "event_id": uuid.uuid4().hex, "user_id": person.user_id, "item_id": body.item_id,
        "event": _HIDE, "value": None, "timestamp": datetime.now(UTC),
    }  # fmt: skip
    await engine.add_events([row], ())
    return json_response({"item_id": body.item_id})


@router.get("/v1/me/export", response_model=ExportDocument, responses=described(404, 422, 503))
async def export_me(person: Me, engine: EngineDep) -> Response:
    """All that is known of and derived from them, sent while it is read."""
    return await exports.export(person.user_id, engine)


async def _taken_back(engine: Engine, user_id: str, key: EvidenceKey, event: str | None) -> bool:
    kind, node_id = key
    if kind == "category":
        return await engine.drop_preference(user_id, node_id)
    follow = kind == "user"
    change = DropFollow(user_id, node_id) if follow else Retract(user_id, node_id, event)
    return await engine.change(change) != "missing"


def _only_of_items() -> RequestValidationError:
    detail = "expected none: only what was done with an item has kinds of events"
    return RequestValidationError([{"loc": ("query", "event"), "msg": detail, "type": "value"}])
