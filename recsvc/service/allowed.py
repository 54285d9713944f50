"""Who may ask for what: keys, links, pages of other sites, and how much in a minute."""

import math
import re
import time
from collections.abc import Collection
from typing import Final, Literal
from urllib.parse import urlsplit

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsvc.errors import IssuerAwayError, PersonLinkError, TokenError
from recsvc.person_links import Person, PersonLinks, is_person_link
from recsvc.service.callers import Caller, Callers
from recsvc.service.keys import Scope as KeyScope
from recsvc.service.problems import problem, unavailable

KEY_HEADER: Final = "X-API-Key"
PERSON: Final = "person"
"""The scope of requests that need the link of a person, and are about this person."""
_ME = "/v1/me"
"""Where that is, and below it."""
_CALLER = "recsvc.caller"
_PERSON = "recsvc.person"
_INSUFFICIENT = 'Bearer error="insufficient_scope"'
_ADMIN = ("/v1/models", "/v1/refreshes", "/v1/experiments", "/v1/changes")
_QUESTIONS = frozenset({"/v1/recommendations", "/v1/recommendations/batch"})
"""What is asked with POST and changes nothing."""
_SCENARIOS = "/v1/scenarios/"
_TRIES = re.compile(r"/v1/scenarios/[^/]+/try")
_CHANGES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS"})


Needed = KeyScope | Literal["person"]
"""What a key has to be for; `person` where it has to be the link of a person."""


def needed_scope(method: str, path: str) -> Needed | None:
    """What is needed for a request, or None where nothing is: pages, documentation, health."""
    if path in {"/metrics", "/mcp"}:
        return KeyScope.READ
    if not path.startswith("/v1/"):
        return None
    if path == _ME or path.startswith(f"{_ME}/"):
        return PERSON
    if any(path == each or path.startswith(f"{each}/") for each in _ADMIN):
        return KeyScope.ADMIN
    question = path in _QUESTIONS or _TRIES.fullmatch(path) is not None
    reads = method in _CHANGES_NOTHING or (method == "POST" and question)
    if not reads and path.startswith(_SCENARIOS):
        return KeyScope.ADMIN
    return KeyScope.READ if reads else KeyScope.WRITE


def administers(method: str, path: str) -> bool:
    """Whether a request changes what only a key for administration may."""
    changes = method not in _CHANGES_NOTHING
    return changes and needed_scope(method, path) is KeyScope.ADMIN


def caller_of(scope: Scope) -> Caller | None:
    """Who sent a request, where it said so."""
    return scope.get(_CALLER)


def person_of(scope: Scope) -> Person:
    """Who came with a link, where `person` is needed."""
    return scope[_PERSON]


class Allowed:
    """Middleware: refuses what callers may not, what another site has a browser send, and too much.

    Args:
        app: what answers the rest.
        callers: whom the service knows.
        requests_per_minute: most of one caller, or of all together where none is needed; None: no
            limit.
        origins: of other sites whose pages may ask as this service's own may.
        links: the links of persons; without them none opens anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        callers: Callers,
        requests_per_minute: int | None,
        origins: Collection[str] = (),
        links: PersonLinks | None = None,
    ) -> None:
        self._app = app
        self._callers = callers
        self._links = links
        self._origins = frozenset(origins)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._most = requests_per_minute

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        wanted = needed_scope(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if wanted is None:
            await self._app(scope, receive, send)
            return
        refused = await self._refused(scope, wanted)
        if refused is None and self._most is not None:
            refused, send = await self._counted(scope, send, self._most)
        await (refused or self._app)(scope, receive, send)

    async def _refused(self, scope: Scope, wanted: Needed) -> Response | None:
        headers = Headers(scope=scope)
        own_page = headers.get("origin") in self._origins
        if scope["method"] not in _CHANGES_NOTHING and not own_page and _from_another_site(headers):
            return problem(
                scope, 403,
                "a page of another site had a browser send this: only pages of this service may",
            )  # fmt: skip
        shown = shown_key(headers)
        if wanted == PERSON:
            return self._not_opened(scope, shown)
        if is_person_link(shown):
            return problem(scope, 403, f"this link opens {_ME} and what is below it, nothing else")
        return await self._not_known(scope, shown, wanted)

    def _not_opened(self, scope: Scope, shown: str) -> Response | None:
        """What refuses a request that no link opens."""
        if self._links is None or not is_person_link(shown):
            return _unauthorized(
                scope, "expected the link of a person in the header Authorization (Bearer …): "
                "`recsvc person-link USER` makes one",
            )  # fmt: skip
        try:
            scope[_PERSON] = self._links.read(shown)
        except PersonLinkError as error:
            return _unauthorized(scope, str(error))
        return None

    async def _not_known(self, scope: Scope, shown: str, wanted: KeyScope) -> Response | None:
        """What refuses a request that no key and no token covers."""
        try:
            caller = await self._callers.find(shown) if shown else None
        except TokenError as error:
            return _untrusted(scope, error)
        except IssuerAwayError as error:
            return unavailable(scope, str(error))
        if caller is not None:
            scope[_CALLER] = caller
            return _not_theirs(scope, caller, wanted)
        return _unknown(scope, shown) if self._callers.needed else None

    async def _counted(self, scope: Scope, send: Send, most: int) -> tuple[Response | None, Send]:
        """What refuses a request that is one too many, and a way back that tells what is left."""
        limit, caller = RateLimitItemPerMinute(most), _counted_as(scope)
        ends, _ = await self._limiter.get_window_stats(limit, caller)
        if ends - time.time() > limit.get_expiry():  # the clock was set back
            await self._limiter.clear(limit, caller)
        in_time = await self._limiter.hit(limit, caller)
        again, left = await self._limiter.get_window_stats(limit, caller)
        seconds = max(1, math.ceil(again - time.time()))
        told = {
            "RateLimit-Limit": str(most),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": str(seconds),
        }

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        refused = None if in_time else problem(
            scope, 429,
            f"more than {most} requests in a minute: ask again in {seconds} seconds",
            headers={"Retry-After": str(seconds)},
        )  # fmt: skip
        return refused, telling


def shown_key(headers: Headers) -> str:
    """The key a request came with, or nothing."""
    method, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if method.lower() == "bearer" else headers.get(KEY_HEADER, "")


def _counted_as(scope: Scope) -> str:
    """Under what requests are counted: no name of a key has a colon."""
    if _PERSON in scope:
        return f"person:{person_of(scope).user_id}"
    caller = caller_of(scope)
    if caller is None:
        return ""
    return f"token:{caller.name}" if caller.by_token else caller.name


def _unknown(scope: Scope, shown: str) -> Response:
    came = "that key is none of this service's" if shown else "no key came"
    detail = f"{came}: expected one in the header Authorization (Bearer …) or {KEY_HEADER}"
    return _unauthorized(scope, detail)


def _unauthorized(scope: Scope, detail: str) -> Response:
    return problem(scope, 401, detail, headers={"WWW-Authenticate": "Bearer"})


def _untrusted(scope: Scope, error: TokenError) -> Response:
    """As RFC 6750, Section 3.1, has it."""
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return problem(scope, 401, str(error), headers=headers)


def _not_theirs(scope: Scope, caller: Caller, wanted: KeyScope) -> Response | None:
    """What refuses a request that its caller may not send."""
    if not caller.covers(wanted):
        return _too_narrow(scope, caller, wanted)
    return None if caller.may_ask(scope["method"], scope["path"]) else _of_others(scope)


def _too_narrow(scope: Scope, caller: Caller, wanted: KeyScope) -> Response:
    if caller.by_token:
        detail = (
            f"the token is for {caller.scope or 'nothing here'}, and this needs one for {wanted}: "
            "scope_claim, scopes and user_claim of the setting oidc say which claims count"
        )
        return problem(scope, 403, detail, headers={"WWW-Authenticate": _INSUFFICIENT})
    return problem(
        scope, 403,
        f"the key {caller.name!r} is for {caller.scope}, and this needs one for {wanted}: ask with "
        f"another, or have one made with `recsvc keys create NAME --scope {wanted}`",
    )  # fmt: skip


def _of_others(scope: Scope) -> Response:
    detail = (
        "the token is bound to one user, and this may be about others: ask for what that user has "
        "below /v1/users/, or with an API key"
    )
    return problem(scope, 403, detail, headers={"WWW-Authenticate": _INSUFFICIENT})


def _from_another_site(headers: Headers) -> bool:
    """Whether a browser says that the page of another site asks.

    A page may send a plain POST to any address, so also to a service that listens on loopback.
    Old browsers, and new ones over plain HTTP, name the origin only.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")
