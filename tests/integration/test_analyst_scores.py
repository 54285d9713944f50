"""A user scored in Cypher alone, against the service's own signal; and what may be asked."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from neo4j.exceptions import ClientError

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jGateway
from recsvc.analyst.notebook import notebook
from recsvc.analyst.questions import values
from recsvc.refresh.options import RefreshOptions
from recsvc.settings import load_settings
from tests.conftest import Served, running_service

pytestmark = pytest.mark.neo4j

SIGNAL = "item_user_item"
REFRESH_OPTIONS = RefreshOptions(models=("fastrp",), validation_users=60, row_size=60)
"""Rows are cut at 60 of 180 items, so that cutting counts."""


def in_cypher(gateway: Neo4jGateway, user_id: str, **events: Any) -> dict[str, float]:
    rows = gateway.run(
        catalogue()["analyst/score_user"],
        user_id=user_id, events=values(load_settings().events)["events"] | events, limit=500,
    )  # fmt: skip
    found = {row["item_id"]: row["score"] for row in rows}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    return found


def test_the_score_in_cypher_is_the_signal_of_the_service(
    served: Served, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Dislikes, several kinds of events on one item in any spelling, and some that are old.
    more = Query(
        "tests/more", "", "write", {}, {},
        """
        MATCH (user:User {user_id: 'u5'})-[r:INTERACTED]->(item:Item)
        WITH user, r, item ORDER BY item.item_id LIMIT 4
        SET r.last_at = datetime() - duration('P30D'), r.weight = 7.0
        WITH user, collect(item) AS items
        FOREACH (item IN items[1..2] | CREATE (user)-[:INTERACTED {event: 'dislike'}]->(item))
        FOREACH (item IN items[2..3] | CREATE (user)-[:INTERACTED {event: 'Add-to-Cart'}]->(item))
        """,
    )  # fmt: skip
    served.gateway.run(more)
    environment = {
        **served.environment, "RECSVC_ANSWER_CACHE_SECONDS": "0",
        "RECSVC_EVENTS__LISTEN__HALF_LIFE_DAYS": "15",
    }  # fmt: skip
    log = tmp_path_factory.mktemp("log") / "serve.log"
    with running_service(environment, log) as service:
        for user in ("u5", "u100"):
            answer = service.client.get(
                f"/v1/users/{user}/recommendations", params={"k": 500, "explain": "none"}
            ).json()
            asked = {i["item_id"]: i["signals"].get(SIGNAL, 0.0) for i in answer["items"]}
            half = {"listen": {"weight": 1.0, "exponent": 0.3, "half_life_days": 15.0}}
            scored = in_cypher(served.gateway, user, **half)
            assert scored.keys() <= asked.keys()
            both = {item: scored.get(item, 0.0) for item in asked}
            assert both == pytest.approx(asked, rel=1e-4, abs=1e-6)
            assert len(scored) > 20
            newer = in_cypher(served.gateway, user)  # of other settings: another score
            assert (newer == pytest.approx(scored, rel=1e-4)) == (user == "u100")


def test_only_what_can_be_recommended_comes(served: Served) -> None:
    scores = in_cypher(served.gateway, "u7")
    item = max(scores, key=lambda each: scores[each])
    hide = Query(
        "tests/hide", "", "write", {"item_id": "str"}, {},
        "MATCH (i:Item {item_id: $item_id}) SET i.available = false",
    )  # fmt: skip
    served.gateway.run(hide, item_id=item)
    assert in_cypher(served.gateway, "u7").keys() == scores.keys() - {item}
    assert in_cypher(served.gateway, "nobody") == {}


@pytest.fixture
def notes(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the first cell of the notebook defines, connected to the graph."""
    for name in ("RECSVC_NEO4J_URI", "RECSVC_NEO4J_USER", "RECSVC_NEO4J_PASSWORD"):
        monkeypatch.setenv(name, served.environment[name])
    names: dict[str, Any] = {}
    exec("".join(json.loads(notebook((), {}))["cells"][1]["source"]), names)
    with closing(names["driver"]):
        yield names


def test_nothing_that_is_asked_in_the_notebook_changes_the_graph(notes: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="read access mode"):
        notes["ask"]("CREATE (made:Made) RETURN made.name AS name")


def test_the_notebook_shows_a_path_as_the_names_along_it(notes: dict[str, Any]) -> None:
    paths = """
    MATCH path = (:User {user_id: $user_id})-[:INTERACTED]->(item:Item)
    RETURN path, item.title AS title, datetime('2020-02-03T04:05:06Z') AS at
    ORDER BY item.item_id LIMIT 2
    """
    rows = notes["ask"](paths, user_id="u7").to_dicts()
    assert [row["path"] for row in rows] == [f"u7 - {row['title']}" for row in rows]
    assert {row["at"] for row in rows} == {datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)}
    nameless = notes["ask"]("MATCH path = (:EmbeddingVersion) RETURN path LIMIT 1")
    assert nameless["path"].to_list() == ["?"]
