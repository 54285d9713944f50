"""The home of a user: several titled rows."""

import time

from fastapi import APIRouter
from starlette.responses import Response

from recsvc.answer import item_document
from recsvc.service.documents import HomeDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId, json_response

router = APIRouter(tags=["recommendations"])


@router.get(
    "/v1/users/{user_id}/home", response_model=HomeDocument, responses=described(404, 422, 503)
)
async def home(user_id: PathId, engine: EngineDep) -> Response:
    """Several titled rows for a user, no item twice: what carries scores, new, popular."""
    started = time.perf_counter()
    found = await engine.home(user_id)
    rows = [
        {
            "kind": row.kind,
            "title": row.title,
            "evidence": row.evidence,
            "recommendation_id": row.recommendation_id,
            "items": [item_document(item) for item in row.items],
        }
        for row in found.rows
    ]
    document = {
        "request_id": found.best.request_id,
        "user_id": user_id,
        "versions": found.best.versions,
        "degraded": found.degraded,
        "took_ms": round((time.perf_counter() - started) * 1000, 3),
        "rows": rows,
    }
    return json_response(document)
