"""Experiments: which variant is better."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.recommend.experiments import listed, results_document, told
from recsvc.service.experiment_schemas import (
    ExperimentIn,
    ExperimentsDocument,
    ResultsDocument,
    ResultsOptions,
    StopIn,
    StoredExperimentDocument,
)
from recsvc.service.problems import described
from recsvc.service.routes import (
    DocumentName,
    EngineDep,
    NewDocumentName,
    SeenRevision,
    json_response,
)

router = APIRouter(tags=["experiments"])


@router.get("/v1/experiments", response_model=ExperimentsDocument, responses=described(503))
async def list_experiments(engine: EngineDep) -> Response:
    """All experiments, by name."""
    await engine.experiments.reload()
    return json_response(listed(engine.experiments.now))


@router.put(
    "/v1/experiments/{name}",
    response_model=StoredExperimentDocument,
    responses=described(404, 409, 413, 422, 503),
)
async def put_experiment(
    name: NewDocumentName, body: ExperimentIn, engine: EngineDep, revision: SeenRevision = None
) -> Response:
    """Have an experiment run from now on. Of one that is there, the results begin anew."""
    return json_response(told(await engine.experiments.put(name, body.experiment(), revision)))


@router.get(
    "/v1/experiments/{name}",
    response_model=StoredExperimentDocument,
    responses=described(404, 409, 422, 503),
)
async def get_experiment(name: DocumentName, engine: EngineDep) -> Response:
    """An experiment, and whether it runs."""
    return json_response(told(await engine.experiments.find(name)))


@router.delete("/v1/experiments/{name}", status_code=204, responses=described(404, 422, 503))
async def delete_experiment(name: DocumentName, engine: EngineDep) -> Response:
    """Delete an experiment. The outcomes of its answers stay."""
    await engine.experiments.delete(name)
    return Response(status_code=204)


@router.post(
    "/v1/experiments/{name}/stop",
    response_model=StoredExperimentDocument,
    responses=described(404, 409, 413, 422, 503),
)
async def stop_experiment(
    name: DocumentName, engine: EngineDep, body: StopIn | None = None
) -> Response:
    """Stop an experiment; everybody gets the promoted variant from then on, where one is named."""
    ending = body or StopIn()
    return json_response(told(await engine.experiments.end(name, ending.promote, ending.revision)))


@router.get(
    "/v1/experiments/{name}/results",
    response_model=ResultsDocument,
    responses=described(404, 409, 422, 503),
)
async def get_results(
    name: DocumentName, options: Annotated[ResultsOptions, Query()], engine: EngineDep
) -> Response:
    """How often an item that was shown was acted on, by variant."""
    answer = await engine.experiments.results(name, options.kind, options.segment)
    return json_response(results_document(answer, options.kind, options.segment))
