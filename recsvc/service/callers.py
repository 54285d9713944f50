"""Who asks the service: somebody with an API key, or with a token of an OIDC issuer."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from recsvc.errors import SettingsError
from recsvc.service.keys import KeyRing, Scope
from recsvc.settings import OidcSettings

if TYPE_CHECKING:
    from recsvc.service.tokens import Tokens

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_NOBODY = re.compile(r"/mcp|/v1/(items|categories)(/[^/]+(/similar)?)?")
"""What holds nothing of other people. The tools of /mcp ask again with the same token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whom the service knows.

    Attributes:
        name: of the API key, or the subject of the token.
        scope: what they may do; None: nothing.
        by_token: whether a token says so.
        user_id: the one user whom they may ask about; None: all.
    """

    name: str
    scope: Scope | None
    by_token: bool = False
    user_id: str | None = None

    @property
    def acts_for_all(self) -> bool:
        """Whether they may ask about everybody, as programs and operators do."""
        return self.scope is not None and self.user_id is None

    def covers(self, wanted: Scope) -> bool:
        """Whether they may do what a scope is for."""
        return self.scope is not None and self.scope.covers(wanted)

    def may_ask(self, method: str, path: str) -> bool:
        """Whether a request is about nobody else than the user whom they are bound to.

        Args:
            method: of the request.
            path: with each segment percent-encoded, as `EncodedPath` leaves it.
        """
        if self.user_id is None:
            return True
        own = f"/v1/users/{quote(self.user_id, safe='')}"
        if path == own or path.startswith(f"{own}/"):
            return method in _READING | {"DELETE"} and path != f"{own}/similar"
        reads = method in _READING or path == "/mcp"
        return reads and _OF_NOBODY.fullmatch(path) is not None


class Callers:
    """All whom the service knows.

    Args:
        keys: the API keys.
        tokens: those that are taken; None: none.
    """

    def __init__(self, keys: KeyRing, tokens: "Tokens | None" = None) -> None:
        self._keys = keys
        self._tokens = tokens

    @property
    def needed(self) -> bool:
        """Whether a request has to say who asks."""
        return self._tokens is not None or self._keys.needed

    async def find(self, shown: str) -> Caller | None:
        """Who shows an API key or a token; None where it is neither.

        Raises:
            TokenError: it is a token, and not one to be trusted.
            IssuerAwayError: nobody can tell now.
        """
        if (key := self._keys.find(shown)) is not None:
            return Caller(key.name, key.scope)
        looks_like_one = shown.count(".") == 2
        return await self._tokens.caller(shown) if self._tokens and looks_like_one else None


def issuer_tokens(oidc: OidcSettings | None) -> "Tokens | None":
    """The tokens that settings say are taken.

    Raises:
        SettingsError: what reads them is not installed.
    """
    if oidc is None:
        return None
    try:
        from recsvc.service.issuer_keys import IssuerKeys
        from recsvc.service.tokens import Tokens
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is missing: pip install 'recsvc[oidc]'") from None
    return Tokens(oidc, IssuerKeys(oidc.issuer))
