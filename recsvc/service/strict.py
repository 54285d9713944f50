"""Nothing that comes is left aside: a parameter, a repetition or a body no route asked for is 422.

JSON that names a field of one object twice, and a body that is encoded, are too.

One dependency of the whole app. A route that only a browser asks for (the page, the documentation)
may have any query: it is the page's own.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.types import Scope

from loaders.limits import MAX_ID_CHARACTERS
from loaders.repeated_names import repeated_names

_UNKNOWN = "this address has no such parameter"
_TWICE = "expected once"
_ENCODED = "expected a body without Content-Encoding"
_LONG = f"expected at most {MAX_ID_CHARACTERS} digits"
_NO_BODY = "expected no body: this address takes none"


async def only_what_is_known(request: Request) -> None:
    """Refuse what the route of a request does not take.

    Raises:
        RequestValidationError: a parameter it does not have, one or a field that came twice, a
            body where it takes none, or one that is encoded.
    """
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    errors = list(_wrong_parameters(request, route)) if request.scope["query_string"] else []
    if may_have_body(request.scope) and (body := await request.body()):
        errors += _wrong_body(request, route, body)
    if errors:
        raise RequestValidationError(errors)


def may_have_body(scope: Scope) -> bool:
    """Whether a request announces a body; without both headers it has none (RFC 9112, §6.3)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in scope["headers"]
    )


def _wrong_parameters(request: Request, route: APIRoute) -> Iterator[dict[str, Any]]:
    parameters = dict(_parameters(route))
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in parameters:
            yield _error(("query", name), _UNKNOWN)
        elif times > 1 and get_origin(parameters[name].annotation) is not list:
            yield _error(("query", name), _TWICE)


def _wrong_body(request: Request, route: APIRoute, body: bytes) -> Iterator[dict[str, Any]]:
    if route.body_field is None:
        yield _error(("body",), _NO_BODY)
    elif {each.lower() for each in request.headers.getlist("content-encoding")} - {"identity"}:
        yield _error(("body",), _ENCODED)
    else:
        yield from (_error(("body", name), _TWICE) for name in repeated_names(body))


def long_numbers(body: bytes) -> list[dict[str, Any]]:
    """An error for each field of a JSON document with a number of more digits than Python reads."""
    errors: list[dict[str, Any]] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        for name, value in pairs:
            elements: list[Any] = value if isinstance(value, list) else [value]
            if _LONG in elements:
                errors.append(_error(("body", name), _LONG))

    def read(digits: str) -> str | None:
        try:
            int(digits)
        except ValueError:
            return _LONG
        return None

    with suppress(ValueError, RecursionError):
        json.loads(body, object_pairs_hook=look, parse_int=read)
    return errors


def _parameters(route: APIRoute) -> Iterator[tuple[str, FieldInfo]]:
    """The query parameters of a route: those of a model one by one."""
    for field in route.dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from ((info.alias or name, info) for name, info in model.model_fields.items())
        else:
            yield field.alias, field.field_info


def _error(location: tuple[str, ...], detail: str) -> dict[str, Any]:
    return {"loc": location, "msg": detail, "type": "extra_forbidden"}
