"""Users, items and categories as their owner knows them."""

from typing import Any, Final

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from loaders.errors import CategoryCycleError, RefusedValueError
from recsvc.graph.rows import StoredNode
from recsvc.recommend.engine import Engine
from recsvc.recommend.graph_writer import PutNode
from recsvc.service.bodies import CategoryIn, ItemIn, UserIn
from recsvc.service.documents import CategoryDocument, ItemDocument, UserDocument, WrittenDocument
from recsvc.service.problems import described
from recsvc.service.routes import EngineDep, NewNodeId, NodeId, json_response

router = APIRouter(tags=["graph"])

_PUT: Final[dict[str, Any]] = {
    "response_model": WrittenDocument,
    "responses": described(413, 422, 503)
    | {201: {"model": WrittenDocument, "description": "It was made."}},
}
_DELETE: Final[dict[str, Any]] = {"status_code": 204, "responses": described(404, 422, 503)}


@router.put("/v1/users/{id}", **_PUT)
async def put_user(user_id: NewNodeId, body: UserIn, engine: EngineDep) -> Response:
    """Make a user or replace their properties; committed when this answers."""
    _check_same(user_id, body.user_id, "user_id")
    return await _put(engine, body.change(user_id))


@router.get("/v1/users/{id}", response_model=UserDocument, responses=described(404, 422, 503))
async def get_user(user_id: NodeId, engine: EngineDep) -> Response:
    """A user's properties and what they prefer."""
    node = await engine.nodes.read("user", user_id)
    return json_response({**node.properties, "user_id": user_id, "preferences": _links(node)})


@router.delete("/v1/users/{id}", **_DELETE)
async def delete_user(user_id: NodeId, engine: EngineDep) -> Response:
    """Delete a user and everything derived from them; all is done when this answers."""
    await engine.delete("user", user_id)
    return Response(status_code=204)


@router.put("/v1/items/{id}", **_PUT)
async def put_item(item_id: NewNodeId, body: ItemIn, engine: EngineDep) -> Response:
    """Make an item or replace its properties; committed when this answers."""
    _check_same(item_id, body.item_id, "item_id")
    return await _put(engine, body.change(item_id))


@router.get("/v1/items/{id}", response_model=ItemDocument, responses=described(404, 422, 503))
async def get_item(item_id: NodeId, engine: EngineDep) -> Response:
    """An item's properties and categories."""
    node = await engine.nodes.read("item", item_id)
    return json_response({**node.properties, "item_id": item_id, "categories": _links(node)})


@router.delete("/v1/items/{id}", **_DELETE)
async def delete_item(item_id: NodeId, engine: EngineDep) -> Response:
    """Delete an item and everything derived from it; all is done when this answers."""
    await engine.delete("item", item_id)
    return Response(status_code=204)


@router.put("/v1/categories/{id}", **_PUT)
async def put_category(category_id: NewNodeId, body: CategoryIn, engine: EngineDep) -> Response:
    """Make a category or replace its properties; committed when this answers."""
    _check_same(category_id, body.category_id, "category_id")
    if category_id in body.parent_ids:
        raise _invalid("parent_id", "expected another category than this one")
    try:
        return await _put(engine, body.change(category_id))
    except CategoryCycleError:
        detail = "expected a category that is not below this one"
        raise _invalid("parent_id", detail) from None


@router.get(
    "/v1/categories/{id}", response_model=CategoryDocument, responses=described(404, 422, 503)
)
async def get_category(category_id: NodeId, engine: EngineDep) -> Response:
    """A category's properties and parents."""
    node = await engine.nodes.read("category", category_id)
    parents = [parent_id for parent_id, _ in node.links]
    parent_id = parents if len(parents) > 1 else next(iter(parents), None)
    return json_response({**node.properties, "category_id": category_id, "parent_id": parent_id})


@router.delete("/v1/categories/{id}", **_DELETE)
async def delete_category(category_id: NodeId, engine: EngineDep) -> Response:
    """Delete a category and everything derived from it; all is done when this answers."""
    await engine.delete("category", category_id)
    return Response(status_code=204)


async def _put(engine: Engine, change: PutNode) -> Response:
    try:
        made = await engine.change(change) == "made"
    except RefusedValueError as error:
        named = sorted(error.properties & change.properties.keys())
        if not named:
            raise
        raise RequestValidationError([_error(error.why, name) for name in named]) from None
    return json_response({"id": change.id, "made": made}, status=201 if made else 200)


def _links(node: StoredNode) -> list[dict[str, Any]]:
    return [{"category_id": each, "weight": weight} for each, weight in node.links]


def _check_same(address_id: str, body_id: str | None, field: str) -> None:
    """Raise where a body names another node than the address."""
    if body_id not in (None, address_id):
        raise _invalid(field, "expected the id of the address, or none")


def _invalid(field: str, detail: str) -> RequestValidationError:
    return RequestValidationError([_error(detail, field)])


def _error(detail: str, field: str) -> dict[str, Any]:
    return {"loc": ("body", field), "msg": detail, "type": "value"}
