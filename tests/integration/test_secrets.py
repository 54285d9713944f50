"""No secret, and nothing of a request but its route, gets where others read it.

A service is asked everything that its OpenAPI document has, with keys, links and texts that are
known here. Then its log, its metrics, its pages and all its answers are searched for them.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsvc.person_links import PersonLinks, lasting
from recsvc.service.keys import KeyFile, Scope
from tests.conftest import QUICK, Served, Service, running_service
from tests.integration.in_process import CLEAN
from tests.openapi_requests import Made, reading, writing
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
MARK = "sesame-4711"
"""Where it stands in a request, nothing of it may come into the log or the metrics."""
PAGES = ("/", "/person", "/docs", "/openapi.json", "/metrics", "/health/live", "/health/ready",
         "/page/main.js", "/page/no%20such", "/analyst/no%20such")  # fmt: skip
UNREACHABLE = "bolt://127.0.0.1:9"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def secrets(served: Served, home: Path) -> dict[str, str]:
    """All that nobody else may see, by what it is."""
    home.mkdir()
    keys = KeyFile(home / "keys.json")
    secrets = {scope.value: keys.create(scope.value, scope) for scope in Scope}
    secrets["link"] = PersonLinks(home).make("u1", lasting(1))
    secrets["wrong key"] = secrets["admin"][:-3] + "xyz"
    secrets["wrong link"] = secrets["link"][:-3] + "xyz"
    secrets["password of Neo4j"] = served.address.password
    stored = json.loads((home / "keys.json").read_text())
    hashes = [text for text in _texts(stored) if len(text) == 64]
    assert len(hashes) == len(Scope)
    return secrets | {f"hash {n}": text for n, text in enumerate(hashes)}


@pytest.fixture
def before(served: Served) -> Iterator[None]:
    """The graph is as it was afterwards."""
    statement(served.gateway, CLEAN)
    ids = [row["id"] for row in statement(served.gateway, "MATCH (n) RETURN elementId(n) AS id")]
    yield
    new = "MATCH (n:User|Item|Category|Event|Outcome|Scenario|Experiment) "
    statement(served.gateway, f"{new}WHERE NOT elementId(n) IN $ids DETACH DELETE n", ids=ids)


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for each in document.values() if isinstance(document, dict) else document:
            yield from _texts(each)


def walk(service: Service, secrets: dict[str, str]) -> list[str]:
    """Ask everything; all that came back, heads too."""
    document = service.client.get("/openapi.json").raise_for_status().json()
    marks = itertools.repeat(MARK)
    told, asked = [_all_of(service.client.get(page)) for page in PAGES], set[str]()
    for made in [*reading(document, marks), *writing(document, marks)]:
        told += [
            _all_of(service.client.request(**made.sent, headers=headers))
            for headers in _who(made, secrets, asked)
        ]
    return told


def _who(made: Made, secrets: dict[str, str], asked: set[str]) -> Iterator[dict[str, str]]:
    """Who asks: those who may, and for each address once those who may not."""
    right = "link" if made.route.startswith("/v1/me") else "admin"
    yield {"Authorization": f"Bearer {secrets[right]}"}
    if made.method == "GET" and made.route not in asked:
        asked.add(made.route)
        yield {"X-API-Key": secrets["wrong key"]}
        yield {"Authorization": f"Bearer {secrets['wrong link']}"}
        yield {"X-API-Key": secrets["read"], "Authorization": f"Bearer {secrets['admin']}"}


def _all_of(answer: httpx.Response) -> str:
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    return f"{answer.headers}\n{answer.text}"


@pytest.mark.usefixtures("before")
@pytest.mark.long
@pytest.mark.parametrize("uri", [None, UNREACHABLE])
def test_no_secret_is_told_or_logged(
    served: Served, secrets: dict[str, str], home: Path, tmp_path: Path, uri: str | None
) -> None:
    environment = {
        **served.environment, "RECSVC_HOME": str(home), "RECSVC_REQUEST_TIMEOUT_SECONDS": "60",
        "RECSVC_NEO4J_URI": uri or served.address.uri,
    }  # fmt: skip
    log = tmp_path / "serve.log"
    until = "/health/live" if uri else "/health/ready"
    with running_service(environment, log, until=until) as service:
        told = walk(service, secrets)
        metrics = service.client.get("/metrics", headers={"X-API-Key": secrets["read"]})
    assert metrics.status_code == 200
    assert len(told) > 200
    logged = log.read_text()
    everywhere = {"answers": "\n".join(told), "metrics": metrics.text, "log": logged}
    found = [
        (where, what)
        for where, text in everywhere.items()
        for what, secret in secrets.items()
        if secret in text
    ]
    assert found == []
    lines = [json.loads(line) for line in logged.splitlines()]
    assert len(lines) > 200
    assert MARK not in metrics.text
    # Who administers is told with the path, by which it is known what they changed.
    named = [line for line in lines if MARK in json.dumps(line)]
    assert {line["event"] for line in named} <= {"administration"}
