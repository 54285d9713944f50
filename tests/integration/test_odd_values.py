"""Values of a graph, edited by hand: analysts' questions and the report are answered."""

from datetime import UTC, datetime
from typing import Any

import pytest

from loaders.catalogue import Query
from recsvc.analyst.questions import questions, values
from recsvc.report import build_report
from recsvc.settings import load_settings
from tests.conftest import QUICK, Served
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK

ODD_VALUES = """
MATCH (u:User {user_id: 'u0'})-[did:INTERACTED]->(had:Item)
WITH u, did, had ORDER BY had.item_id
WITH u, collect(did) AS all, collect(had) AS items
FOREACH (did IN all[0..1] | SET did.weight = VALUE)
FOREACH (did IN all[1..2] | SET did.event = VALUE)
FOREACH (did IN all[2..3] | SET did.first_at = VALUE, did.last_at = VALUE)
FOREACH (did IN all[3..4] | SET did.value = VALUE, did.count = VALUE)
FOREACH (item IN items[4..5] | SET item.embedding_fastrp_a = VECTOR, item.available = VALUE)
FOREACH (item IN items[5..6] | SET item.item_id = VALUE)
SET u.embedding_fastrp_a = VECTOR
WITH u, items
CALL (u) {
  MATCH (u)-[:INTERACTED]->(:Item)-[near:SIMILAR]->(:Item)
  WITH near LIMIT 2
  WITH collect(near) AS near
  FOREACH (one IN near[0..1] | SET one.score = VALUE)
  FOREACH (one IN near[1..2] | SET one.rank = VALUE)
  RETURN count(*) AS similar
}
UNWIND items AS item
MATCH (item)-[link:IN_CATEGORY]->()
WITH link LIMIT 1
SET link.weight = VALUE
"""


@pytest.mark.long
@pytest.mark.parametrize("value", ["'x'", "[1.0]", "9223372036854775807", "true", "date()"])
def test_the_analysts_questions_and_the_report(served: Served, value: str) -> None:
    """One odd value in each place that a question reads, and each question is answered."""
    # The index refuses a vector of another length whatever a query does.
    vector = "'x'" if value == "[1.0]" else value
    text = ODD_VALUES.replace("VECTOR", vector).replace("VALUE", value)
    planted = Query("tests/odd", "", "write", {}, {}, text)
    known = values(load_settings().events) | {
        "user_id": "u0", "other_id": "u6", "item_id": "i0", "other_item_id": "i6",
        "model": "fastrp", "other_model": "fastrp", "least_weight": 1.0, "least_people": 1,
        "least_items": 1, "most_people": 100,
    }  # fmt: skip

    def ask(transaction: Any) -> dict[str, list[dict[str, Any]]]:
        transaction.run(planted)
        return {
            each.name: transaction.run(each.query, **{p: known[p] for p in each.query.params})
            for each in questions()
        }

    answers = served.gateway.run_rolled_back(ask)
    faults = {row["fault"]: row["count"] for row in answers["data_quality"]}
    assert faults["interaction whose weight or event cannot be read"] == (1 if "x" in value else 2)
    assert faults["interaction whose time cannot be read"] == 1
    assert faults["item in a category by a weight that cannot be read"] == 1
    assert ("item whose availability cannot be read" in faults) == (value != "true")
    for name in ("draw_user", "hidden_gems", "odd_accounts", "similar_items", "score_user"):
        assert answers[name], name


def test_a_report_of_what_was_edited(served: Served) -> None:
    """Relationships with something odd are counted, and the rest is reported."""
    before = statement(
        served.gateway,
        "MATCH (:User {user_id: 'u0'})-[r:INTERACTED]->() WITH r LIMIT 5 "
        "WITH collect([elementId(r), properties(r)]) AS kept, collect(r) AS all "
        "SET (all[0]).last_at = 'x', (all[1]).weight = 'x', (all[2]).event = ['x'], "
        "(all[3]).value = 'x', (all[4]).count = true "
        "RETURN kept",
    )[0]["kept"]
    try:
        report = build_report(served.gateway, now=datetime.now(UTC).timestamp())
        assert report.events.unreadable == 5
        assert any("cannot be read: 5" in note for note in report.notes)
        assert report.events.kinds == 1
    finally:
        statement(
            served.gateway,
            "UNWIND $rows AS row MATCH ()-[r]->() WHERE elementId(r) = row[0] SET r = row[1]",
            rows=before,
        )
