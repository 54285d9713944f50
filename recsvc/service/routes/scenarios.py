"""Scenarios: stored, looked at, tried, taken back."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.answer import as_document
from recsvc.recommend.engine import Engine
from recsvc.recommend.scenario_trial import try_scenario
from recsvc.scenarios.stored import CurrentScenario
from recsvc.service.problems import described
from recsvc.service.routes import (
    DocumentName,
    EngineDep,
    NewDocumentName,
    SeenRevision,
    json_response,
)
from recsvc.service.scenario_schemas import (
    ScenarioDocument,
    ScenariosDocument,
    ScenarioWrittenDocument,
    TriedDocument,
)
from recsvc.service.schemas import (
    ScenarioIn,
    TryRequest,
    VersionNumber,
)

router = APIRouter(tags=["scenarios"])


@router.get("/v1/scenarios", response_model=ScenariosDocument, responses=described(503))
async def list_scenarios(engine: EngineDep) -> Response:
    """All stored scenarios, each in its newest revision."""
    await engine.scenarios.reload()
    documents = [_document(each, [each.stored.revision]) for each in engine.scenarios.current()]
    return json_response({"scenarios": documents})


@router.get(
    "/v1/scenarios/{name}", response_model=ScenarioDocument, responses=described(404, 422, 503)
)
async def get_scenario(
    name: DocumentName, engine: EngineDep, revision: Annotated[VersionNumber | None, Query()] = None
) -> Response:
    """A scenario, in its newest revision or an earlier one."""
    return json_response(await scenario_document(engine, name, revision))


@router.put(
    "/v1/scenarios/{name}",
    response_model=ScenarioWrittenDocument,
    responses=described(409, 413, 422, 503),
)
async def put_scenario(
    name: NewDocumentName, body: ScenarioIn, engine: EngineDep, revision: SeenRevision = None
) -> Response:
    """Store a scenario as its next revision; the last 20 are kept."""
    made = await engine.scenarios.put(name, body, revision)
    return json_response({"name": name, "revision": made})


@router.post(
    "/v1/scenarios/{name}/rollback",
    response_model=ScenarioWrittenDocument,
    responses=described(404, 409, 422, 503),
)
async def roll_back_scenario(
    name: DocumentName, engine: EngineDep, revision: Annotated[VersionNumber | None, Query()] = None
) -> Response:
    """Store an earlier revision, or the one before, as the next one."""
    made = await engine.scenarios.roll_back(name, revision)
    return json_response({"name": name, "revision": made})


@router.delete("/v1/scenarios/{name}", status_code=204, responses=described(404, 409, 422, 503))
async def delete_scenario(name: DocumentName, engine: EngineDep) -> Response:
    """Delete a scenario with all its revisions."""
    await engine.scenarios.delete(name)
    return Response(status_code=204)


@router.post(
    "/v1/scenarios/{name}/try",
    response_model=TriedDocument,
    responses=described(404, 413, 422, 503),
)
async def try_scenario_on(name: DocumentName, body: TryRequest, engine: EngineDep) -> Response:
    """What a scenario would change for a user; nothing is stored."""
    before, after, moves = await try_scenario(engine, name, body.scenario, body.user_id)
    return json_response(
        {"before": as_document(before), "after": as_document(after), "moves": moves}
    )


async def scenario_document(engine: Engine, name: str, revision: int | None) -> dict[str, Any]:
    """A scenario as JSON-ready values.

    Raises:
        NotFoundError: there is no such scenario, or revision of it.
        Neo4jError: the graph cannot be read in time.
    """
    chosen, revisions = await engine.scenarios.revision(name, revision)
    return _document(chosen, revisions)


def _document(current: CurrentScenario, kept: list[int]) -> dict[str, Any]:
    stored = current.stored
    return {
        "name": stored.name, "revision": stored.revision, "at": stored.at,
        "scenario": current.scenario and current.scenario.document(),
        "trouble": current.trouble, "revisions": kept,
    }  # fmt: skip
