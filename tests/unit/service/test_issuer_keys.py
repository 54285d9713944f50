"""The keys of an OIDC issuer: which are taken, when they are read again, and when it is away."""

import asyncio
import json
import threading
import time
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
import pytest
from jwt.warnings import InsecureKeyLengthWarning

from recsvc.service import issuer_keys
from recsvc.service.keys import KeyFile, Scope
from tests.oidc_issuer import DISCOVERY, Issuer, described, private_key, send
from tests.unit.service.conftest import PATH, Asking, bearer, status
from tests.waiting import PATIENCE_SECONDS, until_then

SHARED = {"kid": "oct", "kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}
"""A key that signs what it checks."""


async def test_keys_for_other_things_sign_nothing(asking: Asking, issuer: Issuer) -> None:
    small = private_key("RS256", bits=1024)
    first = described("use", "ES256", private_key("ES256", 0)) | {"use": "enc"}
    issuer.published += [
        SHARED,
        described("small", "RS256", small),
        first,
        {"kid": "odd", "kty": "EC"},
        {"kid": 1, "kty": "EC"},
        {},
    ]
    async with asking() as client:
        assert await status(client, issuer.token()) == 200
        for key_id, algorithm, key in (
            ("oct", "HS256", b"secret" * 8),
            ("small", "RS256", small),
            ("use", "ES256", private_key("ES256", 0)),
        ):
            with warnings.catch_warnings(action="ignore", category=InsecureKeyLengthWarning):
                token = jwt.encode(issuer.claims(), key, algorithm, {"kid": key_id})
            assert await status(client, token) == 401, key_id


async def test_new_keys_are_found_and_withdrawn_ones_end(
    asking: Asking, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
    async with asking() as client:
        old = issuer.token()
        assert await status(client, old) == 200
        issuer.rotate("second", "RS256", keep=False)
        assert await status(client, old) == 200  # known, and fresh
        assert await status(client, issuer.token("second")) == 200
        assert await status(client, old) == 401


async def test_old_keys_are_looked_at_again_while_nobody_waits(
    asking: Asking, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
    async with asking() as client:
        old = issuer.token()
        assert await status(client, old) == 200
        issuer.rotate("second", keep=False)
        issuer.answer[DISCOVERY] = once(go_on := threading.Event(), issuer)
        monkeypatch.setattr(issuer_keys, "FRESH_SECONDS", 0.0)
        assert await status(client, old) == 200
        assert issuer.asked.count("/keys") == 1
        go_on.set()
        await until_then(lambda: issuer.asked.count("/keys") == 2)
        assert await status(client, issuer.token("second")) == 200
        assert await status(client, old) == 401


async def test_tokens_with_invented_keys_make_one_fetch(asking: Asking, issuer: Issuer) -> None:
    key = private_key("ES256", 99)
    invented = [
        jwt.encode(issuer.claims(), key, "ES256", {"kid": f"k{number}"}) for number in range(40)
    ]
    async with asking() as client:
        for _ in range(2):
            told = await asyncio.gather(*(status(client, each) for each in invented))
            assert set(told) == {401}
        assert await status(client, issuer.token()) == 200
    assert issuer.asked == [DISCOVERY, "/keys"]


async def test_known_keys_count_while_an_invented_one_is_looked_for(
    asking: Asking, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
    async with asking() as client:
        assert await status(client, issuer.token()) == 200
        issuer.answer[DISCOVERY] = once(go_on := threading.Event(), issuer)
        token = jwt.encode(issuer.claims(), private_key("ES256", 99), "ES256", {"kid": "never"})
        looking = asyncio.create_task(status(client, token))
        await until_then(lambda: issuer.asked.count(DISCOVERY) == 2)
        assert await status(client, issuer.token()) == 200
        assert not looking.done()
        go_on.set()
        assert await looking == 401


async def test_an_issuer_that_is_away_at_the_start_is_found_when_it_comes(
    asking: Asking, issuer: Issuer, file: KeyFile, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    token, key = issuer.token(), file.create("app", Scope.READ)
    issuer.stop()
    async with asking() as client:
        for _ in range(3):
            answer = await client.get(PATH, headers=bearer(token))
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert "issuer" in answer.json()["detail"]
        assert (await client.get(PATH, headers=bearer(key))).status_code == 200
        assert (await client.get(PATH)).status_code == 401
        assert (await client.get("/health/live")).status_code == 200
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        (told,) = [line["reason"] for line in lines if "reason" in line]
        assert issuer.address in told
        assert "ConnectError" in told
        issuer.start()
        monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
        assert await status(client, token) == 200


async def test_an_issuer_that_goes_away_leaves_its_keys_for_a_day(
    asking: Asking, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(issuer_keys, "FRESH_SECONDS", 0.0)
    async with asking() as client:
        assert await status(client, issuer.token()) == 200
        issuer.stop()
        issuer.rotate("second")
        for _ in range(3):
            assert await status(client, issuer.token()) == 200
            assert await status(client, issuer.token("second")) == 503
        monkeypatch.setattr(issuer_keys, "KEPT_SECONDS", 0.0)
        assert await status(client, issuer.token()) == 503
        issuer.start()
        monkeypatch.setattr(issuer_keys, "KEPT_SECONDS", 60.0)
        assert await status(client, issuer.token("second")) == 200


def once(go_on: threading.Event, issuer: Issuer) -> Callable[[BaseHTTPRequestHandler], None]:
    """What it answers anyway, once it may."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(PATIENCE_SECONDS)
        send(handler, 200, json.dumps(issuer.document(handler.path)).encode())

    return answer


def saying(body: object, status: int = 200, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: send(handler, status, content, **headers)


def bit_by_bit(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:  # until the caller is gone
        handler.wfile.write(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("path", "answer", "why"),
    [
        (DISCOVERY, bit_by_bit, "TimeoutError"),
        (DISCOVERY, saying(b" " * 300_000), "more than"),
        (DISCOVERY, saying({"issuer": "https://evil.example", "jwks_uri": "x"}), "evil.example"),
        (DISCOVERY, saying([]), "ValidationError"),
        (DISCOVERY, saying(b"<html>"), "ValidationError"),
        (DISCOVERY, saying(b"", 302, Location="/elsewhere"), "302"),
        (DISCOVERY, saying(b"", 500), "500"),
        (DISCOVERY, "http://127.0.0.2/keys", "http:// only"),
        (DISCOVERY, "file:///etc/passwd", "http:// only"),
        ("/keys", saying({"keys": []}), "none of its keys"),
        ("/keys", saying({"keys": [{"kid": "first"}]}), "none of its keys"),
        ("/keys", saying({"keys": [SHARED]}), "none of its keys"),
        ("/keys", saying({"keys": [{}] * 101}), "ValidationError"),
        ("/keys", saying({"keys": "first"}), "ValidationError"),
    ],
)
async def test_an_issuer_that_answers_something_else_is_as_one_that_is_away(
    asking: Asking, issuer: Issuer, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], path: str, answer: Any, why: str,
) -> None:  # fmt: skip
    if answer is bit_by_bit:
        monkeypatch.setattr(issuer_keys, "FETCH_SECONDS", 0.4)
    if isinstance(answer, str):
        answer = saying({"issuer": issuer.address, "jwks_uri": answer})
    issuer.answer[path] = answer
    async with asking() as client:
        assert await status(client, issuer.token()) == 503
    assert why in capsys.readouterr().err
    assert "/elsewhere" not in issuer.asked
