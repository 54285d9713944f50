"""The programs of docs/client.md, run against a real service."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from recsvc import client
from tests.conftest import Served, Service
from tests.statement import statement
from tests.unit.test_docs import ROOT, blocks

pytestmark = pytest.mark.neo4j

TOLD = """
OPTIONAL MATCH (:User {user_id: 'u1'})-[r:INTERACTED {event: 'view'}]->()
OPTIONAL MATCH (n:Event|Outcome {user_id: 'u1'})
DELETE r, n
"""


@pytest.fixture(autouse=True)
def nothing_left(served: Served) -> Iterator[None]:
    """What the programs tell of u1 is not there for the other tests of the service."""
    yield
    statement(served.gateway, TOLD)


def run(service: Service, command: list[str], program: str) -> str:
    environment = {**os.environ, "SERVICE": str(service.client.base_url).rstrip("/")}
    environment |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input=program, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(language: str) -> str:
    (text,) = blocks("docs/client.md", language)
    return text


def test_that_in_python_runs(service: Service) -> None:
    said = run(service, [sys.executable, "-"], program("python"))
    first, added, *lists = said.splitlines()
    assert first.startswith("Song ")
    left, right = map(float, added.split(" is "))
    assert left == pytest.approx(right)
    assert [line.split()[0] for line in lists] == ["u1", "u2", "u3"]


def test_that_in_javascript_runs(service: Service) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js: apt-get install nodejs")
    said = run(service, [node, "--input-type=module", "-"], program("javascript"))
    assert said.startswith("Song ")


def test_those_in_a_shell_run(service: Service) -> None:
    assert "recommendation_id" in run(service, ["bash", "-e"], program("sh"))


async def test_the_asynchronous_client_asks_the_same(service: Service) -> None:
    url = str(service.client.base_url)
    async with client.AsyncClient(url) as one:
        theirs = await one.send(client.recommend("u5", k=4, explain="none"))
        near = await one.send(client.similar_items(theirs.items[0].item_id, k=2))
    with client.Client(url) as other:
        ours = other.send(client.recommend("u5", k=4, explain="none"))
    assert (theirs.items, len(near.items)) == (ours.items, 2)
