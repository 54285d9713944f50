"""The service put together: routes, middleware, errors, documentation."""

import asyncio
import gc
import importlib.util
import re
import sys
from base64 import b64encode
from collections import deque
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loaders.limits import MAX_BODY_BYTES, MAX_CONTAINERS, MAX_VALUES
from recsvc.analyst.kit import PATH as KIT_PATH
from recsvc.analyst.kit import KitFile
from recsvc.person_links import PersonLinks
from recsvc.recommend.engine import Engine
from recsvc.service.allowed import KEY_HEADER, PERSON, Allowed, needed_scope
from recsvc.service.answer_cache import AnswerCache
from recsvc.service.callers import Callers
from recsvc.service.hosts import KnownHosts
from recsvc.service.kept_answers import KeptAnswers
from recsvc.service.keys import KeyRing
from recsvc.service.observability import (
    REQUEST_ID_HEADER,
    Metrics,
    Observed,
    configure_logging,
)
from recsvc.service.problems import HANDLERS, PROBLEM_JSON, REFUSALS, described, problem
from recsvc.service.refreshes import Refreshes
from recsvc.service.routes import (
    EncodedPath,
    HeadAsGet,
    ReadableQuery,
    audience,
    changes,
    events,
    experiments,
    export,
    exposure,
    follows,
    health,
    home,
    me,
    models,
    nodes,
    outcomes,
    page,
    recommendations,
    recourse,
    scenarios,
    search,
    similar,
)
from recsvc.service.routes import refreshes as runs
from recsvc.service.served_metrics import ServedMetrics
from recsvc.service.strict import only_what_is_known

if TYPE_CHECKING:
    from recsvc.service.tokens import Tokens

_TOO_MANY = (
    f"the body has more than {MAX_VALUES} values, or {MAX_CONTAINERS} lists and objects: send it "
    "in parts"
)
_TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES} bytes: send it in parts"
# Neo4j Browser, a page of another origin, loads guides and styles by itself and asks before. They
# hold nothing of the graph.
_ANY_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "*",
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
}
"""How a key comes."""
_TAGS = [
    {"name": "recommendations", "description": "Lists of items, and why each is on its list."},
    {"name": "similar", "description": "Neighbours of items and of users."},
    {"name": "search", "description": "What is in the graph, and what is known of a user."},
    {"name": "me", "description": "What the person of a link sees and takes back."},
    {"name": "events", "description": "What users do."},
    {"name": "outcomes", "description": "What followed answers."},
    {"name": "graph", "description": "Users, items, categories, and who follows whom."},
    {"name": "scenarios", "description": "How the lists of one place of a shop are made."},
    {"name": "experiments", "description": "Which variant is better."},
    {"name": "exposure", "description": "How evenly items come to be seen."},
    {"name": "changes", "description": "The feed of what was changed."},
    {"name": "models", "description": "Versions, and the refreshes that make them."},
    {"name": "health", "description": "How the service is."},
]
_OF_ALL = [Depends(only_what_is_known)]
"""What every route depends on."""
_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


def create_app(
    engine: Engine,
    *,
    refreshes: Refreshes,
    keys: KeyRing,
    tokens: "Tokens | None" = None,
    requests_per_minute: int | None = None,
    answer_cache: AnswerCache | None = None,
    kit: Mapping[str, KitFile] | None = None,
    allowed_hosts: Sequence[str] = ("*",),
    cors_origins: Sequence[str] = (),
    links: PersonLinks | None = None,
) -> FastAPI:
    """The service on top of an engine, which it starts and stops.

    Logs go to stderr as JSON unless the caller configured structlog.

    Args:
        engine: makes the answers.
        refreshes: starts those that are asked for.
        keys: who may ask for what.
        tokens: of an issuer, which count as keys do; None: none.
        requests_per_minute: most of one caller in each process; None: no limit.
        answer_cache: keeps recommendations; without it each is made anew.
        kit: files for analysts, by name.
        allowed_hosts: names it may be asked by, see `KnownHosts`; the service of a command takes
            those of the settings.
        cors_origins: of other sites, whose pages may ask too, such as `https://shop.example`.
        links: of persons; without them none opens anything.
    """
    if not structlog.is_configured():
        configure_logging()
    served = ServedMetrics(
        lambda: engine.active_versions,
        refreshes.last_state,
        lambda: engine.deletions_seen,
        lambda: engine.troubles,
    )
    metrics = Metrics(served)
    engine.watch_unread(metrics.observe_unread)
    keeping = [_keeping(answer_cache, engine, metrics)] if answer_cache is not None else []
    assets = _swagger_ui()
    callers = Callers(keys, tokens)
    app = _Service(
        title="recsvc",
        version=version("recsvc"),
        description="Recommendations from a Neo4j graph, each with an exact explanation.",
        contact={"name": "recsvc"},
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/", "description": "The service that shows this document."}],
        openapi_tags=_TAGS,
        lifespan=_lifespan,
        middleware=[
            Middleware(HeadAsGet),
            Middleware(EncodedPath),
            Middleware(Observed, metrics=metrics),
            Middleware(KnownHosts, names=allowed_hosts),
            *([Middleware(OtherSites, origins=cors_origins)] if cors_origins else ()),
            Middleware(
                Allowed,
                callers=callers,
                requests_per_minute=requests_per_minute,
                origins=cors_origins,
                links=links,
            ),
            Middleware(BodyLimit),
            Middleware(ReadableQuery),
            # The lowest level takes the least time, which is the service's.
            Middleware(GZipMiddleware, minimum_size=1000, compresslevel=1),
            *keeping,
        ],
        routes=_routes(),
        dependencies=_OF_ALL,
        exception_handlers=HANDLERS,
        redirect_slashes=False,
        # Its spans would hold the path and the query, in which ids stand: see `loaders.tracing`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        # A scenario is written as it is read: one schema, as generated clients want it.
        separate_input_output_schemas=False,
        docs_url=None if assets else "/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.state.engine, app.state.metrics, app.state.refreshes = engine, metrics, refreshes
    app.state.callers = callers
    if assets:
        _serve_docs(app, assets)
    _serve_kit(app, kit or {})
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Those of all modules, made once in a process, and before the first request wants one."""
    routed = (
        recommendations, search, similar, events, outcomes, experiments, exposure, audience, nodes,
        follows, models, runs, scenarios, home, export, recourse, me, changes,
    )  # fmt: skip
    router = APIRouter(dependencies=_OF_ALL, generate_unique_id_function=_operation_id)
    for module in routed:
        router.include_router(module.router, responses=described(*REFUSALS))
    for module in (health, page):
        router.include_router(module.router)
    deque(iter_route_contexts(router.routes), maxlen=0)
    return router.routes


def _keeping(cache: AnswerCache, engine: Engine, metrics: Metrics) -> Middleware:
    """The middleware that answers what is kept; it names the route, which then does not run."""
    routes = {r.name: r for r in recommendations.router.routes if isinstance(r, APIRoute)}
    return Middleware(
        KeptAnswers, cache=cache, engine=engine, metrics=metrics, route=routes["recommend"]
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    engine: Engine = app.state.engine
    await engine.start()
    # What is there now stays: a full collection that looks through it takes 100 ms. One that looks
    # through a large answer in the making takes 50, finds next to nothing, and is made rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 100)
    # How long a thread with large work keeps the event loop waiting, each time it wants to go on.
    sys.setswitchinterval(0.001)
    watcher = asyncio.create_task(app.state.refreshes.watch())
    try:
        yield
    finally:
        watcher.cancel()
        await engine.stop()


class _Service(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document: keys, optional where none is needed, and media types of errors."""
        document = super().openapi()
        document["components"]["securitySchemes"] = _SCHEMES
        without_key = [] if self.state.callers.needed else [{}]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                scope = needed_scope(method.upper(), path)
                operation["security"] = []
                if scope is not None:
                    operation["x-key-scope"] = scope
                    optional = [] if scope == PERSON else without_key
                    operation["security"] = [*optional, *({name: []} for name in _SCHEMES)]
                for status, answer in operation["responses"].items():
                    if int(status) >= 400:
                        (schema,) = answer["content"].values()
                        answer["content"] = {PROBLEM_JSON: schema}
        return document


class OtherSites(CORSMiddleware):
    """Middleware: lets a browser show pages of some other sites what `/v1` answers them."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app, allow_origins=tuple(origins), allow_methods=("GET", "PUT", "POST", "DELETE"),
            allow_headers=("Authorization", KEY_HEADER, "Content-Type", REQUEST_ID_HEADER),
            expose_headers=(
                REQUEST_ID_HEADER, "Retry-After", "RateLimit-Limit", "RateLimit-Remaining",
                "RateLimit-Reset",
            ),
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI). What others ask is answered as if this were not there."""
        from_known = scope["type"] == "http" and self.is_allowed_origin(
            Headers(scope=scope).get("origin", "")
        )
        if from_known and scope["path"].startswith("/v1/"):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class BodyLimit:
    """Middleware: refuses a body above `MAX_BODY_BYTES`, before it is read or while it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _announced(scope) > MAX_BODY_BYTES:
            await problem(scope, 413, _TOO_LARGE)(scope, receive, send)
        else:
            await self._app(scope, _Counted(receive), send)


class _Counted:
    """What comes from the caller, up to the limits."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = self._commas = self._opened = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        body: bytes = message.get("body", b"")
        self._bytes += len(body)
        self._commas += body.count(b",")
        if self._bytes > MAX_BODY_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        self._opened += body.count(b"[") + body.count(b"{")
        if self._commas >= MAX_VALUES or self._opened > MAX_CONTAINERS:
            raise HTTPException(413, _TOO_MANY)
        return message


def _announced(scope: Scope) -> int:
    """Bytes of the body as its header says; 0 where it does not say."""
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _operation_id(route: APIRoute) -> str:
    return route.name


def _swagger_ui() -> Path | None:
    """The folder with Swagger UI's files, of the package that brings them.

    FastAPI's own page has browsers load them from a CDN.
    """
    package = importlib.util.find_spec("fastapi_offline")
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / "static"


def _serve_docs(app: FastAPI, assets: Path) -> None:
    shown = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="recsvc",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )
    # The page begins itself with a script of its own; Swagger UI styles what it makes.
    own = (
        f"'sha256-{b64encode(sha256(script).digest()).decode()}'"
        for script in re.findall(rb"<script>(.*?)</script>", bytes(shown.body), re.S)
    )
    shown.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {' '.join(own)}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return shown

    @app.get("/docs/{asset}", include_in_schema=False)
    def docs_asset(asset: str) -> Response:
        if asset not in _ASSETS:
            raise HTTPException(404)
        # A FileResponse would answer a range that is none in plain text.
        return Response((assets / asset).read_bytes(), media_type=_ASSETS[asset])


def _serve_kit(app: FastAPI, kit: Mapping[str, KitFile]) -> None:
    @app.get(f"{KIT_PATH}/{{name}}", include_in_schema=False)
    async def kit_file(name: str) -> Response:
        if name not in kit:
            raise HTTPException(404)
        return Response(kit[name].content, media_type=kit[name].media_type, headers=_ANY_ORIGIN)

    @app.options(f"{KIT_PATH}/{{name}}", include_in_schema=False)
    async def may_be_asked_for(name: str) -> Response:
        return Response(status_code=204, headers=_ANY_ORIGIN)
