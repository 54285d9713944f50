"""Tokens of an OIDC issuer: signed JWTs (RFC 7519) that say who asks and what they may do.

A token is taken only if it is signed with a key of the issuer by an asymmetric algorithm, names the
issuer and this service as its audience, and is valid now (RFC 8725, Sections 3.1 to 3.9). Nothing
of it stands in a message.
"""

from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt.types import Options
from pydantic import TypeAdapter, ValidationError

from recsvc.errors import TokenError
from recsvc.service.callers import Caller
from recsvc.service.issuer_keys import ALGORITHMS, IssuerKeys
from recsvc.service.keys import Scope
from recsvc.service.schemas import Id
from recsvc.settings import OidcSettings

LEEWAY_SECONDS: Final = 30.0
"""How far the clocks of the issuer and of this machine may be apart."""
_CHECKS: Final[Options] = {
    "require": ["exp", "iat", "iss", "aud", "sub"], "enforce_minimum_key_length": True,
}  # fmt: skip
_LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0, Section 2."""
_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)
_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is of another issuer",
    jwt.InvalidAlgorithmError: "it is signed by another algorithm than the key's",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "it lacks one of the claims exp, iat, iss, aud and sub",
}


class Tokens:
    """The tokens of one issuer.

    Args:
        settings: which issuer, and what its claims mean here.
        keys: the issuer's.
    """

    def __init__(self, settings: OidcSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self._keys = keys

    async def caller(self, token: str) -> Caller:
        """Whom a token is of.

        Raises:
            TokenError: it is not one to be trusted.
            IssuerAwayError: the issuer's keys cannot be had.
        """
        key = await self._keys.find(_key_id(token))
        if key is None:
            raise TokenError("it is signed with a key that its issuer does not have")
        try:
            claims = jwt.decode(
                token, key, ALGORITHMS, _CHECKS, audience=self._settings.audience,
                issuer=self._settings.issuer, leeway=LEEWAY_SECONDS,
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise TokenError(_REASONS.get(type(error), "it cannot be read")) from None
        return self._caller(claims)

    async def count_keys(self) -> int:
        """How many keys the issuer has now.

        Raises:
            IssuerAwayError: they cannot be had; the message says why.
        """
        return len(await self._keys.fetched())

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        subject: str = claims["sub"]
        if not subject.isprintable() or len(subject) > _LONGEST_SUBJECT:
            raise TokenError(f"its subject is no text of up to {_LONGEST_SUBJECT} characters")
        scope, claim = self._scope(claims), self._settings.user_claim
        if claim is None or scope is Scope.ADMIN:
            return Caller(subject, scope, by_token=True)
        try:
            user_id = _ID.validate_python(_claim(claims, claim))
        except ValidationError:
            return Caller(subject, None, by_token=True)
        return Caller(subject, scope, by_token=True, user_id=user_id)

    def _scope(self, claims: Mapping[str, Any]) -> Scope | None:
        """The widest of those that a token has."""
        had = _claim(claims, self._settings.scope_claim)
        names: list[Any] = had.split() if isinstance(had, str) else had
        meant = self._settings.scopes
        ours = [Scope(meant[name]) for name in _texts(names) if name in meant]
        return max(ours, key=list(Scope).index, default=None)


def _key_id(token: str) -> str:
    """Which key a token says it is signed with, if by an algorithm that is taken at all.

    Raises:
        TokenError: it says none, or another algorithm.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenError("it cannot be read") from None
    if header.get("alg") not in ALGORITHMS:
        raise TokenError(f"its algorithm is not among {', '.join(ALGORITHMS)}")
    if "kid" not in header:
        raise TokenError("it does not name its key (kid)")
    return header["kid"]


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim of that name, else one inside others: `realm_access.roles`; None where none is."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _texts(values: Any) -> list[str]:
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []
