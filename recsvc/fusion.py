"""The service's own blend of signals: one linear score, its weights learned on validation.

    score(u, i) = Σ_s λ_s · n_s(u) · Σ_j e_j · K_s(j, i)  +  λ_base · prior_i

`n_s(u)` scales a signal's raw scores over all items to a root mean square of 1 for this user,
so a λ means the same for everybody: one user's 3 listens and another's 300 end up on one scale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.evidence import Evidence, EvidenceKind, EvidenceRows
from recsvc.signals.base import Signal

BASE = "base"
"""Name of the part of a score that no evidence carries: the popularity prior."""

LEAST_WEIGHT = 0.002
"""λ of a signal that validation found no use for. It changes little where other signals speak,
and lets it speak where they are silent: for someone who only follows people, for an item known
by its categories alone. The prior has it too, so that it orders what no evidence reaches."""

_STEPS = (0.0, 0.25, 0.5, 0.75, 1.33, 2.0, 4.0)
_ROUNDS = 6
_ROUNDING = 1e-6


def unit_rms(raw: Float32[NDArray[np.float32], "... items"]) -> Float64[NDArray[np.float64], "..."]:
    """n(u): 1 over the root mean square of the raw scores; 0 where all of them are 0."""
    rms = np.sqrt(np.mean(np.square(raw, dtype=np.float64), axis=-1))
    return np.divide(1.0, rms, out=np.zeros_like(rms), where=rms > 0)


def _speaks(
    raw: Float32[NDArray[np.float32], "... items"], whole: Float32[NDArray[np.float32], "... items"]
) -> Bool[NDArray[np.bool_], "..."]:
    """Whether more than rounding is left of likes and dislikes that cancel each other.

    Args:
        raw: scores by the evidence.
        whole: scores by the same evidence, dislikes counted as likes.
    """
    left, gross = (np.sqrt(np.mean(np.square(x, dtype=np.float64), -1)) for x in (raw, whole))
    return np.asarray(left > _ROUNDING * gross)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredUser:
    """Scores of all items for one user.

    Attributes:
        scores: one per item.
        spoken: the signals that add to them, each with λ_s · n_s(u) and its evidence.
    """

    scores: Float32[NDArray[np.float32], " items"]
    spoken: tuple[tuple[Signal, float, EvidenceRows], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """What one signal's evidence adds to each ranked item.

    Attributes:
        signal: name of the signal.
        position: index of each piece of evidence in `Evidence.nodes`.
        scale: λ_s · n_s(u) · e_j for each piece of evidence.
        values: contribution of each piece of evidence to each item: scale · K(j, i).
    """

    signal: str
    position: Int64[NDArray[np.int64], " evidence"]
    scale: Float64[NDArray[np.float64], " evidence"]
    values: Float64[NDArray[np.float64], "evidence k"]


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Signals, the weight of each, and the prior.

    Attributes:
        signals: in the order of `weights`.
        weights: λ_s, at least 0.
        prior: popularity of each item.
        base_weight: λ_base, above 0: it orders the items no evidence reaches.
    """

    signals: tuple[Signal, ...]
    weights: tuple[float, ...]
    prior: Float32[NDArray[np.float32], " items"]
    base_weight: float

    def score(self, evidence: Evidence) -> ScoredUser:
        """Score all items for one user. Without any evidence only the prior counts."""
        scores = self.base_weight * self.prior
        spoken: list[tuple[Signal, float, EvidenceRows]] = []
        known: dict[int, EvidenceRows] = {}  # signals of one kind share their ids
        for signal, weight in zip(self.signals, self.weights, strict=True):
            if id(signal.ids) not in known:
                known[id(signal.ids)] = evidence.rows(signal.kind, signal.ids)
            rows = known[id(signal.ids)]
            if not weight or not len(rows):
                continue
            raw = signal.raw_scores(rows)
            factor = weight * float(unit_rms(raw))
            if (rows.weight < 0).any():
                whole = signal.raw_scores(replace(rows, weight=np.abs(rows.weight)))
                factor *= float(_speaks(raw, whole))
            if factor:
                spoken.append((signal, factor, rows))
                scores = scores + np.float32(factor) * raw
        return ScoredUser(scores.astype(np.float32, copy=False), tuple(spoken))

    def batch_scores(
        self, evidence: Mapping[EvidenceKind, sp.csr_matrix]
    ) -> Float32[NDArray[np.float32], "n items"]:
        """What `score` gives for each of n users.

        Args:
            evidence: by kind, [n, evidence nodes of that kind].
        """
        n_users = evidence["item"].shape[0]
        scores = np.tile(np.float32(self.base_weight) * self.prior, (n_users, 1))
        for signal, weight in zip(self.signals, self.weights, strict=True):
            if weight and evidence[signal.kind].nnz:
                given = evidence[signal.kind]
                raw = signal.batch_scores(given)
                factor = weight * unit_rms(raw)
                if (given.data < 0).any():
                    factor = factor * _speaks(raw, signal.batch_scores(abs(given)))
                scores += factor[:, None].astype(np.float32) * raw
        return scores

    def terms(self, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]) -> list[Term]:
        """What each piece of evidence adds to each of `items`, exactly.

        The sum of all values plus `base(items)` is the score, up to float32 rounding.
        """
        return [
            Term(
                signal.name, rows.position, factor * rows.weight, factor * signal.terms(rows, items)
            )
            for signal, factor, rows in scored.spoken
        ]

    def base(self, items: Int64[NDArray[np.int64], " k"]) -> Float64[NDArray[np.float64], " k"]:
        """The part of each item's score that no evidence carries."""
        return self.base_weight * self.prior[items].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What λ is learned on: for each validation user, items and their value in each signal.

    Attributes:
        features: normalised signal values, padded with 0.
        relevant: held out from this user.
        present: False for padding.
        n_relevant: held-out items of the user, among the candidates or not.
    """

    features: Float32[NDArray[np.float32], "users candidates signals"]
    relevant: Bool[NDArray[np.bool_], "users candidates"]
    present: Bool[NDArray[np.bool_], "users candidates"]
    n_relevant: Int64[NDArray[np.int64], " users"]


def collect_candidates(
    signal_scores: Sequence[Float32[NDArray[np.float32], "users items"]],
    seen: Sequence[NDArray[np.int64]],
    held_out: Sequence[NDArray[np.int64]],
    *,
    per_signal: int = 200,
) -> Candidates:
    """The best unseen items of each signal, for each user.

    Args:
        signal_scores: normalised scores of each signal.
        seen: rows of the items each user did something with, not ranked.
        held_out: rows of the items held out from each user.
        per_signal: items taken from each signal.
    """
    chosen: list[NDArray[np.int64]] = []
    n_items = signal_scores[0].shape[1]
    take = min(per_signal, n_items)
    for user in range(len(seen)):
        wanted = np.zeros(n_items, bool)
        for scores in signal_scores:
            row = scores[user].copy()
            row[seen[user]] = -np.inf
            wanted[np.argpartition(-row, take - 1)[:take]] = True
        wanted[seen[user]] = False
        chosen.append(np.flatnonzero(wanted))
    shape = (len(seen), max(map(len, chosen), default=0))
    features = np.zeros((*shape, len(signal_scores)), np.float32)
    relevant, present = np.zeros(shape, bool), np.zeros(shape, bool)
    for user, items in enumerate(chosen):
        features[user, : len(items)] = np.stack([s[user, items] for s in signal_scores], axis=1)
        relevant[user, : len(items)] = np.isin(items, held_out[user])
        present[user, : len(items)] = True
    n_relevant = np.array([len(items) for items in held_out], np.int64)
    return Candidates(features, relevant, present, n_relevant)


def learn_weights(
    candidates: Candidates, names: Sequence[str], *, k: int = 20
) -> tuple[dict[str, float], float]:
    """λ by coordinate ascent on the mean NDCG@k of the validation users.

    It starts from the best single signal and tries a few steps on one weight at a time until
    none helps. NDCG is what counts and is flat nearly everywhere, which rules out gradients;
    there are only a handful of weights.

    Returns:
        λ by signal name, the largest 1, and the NDCG@k reached.
    """
    weights = np.zeros(len(names))
    single = [_mean_ndcg(candidates, row, k) for row in np.eye(len(names))]
    weights[int(np.argmax(single))] = 1.0
    best = max(single)
    for _ in range(_ROUNDS):
        before = best
        for signal in range(len(names)):
            best = _improve(candidates, weights, signal, best, k)
        if best <= before:
            break
    scaled = weights / weights.max()
    return dict(zip(names, map(float, scaled), strict=True)), best


def _improve(
    candidates: Candidates, weights: NDArray[np.float64], signal: int, best: float, k: int
) -> float:
    """Try the steps on one weight; changes `weights` in place and returns the best NDCG."""
    start = weights[signal] or 0.25 * weights.max()
    for step in _STEPS:
        trial = weights.copy()
        trial[signal] = start * step
        ndcg = _mean_ndcg(candidates, trial, k) if trial.any() else -1.0
        if ndcg > best + 1e-6:
            best = ndcg
            weights[:] = trial
    return best


def _mean_ndcg(candidates: Candidates, weights: NDArray[np.float64], k: int) -> float:
    scores = candidates.features @ weights.astype(np.float32)
    scores[~candidates.present] = -np.inf
    k = min(k, scores.shape[1])
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable")
    hits = np.take_along_axis(candidates.relevant, np.take_along_axis(top, order, 1), 1)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.clip(candidates.n_relevant, 1, k) - 1]
    return float(np.mean((hits @ discount) / ideal))
