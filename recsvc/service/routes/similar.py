"""Nearest neighbours of items and users."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.answer import as_document
from recsvc.service.documents import SimilarDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId, json_response
from recsvc.service.schemas import SimilarOptions

router = APIRouter(tags=["similar"])

Options = Annotated[SimilarOptions, Query()]


@router.get(
    "/v1/items/{item_id}/similar",
    response_model=SimilarDocument,
    responses=described(404, 422, 503),
)
async def similar_items(item_id: PathId, options: Options, engine: EngineDep) -> Response:
    """The items nearest to an item."""
    answer = await engine.nodes.similar_items(item_id, options.k, options.model)
    return json_response(as_document(answer))


@router.get(
    "/v1/users/{user_id}/similar",
    response_model=SimilarDocument,
    responses=described(404, 422, 503),
)
async def similar_users(user_id: PathId, options: Options, engine: EngineDep) -> Response:
    """The users nearest to a user."""
    answer = await engine.nodes.similar_users(user_id, options.k, options.model)
    return json_response(as_document(answer))
