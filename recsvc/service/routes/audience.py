"""Who would get an item."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from recsvc.answer import item_document
from recsvc.service.exposure_schemas import AudienceDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId, json_response, while_wanted
from recsvc.service.schemas import AudienceOptions

router = APIRouter(tags=["exposure"])


@router.get(
    "/v1/items/{item_id}/audience",
    response_model=AudienceDocument,
    responses=described(404, 422, 503),
)
async def item_audience(
    request: Request,
    item_id: PathId,
    options: Annotated[AudienceOptions, Query()],
    engine: EngineDep,
) -> Response:
    """In whose lists an item stands first, in how many it stands, and what followed it."""
    asked = engine.nodes.audience(item_id, options.users, options.k, options.days)
    audience = await while_wanted(request, asked)
    document = {
        "item_id": item_id,
        "versions": dict(audience.versions),
        "answers": {"lists": audience.lists, "holding": audience.holding},
        "outcomes": dict(audience.outcomes),
        "users": [{"user_id": user, "item": item_document(item)} for user, item in audience.users],
    }
    return json_response(document)
