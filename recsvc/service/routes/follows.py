"""Who follows whom."""

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from recsvc.errors import NotFoundError
from recsvc.recommend.graph_writer import DropFollow, PutFollow
from recsvc.service.bodies import FollowIn
from recsvc.service.documents import WrittenDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, NodeId, PathId, json_response

router = APIRouter(tags=["graph"])


@router.put(
    "/v1/users/{id}/follows/{other_id}",
    response_model=WrittenDocument,
    responses=described(404, 413, 422, 503)
    | {201: {"model": WrittenDocument, "description": "It was made."}},
)
async def put_follow(
    user_id: NodeId, other_id: PathId, engine: EngineDep, body: FollowIn | None = None
) -> Response:
    """Make a user follow another; both exist. Committed when this answers."""
    if user_id == other_id:
        detail = "expected another user than the one who follows"
        raise RequestValidationError(
            [{"loc": ("path", "other_id"), "msg": detail, "type": "value"}]
        )
    outcome = await engine.change(PutFollow(user_id, other_id, body.since if body else None))
    if outcome == "missing":
        raise NotFoundError(f"no user {user_id!r}, or no user {other_id!r}, in the graph")
    made = outcome == "made"
    return json_response({"id": other_id, "made": made}, status=201 if made else 200)


@router.delete(
    "/v1/users/{id}/follows/{other_id}",
    status_code=204,
    responses=described(404, 422, 503),
)
async def delete_follow(user_id: NodeId, other_id: PathId, engine: EngineDep) -> Response:
    """End that a user follows another. Committed when this answers."""
    if await engine.change(DropFollow(user_id, other_id)) == "missing":
        raise NotFoundError(f"{user_id!r} does not follow {other_id!r}")
    return Response(status_code=204)
