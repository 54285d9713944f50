"""The service's own blend of signals: one linear score, its weights learned on validation.

    score(u, i) = Σ_s λ_s · r_s(u) · n_s(u) · Σ_j e_j · K_s(j, i)  +  λ_base · r_base(u) · prior_i

`n_s(u)` scales a signal's raw scores over all items to a root mean square of 1 for this user,
so a λ means the same for everybody: one user's 3 listens and another's 300 end up on one scale.
`r_s(u)` says what that is worth with so little or so much behind it: `recsvc.blend.reliance`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.bounds import ItemBounds
from recsvc.blend.reliance import ALIKE, COUNTED, Reliance, effective_count, effective_counts
from recsvc.blend.scored_user import ScoredUser
from recsvc.blend.shards import ShardedUser, Shards
from recsvc.evidence import Evidence, EvidenceMatrices, EvidenceRows
from recsvc.signals.base import Signal

BASE = "base"
"""Name of the part of a score that no evidence carries: the popularity prior."""

LEAST_WEIGHT = 0.002
"""λ of a signal that validation found no use for. It changes little where other signals speak,
and lets it speak where they are silent: for someone who only follows people, for an item known
by its categories alone. The prior has it too, so that it orders what no evidence reaches."""

LEAST_APART = 0.02
"""The same of a signal that does not start from items. Validation users have many items, beside
which followed users and categories are of little use; with few items they are of more."""


LEAST_BOUNDED = 32_000_000
"""Numbers in the vectors of all items from where on reading them takes longer than all else."""
_ROUNDING = 1e-6


def unit_rms(raw: Float32[NDArray[np.float32], "... items"]) -> Float64[NDArray[np.float64], "..."]:
    """n(u): 1 over the root mean square of the raw scores; 0 where all of them are 0."""
    rms = _rms(raw)
    return np.divide(1.0, rms, out=np.zeros_like(rms), where=rms > 0)


def _rms(raw: Float32[NDArray[np.float32], "... items"]) -> Float64[NDArray[np.float64], "..."]:
    wide = raw.astype(np.float64)
    return np.sqrt(np.vecdot(wide, wide) / max(1, wide.shape[-1]))


def _speaks(
    raw: Float32[NDArray[np.float32], "... items"], whole: Float32[NDArray[np.float32], "... items"]
) -> Bool[NDArray[np.bool_], "..."]:
    """Whether more than rounding is left of likes and dislikes that cancel each other.

    Args:
        raw: scores by the evidence.
        whole: scores by the same evidence, dislikes counted as likes.
    """
    return np.asarray(_rms(raw) > _ROUNDING * _rms(whole))


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """What one signal's evidence adds to each ranked item.

    Attributes:
        signal: name of the signal.
        position: index of each piece of evidence in `Evidence.nodes`.
        scale: λ_s · r_s(u) · n_s(u) · e_j for each piece of evidence.
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
        reliance: what the parts count for somebody of whom little is known.
        bounds: see `with_bounds`.
        shards: who makes the passes over all items; None where that is done here.
    """

    signals: tuple[Signal, ...]
    weights: tuple[float, ...]
    prior: Float32[NDArray[np.float32], " items"]
    base_weight: float
    reliance: Reliance = ALIKE
    bounds: ItemBounds | None = None
    shards: Shards | None = None

    def with_bounds(self, least: int = LEAST_BOUNDED) -> "Blend":
        """The same with bounds of what vectors say, where they take long to read.

        They take a byte for each number, and a pass over all vectors to make. Signals that
        validation found no use for have none: they are bounded by the lengths of their vectors.

        Args:
            least: how many numbers there are at least in the vectors.
        """
        vectors = [
            signal.item_vectors
            for signal, weight in zip(self.signals, self.weights, strict=True)
            if weight > LEAST_WEIGHT and signal.item_vectors is not None
        ]
        if sum(table.size for table in vectors) < least:
            return self
        return replace(self, bounds=ItemBounds(vectors))

    def score(self, evidence: Evidence) -> ScoredUser:
        """Score all items for one user. Without any evidence only the prior counts."""
        rows_by_ids: dict[int, EvidenceRows] = {}  # signals of one kind share their ids
        counted = np.zeros((2, len(evidence.nodes)))
        for signal in self.signals:
            if id(signal.ids) not in rows_by_ids:
                rows = rows_by_ids[id(signal.ids)] = evidence.rows(signal.kind, signal.ids)
                if signal.kind in COUNTED:
                    of_kind = counted[COUNTED.index(signal.kind)]
                    of_kind[rows.position] = np.maximum(rows.weight, 0.0)
        counts = effective_count(counted.sum(axis=1), np.square(counted).sum(axis=1))
        base = self.base_weight * float(self.reliance.base(counts[0]))
        spoken: list[tuple[Signal, float, EvidenceRows]] = []
        for signal, weight in zip(self.signals, self.weights, strict=True):
            rows = signal.weighed(rows_by_ids[id(signal.ids)])
            if not weight or not len(rows):
                continue
            rms = np.sqrt(signal.mean_square(rows))
            if (rows.weight < 0).any():
                whole = replace(rows, weight=np.abs(rows.weight))
                # Likes and dislikes may cancel each other up to rounding.
                rms *= rms > _ROUNDING * np.sqrt(signal.mean_square(whole))
            if rms:
                relied = float(self.reliance.signal(signal.name, signal.kind, *counts))
                spoken.append((signal, weight * relied / float(rms), rows))
        if self.shards is not None:
            return ShardedUser(self.prior, base, counted, tuple(spoken), shards=self.shards)
        return ScoredUser(self.prior, base, counted, tuple(spoken), self.bounds)

    def batch_scores(self, evidence: EvidenceMatrices) -> Float32[NDArray[np.float32], "n items"]:
        """What `score` gives for each of n users.

        Args:
            evidence: of each kind.
        """
        counts = effective_counts(evidence)
        base = self.base_weight * self.reliance.base(counts[0])
        scores = base[:, None].astype(np.float32) * self.prior
        for signal, weight in zip(self.signals, self.weights, strict=True):
            if weight and (given := signal.weighed_of(evidence)).nnz:
                raw = signal.batch_scores(given)
                relied = self.reliance.signal(signal.name, signal.kind, *counts)
                factor = weight * relied * unit_rms(signal.unshared(raw))
                if (given.data < 0).any():
                    factor = factor * _speaks(raw, signal.batch_scores(abs(given)))
                scores += factor[:, None].astype(np.float32) * raw
        return scores

    def parts(
        self, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]
    ) -> tuple[tuple[str, Float64[NDArray[np.float64], " k"]], ...]:
        """Name of each signal that speaks, and what all its evidence adds to each of `items`."""
        return tuple((s.name, factor * s.sums(rows, items)) for s, factor, rows in scored.spoken)

    def weighted(self, factors: Mapping[str, float]) -> "Blend":
        """The same with the weights of some signals, and of `base`, multiplied by a factor."""
        names = [signal.name for signal in self.signals]
        weights = (w * factors.get(n, 1.0) for n, w in zip(names, self.weights, strict=True))
        base = self.base_weight * factors.get(BASE, 1.0)
        return replace(self, weights=tuple(weights), base_weight=base)

    def alone(self) -> dict[str, "Blend"]:
        """Each signal as a blend of its own; the prior orders what it says nothing about."""
        return {
            signal.name: Blend((signal,), (1.0,), self.prior, LEAST_WEIGHT)
            for signal in self.signals
        }

    def terms(self, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]) -> list[Term]:
        """What each piece of evidence adds to each of `items`, exactly.

        The sum of all values plus `base` is the score, up to float32 rounding.
        """
        return [
            Term(
                signal.name, rows.position, factor * rows.weight, factor * signal.terms(rows, items)
            )
            for signal, factor, rows in scored.spoken
        ]

    def base(
        self, scored: ScoredUser, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], " k"]:
        """The part of each item's score that no evidence carries."""
        return scored.base * self.prior[items].astype(np.float64)


def scaled_scores(
    signal: Signal, evidence: sp.csr_matrix
) -> Float32[NDArray[np.float32], "n items"]:
    """n_s(u) · Σ_j e_j · K_s(j, i): what λ is put on."""
    raw = signal.batch_scores(evidence)
    return (raw * unit_rms(signal.unshared(raw))[:, None]).astype(np.float32)


def reciprocal_ranks(
    scores: Float32[NDArray[np.float32], "n items"],
    seen: sp.csr_matrix,
    constant: float,
    *,
    depth: int = 1000,
) -> Float32[NDArray[np.float32], "n items"]:
    """1 / (constant + rank) of the first `depth` unseen items of each row, 0 for the others.

    Added up over several lists this is reciprocal rank fusion (Cormack, Clarke & Büttcher 2009,
    "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", §2). The
    rank is 1 + the number of unseen items with a higher score, so equal scores share one; those
    that share theirs past the depth are left out together.

    Args:
        scores: one row per user.
        seen: its stored entries are not ranked, [n, items].
        constant: k of the paper.
        depth: length of a list.
    """
    value = np.zeros_like(scores)
    for user, row in enumerate(np.array(scores, np.float32)):
        own = slice(seen.indptr[user], seen.indptr[user + 1])
        row[seen.indices[own]] = -np.inf
        least = -np.inf
        if depth < len(row):
            least = -np.partition(-row, depth)[depth]
        listed = np.flatnonzero(row > least)
        ascending = np.sort(row[listed])
        higher = len(listed) - np.searchsorted(ascending, row[listed], side="right")
        value[user, listed] = 1.0 / (constant + 1.0 + higher)
    return value
