"""How evenly items come to be seen."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from recsvc.recommend.exposure import exposure_document
from recsvc.service.exposure_schemas import ExposureDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, json_response, while_wanted
from recsvc.service.schemas import ExposureOptions

router = APIRouter(tags=["exposure"])


@router.get("/v1/exposure", response_model=ExposureDocument, responses=described(422, 503))
async def exposure(
    request: Request, options: Annotated[ExposureOptions, Query()], engine: EngineDep
) -> Response:
    """How places are spread over items: of answers to a sample of users, and of impressions."""
    of_items, of_users = options.property, options.group
    asked = engine.exposure_of_answers(options.users, options.k, of_items, of_users)
    lists, answers = await while_wanted(request, asked)
    shown = await engine.exposure_of_impressions(options.days, of_items, of_users)
    return json_response(exposure_document(lists, answers, shown))
