from datetime import UTC, datetime

from recsvc.scenarios.document import Scenario
from recsvc.scenarios.plan import plan_of

NOW = datetime(2025, 11, 22, tzinfo=UTC)
CHEAP = {"property": "price", "range": {"max": 5}}
RED = {"property": "colour", "equals": "red"}


def test_what_is_boosted_gains_and_what_is_buried_loses() -> None:
    rules = [
        {"kind": "boost", "where": [CHEAP], "amount": 0.5},
        {"kind": "bury", "where": [CHEAP, RED], "amount": 2.0},
    ]
    plan = plan_of(Scenario.model_validate({"rules": rules}), NOW)
    assert [plan.raised(met, []) for met in ([True, False], [True, True], [False, True])] == [
        0.5, -1.5, 0.0,
    ]  # fmt: skip
    assert plan.most_raised == 0.5
