"""What of a scenario is refused, and in which words."""

from typing import Any

import pytest
from pydantic import ValidationError

from recsvc.scenarios.document import Scenario

PRICE = {"property": "price"}
KINDS = "expected a kind, one of pin, boost, bury, at_most, at_least, at_least_share"
ROOM = {"kind": "at_least", "count": 3, "within": 2, "where": [PRICE | {"exists": True}]}


@pytest.mark.parametrize(
    ("document", "where", "said"),
    [
        (
            {"filters": [PRICE | {"range": {"min": 5, "max": 1}}]},
            ("filters", 0, "range"),
            "expected min at or below max: nothing lies between 5.0 and 1.0",
        ),
        (
            {"filters": [PRICE | {"range": {"min": "b", "max": "a"}}]},
            ("filters", 0, "range"),
            "expected min at or below max: nothing lies between b and a",
        ),
        (
            # As texts these are in order.
            {"filters": [PRICE | {"range": {"min": "2026-01-01T00-12:00",
                                            "max": "2026-01-01T09+12:00"}}]},
            ("filters", 0, "range"),
            "expected min at or below max: nothing lies between 2026-01-01T00-12:00 and "
            "2026-01-01T09+12:00",
        ),
        ({"filters": [{}]}, ("filters", 0), "expected property or category"),
        ({"rules": [{"item_id": "i", "place": 1}]}, ("rules", 0), KINDS),
        ({"rules": [{"kind": ["pin"]}]}, ("rules", 0), KINDS),
        ({"rules": [ROOM]}, ("rules", 0, "at_least"), "count is 3, expected at most within, 2"),
    ],
)  # fmt: skip
def test_the_error_says_where_and_what_was_expected(
    document: dict[str, Any], where: tuple[str | int, ...], said: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        Scenario.model_validate(document)
    (error,) = raised.value.errors()
    assert (error["loc"], error["msg"]) == (where, said)


@pytest.mark.parametrize(
    "ends",
    [
        {"min": 5, "max": 5}, {"min": 1}, {"max": "a"}, {"min": "a", "max": "b"},
        # As texts these are not in order.
        {"min": "2026-01-01T09+12:00", "max": "2026-01-01T00-12:00"},
    ],
)  # fmt: skip
def test_a_range_that_something_lies_in_is_taken(ends: dict[str, Any]) -> None:
    assert Scenario.model_validate({"filters": [PRICE | {"range": ends}]}).filters


def test_a_stored_document_says_what_was_written_and_no_more() -> None:
    where = [PRICE | {"range": {"max": 3.0}}, {"category": ["c"], "not": True}]
    document: dict[str, Any] = {
        "filters": [PRICE | {"exists": False}],
        "diversity": 0.0,
        "rules": [
            {"kind": "pin", "item_id": "i", "place": 1, "until": "2026-12-24T18:00:00+01:00"},
            {"kind": "boost", "where": where, "amount": 0.5},
            {"kind": "at_most", "count": 0, "same": {"property": "brand"}},
            {"kind": "at_least_share", "share": 0.5, "where": where, "within": 4},
        ],
    }
    assert Scenario.model_validate(document).document() == document
