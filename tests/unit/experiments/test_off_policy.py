from dataclasses import replace

import numpy as np
import pytest

from recsvc.experiments.off_policy import (
    LoggedPlaces,
    PolicyValue,
    doubly_robust,
    doubly_robust_difference,
    inverse_propensity,
    predicted_rewards,
    self_normalized,
    self_normalized_difference,
)

PLACES, ITEMS = 3, 5


class Shop:
    """Rewards by item and place, a policy that ran, and another one; both draw each place alone."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.reward = rng.random((PLACES, ITEMS)) / np.arange(1, PLACES + 1)[:, None]
        self.ran = rng.dirichlet(np.ones(ITEMS), PLACES) * 0.7 + 0.3 / ITEMS
        self.other = rng.dirichlet(np.ones(ITEMS) * 0.5, PLACES)
        self.item = np.zeros(0, int)

    @property
    def truth(self) -> float:
        return float((self.other * self.reward).sum())

    def log(self, answers: int, rng: np.random.Generator, per_user: int = 1) -> LoggedPlaces:
        answer, place = np.divmod(np.arange(answers * PLACES), PLACES)
        user = answer // per_user
        drawn = rng.random(len(place))[:, None] > self.ran[place].cumsum(axis=1)
        item = self.item = np.minimum(drawn.sum(axis=1), ITEMS - 1)
        # All answers of a user are liked alike.
        taste = rng.uniform(0.0, 2.0, user[-1] + 1)
        reward = self.reward[place, item] * taste[user]
        return LoggedPlaces(
            user, answer, place, reward, self.ran[place, item], self.other[place, item]
        )

    def robust(self, log: LoggedPlaces, model: np.ndarray) -> PolicyValue:
        predicted = model[log.place, self.item]
        return doubly_robust(log, predicted, (self.other * model).sum(axis=1)[log.place])


def test_the_planted_value_is_in_the_intervals_as_often_as_they_say() -> None:
    shop, rng = Shop(0), np.random.default_rng(1)
    wrong_model = shop.reward * 0.5 + 0.1
    inside = {"ips": 0, "snips": 0, "dr": 0}
    for _ in range(200):
        log = shop.log(1_200, rng, per_user=4)
        found = {
            "ips": inverse_propensity(log),
            "snips": self_normalized(log),
            "dr": shop.robust(log, wrong_model),
        }
        for name, value in found.items():
            inside[name] += value.low <= shop.truth <= value.high
    assert all(180 <= count <= 199 for count in inside.values()), inside


def test_a_good_model_and_weights_that_are_normalized_take_away_variance() -> None:
    shop, rng = Shop(2), np.random.default_rng(3)
    log = shop.log(4_000, rng)
    found = (inverse_propensity(log), self_normalized(log), shop.robust(log, shop.reward))
    plain, normalized, robust = (value.high - value.low for value in found)
    assert normalized < 0.9 * plain
    assert robust < 0.9 * plain


def test_the_policy_that_ran_is_worth_what_it_earned() -> None:
    shop = Shop(4)
    log = shop.log(50, np.random.default_rng(5))
    same = LoggedPlaces(log.user, log.answer, log.place, log.reward, log.propensity, log.propensity)
    for value in (inverse_propensity(same), self_normalized(same)):
        assert value.mean == pytest.approx(log.reward.sum() / 50)
        assert value.effective_places == pytest.approx(len(log.user))


def test_estimates_are_those_of_open_bandit_pipeline() -> None:
    """The values are what obp 0.4.1 gives for the same numbers."""
    rng, answers = np.random.default_rng(3), 40
    answer, place = np.divmod(np.arange(answers * 3), 3)
    reward = rng.integers(0, 2, answers * 3).astype(float)
    ran, other = rng.choice([0.1, 0.25, 0.5], answers * 3), rng.choice([0.0, 0.3, 1.0], answers * 3)
    log = LoggedPlaces(answer, answer, place, reward, ran, other)
    assert inverse_propensity(log).mean == pytest.approx(2.5149999999999997)
    rng, answers, items = np.random.default_rng(4), 200, 4
    item = rng.integers(0, items, answers)
    reward = rng.integers(0, 2, answers).astype(float)
    ran = rng.choice([0.1, 0.25, 0.5], answers)
    chances = rng.dirichlet(np.ones(items), answers)
    model = rng.random((answers, items))
    row = np.arange(answers)
    log = LoggedPlaces(row, row, np.zeros(answers, int), reward, ran, chances[row, item])
    assert inverse_propensity(log).mean == pytest.approx(0.6293493218642137)
    assert self_normalized(log).mean == pytest.approx(0.4590213946241063)
    robust = doubly_robust(log, model[row, item], (chances * model).sum(axis=1))
    assert robust.mean == pytest.approx(0.44975220498124757)


def test_what_cannot_be_weighed_is_refused() -> None:
    one, none = np.zeros(1, int), np.zeros(0, int)
    with pytest.raises(ValueError, match="not above 0"):
        LoggedPlaces(one, one, one, np.ones(1), np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="nothing to estimate"):
        LoggedPlaces(none, none, none, np.ones(0), np.ones(0), np.ones(0))


def test_the_model_of_rewards_says_nothing_of_a_user_by_their_own() -> None:
    shop, rng = Shop(3), np.random.default_rng(4)
    log = shop.log(3_000, rng)
    chosen = rng.integers(0, ITEMS, len(log.user))
    predicted, of_target = predicted_rewards(log, shop.item, chosen)
    assert np.corrcoef(predicted, shop.reward[log.place, shop.item])[0, 1] > 0.8
    assert np.corrcoef(of_target, shop.reward[log.place, chosen])[0, 1] > 0.6
    # Whatever a user did: their own predictions stay.
    mine = log.user == 7
    other = replace(log, reward=np.where(mine, 50.0, log.reward))
    again, _ = predicted_rewards(other, shop.item, chosen)
    even = log.user % 2 == 7 % 2
    assert (again[even] == predicted[even]).all()
    assert (again[~even] != predicted[~even]).any()


def test_the_planted_difference_is_in_its_intervals_as_often_as_they_say() -> None:
    shop, third, rng = Shop(6), Shop(8).other, np.random.default_rng(7)
    truth = shop.truth - float((third * shop.reward).sum())
    wrong_model = shop.reward * 0.5 + 0.1
    inside = {"snips": 0, "dr": 0}
    for _ in range(200):
        log = shop.log(1_200, rng, per_user=4)
        other = third[log.place, shop.item]
        modelled = [(policy * wrong_model).sum(axis=1)[log.place] for policy in (shop.other, third)]
        found = {
            "snips": self_normalized_difference(log, other),
            "dr": doubly_robust_difference(
                log, other, wrong_model[log.place, shop.item], *modelled
            ),
        }
        for name, value in found.items():
            inside[name] += value.low <= truth <= value.high
    assert all(180 <= count <= 199 for count in inside.values()), inside


def test_a_difference_is_that_of_both_estimates_and_of_what_they_do_not_share() -> None:
    shop, rng = Shop(9), np.random.default_rng(10)
    log = shop.log(2_000, rng)
    other = np.where(log.place == 1, log.target[::-1], log.target)
    found = self_normalized_difference(log, other)
    beside = self_normalized(replace(log, target=other))
    assert found.mean == pytest.approx(self_normalized(log).mean - beside.mean)
    differ = np.abs(log.target - other) / log.propensity
    assert found.effective_places == pytest.approx(differ.sum() ** 2 / (differ @ differ))
    assert found.high - found.low < 0.8 * (beside.high - beside.low)
    same = self_normalized_difference(log, log.target)
    assert (same.mean, same.low, same.high, same.effective_places) == (0.0, 0.0, 0.0, 0.0)
