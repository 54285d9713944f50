"""The feed of changes."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.service.change_schemas import ChangesDocument, ChangesOptions
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, json_response

router = APIRouter(tags=["changes"])


@router.get("/v1/changes", response_model=ChangesDocument, responses=described(410, 422, 503))
async def changes(options: Annotated[ChangesOptions, Query()], engine: EngineDep) -> Response:
    """What was changed after a position, in the order of the commits, without a gap."""
    part = await engine.changes(options.after, options.limit)
    told = {"changes": [*part.changes], "next": part.next, "last": part.last}
    return json_response(told)
