"""Two versions on made logs: the worse one is found, and a log that says little judges nothing."""

from datetime import UTC, datetime

import numpy as np
import pytest

from recsvc.experiments.off_policy import LEAST_PLACES
from recsvc.graph.outcome_store import LoggedPlace
from recsvc.recommend.estimates import compared
from recsvc.refresh.log_comparison import LogComparison

PLACES, USERS, AT = 3, 40, datetime(2026, 11, 1, tzinfo=UTC)
GOOD, BAD = (
    {f"u{n}": [f"{what}{p}" for p in range(PLACES)] for n in range(USERS)} for what in "gb"
)


def made_log(answers: int, chance: float, seed: int = 1) -> list[LoggedPlace]:
    """Each place has an item of the good list, which earns .5, or with a chance of the bad, .2."""
    rng, log = np.random.default_rng(seed), list[LoggedPlace]()
    for user in GOOD:
        for answer in range(answers):
            for place in range(PLACES):
                bad = rng.random() < chance
                item = (BAD if bad else GOOD)[user][place]
                reward = float(rng.random() < (0.2 if bad else 0.5))
                own = chance if bad else 1.0 - chance
                log.append(LoggedPlace(f"{user} {answer}", user, item, place + 1, own, AT, reward))
    return log


def judged(log: list[LoggedPlace], new: dict[str, list[str]], active: dict[str, list[str]]):
    return LogComparison.of("front", "click", compared(log, new, active))


def test_the_worse_version_is_found_by_both_estimates_and_the_better_one_is_not() -> None:
    log = made_log(20, 0.5)
    worse, better = judged(log, BAD, GOOD), judged(log, GOOD, BAD)
    for difference in (worse.difference, worse.robust_difference):
        assert difference.low <= -0.3 * PLACES <= difference.high < 0.0
    assert (worse.undecided, better.undecided, better.worse) == (None, None, None)
    assert (worse.users, worse.new.answers, worse.new.places) == (USERS, 800, 2400)
    assert f"{-worse.difference.mean:.4f} fewer outcomes 'click'" in (worse.worse or "")
    assert better.difference.mean == pytest.approx(-worse.difference.mean)


def test_it_takes_both_estimates_to_say_so() -> None:
    found = compared(made_log(20, 0.5), BAD, GOOD)
    sure = LogComparison.of("front", "click", found)
    for name in ("difference", "robust_difference"):
        value = getattr(sure, name)
        values = {each: getattr(sure, each) for each in LogComparison.__slots__}
        unsure = type(value)(value.mean, value.low, 0.01, value.effective_places)
        assert LogComparison(**values | {name: unsure}).worse is None


@pytest.mark.parametrize(
    ("answers", "chance", "said"),
    [(20, 0.02, "places count, 300 are needed"), (3, 0.5, "places count"), (4, 0.0, "mean weight")],
)
def test_a_log_that_says_little_judges_nothing(answers: int, chance: float, said: str) -> None:
    found = judged(made_log(answers, chance), BAD, GOOD)
    assert said in (found.undecided or "")
    assert found.worse is None
    count = min(v.effective_places for v in (found.new.self_normalized, found.difference))
    assert count < LEAST_PLACES


def place(user: str, answer: str, reward: float = 0.0) -> LoggedPlace:
    return LoggedPlace(answer, user, "g", 1, 1.0, AT, reward)


def test_ids_that_differ_at_their_end_alone_are_two() -> None:
    lists = {user: ["g"] for user in ("a", "a\0")}
    found = compared([place("a", "1", 1.0), place("a\0", "2")], lists, lists)
    assert (found.users, found.first.answers) == (2, 2)
    # Of one user alone nothing is known of the variance.
    assert (found.first.logged.mean, found.first.logged.high < 9.0) == (0.5, True)


def test_alike_versions_are_not_judged() -> None:
    found = judged(made_log(20, 0.5), GOOD, GOOD)
    assert "list the same" in (found.undecided or "")
    assert (found.difference.mean, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)
