"""The home of a user: several titled rows."""

import time
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from recsvc.recommend.home import home_document
from recsvc.service.documents import HomeDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, MetricsDep, PathId, json_response, while_wanted

router = APIRouter(tags=["recommendations"])


@router.get(
    "/v1/users/{user_id}/home", response_model=HomeDocument, responses=described(404, 422, 503)
)
async def home(
    request: Request, user_id: PathId, engine: EngineDep, metrics: MetricsDep
) -> Response:
    """Several titled rows for a user, no item twice: what carries scores, new, popular."""
    started = time.perf_counter()
    made_home = await while_wanted(request, engine.home(user_id))
    metrics.observe_answer(replace(made_home.best, degraded=made_home.degraded))
    took_ms = round((time.perf_counter() - started) * 1000, 3)
    return json_response(home_document(made_home, took_ms))
