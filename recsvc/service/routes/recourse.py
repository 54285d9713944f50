"""What would bring an item into lists."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.recommend.item_recourse import item_recourse_document
from recsvc.recommend.recourse import recourse_document
from recsvc.service.problems import described
from recsvc.service.recourse_schemas import ItemRecourseDocument, RecourseDocument
from recsvc.service.routes import EngineDep, PathId, json_response
from recsvc.service.schemas import ItemRecourseOptions, RecourseOptions

router = APIRouter(tags=["recommendations"])


@router.get(
    "/v1/users/{user_id}/recommendations/{item_id}/recourse",
    response_model=RecourseDocument,
    responses=described(404, 422, 503),
)
async def recourse(
    user_id: PathId,
    item_id: PathId,
    options: Annotated[RecourseOptions, Query()],
    engine: EngineDep,
) -> Response:
    """The smallest added evidence that would bring an item into a user's list."""
    answer = await engine.nodes.recourse(user_id, item_id, options.k, options.event)
    return json_response({"user_id": user_id, "item_id": item_id, **recourse_document(answer)})


@router.get(
    "/v1/items/{item_id}/recourse",
    response_model=ItemRecourseDocument,
    responses=described(404, 422, 503),
)
async def item_recourse(
    item_id: PathId, options: Annotated[ItemRecourseOptions, Query()], engine: EngineDep
) -> Response:
    """What many users would have to do for an item to come into their lists."""
    answer = await engine.nodes.item_recourse(item_id, options.users, options.k, options.event)
    return json_response(item_recourse_document(answer))
