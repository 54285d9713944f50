"""Looking: for users, items and categories, and at what is known about a user."""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from recsvc.graph.rows import StoredUser
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, PathId, json_response
from recsvc.service.search_schemas import (
    FoundDocument,
    KnownDocument,
    SearchOptions,
    UserSearchOptions,
)

router = APIRouter(tags=["search"])

Options = Annotated[SearchOptions, Query()]


@router.get("/v1/users", response_model=FoundDocument, responses=described(422, 503))
async def find_users(options: Annotated[UserSearchOptions, Query()], engine: EngineDep) -> Response:
    """Users by id or name, or some from a place among all."""
    if options.search is None:
        return json_response({"found": await engine.nodes.users_at(options.at or 0.0, options.k)})
    return json_response({"found": await engine.nodes.find("user", options.search, options.k)})


@router.get("/v1/items", response_model=FoundDocument, responses=described(422, 503))
async def find_items(options: Options, engine: EngineDep) -> Response:
    """Items by id or title."""
    return json_response({"found": await engine.nodes.find("item", options.search, options.k)})


@router.get("/v1/categories", response_model=FoundDocument, responses=described(422, 503))
async def find_categories(options: Options, engine: EngineDep) -> Response:
    """Categories by id or name."""
    return json_response({"found": await engine.nodes.find("category", options.search, options.k)})


@router.get(
    "/v1/users/{user_id}/evidence",
    response_model=KnownDocument,
    responses=described(404, 422, 503),
)
async def get_evidence(user_id: PathId, engine: EngineDep) -> Response:
    """What is known about a user: what they did, whom they follow, what they prefer."""
    asker, stored = await engine.nodes.evidence(user_id)
    did = _interactions(stored)
    evidence = [
        {
            "kind": node.kind,
            "id": node.id,
            "title": reference.title,
            "weight": node.weight,
            "interactions": did[node.id] if node.kind == "item" else [],
        }
        for node, reference in zip(asker.evidence.nodes, asker.nodes, strict=True)
    ]
    seen = len(asker.evidence.seen)
    return json_response({"user_id": user_id, "seen": seen, "evidence": evidence})


def _interactions(stored: StoredUser) -> dict[str, list[dict[str, Any]]]:
    """What a user did, by item, the newest first."""
    by_item: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for item_id, event, weight, at in stored.interactions:
        time = None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
        by_item[item_id].append({"event": event, "weight": weight, "at": time})
    return by_item
