"""By which names the service may be asked.

A page of another site can have its own name point to this machine (DNS rebinding): for the browser
the service then belongs to that site. The name still stands in `Host`. An address in the place of a
name is no such page's, so it is taken.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from recsvc.service.problems import problem

_LOOPBACK = ("localhost", "*.localhost")
_SHOWN_CHARACTERS = 200
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^:/?#@\[\]%\s]*))(?::[0-9]*)?", re.I)
"""A host and a port, as `Host` may hold them (RFC 9110, section 7.2)."""

_log = structlog.get_logger()


class KnownHosts:
    """Middleware: refuses a request for another host.

    Args:
        app: what answers the rest.
        names: besides localhost and addresses; `*.example.org` is all below example.org, `*` any.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        patterns = (*_LOOPBACK, *names)

        @lru_cache(maxsize=256)
        def known(host: bytes) -> bool:
            return _is_known(host, patterns)

        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or (not hosts and scope["http_version"] != "1.0"):
            refused = problem(scope, 400, "expected one header Host")
            await refused(scope, receive, send)
        elif hosts and not self._known(hosts[0]):
            host = hosts[0][:_SHOWN_CHARACTERS].decode("latin-1")
            _log.warning("a request for another host: allowed_hosts does not name it", host=host)
            detail = "this service is not asked by that name: the setting allowed_hosts names some"
            await problem(scope, 421, detail)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_known(header: bytes, patterns: Sequence[str]) -> bool:
    name = _without_port(header.decode("latin-1")).lower().removesuffix(".")
    if not name:
        return False
    return _is_address(name) or any(_matches(name, pattern) for pattern in patterns)


def _without_port(host: str) -> str:
    """The name or address; nothing where it is no host with a port or without."""
    parts = _HOST.fullmatch(host)
    return (parts["address"] or parts["name"] or "") if parts else ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _matches(name: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern
