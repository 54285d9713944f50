"""A small OIDC issuer: an HTTP server with keys of its own, which may go away and misbehave."""

import json
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

AUDIENCE = "recsvc"
DISCOVERY = "/.well-known/openid-configuration"
_OF_TYPE = {"R": RSAAlgorithm, "P": RSAAlgorithm, "E": ECAlgorithm}
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


@cache
def private_key(algorithm: str, number: int = 0, bits: int = 2048) -> Any:
    """A key for signing; another one for each number."""
    del number
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return rsa.generate_private_key(65537, bits)


def described(key_id: str, algorithm: str, key: Any) -> dict[str, Any]:
    """The public key as a JWK set has it."""
    kind = OKPAlgorithm if algorithm == "EdDSA" else _OF_TYPE[algorithm[0]]
    known = kind.to_jwk(key.public_key(), as_dict=True)
    return {**known, "kid": key_id, "alg": algorithm, "use": "sig"}


class Issuer:
    """What it is asked is in `asked`; `answer` takes the place of what it answers at a path."""

    def __init__(self) -> None:
        self._signing: dict[str, tuple[str, Any]] = {}
        self.published: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.answer: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self._kept: socket.socket | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_port
        serving = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        serving.start()

    def stop(self) -> None:
        """Go away; `start` brings it back where it was, which nobody else gets meanwhile."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._kept = socket.socket()
            self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept.bind(("127.0.0.1", self._port))
        self._server = None

    def rotate(self, key_id: str, algorithm: str = "ES256", *, keep: bool = True) -> None:
        """Sign with a new key, and publish it beside the others or in their place."""
        key = private_key(algorithm, len(self._signing))
        self._signing[key_id] = algorithm, key
        self.published = [*(self.published if keep else ()), described(key_id, algorithm, key)]

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a token to read; None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.address, "aud": AUDIENCE, "sub": "someone", "iat": now, "exp": now + 300,
            "scope": "openid recsvc:read",
        }  # fmt: skip
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, key_id: str = "first", **changed: Any) -> str:
        algorithm, key = self._signing[key_id]
        return jwt.encode(self.claims(**changed), key, algorithm, {"kid": key_id})

    def document(self, path: str) -> Any:
        if path == DISCOVERY:
            return {"issuer": self.address, "jwks_uri": f"{self.address}/keys", "scopes": ["x"]}
        return {"keys": self.published} if path == "/keys" else None


@contextmanager
def running_issuer() -> Generator[Issuer]:
    """One with an EC key named first."""
    issuer = Issuer()
    issuer.rotate("first")
    try:
        yield issuer
    finally:
        issuer.stop()


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            with suppress(OSError):  # the caller may be gone
                issuer.answer.get(self.path, answered)(self)

        def log_message(self, *_given: Any) -> None:
            pass

    def answered(handler: BaseHTTPRequestHandler) -> None:
        document = issuer.document(handler.path)
        send(handler, 200 if document else 404, json.dumps(document).encode())

    return Handler


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
