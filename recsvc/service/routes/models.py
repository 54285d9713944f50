"""The versions of the models, and which of them is active."""

from fastapi import APIRouter
from starlette.responses import Response

from recsvc.service.bodies import ActivateIn
from recsvc.service.documents import ActivatedDocument, ModelsDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId, json_response

router = APIRouter(tags=["models"])


@router.get("/v1/models", response_model=ModelsDocument, responses=described(503))
async def list_models(engine: EngineDep) -> Response:
    """All versions of all models, newest first, and the deletions that wait for their arrays."""
    pending = await engine.pending_deletions()
    told = {"pending": pending.count, "since": pending.since, "reason": pending.reason}
    return json_response({"models": await engine.models(), "deletions": told})


@router.post(
    "/v1/models/{model}/activate",
    response_model=ActivatedDocument,
    responses=described(404, 409, 413, 422, 503),
)
async def activate_version(model: PathId, body: ActivateIn, engine: EngineDep) -> Response:
    """Make a version active that was so before, with all that the same refresh made."""
    return json_response({"versions": await engine.activate(model, body.version)})


@router.post(
    "/v1/models/{model}/rollback",
    response_model=ActivatedDocument,
    responses=described(404, 409, 422, 503),
)
async def roll_back(model: PathId, engine: EngineDep) -> Response:
    """Make the versions active that were before the active ones, of all models together."""
    return json_response({"versions": await engine.roll_back(model)})
