"""The gate and what happened: two versions on a planted log of which the truth is known."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from loaders.parts import stored_parts
from recsvc.errors import GateError
from recsvc.experiments.off_policy import PolicyValue
from recsvc.graph.outcome_store import LoggedPlace
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.phrases import TextSettings
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.batch import batch_evidence, recommend_all
from recsvc.recommend.estimates import Estimates, other_lists
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.refresh.log_comparison import LogComparison, OutcomeLog, exploring_scenarios
from recsvc.refresh.page import refresh_page
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_journal import read_manifest
from recsvc.scenarios.stored import CurrentScenario
from recsvc.settings import OutcomeSettings, load_settings
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot
from tests.conftest import QUICK, Served
from tests.integration.conftest import active
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK
PLACES, ANSWERS, USERS = 4, 24, 40
EXPLORES = '{"exploration": {"share": 0.5, "within": 4, "by": "uniform", "kind": "buy"}}'
SCENARIO = (
    "CREATE (:Scenario {name: 'front', revision: 1, document: $document, at: datetime()})"
)  # fmt: skip
PLANT = """
    UNWIND range(0, size($rows) - 1) AS number
    WITH $rows[number] AS row, number
    UNWIND CASE WHEN row.bought THEN ['impression', 'buy'] ELSE ['impression'] END AS kind
    CREATE (:Outcome {outcome_id: kind + number, kind: kind, at: datetime(), position: row.place,
      user_id: row.user, item_id: row.item, recommendation: row.answer, answered_at: datetime(),
      version: 1, scenario: 'front', propensity: row.chance})
    """
CLEAN = "MATCH (n:Outcome|Scenario) DELETE n"


def served_version(gateway: Neo4jGateway, report: Any) -> Snapshot:
    return snapshots.read(stored_parts(gateway, report.versions["hybrid"]), report.sha256)


def lists_of(snapshot: Snapshot, gateway: Neo4jGateway) -> dict[str, list[str]]:
    graph = extract_graph(gateway)
    users = [f"u{number}" for number in range(USERS)]
    evidence = batch_evidence(graph, snapshot, load_settings().events)
    return {
        each.user_id: [snapshot.items[row] for row in each.items.tolist()]
        for each in recommend_all(snapshot, evidence, users, PLACES)
    }


@pytest.mark.long
def test_the_planted_worse_version_is_found(served: Served) -> None:
    gateway, rng = served.gateway, np.random.default_rng(3)
    now = served_version(gateway, served.report)
    signals = {signal.name: 0.0 for signal in now.blend.signals}
    popular = replace(now, blend=now.blend.weighted(signals))
    ours, theirs = lists_of(now, gateway), lists_of(popular, gateway)
    rows: list[dict[str, Any]] = []
    for user in ours:
        for answer in range(ANSWERS):
            for place, (own, other) in enumerate(zip(ours[user], theirs[user], strict=True), 1):
                is_own = rng.random() < 0.5 or own == other
                rows.append({
                    "user": user, "answer": f"{user} {answer}", "place": place,
                    "item": own if is_own else other, "chance": 1.0 if own == other else 0.5,
                    "bought": bool(rng.random() < (0.5 if is_own else 0.2)), "own": is_own,
                })  # fmt: skip
    differ = sum(
        own != other for user in ours for own, other in zip(ours[user], theirs[user], strict=True)
    )
    truth = -0.3 * differ / len(ours)
    statement(gateway, CLEAN)
    try:
        statement(gateway, SCENARIO, document=EXPLORES)
        statement(gateway, PLANT, rows=rows)
        log = OutcomeLog(served.address, load_settings().events, 1000)
        scenarios = exploring_scenarios(gateway)
        (comparison,) = log.compared(popular, now, scenarios)
        assert (comparison.scenario, comparison.kind, comparison.users) == ("front", "buy", USERS)
        assert (comparison.new.answers, comparison.new.places) == (USERS * ANSWERS, len(rows))
        for difference in (comparison.difference, comparison.robust_difference):
            assert difference.low <= truth <= difference.high < 0.0
        assert comparison.new.weight == pytest.approx(1.0, abs=0.05)
        assert comparison.undecided is None
        assert "'front'" in (comparison.worse or "")
        assert "fewer outcomes 'buy'" in (comparison.worse or "")
        old = "SET o.at = datetime() - duration({days: $days}), o.answered_at = o.at"
        statement(gateway, f"MATCH (o:Outcome) {old}", days=31)
        assert log.compared(popular, now, scenarios) == []
        statement(gateway, f"MATCH (o:Outcome) {old}", days=29)
        statement(gateway, "MATCH (o:Outcome) WHERE o.user_id >= 'u3' DELETE o")
        assert log.compared(popular, now, scenarios) == []
    finally:
        statement(gateway, CLEAN)


def test_scenarios_that_explore_are_compared_20_at_most(served: Served) -> None:
    plant = """
        UNWIND range(10, 34) AS n
        CREATE (:Scenario {
          name: 's' + n, revision: 1, at: datetime(),
          document: CASE n WHEN 10 THEN '{"k": 5}' WHEN 11 THEN '{' ELSE $explores END})
        """
    statement(served.gateway, plant, explores=EXPLORES)
    found = [each.stored.name for each in exploring_scenarios(served.gateway)]
    statement(served.gateway, CLEAN)
    assert found == [f"s{n}" for n in range(12, 32)]


async def test_lists_are_made_from_what_was_done_before_the_first_answer(served: Served) -> None:
    now, user = served_version(served.gateway, served.report), "u1"
    best, moment = lists_of(now, served.gateway)[user][0], datetime.now(UTC)
    store = Store(served.address, timeout_seconds=120.0)
    askers = AskerReader(store, load_settings().events, OutcomeSettings(), 1000)
    answers = Answers(store, TextSettings(), RecommendationIds())
    await store.open()

    async def listed(*days_ago: int, **more: Any) -> bool:
        at = [moment - timedelta(days=days) for days in days_ago]
        log = [LoggedPlace(f"r{n}", user, "i1", 5, 1.0, one, 0.0) for n, one in enumerate(at)]
        asked = ResolvedQuery(RecommendationQuery(), **more)
        found = await other_lists(log, now, asked, store=store, askers=askers, answers=answers)
        return best in found.get(user, ())

    both = "MATCH (u:User {user_id: $user}), (i:Item {item_id: $item}) "
    did = "CREATE (u)-[:INTERACTED {event: 'listen', last_at: datetime() - duration('P2D')}]->(i)"
    undo = "MATCH (u:User {user_id: $user})-[r:INTERACTED]->(:Item {item_id: $item}) DELETE r"
    again = "SET r.first_at = datetime() - duration('P5D')"
    odd = "SET r.first_at = 'long ago'"
    statement(served.gateway, both + did, user=user, item=best)
    try:
        assert await listed(3)
        assert not await listed(1)
        assert await listed(3, 1)
        assert await listed(1, 3)
        # What lacks something is not what would have been shown.
        assert not await listed(3, degraded=("scenario",))
        # What was done before it and again since was seen, and counts from the first time.
        statement(served.gateway, undo.replace("DELETE r", again), user=user, item=best)
        assert await listed(6)
        assert not await listed(3)
        then = await askers.before(user, moment - timedelta(days=3))
        assert best in [node.id for node in then.evidence.nodes]
        statement(served.gateway, undo.replace("DELETE r", odd), user=user, item=best)
        assert await listed(3)
    finally:
        statement(served.gateway, undo, user=user, item=best)
        await store.close()


async def test_places_that_somebody_edited_are_left_out(served: Served) -> None:
    """Of eight places one is as it was; a chance may be a whole number."""
    edits = (
        "o.answered_at = datetime({year: 99999})", "o.answered_at = 'today'", "o.user_id = ['u1']",
        "o.propensity = 5e-324", "o.propensity = 'often'", "o.item_id = 7", "o.position = 1e9",
        "o.propensity = 1",
    )  # fmt: skip
    rows = [
        {"user": f"u{n}", "answer": f"a{n}", "place": 1, "item": "i", "chance": 0.5, "bought": True}
        for n in range(len(edits))
    ]  # fmt: skip
    statement(served.gateway, PLANT, rows=rows)
    for n, edit in enumerate(edits):
        statement(served.gateway, f"MATCH (o:Outcome {{recommendation: 'a{n}'}}) SET {edit}")
    store, since = Store(served.address, timeout_seconds=120.0), datetime.now(UTC) - timedelta(1)
    await store.open()
    try:
        (place,) = await store.logged_places("front", "buy", since, 1_000)
    finally:
        statement(served.gateway, CLEAN)
        await store.close()
    assert (place.user_id, place.propensity, place.reward) == ("u7", 1.0, 1.0)


class KnownLog(OutcomeLog):
    """Says the same of any version: that it is worse."""

    def compared(
        self, new: Snapshot, active: Snapshot, scenarios: Sequence[CurrentScenario]
    ) -> list[LogComparison]:
        assert new.versions["hybrid"] > active.versions["hybrid"]
        assert [each.stored.name for each in scenarios] == ["front"]
        value = PolicyValue(0.4, 0.3, 0.5, 900.0)
        each = Estimates(100, 1_000, value, value, value, value, 1.0)
        difference = PolicyValue(-0.1234, -0.2, -0.05, 900.0)
        return [LogComparison("a <b>", "buy", 80, each, each, difference, difference, None)]


def test_the_gate_refuses_by_what_happened_where_the_setting_says_so(served: Served) -> None:
    """Last: it makes another version active."""
    gateway, home, events = served.gateway, served.home, load_settings().events
    log = KnownLog(served.address, events, 100)
    statement(gateway, SCENARIO, document=EXPLORES)
    try:
        warned = refresh(gateway, QUICK, events, home=home, log=log)
        (told,) = warned.warnings or ["none"]
        assert told.startswith("by what was shown under the scenario 'a <b>', an answer would have")
        assert "0.1234 fewer outcomes 'buy'" in told
        assert active(gateway) == warned.versions
        refuses = QUICK.model_copy(update={"refuse_by_log": True})
        with pytest.raises(GateError, match="fewer outcomes 'buy'"):
            refresh(gateway, refuses, events, home=home, log=log)
        assert active(gateway) == warned.versions
    finally:
        statement(gateway, CLEAN)
    newest = max((home / "refreshes").glob("2*"), key=lambda each: each.name).name
    refused = read_manifest(home, newest)
    assert refused is not None
    assert refused.objections == [told]
    assert refused.by_log is not None
    assert refused.by_log == warned.by_log
    assert refused.by_log[0].difference == PolicyValue(-0.1234, -0.2, -0.05, 900.0)
    page = refresh_page(home, newest)
    assert "By what happened" in page
    assert "the new version is significantly worse" in page
