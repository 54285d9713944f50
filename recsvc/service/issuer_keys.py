"""The public keys of an OIDC issuer, as its discovery document says where they are.

They are fetched when a token first names one, again every few minutes, and when a token names one
that is not there: the issuer may have a new one. Anybody can name keys that never were, so that is
done once in some seconds at most. While the issuer is away, the keys of the last fetch count.
"""

import asyncio
import math
import ssl
import time
from typing import Any, Final

import httpx
import structlog
from jwt import PyJWK, PyJWTError
from pydantic import BaseModel, Field

from loaders.addresses import check_confidential
from recsvc.errors import IssuerAwayError

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""By which a token may be signed: those of RFC 7518, Section 3.1, and of RFC 8037 whose key for
checking is not one for signing."""
FETCH_SECONDS: Final = 5.0
"""How long a fetch may take in all."""
AGAIN_SECONDS: Final = 10.0
"""Between two fetches, whatever comes."""
FRESH_SECONDS: Final = 300.0
"""After which keys are fetched again, while they still count."""
KEPT_SECONDS: Final = 86_400.0
"""After which keys no longer count, if the issuer has been away for so long."""
_DISCOVERY = "/.well-known/openid-configuration"
_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100
_MOST_OF_A_REASON = 200

_log = structlog.get_logger()


class _Discovery(BaseModel):
    """What is read of a discovery document (OpenID Connect Discovery 1.0, Section 3)."""

    issuer: str
    jwks_uri: str


class _KeySet(BaseModel):
    """A JWK set (RFC 7517, Section 5)."""

    keys: list[dict[str, Any]] = Field(max_length=_MOST_KEYS)


class IssuerKeys:
    """The keys of one issuer, which each process fetches for itself.

    Args:
        issuer: its address.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._trust = httpx.create_ssl_context()  # takes a while
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = self._tried_at = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> PyJWK | None:
        """The key of that id, or None where the issuer has none.

        Raises:
            IssuerAwayError: it is not here, and the last fetch failed.
        """
        age = time.monotonic() - self._fetched_at
        if age > KEPT_SECONDS:
            self._keys = {}
        if key_id not in self._keys or age > FRESH_SECONDS:
            self._begin_fetch()
        if key_id not in self._keys and self._fetching is not None:
            await asyncio.wait((self._fetching,))
        key = self._keys.get(key_id)
        if key is None and self._failed:
            raise IssuerAwayError("the issuer of the token is away: ask again later")
        return key

    def _begin_fetch(self) -> None:
        """Fetch the keys beside what goes on, unless that was tried just now."""
        now = time.monotonic()
        if self._fetching is None and now - self._tried_at >= AGAIN_SECONDS:
            self._tried_at = now
            self._fetching = asyncio.create_task(self._fetch())

    async def fetched(self) -> dict[str, PyJWK]:
        """The keys as the issuer has them now, each by its id.

        Raises:
            IssuerAwayError: they cannot be had; the message says why.
        """
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await _keys_of(self._issuer, self._trust)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = f"{type(error).__name__} {error}".strip()[:_MOST_OF_A_REASON]
            raise IssuerAwayError(
                f"the keys of {self._issuer} cannot be fetched ({reason}): see that it is there, "
                "and that the issuer in the setting oidc is the one that it names itself"
            ) from None

    async def _fetch(self) -> None:
        try:
            self._keys = await self.fetched()
        except IssuerAwayError as error:
            self._failed = True
            _log.warning("tokens cannot all be checked", reason=str(error))
        else:
            self._fetched_at, self._failed = time.monotonic(), False
        finally:
            self._fetching = None


async def _keys_of(issuer: str, trust: ssl.SSLContext) -> dict[str, PyJWK]:
    """The keys of an issuer that its discovery document leads to.

    Raises:
        ValueError: what came is not what an issuer says.
    """
    async with httpx.AsyncClient(verify=trust, timeout=FETCH_SECONDS) as client:
        document = await _get(client, issuer.rstrip("/") + _DISCOVERY)
        said = _Discovery.model_validate_json(document)
        if said.issuer != issuer:
            raise ValueError(f"its discovery document is one of {said.issuer}")
        content = await _get(client, check_confidential(said.jwks_uri))
    keys = dict(filter(None, map(_usable, _KeySet.model_validate_json(content).keys)))
    if not keys:
        raise ValueError("none of its keys can be used")
    return keys


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    """What is there, as it comes.

    Raises:
        ValueError: it is too large.
    """
    content = bytearray()
    plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
    async with client.stream("GET", url, headers=plain) as answer:
        answer.raise_for_status()
        async for part in answer.aiter_raw():
            content += part
            if len(content) > _MOST_BYTES:
                raise ValueError(f"it sends more than {_MOST_BYTES:,} bytes")
    return bytes(content)


def _usable(described: dict[str, Any]) -> tuple[str, PyJWK] | None:
    """A key that signatures can be checked with, by its id; others are for something else."""
    key_id, use = described.get("kid"), described.get("use", "sig")
    if not isinstance(key_id, str) or use != "sig":
        return None
    try:
        key = PyJWK(described)
    except (PyJWTError, ValueError, TypeError, AttributeError):
        return None
    return (key_id, key) if key.algorithm_name in ALGORITHMS else None
