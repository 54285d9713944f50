"""The pages at `/` and `/person`: files as they are, which ask this service and no other host."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_INDEX: Final = "index.html"
_OF_A_PERSON: Final = "person.html"
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the page."""

    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, _File]:
    """The files of the page, by name."""
    by_name: dict[str, _File] = {}
    for file in files("recsvc.service").joinpath("static").iterdir():
        media_type = _TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            by_name[file.name] = _File(content, media_type, etag)
    return by_name


_FILES: Final = _read()


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, _FILES[_INDEX])


@router.get("/person")
async def person(request: Request) -> Response:
    """The page of a person, which reads their link from its fragment: that is sent nowhere."""
    return _answer(request, _FILES[_OF_A_PERSON])


@router.get("/page/{name}")
async def part(request: Request, name: str) -> Response:
    """A part of a page."""
    if name not in _FILES or name.endswith(".html"):
        raise HTTPException(404)
    return _answer(request, _FILES[name])


def _answer(request: Request, file: _File) -> Response:
    """The file, or that the browser has it: it is asked about each time, so none is ever old."""
    headers = {**_SECURITY, "ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
