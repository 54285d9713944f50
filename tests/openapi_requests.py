"""Requests made from the OpenAPI document of the service, with one text at each place in turn."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any
from urllib.parse import quote

OWN = {"user_id": "own-u", "users": "own-u", "item_id": "own-i", "items": "own-i",
       "categories": "own-c", "other_id": "own-v", "name": "own", "model": "hybrid"}  # fmt: skip
"""Ids of nodes that only tests write."""
THERE = {"user_id": "u1", "users": "u1", "item_id": "i3", "items": "i3", "categories": "c1",
         "name": "own", "model": "hybrid"}  # fmt: skip
"""Ids of the made graph."""
LEFT_OUT = {("POST", "/v1/refreshes")}
"""It starts a process that learns for minutes; it hands its body to no query."""
_SCENARIO = {
    "filters": [{"property": "brand", "equals": "Acme"}, {"category": ["c1"]}],
    "k": 12, "weights": {"walk3": 0.5},
    "freshness": {"amount": 0.3, "half_life_days": 30, "property": "created_at"},
    "rules": [
        {"kind": "pin", "item_id": "i3", "place": 1},
        {"kind": "boost", "where": [{"property": "brand", "in": ["Acme"]}], "amount": 0.5},
        {"kind": "at_most", "count": 2, "same": {"property": "brand"}, "within": 10},
        {"kind": "at_most", "count": 2, "same": {"category_kind": "genre"}},
    ],
}  # fmt: skip
EXAMPLES = {
    "ScenarioIn": _SCENARIO,
    "TryRequest": {"scenario": _SCENARIO, "user_id": "u1"},
}
"""Of schemas that have none of their own and of which a sample would be refused."""
METHODS = frozenset(("get", "put", "post", "delete", "patch"))


@dataclass(frozen=True)
class Made:
    """A request.

    Attributes:
        method: of HTTP, in capitals.
        route: the path as the document has it.
        place: where the text is, as `path.user_id` or `body.events.0.item_id`; empty: nowhere.
        path: with its ids.
        query: its parameters.
        body: what is sent as JSON; None: nothing.
        ids: those that the path has by itself, by the names of its parameters.
    """

    method: str
    route: str
    place: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    ids: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def sent(self) -> dict[str, Any]:
        """What httpx takes."""
        body = {} if self.body is None else {"json": self.body}
        return {"method": self.method, "url": self.path, "params": self.query, **body}


def requests_with(
    document: dict[str, Any], texts: Iterator[str], ids: Mapping[str, str]
) -> Iterator[Made]:
    """For each parameter and each field of a body of each operation, a request with a text there.

    Args:
        document: of OpenAPI.
        texts: the next one is put at the next place.
        ids: of users, items and categories that are there, by the names of parameters and, for
            `id`, by the second part of the path.
    """
    for plain, operation in _operations(document, ids):
        base, known = plain.body, dict(plain.ids)
        for p in operation.get("parameters", []):
            if p["in"] == "path":
                path = _path(plain.route, known | {p["name"]: next(texts)})
                yield replace(plain, place=f"path.{p['name']}", path=path)
            elif p["in"] == "query":
                query = plain.query | {p["name"]: next(texts)}
                yield replace(plain, place=f"query.{p['name']}", query=query)
        bodies = [with_each_leaf(base, texts)]
        for name, inner in _left_out(operation, document, base):
            bodies.append(((p, {**base, **b}) for p, b in with_each_leaf({name: inner}, texts)))
        for place, body in chain.from_iterable(bodies):
            yield replace(plain, place=".".join(("body", *map(str, place))), body=body)


def one_each(document: dict[str, Any], ids: Mapping[str, str]) -> list[Made]:
    """A request of each operation below `/v1`, with nothing odd in it."""
    made = (plain for plain, _ in _operations(document, ids))
    return [each for each in made if each.route.startswith("/v1")]


def _operations(
    document: dict[str, Any], ids: Mapping[str, str]
) -> Iterator[tuple[Made, dict[str, Any]]]:
    for route, operations in document["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            known, needed = dict[str, str](), dict[str, str]()
            for p in operation.get("parameters", []):
                if p["in"] == "path":
                    known[p["name"]] = ids.get(p["name"], ids.get(route.split("/")[2], "x"))
                elif p["in"] == "query" and p.get("required"):
                    needed[p["name"]] = str(sample(p["schema"], document))
            body = _body(operation, document)
            path = _path(route, known)
            yield Made(method.upper(), route, "", path, needed, body, known), operation


def reading(document: dict[str, Any], texts: Iterator[str]) -> list[Made]:
    """Those of `/v1` that only read, of nodes of the made graph."""
    return [made for made in _of_service(document, texts, THERE) if not _writes(made)]


def writing(document: dict[str, Any], texts: Iterator[str]) -> list[Made]:
    """Those of `/v1` that write, of nodes of their own."""
    return [made for made in _of_service(document, texts, OWN) if _writes(made)]


def _of_service(
    document: dict[str, Any], texts: Iterator[str], ids: Mapping[str, str]
) -> Iterator[Made]:
    for made in requests_with(document, texts, ids):
        if made.route.startswith("/v1") and (made.method, made.route) not in LEFT_OUT:
            yield made


def _writes(made: Made) -> bool:
    reads = made.method == "GET" or made.route.startswith("/v1/recommendations")
    return not (reads or made.route.endswith("/try"))


def _path(route: str, ids: Mapping[str, str]) -> str:
    return route.format_map({name: quote(id_, safe="") for name, id_ in ids.items()})


def _body(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {})
    return next((sample(each["schema"], document) for each in content.values()), None)


def _left_out(
    operation: dict[str, Any], document: dict[str, Any], example: Any
) -> Iterator[tuple[str, Any]]:
    """The fields of a body that its example lacks."""
    for each in operation.get("requestBody", {}).get("content", {}).values():
        for name, schema in _resolved(each["schema"], document).get("properties", {}).items():
            if name not in example:
                yield name, sample(schema, document)


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            schema = schema["anyOf"][0]
        else:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def sample(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Any:
    """Something of a schema, with all fields: an example where one is given."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in EXAMPLES:
            return EXAMPLES[name]
        return sample(document["components"]["schemas"][name], document, depth)
    for given in ("examples", "enum"):
        if given in schema:
            return schema[given][0]
    if "const" in schema:
        return schema["const"]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return sample(schema[several][0], document, depth)
    if schema.get("type") == "object" and depth < 6:
        fields = schema.get("properties", {}).items()
        return {name: sample(each, document, depth + 1) for name, each in fields}
    if schema.get("type") == "array" and depth < 6:
        return [sample(schema.get("items", {}), document, depth + 1)]
    simple = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    return simple.get(schema.get("type", ""), "x")


def with_each_leaf(body: Any, texts: Iterator[str]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The body with a text in the place of one leaf, and as a further name, in turn."""
    for place in _leaves(body):
        changed = copy.deepcopy(body)
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = next(texts)
        yield place, changed
    if isinstance(body, dict):
        text = next(texts)
        yield (text,), {**body, text: text}


def _leaves(body: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if not isinstance(body, dict | list):
        return
    for step, each in body.items() if isinstance(body, dict) else enumerate(body):
        if isinstance(each, dict | list) and each:
            yield from _leaves(each, (*above, step))
        else:
            yield (*above, step)
