"""Text that would be Cypher, or a query of full text, at every place that a request has.

Each parameter and each field of the OpenAPI document gets it. No statement holds it, nothing of the
shop changes, and no answer is a fault.
"""

from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import neo4j
import pytest

from loaders.gateway import Neo4jGateway
from recsvc.person_links import PersonLinks, lasting
from tests.conftest import QUICK, Served
from tests.graph_hash import graph_hash
from tests.integration.in_process import CLEAN, ask, serving
from tests.openapi_requests import Made, reading, writing
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
TEXTS = (
    "'}) DETACH DELETE n //Pwned",
    '"}) MATCH (n) SET n.pwned = 1 //',
    "`) CREATE (:Pwned) //",
    "x\\u0027}) CREATE (:Pwned) WITH 1 AS x //",
    "x' OR 1=1 RETURN 1 UNION MATCH (n) SET n.pwned = 1 RETURN 1 //",
    "'; CALL apoc.cypher.doIt('CREATE (:Pwned)', {}) YIELD value //",
    "$all.rows[0].Pwned",
    'Pwned~ OR *:* AND user_id:/.*/ NOT "',
    "LOAD CSV FROM 'file:///etc/passwd' AS Pwned",
    '{"$ne": "Pwned"}',
    "pwned\u2019\uff07\u02bc}) CREATE (:Pwned) //",
    "*/ ' + COUNT { CREATE (:Pwned) } + ' /* {Pwned!r} %s {0}",
    "item:') MATCH (n) SET n.pwned = 1 //",
)
MARK = "pwned"
RUNNERS: tuple[type, ...] = (
    neo4j.AsyncSession, neo4j.AsyncTransaction, neo4j.AsyncManagedTransaction,
    neo4j.Session, neo4j.Transaction, neo4j.ManagedTransaction,
)  # fmt: skip
SHOP = "MATCH (n:User|Item|Category) RETURN elementId(n) AS id, properties(n) AS what"
LINKS = (
    "MATCH (a)-[r]->(b) RETURN elementId(r) AS id, type(r) AS type, properties(r) AS what, "
    "elementId(a) AS start, elementId(b) AS end"
)
KINDS = (
    "CALL () { MATCH (n) UNWIND labels(n) AS kind RETURN kind UNION "
    "MATCH ()-[r]->() RETURN type(r) AS kind } RETURN DISTINCT kind"
)
SCHEMA = "SHOW INDEXES YIELD name RETURN name ORDER BY name"
DELETE_NEW = (
    "MATCH (n:User|Item|Category|Event) WHERE NOT elementId(n) IN $before DETACH DELETE n "
    "RETURN count(*) AS deleted"
)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The texts of all statements that Neo4j is sent."""
    sent: set[str] = set()

    def recorded(kind: Any) -> None:
        real = kind.run

        def run(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
            sent.add(str(getattr(query, "text", query)))
            return real(self, query, *arguments, **more)

        monkeypatch.setattr(kind, "run", run)

    for kind in RUNNERS:
        recorded(kind)
    return sent


async def send(client: httpx.AsyncClient, made: list[Made], link: str) -> dict[int, int]:
    """Each of the requests; how many got which status."""
    counted: dict[int, int] = {}
    for each in made:
        headers = {"Authorization": f"Bearer {link}"} if each.route.startswith("/v1/me") else {}
        answer = await client.request(**each.sent, headers=headers)
        assert answer.status_code < 500, (each, answer.text)
        counted[answer.status_code] = counted.get(answer.status_code, 0) + 1
    return counted


def shop(gateway: Neo4jGateway) -> dict[str, Any]:
    rows = [*statement(gateway, SHOP), *statement(gateway, LINKS)]
    return {row["id"]: row for row in rows}


async def lists(served: Served, folder: Path) -> list[Any]:
    async with serving(served, folder, seconds=600) as (client, _, _):
        answers = [await ask(client, f"u{n}", explain="full") for n in range(1, 6)]
    return [[(i["item_id"], i["score"], i["explanation"]) for i in a["items"]] for a in answers]


@pytest.mark.long
async def test_no_text_becomes_a_statement(
    served: Served, tmp_path: Path, statements: set[str]
) -> None:
    statement(served.gateway, CLEAN)
    before, schema = shop(served.gateway), statement(served.gateway, SCHEMA)
    told, hashed = await lists(served, tmp_path / "before"), graph_hash(served.gateway)
    links = PersonLinks(tmp_path)
    async with serving(served, tmp_path, seconds=600, links=links) as (client, _, _):
        document = (await client.get("/openapi.json")).raise_for_status().json()
        reads = reading(document, cycle(TEXTS))
        statuses = await send(client, reads, links.make("u1", lasting(1)))
        assert {200, 422} <= statuses.keys()
        assert graph_hash(served.gateway) == hashed
        for path in ("users/own-u", "users/own-v", "items/own-i", "categories/own-c"):
            (await client.put(f"/v1/{path}", json={})).raise_for_status()
        writes = writing(document, cycle(TEXTS))
        statuses = await send(client, writes, links.make("own-u", lasting(1)))
        assert {200, 422} <= statuses.keys()
    try:
        after = shop(served.gateway)
        assert {id_: after.get(id_) for id_ in before} == before
        kinds = {row["kind"].lower() for row in statement(served.gateway, KINDS)}
        assert not [kind for kind in kinds if MARK in kind]
        pwned = "MATCH (n) WHERE n.pwned IS NOT NULL RETURN properties(n) AS what"
        assert statement(served.gateway, pwned) == []
        assert statement(served.gateway, SCHEMA) == schema
        assert len(statements) > 20
        assert not [text for text in statements if MARK in text.lower() and text != pwned]
    finally:
        statement(served.gateway, DELETE_NEW, before=list(before))
        statement(served.gateway, CLEAN)
    assert await lists(served, tmp_path / "after") == told
