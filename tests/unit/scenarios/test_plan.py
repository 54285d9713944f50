from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

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


@pytest.mark.parametrize(
    "window",
    [{"until": "9999-12-31T23:59:59-05:00"}, {"from": "0001-01-01T00:00:00+14:00"}],
)
def test_a_moment_that_is_none_in_utc_is_refused(window: dict[str, str]) -> None:
    rule = {"kind": "boost", "where": [CHEAP], "amount": 0.5}
    with pytest.raises(ValidationError, match="years 2 to 9998"):
        Scenario.model_validate({"rules": [rule | window]})


@pytest.mark.parametrize(
    "condition",
    [
        {"range": {"min": "0001-01-01T00:00:00+14:00", "max": "9999-12-31T23:59:59-12:00"}},
        {"in": ["9999-12-31T23:59:59.5-23:59", "x"]},
        {"equals": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_text_that_is_no_time_in_utc_is_a_text(condition: dict[str, object]) -> None:
    scenario = Scenario.model_validate({"filters": [{"property": "created_at"} | condition]})
    (asked,) = plan_of(scenario, NOW).parameters["conditions"]
    values = [*asked["values"], asked["low"], asked["high"], asked["low_at"], asked["high_at"]]
    assert not any(isinstance(value, datetime) for value in values)


def test_a_plan_counts_until_the_next_rule_begins_or_ends() -> None:
    rule = {"kind": "boost", "where": [CHEAP], "amount": 0.5}
    times = {"from": "2025-11-21T00:00:00Z", "until": "2025-11-24T00:00:00Z"}
    coming = {"from": "2025-11-23T01:00:00+01:00"}
    scenario = Scenario.model_validate({"rules": [rule | times, rule | coming]})
    assert plan_of(scenario, NOW).until == datetime(2025, 11, 23, tzinfo=UTC).timestamp()
    assert plan_of(scenario, datetime(2025, 11, 24, tzinfo=UTC)).until is None


def test_newer_than_counts_days_back_from_now_and_not_turns_it_round() -> None:
    new = {"property": "made", "newer_than_days": 2}
    plan = plan_of(Scenario.model_validate({"filters": [new, new | {"not": True}]}), NOW)
    assert [condition.negated for condition in plan.conditions] == [False, True]
    bound = NOW.timestamp() - 2 * 86_400
    for at, met in ((bound, [True, False]), (bound - 1, [False, True]), (None, [False, True])):
        assert plan.matches([False, False], [at] * len(plan.times)) == met
