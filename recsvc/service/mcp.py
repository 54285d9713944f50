"""The service's answers as tools of the Model Context Protocol, for agents.

Each tool asks the service itself, in this process, as a request over HTTP would: with the caller's
key, the same checks, limits and deadlines. What comes back is what REST answers, cut to what an
agent can read, and never holds vectors. Every sentence comes with the terms behind it.
"""

import asyncio
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import quote

import httpx
import orjson
from fastapi import FastAPI
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import Field
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.routing import Mount

from recsvc.errors import IssuerAwayError, TokenError
from recsvc.service.allowed import KEY_HEADER, Allowed, shown_key
from recsvc.service.hosts import KnownHosts
from recsvc.service.keys import Scope

if TYPE_CHECKING:
    from recsvc.graph.rows import ActiveVersion
    from recsvc.service.callers import Callers

PATH: Final = "/mcp"
"""Where the tools are over HTTP."""
MOST_ITEMS: Final = 50
MOST_EVIDENCE: Final = 200
MOST_CHARACTERS: Final = 200_000
"""Of one answer, as JSON."""
_TRIAL_SECONDS = 120.0
_REQUEST_SECONDS = 30.0
_MOST_CYPHER = 20_000
_MOST_BODY_BYTES = 100_000

_Document: TypeAlias = dict[str, Any]

Id = Annotated[str, Field(min_length=1, max_length=512)]
User = Annotated[Id, Field(description="The user's id, as text.")]
Item = Annotated[Id, Field(description="The item's id, as text.")]
HowMany = Annotated[int, Field(ge=1, le=MOST_ITEMS, description="How many.")]
Without = Annotated[
    list[Annotated[str, Field(max_length=520)]],
    Field(
        min_length=1, max_length=20,
        description="Evidence to answer without, each item:ID, user:ID or category:ID.",
    ),
]  # fmt: skip

Categories = Annotated[
    list[Id] | None, Field(max_length=20, description="Only items in one of these categories.")
]
Name = Annotated[str | None, Field(min_length=1, max_length=100)]

_INSTRUCTIONS = """\
Recommendations from a graph in Neo4j. Each recommended item comes with a sentence and the terms \
behind it: `contributions` and `remainder` add up to `score` exactly. Say only what a sentence or \
a term says. `degraded` names what was left out of an answer. All ids are text."""

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False)


class _Service:
    """Asks the service in this process, with the caller's key.

    Args:
        app: the service.
        own_key: the key where the caller is no request over HTTP.
    """

    def __init__(self, app: FastAPI, own_key: str | None) -> None:
        self._own_key = own_key or ""
        self._callers: Callers = app.state.callers
        self._app = app
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost", timeout=_REQUEST_SECONDS
        )

    async def ask(self, context: Context, method: str, *path: str, **request: Any) -> _Document:
        """What a route answers.

        Args:
            context: of the call.
            method: of HTTP.
            path: its parts, each as it is.
            request: see `httpx.AsyncClient.request`.

        Raises:
            ToolError: it refuses.
        """
        key = self._key(context)
        answer = await self._client.request(
            method,
            "/v1/" + "/".join(quote(part, safe="") for part in path),
            headers={KEY_HEADER: key} if key else {},
            **request,
        )
        if answer.is_error:
            raise ToolError(_refusal(answer))
        return orjson.loads(answer.content or b"{}")

    async def require(self, context: Context, scope: Scope, *, key_always: bool = False) -> None:
        """See that the caller may do what a scope is for.

        Args:
            context: of the call.
            scope: what a key has to be for.
            key_always: also where the service needs no keys.

        Raises:
            ToolError: there is no key, or it is for less.
        """
        shown = self._key(context)
        try:
            caller = await self._callers.find(shown) if shown else None
        except (TokenError, IssuerAwayError) as error:
            raise ToolError(str(error)) from None
        if caller is None and not key_always and not self._callers.needed:
            return
        if caller is None or not caller.covers(scope):
            raise ToolError(
                f"this needs a key for {scope}: have one made with `recsvc keys create NAME "
                f"--scope {scope}`, and send it in {KEY_HEADER}, or over stdio set RECSVC_API_KEY"
            )

    def versions(self) -> _Document:
        """The active version of each model."""
        active: Mapping[str, ActiveVersion] = self._app.state.engine.active_versions
        return {
            "versions": [
                {
                    "model": each.model,
                    "version": each.version,
                    "activated_at": each.activated_at and each.activated_at.isoformat(),
                    "metrics": dict(each.metrics),
                }
                for each in active.values()
            ]
        }

    def _key(self, context: Context) -> str:
        headers = context.headers
        return self._own_key if headers is None else shown_key(Headers(headers))


def bounded(document: _Document) -> _Document:
    """An answer that an agent can read.

    Raises:
        ToolError: it is too large.
    """
    size = len(orjson.dumps(document))
    if size > MOST_CHARACTERS:
        raise ToolError(
            f"the answer has {size:,} bytes, and {MOST_CHARACTERS:,} are the most: ask for less"
        )
    return document


def _refusal(answer: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return f"the service answers {answer.status_code}"
    told = [f"{each['location'][-1]}: {each['detail']}" for each in problem.get("errors") or ()]
    return f"{answer.status_code}: {'; '.join([problem.get('detail', ''), *told])}"


def strongest(document: _Document, limit: int) -> _Document:
    """The pieces of evidence that say most, and how many are left out."""
    pieces = sorted(document["evidence"], key=lambda each: -abs(each["weight"]))
    return {**document, "evidence": pieces[:limit], "left_out": max(0, len(pieces) - limit)}


def mcp_server(app: FastAPI, own_key: str | None = None) -> MCPServer:
    """The tools of a service.

    Args:
        app: the service; who calls this starts and stops it.
        own_key: the key of calls over stdio, which bring none.
    """
    server = MCPServer("recsvc", instructions=_INSTRUCTIONS, log_level="WARNING")
    service = _Service(app, own_key)
    for add in (_add_lists, _add_facts, _add_trial, _add_writes):
        add(server, service)
    return server


def _add_lists(server: MCPServer, service: _Service) -> None:
    async def listed(context: Context, user_id: str, **options: Any) -> _Document:
        return await service.ask(
            context, "GET", "users", user_id, "recommendations", params=_given(options)
        )

    @server.tool(annotations=_READS)
    async def recommend(
        context: Context,
        user_id: User,
        k: HowMany = 10,
        categories: Categories = None,
        scenario: Name = None,
    ) -> _Document:
        """The best items for a user, each with a sentence and the terms of its score."""
        return bounded(await listed(context, user_id, k=k, category=categories, scenario=scenario))

    @server.tool(annotations=_READS)
    async def what_if(
        context: Context, user_id: User, without: Without, k: HowMany = 10
    ) -> _Document:
        """The list that a user would have without some evidence, and what leaves and comes."""
        before = await listed(context, user_id, k=k, explain="none")
        after = await listed(context, user_id, k=k, without=without)
        were, are = _ids(before), _ids(after)
        leaves, comes = (
            [item for item in some if item not in others]
            for some, others in ((were, are), (are, were))
        )
        return bounded({"answer": after, "leaves": leaves, "comes": comes})

    @server.tool(annotations=_READS)
    async def explain(context: Context, user_id: User, item_id: Item) -> _Document:
        """Why a user is, or would be, recommended an item: terms, paths, and a counterfactual."""
        path = ("users", user_id, "recommendations", item_id, "explanation")
        return bounded(await service.ask(context, "GET", *path))


def _add_facts(server: MCPServer, service: _Service) -> None:
    @server.tool(annotations=_READS)
    async def similar(
        context: Context, item_id: Item, k: HowMany = 10, model: Name = None
    ) -> _Document:
        """The items nearest to an item under an embedding model."""
        params = _given({"k": k, "model": model})
        return bounded(
            await service.ask(context, "GET", "items", item_id, "similar", params=params)
        )

    @server.tool(annotations=_READS)
    async def evidence(
        context: Context,
        user_id: User,
        limit: Annotated[int, Field(ge=1, le=MOST_EVIDENCE, description="Strongest first.")] = 50,
    ) -> _Document:
        """What is known of a user: what they did, whom they follow, what they prefer."""
        document = await service.ask(context, "GET", "users", user_id, "evidence")
        return bounded(strongest(document, limit))

    @server.tool(annotations=_READS)
    async def search(
        context: Context,
        kind: Annotated[Literal["users", "items", "categories"], Field(description="Of what.")],
        text: Annotated[
            str, Field(min_length=1, max_length=200, description="An id, a title or a name.")
        ],
        k: HowMany = 10,
    ) -> _Document:
        """Users, items or categories by id, title or name."""
        return bounded(await service.ask(context, "GET", kind, params={"search": text, "k": k}))

    @server.tool(annotations=_READS)
    async def versions(context: Context) -> _Document:
        """Which version of each model the answers are made from, and since when."""
        await service.require(context, Scope.READ)
        return service.versions()


def _add_trial(server: MCPServer, service: _Service) -> None:
    one_at_a_time = asyncio.Semaphore(1)

    @server.tool(annotations=_READS)
    async def path_try(
        context: Context,
        name: Annotated[
            str, Field(pattern=r"^(item|user|category)_[a-z0-9_]{1,80}$", description="Its name.")
        ],
        cypher: Annotated[
            str, Field(min_length=1, max_length=_MOST_CYPHER, description="The file, with header.")
        ],
    ) -> _Document:
        """What a meta-path in Cypher would add to the blend, measured; it changes nothing.

        It takes up to two minutes. `mode`, `params` and `returns` stand in the file's header as in
        `cypher/metapaths/`. Where keys are needed it needs one for admin.
        """
        await service.require(context, Scope.ADMIN)
        if one_at_a_time.locked():
            raise ToolError("a meta-path is being tried: try again when that has ended")
        async with one_at_a_time:
            return bounded(await _tried(name, cypher))


async def _tried(name: str, cypher: str) -> _Document:
    """What `recsvc path try` says, in a process of its own, which its deadline ends."""
    with tempfile.TemporaryDirectory(prefix="recsvc-path-") as folder:
        file = Path(folder) / "metapaths" / f"{name}.cypher"
        file.parent.mkdir()
        file.write_text(cypher, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recsvc", "path", "try", str(file), "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_TRIAL_SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            raise ToolError(f"it was not done after {_TRIAL_SECONDS:.0f} seconds") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        told = err.decode(errors="replace").replace(f"{folder}/metapaths/", "")
        raise ToolError(told[-2_000:].strip())
    return orjson.loads(out)


def _add_writes(server: MCPServer, service: _Service) -> None:
    @server.tool(annotations=_WRITES)
    async def record(
        context: Context,
        user_id: User,
        item_id: Item,
        event: Annotated[str, Field(min_length=1, max_length=100, description="Its kind.")],
        value: Annotated[float | None, Field(ge=-1e6, le=1e6, description="How much.")] = None,
    ) -> _Document:
        """Record that a user did something with an item. It needs a key for write."""
        await service.require(context, Scope.WRITE, key_always=True)
        did = _given(
            {
                "event_id": uuid.uuid4().hex,
                "user_id": user_id,
                "item_id": item_id,
                "event": event,
                "value": value,
            }
        )
        return await service.ask(context, "POST", "events", json={"events": [did]})

    @server.tool(annotations=_WRITES)
    async def take_back(
        context: Context, user_id: User, item_id: Item, event: Name = None
    ) -> _Document:
        """Take back what a user did with an item. It needs a key for write."""
        await service.require(context, Scope.WRITE, key_always=True)
        path = ("users", user_id, "interactions", item_id)
        await service.ask(context, "DELETE", *path, params=_given({"event": event}))
        return {"user_id": user_id, "item_id": item_id, "taken_back": True}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _ids(answer: _Document) -> list[str]:
    return [each["item_id"] for each in answer["items"]]


def over_http(app: FastAPI, allowed_hosts: Sequence[str]) -> Starlette:
    """The tools of a service over streamable HTTP, without sessions, at `PATH`.

    Args:
        app: the service, which this starts and stops.
        allowed_hosts: names it may be asked by, see `KnownHosts`.
    """
    # `KnownHosts` refuses other names, and pages of other sites are refused by `Allowed`.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    tools = mcp_server(app).streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True,
        transport_security=unchecked, max_request_body_size=_MOST_BODY_BYTES,
    )  # fmt: skip

    @asynccontextmanager
    async def lifespan(_outer: Starlette) -> AsyncGenerator[None]:
        async with app.router.lifespan_context(app), tools.router.lifespan_context(tools):
            yield

    return Starlette(
        routes=[Mount("/", tools)],
        lifespan=lifespan,
        middleware=[
            Middleware(KnownHosts, names=allowed_hosts),
            # The service counts the requests that tools make of it.
            Middleware(Allowed, callers=app.state.callers, requests_per_minute=None),
        ],
    )


async def over_stdio(app: FastAPI, own_key: str | None) -> None:
    """The tools of a service, which this starts and stops, over standard input and output."""
    async with app.router.lifespan_context(app):
        await mcp_server(app, own_key).run_stdio_async()
