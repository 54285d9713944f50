from datetime import UTC, datetime, timedelta

import pytest

from recsvc.errors import RecommendationIdError
from recsvc.outcomes.outcome import OutcomeReader
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds

IDS = RecommendationIds(bytes(32))
ANSWER = IDS.issue(IDS.contents(Origin(1, "u"), ["b", "a:b"]))


def reader(received: datetime) -> OutcomeReader:
    return OutcomeReader(IDS, keep_days=90, received=received)


def test_the_same_letters_are_not_the_same_outcome() -> None:
    told = [("buy:a", "b"), ("buy", "a:b"), ("buy%3Aa", "b"), ("buy", "b"), ("buy", "b")]
    made = [reader(datetime.now(UTC)).outcome(ANSWER, item, kind) for kind, item in told]
    assert [each.kind for each in made] == [kind for kind, _ in told]
    assert len({each.outcome_id for each in made}) == 4


def test_an_outcome_without_a_time_is_not_before_its_answer_by_any_clock() -> None:
    answered = datetime.fromtimestamp(IDS.read(ANSWER).at, UTC)
    late, early = answered + timedelta(hours=1), answered - timedelta(hours=1)
    assert reader(late).outcome(ANSWER, "b", "click").at == late
    assert reader(early).outcome(ANSWER, "b", "click").at == answered
    with pytest.raises(RecommendationIdError, match="a time after the answer"):
        reader(early).outcome(ANSWER, "b", "click", at=early)
