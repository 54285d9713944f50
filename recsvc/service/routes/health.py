"""What probes and Prometheus ask."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from recsvc.service.problems import REFUSALS, described, unavailable
from recsvc.service.routes import EngineDep, MetricsDep, json_response
from recsvc.service.schemas import HealthDocument

router = APIRouter(tags=["health"])


@router.get("/health/live", response_model=HealthDocument, responses=described())
async def live() -> Response:
    """The process answers, whatever the state of Neo4j."""
    return json_response({"status": "live"})


@router.get("/health/ready", response_model=HealthDocument, responses=described(503))
async def ready(request: Request, engine: EngineDep) -> Response:
    """Neo4j answers and a version of the models is loaded."""
    reasons = await engine.ready()
    if reasons:
        return unavailable(request.scope, f"not ready: {', '.join(reasons)}", reasons=reasons)
    return json_response({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse, responses=described(*REFUSALS))
async def metrics(metrics: MetricsDep) -> Response:
    """Metrics in Prometheus' text form."""
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)
