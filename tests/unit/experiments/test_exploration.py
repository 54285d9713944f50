import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import norm

from recsvc.experiments.exploration import EXPLORERS, Draws, LinearRewards, draw
from recsvc.experiments.off_policy import LoggedPlaces, inverse_propensity

MAY = np.array([True, True, False, True, True, True, True, True])
CHANCES = np.array([0.4, 0.3, 0.2, 0.05, 0.05])


def drawn(seed: int, share: float = 0.2, may: np.ndarray = MAY) -> Draws:
    return draw(may, len(CHANCES), share, seed.to_bytes(8), lambda own: CHANCES[own])


def items(draws: Draws) -> list[int]:
    """Candidates from 100 on, elsewhere the place."""
    return [100 + draws.candidates.get(p, p - 100) for p in range(len(draws.propensity))]


def test_each_item_is_at_a_place_as_often_as_its_propensity_says() -> None:
    said: dict[tuple[int, int], float] = {}
    seen: Counter[tuple[int, int]] = Counter()
    n = 20_000
    for seed in range(n):
        draws = drawn(seed)
        tried = [*draws.candidates.values()]
        assert len(tried) == len(set(tried)) <= 2
        for key, chance in zip(enumerate(items(draws)), draws.propensity.tolist(), strict=True):
            seen[key] += 1
            assert said.setdefault(key, chance) == chance
    for key, chance in said.items():
        deviation = np.sqrt(chance * (1 - chance) / n)
        assert abs(seen[key] / n - chance) <= 4.5 * deviation, key
    # Every item that may come is named, and no place has a gap.
    for place, may in enumerate(MAY):
        assert sum(c for (p, _), c in said.items() if p == place) == pytest.approx(1.0)
        assert len([key for key in said if key[0] == place]) == (4 - place // 5 if may else 1)


def test_the_same_seed_draws_the_same() -> None:
    assert items(drawn(7)) == items(drawn(7))
    assert len({tuple(items(drawn(seed))) for seed in range(50)}) > 5


def test_without_a_candidate_nothing_is_tried_out() -> None:
    none = draw(MAY, 0, 0.2, b"seed", lambda own: CHANCES[own])
    assert not none.candidates
    assert none.propensity.tolist() == [1.0] * len(MAY)
    with pytest.raises(ValueError, match=r"to 1, got 1\.5"):
        drawn(1, share=1.5)


def test_the_log_of_exploration_tells_what_a_list_without_it_earns() -> None:
    reward = np.linspace(1.0, 0.2, 105)
    rows = [drawn(seed) for seed in range(3_000)]
    shown = np.concatenate([items(draws) for draws in rows])
    answer, place = np.divmod(np.arange(len(shown)), len(MAY))
    propensity = np.concatenate([draws.propensity for draws in rows])
    target = (shown == place).astype(float)
    value = inverse_propensity(
        LoggedPlaces(answer, answer, place, reward[shown], propensity, target)
    )
    assert value.low < reward[: len(MAY)].sum() < value.high


def shown(seed: int) -> tuple[np.ndarray, LinearRewards]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(40, 3))
    rewards = features @ np.array([1.0, 0.0, -1.0]) + rng.normal(size=40)
    return rng.normal(size=(6, 3)), LinearRewards.unknown(3).after(features, rewards)


def test_linucb_takes_the_one_that_may_be_best() -> None:
    candidates, rewards = shown(0)
    inverse = np.linalg.inv(rewards.precision)
    most = [x @ inverse @ rewards.response + np.sqrt(x @ inverse @ x) for x in candidates]
    chances = EXPLORERS["linucb"](candidates, rewards)
    assert chances.tolist() == np.eye(6)[np.argmax(most)].tolist()
    # What nothing is known of comes before what is known to earn nothing.
    rewards = LinearRewards.unknown(2).after(np.tile([1.0, 0.0], (100, 1)), np.zeros(100))
    assert EXPLORERS["linucb"](np.eye(2), rewards).tolist() == [0.0, 1.0]


def test_thompson_draws_each_as_often_as_it_is_the_best() -> None:
    candidates, rewards = shown(1)
    pair = candidates[:2]
    chances = EXPLORERS["thompson"](pair, rewards)
    apart = pair[0] - pair[1]
    mean = apart @ np.linalg.solve(rewards.precision, rewards.response)
    deviation = np.sqrt(apart @ np.linalg.solve(rewards.precision, apart))
    assert chances.sum() == 1.0
    assert chances[0] == pytest.approx(norm.cdf(mean / deviation), abs=4 * 0.5 / 16)
    assert (EXPLORERS["thompson"](candidates, rewards) * 256 % 1 == 0).all()


def test_uniform_has_no_favourite() -> None:
    assert EXPLORERS["uniform"](np.zeros((4, 2)), LinearRewards.unknown(2)).tolist() == [0.25] * 4


def test_what_was_shown_is_learned_by_name() -> None:
    rows = [({"a": 2.0, "gone": 9.0}, 1.0), ({"b": 3.0}, 0.0)]
    rewards = LinearRewards.learned(rows, ["a", "b"])
    assert rewards.precision.tolist() == [[5.0, 0.0], [0.0, 10.0]]
    assert rewards.response.tolist() == [2.0, 0.0]
    assert LinearRewards.learned([], ["a"]).precision.tolist() == [[1.0]]


@pytest.mark.parametrize("by", ["linucb", "thompson"])
def test_a_number_that_somebody_put_into_the_log_breaks_no_draw(by: str) -> None:
    names = ("one", "score")
    log = [
        ({"one": 1.0, "score": 0.5}, 1.0), ({"one": -1e200, "score": 1e300}, 0.0),
        ({"one": math.nan, "score": math.inf}, 1.0),
    ]  # fmt: skip
    features = np.array([[1.0, 0.2], [1.0, 0.9]])
    rewards = LinearRewards.learned(log, names)
    assert np.isfinite(rewards.precision).all()
    chances = EXPLORERS[by](features, rewards)
    assert chances.sum() == pytest.approx(1.0)
