"""What probes and Prometheus ask."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse, Response

from recsvc.service.documents import HealthDocument, ReadyDocument
from recsvc.service.problems import REFUSALS, described, unavailable
from recsvc.service.routes import EngineDep, MetricsDep, json_response

router = APIRouter(tags=["health"])


@router.get("/health/live", response_model=HealthDocument, responses=described())
async def live() -> Response:
    """The process answers, whatever the state of Neo4j."""
    return json_response({"status": "live"})


@router.get("/health/ready", response_model=ReadyDocument, responses=described(503))
async def ready(request: Request, engine: EngineDep) -> Response:
    """It can answer. `degraded` says what answers or writes lack, such as while Neo4j is away."""
    state = await engine.ready()
    if state.missing:
        reasons = {**state.degraded, **state.missing}
        return unavailable(request.scope, f"not ready: {', '.join(state.missing)}", reasons=reasons)
    return json_response({"status": "ready", "degraded": state.degraded})


@router.get("/metrics", response_class=PlainTextResponse, responses=described(*REFUSALS))
async def metrics(metrics: MetricsDep) -> Response:
    """Metrics in Prometheus' text form."""
    return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)
