from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.stats import norm

from recsvc.experiments.exploration import EXPLORERS, ExploredList, LinearRewards, explore
from recsvc.experiments.off_policy import LoggedPlaces, inverse_propensity

RANKED, CANDIDATES = np.arange(8), np.array([20, 21, 22, 23])
CHANCES = np.array([0.4, 0.3, 0.2, 0.1])
BLOCK = 5


def explored(seed: int, share: float = 0.2, ranked: np.ndarray = RANKED) -> ExploredList:
    return explore(ranked, CANDIDATES, share, seed.to_bytes(8), lambda left: CHANCES[left])


def test_each_item_is_at_a_place_as_often_as_its_propensity_says() -> None:
    seen: Counter[tuple[tuple[int, ...], int]] = Counter()
    tries: Counter[tuple[int, ...]] = Counter()
    said: defaultdict[tuple[tuple[int, ...], int], set[float]] = defaultdict(set)
    for seed in range(10_000):
        found = explored(seed)
        new = found.items[found.explored]
        assert len(new) == len(set(new.tolist())) <= 2
        for place, item in enumerate(found.items.tolist()):
            # Of what comes before, only the blocks before this one decide what is left to draw.
            before = slice(place // BLOCK * BLOCK)
            drawn = (*found.items[before][found.explored[before]].tolist(), -1 - place)
            seen[drawn, item] += 1
            tries[drawn] += 1
            said[drawn, item].add(float(found.propensity[place]))
    for (drawn, item), count in seen.items():
        (propensity,) = said[drawn, item]
        deviation = np.sqrt(propensity * (1 - propensity) / tries[drawn])
        assert abs(count / tries[drawn] - propensity) < 4.5 * deviation, (drawn, item)


def test_the_same_seed_gives_the_same_list_and_a_longer_one_begins_with_it() -> None:
    for seed in range(50):
        found, longer = explored(seed), explored(seed, ranked=np.arange(12))
        assert found.items.tolist() == longer.items[:8].tolist()
        assert found.propensity.tolist() == longer.propensity[:8].tolist()


def test_without_a_share_or_a_candidate_the_list_is_as_it_was() -> None:
    none = explore(RANKED, CANDIDATES[:0], 0.2, b"seed", lambda left: CHANCES[left])
    for found in (explored(1, share=0.0), none):
        assert found.items.tolist() == RANKED.tolist()
        assert found.propensity.tolist() == [1.0] * len(RANKED)
        assert not found.explored.any()
    with pytest.raises(ValueError, match=r"expected 0 to 1, got 1\.5"):
        explored(1, share=1.5)


def test_the_log_of_exploration_tells_what_a_list_without_it_earns() -> None:
    reward = np.linspace(1.0, 0.2, 24)
    rows = [explored(seed) for seed in range(3_000)]
    items = np.concatenate([found.items for found in rows])
    answer, place = np.divmod(np.arange(len(items)), len(RANKED))
    propensity = np.concatenate([found.propensity for found in rows])
    target = (items == RANKED[place]).astype(float)
    value = inverse_propensity(
        LoggedPlaces(answer, answer, place, reward[items], propensity, target)
    )
    assert value.low < reward[RANKED].sum() < value.high


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
