"""Every example of docs/http.md is sent, and what it prints is what the service answers."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsvc.graph.rows import StoredNode
from recsvc.person_links import PersonLinks, lasting
from tests.unit.service.fake_engine import FakeEngine

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "http.md").read_text()
README = (ROOT / "README.md").read_text()
SENT = re.findall(r"```sh\n(curl .*?)```", PAGE, re.DOTALL)
EXAMPLES = re.findall(r"```sh\n(curl (?:(?!```).)*)```\n```json\n(.*?)```", PAGE, re.DOTALL)
MADE = {
    "request_id",
    "recommendation_id",
    "took_ms",
    "score",
    "contribution",
    "value",
    "title",
    "k",
    "versions",
    "mean",
    "low",
    "high",
    "p_value",
    "expires_at",
}
"""Members whose values differ from one answer to the next."""
PUT = StoredNode(
    {"title": "Britney Spears", "created_at": "1998-10-23T00:00:00+00:00", "price": 9.5},
    [("25", 2.0), ("24", 1.0)],
)
"""What the example of a PUT stores, as `tests/integration/test_writes.py` reads its own back."""


NAMED = StoredNode({"name": "Anna"}, [])
"""Whom the example of a link is for."""


def request_of(command: str) -> httpx.Request:
    words = shlex.split(command.replace("\\\n", " "))[1:]
    options = {words[n]: words[n + 1] for n in range(1, len(words), 2)}
    headers = dict(words[n + 1].split(": ") for n in range(1, len(words), 2) if words[n] == "-H")
    method = options.get("-X", "POST" if "-d" in options else "GET")
    return httpx.Request(method, words[0], headers=headers, content=options.get("-d"))


def shape(value: Any) -> Any:
    """A document without the values that differ."""
    if isinstance(value, dict):
        return {key: "…" if key in MADE else shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("command", "printed"), EXAMPLES)
async def test_an_example(
    client: httpx.AsyncClient, fake: FakeEngine, links: PersonLinks, command: str, printed: str
) -> None:
    fake.stored = NAMED if "/me " in command else PUT
    link = links.make("2", lasting(1))
    response = await client.send(request_of(command.replace("$RECSVC_LINK", link)))
    assert shape(response.json()) == shape(json.loads(printed))


async def test_the_requests_of_the_readme_and_of_a_deletion_are_answered(
    client: httpx.AsyncClient, links: PersonLinks
) -> None:
    (readme,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    asked = re.findall(r"^curl .*?[^\\]$", readme, re.DOTALL | re.MULTILINE)
    assert [(await client.send(request_of(each))).status_code for each in asked] == [200, 200]
    deletions = re.findall(r"^    (curl .*)$", PAGE, re.MULTILINE)
    assert len(deletions) == 4
    for each in deletions:
        command = each.replace("$RECSVC_LINK", links.make("2", lasting(1)))
        assert (await client.send(request_of(command))).status_code == 204


OTHERWISE = (
    "/metrics",
    "/v1/refreshes/{id}/report",
    "/v1/users/{id}/interactions/{item_id}",  # answers nothing: see the test above
)


async def test_every_route_has_an_example(document: dict[str, Any]) -> None:
    asked = [request_of(command).url.path for command in SENT]
    for path in document["paths"].keys() - {*OTHERWISE}:
        template = re.compile(re.sub(r"{\w+}", "[^/]+", path))
        assert any(template.fullmatch(each) for each in asked), path


def test_every_parameter_is_named(document: dict[str, Any]) -> None:
    names = {
        parameter["name"]
        for methods in document["paths"].values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query"
    }
    bodies = (
        "EventIn",
        "EvidenceIn",
        "EvidenceRequest",
        "BatchRequest",
        "UserIn",
        "ItemIn",
        "CategoryIn",
        "FollowIn",
        "RefreshRequest",
        "ActivateIn",
        "ExperimentIn",
        "StopIn",
    )
    for schema in bodies:
        names |= document["components"]["schemas"][schema]["properties"].keys()
    for name in names:
        assert f"`{name}`" in PAGE or f'"{name}"' in PAGE, name
