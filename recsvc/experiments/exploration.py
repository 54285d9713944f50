"""Some places for items of which too little is known, each with the chance it had. Pure.

The places of a list are taken in blocks of ⌊1/ε⌋, ε being the share of places to explore. In each
block one place at most is explored, each with the chance ε, and gets an item drawn by one of three
distributions over the candidates of its block:

- `uniform`: all alike.
- `linucb`: the one whose reward may be the largest (Li, Chu, Langford & Schapire 2010, "A
  contextual-bandit approach to personalized news article recommendation", algorithm 1).
- `thompson`: each by how often it is the best in draws from what is known of the weights (Agrawal &
  Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs", algorithm 1). The
  number of draws is fixed, so that the chance of each item is a count and no estimate.

What decides is a seed, such as the nonce of an answer: the same seed, the same items, anywhere.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

Explorer = Literal["uniform", "linucb", "thompson"]
Features = Mapping[str, float]
"""What is known of an item that is tried out, by name."""

_DRAWS: Final = 256
_MOST: Final = 65_504.0
"""Largest feature of a log, either way: an id keeps no larger one."""
_UNSURE: Final = 1.0
"""Alpha of LinUCB: standard deviations that a reward may be above what it is expected to be."""

Candidates = Float64[NDArray[np.float64], "m dim"]
"""What is known of each of m candidates: the parts of its score."""
Chances = Float64[NDArray[np.float64], " m"]
"""With which chance each candidate is drawn; 1 in sum."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearRewards:
    """What is known of rewards that are linear in the features: ridge regression.

    Attributes:
        precision: A = I + Σ x·xᵀ.
        response: b = Σ r·x.
    """

    precision: Float64[NDArray[np.float64], "dim dim"]
    response: Float64[NDArray[np.float64], " dim"]

    @classmethod
    def unknown(cls, dim: int) -> "LinearRewards":
        """Before anything was shown."""
        return cls(np.eye(dim), np.zeros(dim))

    def after(
        self, features: Float64[NDArray[np.float64], "n dim"], rewards: NDArray[np.float64]
    ) -> "LinearRewards":
        """The same with n more items that were shown, and what followed."""
        return LinearRewards(
            self.precision + features.T @ features, self.response + features.T @ rewards
        )

    @classmethod
    def learned(
        cls, shown: Sequence[tuple[Features, float]], names: Sequence[str]
    ) -> "LinearRewards":
        """What items that were shown say.

        Args:
            shown: the features of each, and its reward.
            names: of the features that count, in their order; one that an item lacks is 0.
        """
        features = feature_rows([each for each, _ in shown], names)
        return cls.unknown(len(names)).after(features, np.array([reward for _, reward in shown]))

    def expected(self, features: Candidates) -> Float64[NDArray[np.float64], " m"]:
        """xᵀ·A⁻¹·b."""
        return features @ np.linalg.solve(self.precision, self.response)

    def deviation(self, features: Candidates) -> Float64[NDArray[np.float64], " m"]:
        """√(xᵀ·A⁻¹·x): how unsure that is, in standard deviations of a reward."""
        return np.sqrt(np.square(np.linalg.solve(self._root, features.T)).sum(axis=0))

    def draws(self, features: Candidates) -> Float64[NDArray[np.float64], "m draws"]:
        """The rewards under each of a fixed number of draws of the weights from N(A⁻¹·b, A⁻¹)."""
        noise = np.random.default_rng(0).standard_normal((len(self.response), _DRAWS))
        return self.expected(features)[:, None] + features @ np.linalg.solve(self._root.T, noise)

    @property
    def _root(self) -> Float64[NDArray[np.float64], "dim dim"]:
        """L with L·Lᵀ = A."""
        return np.asarray(np.linalg.cholesky(self.precision), np.float64)


def feature_rows(items: Sequence[Features], names: Sequence[str]) -> Candidates:
    """The features of some items, a row for each; what was put into the log by hand is cut."""
    rows = [[item.get(name, 0.0) for name in names] for item in items]
    numbers = np.nan_to_num(np.array(rows, np.float64).reshape(len(items), len(names)))
    return np.clip(numbers, -_MOST, _MOST)


def _uniform(features: Candidates, _: LinearRewards) -> Chances:
    return np.full(len(features), 1.0 / len(features))


def _linucb(features: Candidates, rewards: LinearRewards) -> Chances:
    most = rewards.expected(features) + _UNSURE * rewards.deviation(features)
    chances = np.zeros(len(features))
    chances[np.argmax(most)] = 1.0
    return chances


def _thompson(features: Candidates, rewards: LinearRewards) -> Chances:
    best = np.argmax(rewards.draws(features), axis=0)
    return np.bincount(best, minlength=len(features)) / _DRAWS


EXPLORERS: Final[Mapping[Explorer, Callable[[Candidates, LinearRewards], Chances]]] = {
    "uniform": _uniform,
    "linucb": _linucb,
    "thompson": _thompson,
}
"""The chance of each candidate, from what is known of it."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What is tried out at the first places of a list.

    Attributes:
        candidates: by place, from 0, which candidate is tried out there.
        propensity: the chance with which each place has the item that it has.
    """

    candidates: Mapping[int, int]
    propensity: Float64[NDArray[np.float64], " places"]


def draw(
    may: NDArray[np.bool_],
    candidates: int,
    share: float,
    seed: bytes,
    chances: Callable[[Int64[NDArray[np.int64], " n"]], Chances],
) -> Draws:
    """Which candidates are tried out at which places.

    Every block of places has candidates of its own: of m blocks the b-th draws from every m-th
    one, beginning with the b-th. So no item is drawn twice, and what one block draws says nothing
    about the others: the chance of an item at a place is ε times its chance in its block,
    whatever else was drawn, and 1 - ε that of the item that stands there otherwise.

    Args:
        may: at which places something may be tried out, a truth value for each.
        candidates: how many items may be tried out.
        share: ε, above 0, to 1.
        seed: decides; as good as random.
        chances: of some candidates, by their numbers.

    Raises:
        ValueError: the share is not above 0, or above 1.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share of explored places: expected above 0, to 1, got {share}")
    exact = Fraction(str(share))
    length = math.floor(1 / exact)
    begins = range(0, len(may), length)
    tried: dict[int, int] = {}
    propensity = np.ones(len(may))
    for number, begin in enumerate(begins):
        own = np.arange(number, candidates, len(begins))
        if not len(own):
            break
        block = slice(begin, min(begin + length, len(may)))
        propensity[block] -= share * may[block]
        which, among = _two_uniforms(seed, number)
        # [0, ε) tries something out at the first place of the block, [ε, 2ε) at the second, …
        place = begin + math.floor(which / exact)
        if place >= block.stop or not may[place]:
            continue
        chance = chances(own)
        drawn = int(np.searchsorted(np.cumsum(chance), float(among) * chance.sum(), side="right"))
        drawn = min(drawn, int(np.flatnonzero(chance)[-1]))
        tried[place] = int(own[drawn])
        propensity[place] = share * chance[drawn] / chance.sum()
    return Draws(tried, propensity)


def _two_uniforms(seed: bytes, number: int) -> tuple[Fraction, Fraction]:
    """Two numbers from 0 to below 1, of 64 bits each."""
    digest = hashlib.blake2b(seed, digest_size=16, salt=number.to_bytes(16)).digest()
    first, second = (int.from_bytes(digest[at : at + 8]) for at in (0, 8))
    return Fraction(first, 1 << 64), Fraction(second, 1 << 64)
