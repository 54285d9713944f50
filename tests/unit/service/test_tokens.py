"""Tokens of an OIDC issuer beside API keys, from a real issuer over HTTP."""

import asyncio
import base64
import json
import time
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client

from recsvc.errors import SettingsError, TokenError
from recsvc.service.callers import issuer_tokens
from recsvc.service.keys import KeyFile, Scope
from recsvc.service.mcp import mcp_server
from recsvc.settings import OidcSettings
from tests import oidc_issuer
from tests.oidc_issuer import (
    AUDIENCE,
    DISCOVERY,
    Issuer,
    described,
    private_key,
)
from tests.unit.service.conftest import PATH, Asking, bearer, status

ROLL_BACK = "/v1/models/hybrid/rollback"
EVENTS = [{"user_id": "2", "item_id": "289"}]


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"x" * 64) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES512", "EdDSA"])
async def test_a_token_of_the_issuer_is_taken(
    asking: Asking, issuer: Issuer, algorithm: str
) -> None:
    issuer.rotate("key", algorithm)
    async with asking() as client:
        assert await status(client, issuer.token("key")) == 200
        as_key = await client.get(PATH, headers={"X-API-Key": issuer.token("key", nbf=0)})
        assert as_key.status_code == 200
        assert (await client.get(PATH)).status_code == 401
    assert issuer.asked == [DISCOVERY, "/keys"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("recsvc:read", (200, 403, 403)),
        ("recsvc:read recsvc:write", (200, 200, 403)),
        (["recsvc:admin", 7, "recsvc:read"], (200, 200, 200)),
        ("openid", (403, 403, 403)),
        (None, (403, 403, 403)),
        ({"recsvc:admin": True}, (403, 403, 403)),
    ],
)
async def test_scopes_are_those_of_keys(
    asking: Asking, issuer: Issuer, scope: Any, expected: tuple[int, ...]
) -> None:
    async with asking() as client:
        headers = bearer(issuer.token(scope=scope))
        answers = (
            await client.get(PATH, headers=headers),
            await client.post("/v1/events", json=EVENTS, headers=headers),
            await client.post(ROLL_BACK, headers=headers),
        )
        assert tuple(each.status_code for each in answers) == expected
        for each in answers:
            if each.status_code == 403:
                told = each.headers["WWW-Authenticate"]
                assert told == 'Bearer error="insufficient_scope"'
                assert "the token is for" in each.json()["detail"]


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("roles", {"roles": ["shop-ops"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["x", "shop-ops"]}}),
        ("https://shop.example/roles", {"https://shop.example/roles": "x shop-ops"}),
    ],
)
async def test_the_issuer_may_have_its_own_names_for_scopes(
    asking: Asking, issuer: Issuer, claim: str, claims: dict[str, Any]
) -> None:
    async with asking(scope_claim=claim, scopes={"shop-ops": "admin"}) as client:
        assert await status(client, issuer.token(**claims), "/v1/models") == 200
        assert await status(client, issuer.token(scope="recsvc:admin"), "/v1/models") == 403


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    """The time at which all tokens are made and read, however long it takes."""
    now = int(time.time())

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(now, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", Stopped)
    monkeypatch.setattr(oidc_issuer, "time", SimpleNamespace(time=lambda: now))
    return now


def bad_tokens(issuer: Issuer, now: int) -> dict[str, tuple[str, str]]:
    """Tokens that are not to be trusted, and what is said of each."""
    right = issuer.token()
    first = private_key("ES256", 0)
    other = private_key("ES256", 99)
    public = first.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = right.split(".")
    claims = issuer.claims()

    def signed(key: Any, algorithm: str = "ES256", **header: Any) -> str:
        return jwt.encode(claims, key, algorithm, {"kid": "first", **header})

    def hmac_of(secret: bytes) -> str:
        import hashlib
        import hmac

        unsigned = forged({"alg": "HS256", "kid": "first"}, claims).rpartition(".")[0]
        made = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
        return f"{unsigned}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"

    return {
        "wrong audience": (issuer.token(aud="another"), "audience"),
        "wrong audiences": (issuer.token(aud=["another", f"{AUDIENCE}x"]), "audience"),
        "wrong issuer": (issuer.token(iss=f"{issuer.address}/"), "issuer"),
        "expired": (issuer.token(exp=now - 31), "expired"),
        "expired without end": (issuer.token(exp=float("inf")), "cannot be read"),
        "not yet": (issuer.token(nbf=now + 40), "not valid yet"),
        "made later": (issuer.token(iat=now + 40), "not valid yet"),
        "no exp": (issuer.token(exp=None), "lacks"),
        "no iat": (issuer.token(iat=None), "lacks"),
        "no iss": (issuer.token(iss=None), "lacks"),
        "no aud": (issuer.token(aud=None), "lacks"),
        "no sub": (issuer.token(sub=None), "lacks"),
        "odd subject": (issuer.token(sub="a\nb"), "subject"),
        "half a character": (issuer.token(sub="\ud800"), "subject"),
        "long subject": (issuer.token(sub="s" * 256), "subject"),
        "none": (forged({"alg": "none", "kid": "first"}, claims, b""), "is not among"),
        "None": (forged({"alg": "nOnE", "kid": "first"}, claims, b""), "is not among"),
        "no algorithm": (forged({"kid": "first"}, claims), "is not among"),
        "a list": (forged({"alg": ["ES256"], "kid": "first"}, claims), "is not among"),
        "HS256 with the public key": (hmac_of(public), "is not among"),
        "HS256 with the JWK": (hmac_of(json.dumps(issuer.published[0]).encode()), "is not among"),
        "RS256 with an EC key": (
            signed(private_key("RS256"), "RS256"),
            "another algorithm",
        ),
        "another's key": (signed(other), "signature is wrong"),
        "another's key, brought along": (
            signed(other, jwk=described("first", "ES256", other), jku=f"{issuer.address}/evil"),
            "signature is wrong",
        ),
        "another's claims": (
            f"{head}.{forged({}, claims | {'sub': 'x'}).split('.')[1]}.{signature}",
            "signature is wrong",
        ),
        "no signature": (f"{head}.{body}.", "signature is wrong"),
        "unknown key": (signed(other, kid="never"), "does not have"),
        "path as key": (signed(other, kid="../../keys.json"), "does not have"),
        "no key": (jwt.encode(claims, other, "ES256"), "kid"),
        "number as key": (forged({"alg": "ES256", "kid": 1}, claims), "cannot be read"),
        "critical": (signed(first, crit=["x"], x=1), "cannot be read"),
        "deep": (f"{base64.urlsafe_b64encode(b'[' * 9_000).decode()}.e30.eA", "cannot be read"),
        "nothing": ("..", "cannot be read"),
        "words": ("a.b.c", "cannot be read"),
    }


async def test_what_is_not_to_be_trusted_is_refused_without_a_word_of_it(
    asking: Asking, issuer: Issuer, now: int, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = bad_tokens(issuer, now)
    async with asking() as client:
        assert await status(client, issuer.token()) == 200
        capsys.readouterr()
        for what, (token, why) in bad.items():
            answer = await client.get(PATH, headers=bearer(token))
            assert answer.status_code == 401, what
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"', what
            assert why in answer.json()["detail"], (what, answer.json()["detail"])
            told = answer.text + capsys.readouterr().err
            assert not [part for part in token.split(".") if len(part) > 3 and part in told], what
            assert "someone" not in told, what
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_clocks_may_be_apart_a_little(asking: Asking, issuer: Issuer, now: int) -> None:
    async with asking() as client:
        for claims in ({"exp": now - 25}, {"nbf": now + 25}, {"iat": now + 25}):
            assert await status(client, issuer.token(**claims)) == 200, claims


@pytest.mark.parametrize("user_id", ["2", "a/b", "..", "ü %2F", "a b"])
async def test_a_token_of_a_user_opens_that_user_only(
    asking: Asking, issuer: Issuer, user_id: str
) -> None:
    own = f"/v1/users/{quote(user_id, safe='').replace('.', '%2E')}"
    async with asking(user_claim="shop.id") as client:
        token = issuer.token(scope="recsvc:write", shop={"id": user_id})
        headers = bearer(token)
        for path in (f"{own}/recommendations", f"{own}/evidence", own, "/v1/items/289/similar"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code in {200, 404}, (path, answer.text)
        assert (await client.delete(own, headers=headers)).status_code in {204, 404}
        for method, path in (
            ("GET", "/v1/users/3/recommendations"),
            ("GET", "/v1/users/2%2F/recommendations"),
            ("GET", "/v1/users/22"),
            ("GET", "/v1/users"),
            ("GET", f"{own}/similar"),
            ("GET", "/v1/items/289/audience"),
            ("GET", "/v1/items/289/recourse"),
            ("GET", "/v1/exposure"),
            ("GET", "/metrics"),
            ("DELETE", "/v1/users/3"),
            ("DELETE", "/v1/items/289"),
            ("PUT", own),
            ("PUT", f"{own}/follows/3"),
            ("POST", "/v1/events"),
            ("POST", "/v1/recommendations"),
            ("POST", "/v1/recommendations/batch"),
            ("POST", ROLL_BACK),
            ("GET", "/v1/models"),
        ):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 403, (method, path)


async def test_a_token_that_names_no_user_opens_nothing_where_one_is_wanted(
    asking: Asking, issuer: Issuer
) -> None:
    async with asking(user_claim="user") as client:
        for user in (None, "", "u" * 513, ["2"], {"id": "2"}, True, "\ud800"):
            assert await status(client, issuer.token(user=user)) == 403, user
        assert await status(client, issuer.token(user=2)) == 200
        admin = issuer.token(scope="recsvc:admin")
        assert await status(client, admin, "/v1/users/3/recommendations") == 200


async def test_each_subject_has_a_rate_of_its_own(
    asking: Asking, issuer: Issuer, file: KeyFile
) -> None:
    key = file.create("someone", Scope.READ)
    async with asking(requests_per_minute=2) as client:
        for _ in range(2):
            assert await status(client, issuer.token()) == 200
        assert await status(client, issuer.token(jti="another token")) == 429
        assert await status(client, issuer.token(sub="another")) == 200
        assert await status(client, key) == 200


async def test_the_log_names_the_subject_who_administers(
    asking: Asking, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with asking(user_claim="user") as client:
        for claims in (
            {"sub": "ops", "scope": "recsvc:admin"},
            {"sub": "user 2", "user": "2"},
            {"sub": "user x"},
        ):
            headers = bearer(issuer.token(**claims))
            await client.post(ROLL_BACK, headers=headers)
            await client.get(PATH, headers=headers)
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [
        (line["event"], line["status"], line.get("subject"), "key" in line)
        for line in logged
        if line["event"] in {"request", "administration"}
    ]
    assert told == [
        ("request", 200, "ops", False),
        ("administration", 200, "ops", False),
        ("request", 200, "ops", False),
        ("request", 403, None, False),
        ("administration", 403, "user 2", False),
        ("request", 200, None, False),
        ("request", 403, None, False),
        ("administration", 403, "user x", False),
        ("request", 403, None, False),
    ]


async def test_tools_take_tokens_too(asking: Asking, issuer: Issuer) -> None:
    meta_path = {"name": "item_x", "cypher": "MATCH (n) RETURN n"}
    async with asking(user_claim="user") as client:
        for token, expected in (
            (issuer.token(user="2"), "needs a key for admin"),
            (issuer.token(aud="x"), "another audience"),
        ):
            server = mcp_server(client.app, token)  # pyright: ignore
            async with Client(server) as tools:
                refused = await tools.call_tool("path_try", meta_path)
                assert expected in str(refused.content)
        async with Client(mcp_server(client.app, issuer.token(user="2"))) as tools:  # pyright: ignore
            assert not (await tools.call_tool("recommend", {"user_id": "2"})).is_error
            refused = await tools.call_tool("recommend", {"user_id": "3"})
            assert "bound to one user" in str(refused.content)


def test_no_text_is_more_than_refused(issuer: Issuer) -> None:
    tokens = issuer_tokens(OidcSettings(issuer=issuer.address, audience=AUDIENCE))
    assert tokens is not None

    @given(st.lists(st.binary(max_size=60), min_size=3, max_size=3), st.booleans())
    def check(parts: list[bytes], encoded: bool) -> None:
        made = [base64.urlsafe_b64encode(part) if encoded else part for part in parts]
        with pytest.raises(TokenError):
            asyncio.run(tokens.caller(b".".join(made).decode("latin-1")))

    check()


def test_what_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "recsvc.service.issuer_keys", None)
    oidc = OidcSettings(issuer="https://issuer.example", audience="x")
    with pytest.raises(SettingsError, match=r"pip install 'recsvc\[oidc\]'"):
        issuer_tokens(oidc)
