"""Refreshes: begun, and watched."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from recsvc.service.problems import described
from recsvc.service.refresh_schemas import (
    BegunRefreshDocument,
    RefreshDocument,
    RefreshesDocument,
    RefreshRequest,
)
from recsvc.service.refreshes import Refreshes
from recsvc.service.routes import EngineDep, NodeId, json_response

router = APIRouter(tags=["models"])

_ONLY_SHOWN: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The page runs nothing, asks nothing of anybody, stands in no frame, and is kept nowhere."""


async def _refreshes(request: Request) -> Refreshes:
    return request.app.state.refreshes


RefreshesDep = Annotated[Refreshes, Depends(_refreshes)]


@router.post(
    "/v1/refreshes",
    status_code=202,
    response_model=BegunRefreshDocument,
    responses=described(409, 413, 422, 503),
)
async def begin_refresh(
    refreshes: RefreshesDep, engine: EngineDep, body: RefreshRequest | None = None
) -> Response:
    """Begin a refresh, or resume one that was interrupted; the answer comes after seconds."""
    wanted = body or RefreshRequest()
    name = await refreshes.begin(
        engine, wanted.models or (), force=wanted.force, from_scratch=wanted.from_scratch
    )
    response = json_response({"id": name, "state": "unfinished"}, status=202)
    response.headers["Location"] = f"/v1/refreshes/{name}"
    return response


@router.get("/v1/refreshes", response_model=RefreshesDocument, responses=described())
async def list_refreshes(refreshes: RefreshesDep, engine: EngineDep) -> Response:
    """The refreshes of this machine that are known: one under way, and five that have ended."""
    newest = await refreshes.newest(engine)
    return json_response({"refreshes": [each.model_dump(mode="json") for each in newest]})


@router.get("/v1/refreshes/{id}", response_model=RefreshDocument, responses=described(404, 422))
async def get_refresh(run: NodeId, refreshes: RefreshesDep, engine: EngineDep) -> Response:
    """How a refresh goes, or went: steps with time and memory, and what came of it."""
    document = await refreshes.document(engine, run)
    return json_response(document.model_dump(mode="json"))


@router.get(
    "/v1/refreshes/{id}/report", response_class=HTMLResponse, responses=described(404, 422, 503)
)
async def get_refresh_report(run: NodeId, refreshes: RefreshesDep) -> Response:
    """The page of a refresh that has ended, for people: one file without any script."""
    return HTMLResponse(await refreshes.page(run), headers=_ONLY_SHOWN)
