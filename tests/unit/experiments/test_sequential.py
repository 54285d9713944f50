import math

import numpy as np
import pytest
from scipy.stats import binom

from recsvc.experiments.sequential import (
    LEAST_USERS,
    LEVEL,
    UserSums,
    difference,
    sample_ratio_p_value,
)


def made(rng: np.random.Generator, users: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """What was shown to each user and what followed; users differ in how much they like."""
    shown = rng.poisson(10.0, users) + 1
    return shown, rng.binomial(shown, rng.beta(4 * rate, 4 * (1 - rate), users))


def test_the_variance_of_a_rate_is_that_of_users_drawn_again() -> None:
    rng = np.random.default_rng(0)
    shown, followed = made(rng, 2_000, 0.2)
    sums = UserSums.of(shown, followed)
    assert sums.rate == pytest.approx(followed.sum() / shown.sum())
    again = rng.integers(2_000, size=(1_000, 2_000))
    rates = followed[again].sum(axis=1) / shown[again].sum(axis=1)
    assert sums.variance == pytest.approx(rates.var(), rel=0.15)
    # As if impressions were independent it would be far too small.
    assert sums.variance > 2 * sums.rate * (1 - sums.rate) / shown.sum()


def test_the_variance_over_users_is_that_of_a_sample() -> None:
    """One number shown to each: then it is the usual variance of a mean."""
    followed = [0.0, 1.0, 1.0, 4.0]
    expected = np.var(followed, ddof=1) / len(followed)
    assert UserSums.of([1.0] * 4, followed).variance == pytest.approx(expected)


def test_the_interval_is_that_of_the_paper() -> None:
    # One number for each user: V = σ̂²/t, and t·ρ² is what s has to be.
    control = UserSums.of([1.0] * 400, [1.0] * 100 + [0.0] * 300)
    variant = UserSums.of([1.0] * 400, [1.0] * 140 + [0.0] * 260)
    interval = difference(control, variant, effect=0.2)
    assert interval is not None
    t, deviation = 400, math.sqrt(400 * (control.variance + variant.variance))
    rho = 0.2 * 0.3 / deviation
    scaled = t * rho * rho + 1
    radius = deviation * math.sqrt(
        2 * scaled / (t * t * rho * rho) * math.log(math.sqrt(scaled) / LEVEL)
    )
    assert interval.mean == pytest.approx(0.1)
    assert (interval.low, interval.high) == pytest.approx((0.1 - radius, 0.1 + radius))


def test_the_p_value_is_below_the_level_where_the_interval_leaves_out_zero() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        sums = [UserSums.of(*made(rng, 1_500, rate)) for rate in (0.2, rng.uniform(0.2, 0.25))]
        for comparisons in (1, 3):
            found = difference(*sums, effect=0.1, comparisons=comparisons)
            assert found is not None
            assert (found.p_value < LEVEL) == (not found.low <= 0.0 <= found.high)


def test_before_enough_users_have_an_outcome_nothing_is_said() -> None:
    many = UserSums.of([5.0] * 100, [1.0] * 100)
    few = UserSums.of([5.0] * 100, [50.0] * (LEAST_USERS - 1) + [0.0] * (101 - LEAST_USERS))
    assert difference(many, few, effect=0.1) is None
    assert difference(few, many, effect=0.1) is None
    assert UserSums.of([], []).rate == UserSums.of([], []).variance == 0.0


def test_daily_looks_at_alike_variants_find_nothing_where_plain_intervals_do() -> None:
    rng = np.random.default_rng(2)
    wrong = plain = 0
    for _ in range(150):
        arms = [made(rng, 900, 0.1) for _ in range(2)]
        ever = ever_plain = False
        for users in range(100, 901, 100):  # the same users and some more at each look
            sums = [UserSums.of(n[:users].tolist(), y[:users].tolist()) for n, y in arms]
            found = difference(*sums, effect=0.2)
            if found is not None:
                ever |= not found.low < 0.0 < found.high
                spread = math.sqrt(sums[0].variance + sums[1].variance)
                ever_plain |= abs(found.mean) > 1.96 * spread
        wrong, plain = wrong + ever, plain + ever_plain
    assert wrong <= 150 * LEVEL
    assert plain > 2 * 150 * LEVEL


def test_a_sample_ratio_factor_is_the_mean_of_products_of_predictions_over_shares() -> None:
    shares, factors = {"a": 0.5, "b": 0.5}, dict.fromkeys((10, 100, 1_000, 10_000), 1.0)
    count = {"a": 0, "b": 0}
    for name in ["a"] * 300 + ["b"] * 200:
        for prior in factors:
            predicted = (prior * shares[name] + count[name]) / (prior + sum(count.values()))
            factors[prior] *= predicted / shares[name]
        count[name] += 1
    expected = 4 / sum(factors.values())
    assert expected < 1
    assert sample_ratio_p_value(count, shares) == pytest.approx(expected)


def test_a_right_sample_ratio_is_seldom_said_to_be_wrong_and_a_wrong_one_is() -> None:
    count, shares = 20_000, {"a": 3.0, "b": 1.0}
    said = [
        own
        for own in range(14_000, 16_001)
        if sample_ratio_p_value({"a": own, "b": count - own}, shares) < 0.001
    ]
    assert 14_000 in said
    assert 0.0 < float(binom.pmf(said, count, 0.75).sum()) < 0.001
    assert sample_ratio_p_value({"a": 10_600, "b": 9_400}, {"a": 0.5, "b": 0.5}) < 0.001
    assert sample_ratio_p_value({"a": 102, "b": 14}, {"a": 0.5, "b": 0.5}) < 1e-9
    assert sample_ratio_p_value({}, {"a": 0.5, "b": 0.5}) == 1.0
