"""What the parts of a blend count for with little known of a user, learned on cut evidence.

λ is learned on users of whom much is known. The same users, with all but a few of their items taken
away, show what is worth how much with as little: what was held out from them is looked for by what
is left. Signals say the same as before: they were made from what everybody did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import BASE, LEAST_WEIGHT, scaled_scores
from recsvc.blend.reliance import Reliance, effective_counts
from recsvc.blend.weights import Candidates, candidates_in_parts, random_halves, top_hits
from recsvc.evaluation.groups import BY_ITEMS_KNOWN
from recsvc.evaluation.metrics import accuracy
from recsvc.evaluation.splits import entries
from recsvc.evidence import EvidenceKind, EvidenceMatrices, of_users
from recsvc.signals import Signal

USUAL: Final = Reliance(prior=1.5, follows=0.5, people=0.25)
USUAL_BASE: Final = 0.2
"""What is taken where too few users tell otherwise, and λ_base where it was learned as less: the
best of the grid on Ciao, Last.fm, MovieLens and Gowalla together (docs/decisions/0028)."""

_CUTS = (0, 1, 2, 3, 5, 10, 20)
_USERS_OF_A_CUT = 500
MOST_CUT_USERS: Final = len(_CUTS) * _USERS_OF_A_CUT
_LEAST_GROUP = 20
_ROUNDS = 4
_FEW_ITEMS = np.array(5.0)
PER_SIGNAL_OF_PART: Final = 100
"""Candidates that each signal gives each user: fewer than λ is learned on, for more users."""
_TRIED: Mapping[str, Sequence[float]] = {
    BASE: (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    "prior": (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
    "follows": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    "people": (0.0, 0.25, 0.5, 0.75, 1.0),
}
_TRIED_OF_ITEMS = (-0.5, -0.25, 0.0, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class CutUsers:
    """Validation users with some of their items or all of them.

    Attributes:
        candidates: their features are λ_s · n_s(u) · Σ_j e_j K_s(j, i) of each signal, and the
            prior.
        kinds: the evidence that each signal starts from.
        weighed: the signals that start from items and have more than the least λ.
        counts: see `effective_counts`.
        items: how many items are left.
        user: a number for the user.
    """

    candidates: Candidates
    kinds: Mapping[str, EvidenceKind]
    weighed: tuple[str, ...]
    counts: Float64[NDArray[np.float64], "2 n"]
    items: Int64[NDArray[np.int64], " n"]
    user: Int64[NDArray[np.int64], " n"]

    def factors(self, base: float, reliance: Reliance) -> Float32[NDArray[np.float32], "signals n"]:
        """r_s(u) of each signal, and of the prior λ_base · r_base(u)."""
        reliances = [reliance.signal(*signal, *self.counts) for signal in self.kinds.items()]
        return np.array([*reliances, base * reliance.base(self.counts[0])], np.float32)

    def values(
        self, factors: Float32[NDArray[np.float32], "signals n"]
    ) -> Float32[NDArray[np.float32], "n candidates"]:
        """The scores of the candidates."""
        scores = np.zeros(self.candidates.present.shape, np.float32)
        for factor, feature in zip(factors, self.candidates.features, strict=True):
            if factor.any():
                scores += factor[:, None] * feature
        return scores

    def ndcg(
        self, values: Float32[NDArray[np.float32], "n candidates"]
    ) -> Float64[NDArray[np.float64], " n"]:
        """NDCG@20 of each, ranked by these scores."""
        return accuracy(top_hits(self.candidates, values, 20), self.candidates.n_relevant)["ndcg"]

    def of(self, some: Bool[NDArray[np.bool_], " n"]) -> "CutUsers":
        """Some of them."""
        return replace(
            self,
            candidates=self.candidates.of_users(np.flatnonzero(some)),
            counts=self.counts[:, some],
            items=self.items[some],
            user=self.user[some],
        )

    def shares(self) -> Float64[NDArray[np.float64], " n"]:
        """What each counts: the groups by known items the same, 0 in one of too few users."""
        group = BY_ITEMS_KNOWN.of(self.items)
        size = np.bincount(group)
        enough = size >= _LEAST_GROUP
        return np.where(enough[group], 1.0 / (size[group] * max(1, enough.sum())), 0.0)


def cut_users(
    signals: Sequence[Signal],
    weights: Mapping[str, float],
    prior: Float32[NDArray[np.float32], " items"],
    given: EvidenceMatrices,
    held_out: sp.csr_matrix,
) -> CutUsers:
    """Validation users with 0, 1, 2, 3, 5, 10 and 20 of their items, and with all.

    Args:
        signals: made from what is left of all evidence.
        weights: λ by signal.
        prior: from the same.
        given: what is known of each validation user.
        held_out: what is held out from each, [users, items].
    """
    rng = np.random.default_rng(0)
    whole, besides = given["item"], sum(given[kind].getnnz(axis=1) for kind in ("user", "category"))
    count = whole.getnnz(axis=1)
    user, left = [np.arange(len(count))], [whole]
    place = rng.random(whole.nnz)
    order = np.lexsort((place, np.repeat(np.arange(len(count)), count)))
    rank = np.empty(whole.nnz, np.int64)
    rank[order] = np.arange(whole.nnz) - np.repeat(whole.indptr[:-1], count)
    for most in _CUTS:
        able = np.flatnonzero((count > most) & ((most > 0) | (besides > 0)))
        chosen = np.sort(rng.permutation(able)[:_USERS_OF_A_CUT])
        user.append(chosen)
        left.append(entries(whole, rank < most)[chosen])
    of = np.concatenate(user)
    some_items = sp.csr_matrix(sp.vstack(left, format="csr", dtype=np.float32))
    evidence: EvidenceMatrices = {**of_users(given, of), "item": some_items}

    def scores(some: slice) -> list[Float32[NDArray[np.float32], "n items"]]:
        own = of_users(evidence, some)
        weighted = [
            np.float32(weights[s.name]) * scaled_scores(s, s.weighed_of(own)) for s in signals
        ]
        return [*weighted, np.broadcast_to(prior, (len(of[some]), len(prior)))]

    candidates = candidates_in_parts(
        scores, len(signals) + 1, whole[of], held_out[of], per_signal=PER_SIGNAL_OF_PART
    )
    kinds: dict[str, EvidenceKind] = {signal.name: signal.kind for signal in signals}
    weighed = tuple(n for n, kind in kinds.items() if kind == "item" and weights[n] > LEAST_WEIGHT)
    items = evidence["item"].getnnz(axis=1)
    return CutUsers(candidates, kinds, weighed, effective_counts(evidence), items, of)


def learned_reliance(users: CutUsers, base: float) -> tuple[float, Reliance]:
    """λ_base and the exponents with the best NDCG@20, the mean over groups by known items.

    The search goes from what is usual, one number at a time, and takes another one only where it
    gains more than the standard error of its gain, the gains of one user taken together. As λ is,
    they are means over four random halves of the users; of λ_base the geometric one.

    Args:
        users: with part of their evidence.
        base: λ_base as it was learned on whole evidence.
    """
    start = max(base, USUAL_BASE), USUAL
    shares = users.shares()
    if not shares.any():
        return start
    halves = [np.isin(users.user, half) for half in random_halves(int(users.user.max()) + 1)]
    of_halves = [_searched(users.of(half), shares[half], *start) for half in halves]
    mean = {
        name: float(np.mean([getattr(reliance, name) for _, reliance in of_halves]))
        for name in ("prior", "follows", "people")
    }
    items = {
        name: float(np.mean([reliance.items.get(name, 0.0) for _, reliance in of_halves]))
        for name in users.weighed
    }
    return (
        float(np.exp(np.mean([np.log(own) for own, _ in of_halves]))),
        Reliance(**mean, items={name: exponent for name, exponent in items.items() if exponent}),
    )


def _searched(
    users: CutUsers, shares: Float64[NDArray[np.float64], " n"], base: float, reliance: Reliance
) -> tuple[float, Reliance]:
    """The best λ_base and exponents for some users, by steps from these."""
    heard = np.array([feature.any() for feature in users.candidates.features])
    best = base, reliance
    factors = users.factors(*best)
    scores = users.values(factors)
    ndcg = users.ndcg(scores)
    numbers = {**_TRIED, **dict.fromkeys(users.weighed, _TRIED_OF_ITEMS)}
    unchanged = 0
    for name, values in islice(cycle(numbers.items()), _ROUNDS * len(numbers)):
        if unchanged == len(numbers):
            break
        unchanged += 1
        tried: dict[float, Float64[NDArray[np.float64], " n"]] = {}
        for value in values:
            change = (users.factors(*_changed(*best, name, value)) - factors) * heard[:, None]
            if change.any():  # what stays is not added up anew
                tried[value] = users.ndcg(scores + users.values(change))
        if not tried:
            continue
        value = max(tried, key=lambda choice: float(shares @ tried[choice]))
        gain = np.bincount(users.user, shares * (tried[value] - ndcg))
        if gain.sum() > gain.std() * np.sqrt(len(gain)):
            best, unchanged = _changed(*best, name, value), 0
            factors = users.factors(*best)
            scores = users.values(factors)
            ndcg = users.ndcg(scores)
    return best


def _changed(base: float, reliance: Reliance, name: str, value: float) -> tuple[float, Reliance]:
    """The same with another λ_base, or with another exponent: that of a signal by its name.

    With another exponent of the prior, λ_base is such that the prior counts for as much as before
    with 5 items: else most of both is only good together, and no single step leads there.
    """
    if name == BASE:
        return value, reliance
    if name == "prior":
        base *= float(replace(reliance, prior=reliance.prior - value).base(_FEW_ITEMS))
    if name in _TRIED:
        return base, replace(reliance, **{name: value})
    others = {signal: own for signal, own in reliance.items.items() if signal != name}
    return base, replace(reliance, items=others | ({name: value} if value else {}))
