"""All that is known of a user."""

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from recsvc.service.export_schemas import ExportDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId

router = APIRouter(tags=["graph"])


@router.get(
    "/v1/users/{user_id}/export", response_model=ExportDocument, responses=described(404, 422, 503)
)
async def export(user_id: PathId, engine: EngineDep) -> Response:
    """All that is known of and derived from a user, sent while it is read."""
    return StreamingResponse(await engine.nodes.export(user_id), media_type="application/json")
