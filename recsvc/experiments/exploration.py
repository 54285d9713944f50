"""Some places for items of which too little is known, each with the chance it had. Pure.

The places of a list are taken in blocks of ⌊1/ε⌋, ε being the share of places to explore. In each
block one place at most is explored, each with the chance ε, and gets an item drawn by one of three
distributions over the candidates:

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

Explorer = Literal["uniform", "linucb", "thompson"]

_DRAWS: Final = 256
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


@dataclass(frozen=True, slots=True, eq=False)
class ExploredList:
    """A list with explored places.

    Attributes:
        items: rows of the items, in order.
        explored: which places are.
        propensity: the chance that each place had its item, given the places before.
    """

    items: Int64[NDArray[np.int64], " k"]
    explored: NDArray[np.bool_]
    propensity: Float64[NDArray[np.float64], " k"]


def explore(
    ranked: Int64[NDArray[np.int64], " k"],
    candidates: Int64[NDArray[np.int64], " m"],
    share: float,
    seed: bytes,
    chances: Callable[[Int64[NDArray[np.int64], " n"]], Chances],
) -> ExploredList:
    """Give some places of a list to candidates.

    An explored item takes the place of the item that was there, which is then not listed. A place
    that is not explored has the chance 1 - ε, an explored one ε times that of its item among the
    candidates that no place before has. Where no candidate is left, nothing is explored.

    Args:
        ranked: rows of the items of the list without exploration.
        candidates: rows of items to explore, none of them in the list.
        share: ε, from 0 to 1.
        seed: decides; as good as random.
        chances: of n of the candidates, by their positions.

    Raises:
        ValueError: the share is not from 0 to 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share of explored places: expected 0 to 1, got {share}")
    items, explored = ranked.copy(), np.zeros(len(ranked), bool)
    propensity = np.ones(len(ranked))
    if not share:
        return ExploredList(items, explored, propensity)
    exact = Fraction(str(share))
    block = math.floor(1 / exact)
    left = np.arange(len(candidates))
    for number, begin in enumerate(range(0, len(ranked), block)):
        if not len(left):
            break
        end = min(begin + block, len(ranked))
        propensity[begin:end] = 1.0 - share
        which, among = _two_uniforms(seed, number)
        # [0, ε) explores the first place of the block, [ε, 2ε) the second, and so on.
        place = begin + math.floor(which / exact)
        if place >= end or place - begin >= block:
            continue
        chance = chances(left)
        drawn = int(np.searchsorted(np.cumsum(chance), float(among) * chance.sum(), side="right"))
        drawn = min(drawn, int(np.flatnonzero(chance)[-1]))
        items[place], explored[place] = candidates[left[drawn]], True
        propensity[place] = share * chance[drawn] / chance.sum()
        left = np.delete(left, drawn)
    return ExploredList(items, explored, propensity)


def _two_uniforms(seed: bytes, number: int) -> tuple[Fraction, Fraction]:
    """Two numbers from 0 to below 1, of 64 bits each."""
    digest = hashlib.blake2b(seed, digest_size=16, salt=number.to_bytes(16)).digest()
    first, second = (int.from_bytes(digest[at : at + 8]) for at in (0, 8))
    return Fraction(first, 1 << 64), Fraction(second, 1 << 64)
