"""The versions of the models."""

from fastapi import APIRouter
from starlette.responses import Response

from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, json_response
from recsvc.service.schemas import ModelsDocument

router = APIRouter(tags=["models"])


@router.get("/v1/models", response_model=ModelsDocument, responses=described(503))
async def list_models(engine: EngineDep) -> Response:
    """All versions of all models, newest first, with what is recorded of them."""
    return json_response({"models": await engine.models()})
