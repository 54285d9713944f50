"""λ, learned on what is held out from some users."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import best_of_rows, hits_of_rows

PER_SIGNAL = 200
"""Candidates that each signal gives each user while λ is learned."""
SCORES_AT_ONCE = 8_000_000
"""Scores of all items by all signals that are held at a time, while candidates are chosen."""
_STEPS = (
    (0.0, 0.125, 0.25, 0.5, 0.7, 1.4, 2.0, 4.0, 8.0),
    (0.8, 0.9, 1.1, 1.25),
)
"""Factors that are tried on a weight: far ones until none helps, then near ones."""
_ROUNDS = 8
_LEAST_GAIN = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What λ is learned on: for each validation user, items and their value in each signal.

    Attributes:
        features: normalised signal values, padded with 0.
        relevant: held out from this user.
        present: False for padding.
        n_relevant: held-out items of the user, among the candidates or not.
    """

    features: Float32[NDArray[np.float32], "signals users candidates"]
    relevant: Bool[NDArray[np.bool_], "users candidates"]
    present: Bool[NDArray[np.bool_], "users candidates"]
    n_relevant: Int64[NDArray[np.int64], " users"]

    def of_users(self, users: Int64[NDArray[np.int64], " n"]) -> "Candidates":
        """Those of some of the users."""
        return Candidates(
            self.features[:, users], self.relevant[users], self.present[users],
            self.n_relevant[users],
        )  # fmt: skip


def collect_candidates(
    signal_scores: Sequence[Float32[NDArray[np.float32], "users items"]],
    seen: sp.csr_matrix,
    held_out: sp.csr_matrix,
    *,
    per_signal: int = PER_SIGNAL,
) -> Candidates:
    """The best unseen items of each signal, for each user, among those it says something about.

    Args:
        signal_scores: normalised scores of each signal.
        seen: what each user did something with, which is not ranked, [users, items].
        held_out: what is held out from each user.
        per_signal: items taken from each signal.
    """
    wanted = np.zeros(seen.shape, bool)
    for scores in signal_scores:
        best, values = best_of_rows(scores, min(per_signal, wanted.shape[1]), seen)
        user, place = np.nonzero(np.isfinite(values) & (values != 0.0))
        wanted[user, best[user, place]] = True
    asked = np.zeros(seen.shape, bool)
    asked[np.repeat(np.arange(len(asked)), np.diff(held_out.indptr)), held_out.indices] = True
    user, item = np.nonzero(wanted)
    count = wanted.sum(axis=1)
    place = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    shape = (len(wanted), int(count.max(initial=0)))
    features = np.zeros((len(signal_scores), *shape), np.float32)
    for feature, scores in zip(features, signal_scores, strict=True):
        feature[user, place] = scores[user, item]
    present, relevant = np.zeros(shape, bool), np.zeros(shape, bool)
    present[user, place] = True
    relevant[user, place] = asked[user, item]
    return Candidates(features, relevant, present, held_out.getnnz(axis=1).astype(np.int64))


def candidates_in_parts(
    score: Callable[[slice], Sequence[Float32[NDArray[np.float32], "users items"]]],
    signals: int,
    seen: sp.csr_matrix,
    held_out: sp.csr_matrix,
    *,
    per_signal: int = PER_SIGNAL,
) -> Candidates:
    """The same, with all items scored for some users at a time: only the candidates are kept.

    Args:
        score: normalised scores of each signal for some of the users.
        signals: how many they are.
        seen: what each user did something with, [users, items].
        held_out: what is held out from each.
        per_signal: items taken from each signal.
    """
    users, items = seen.shape
    step = max(1, SCORES_AT_ONCE // (items * signals))
    parts: list[Candidates] = []
    for begin in range(0, users, step):
        some = slice(begin, begin + step)
        candidates = collect_candidates(
            score(some), seen[some], held_out[some], per_signal=per_signal
        )
        parts.append(candidates)
    return join_candidates(parts)


def join_candidates(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several groups of users as those of one group."""
    width = max(part.present.shape[1] for part in parts)

    def padded(arrays: Sequence[NDArray[Any]], axis: int) -> NDArray[Any]:
        wide = [
            np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])])
            for array in arrays
        ]
        return np.concatenate(wide, axis=axis)

    return Candidates(
        padded([part.features for part in parts], 1),
        padded([part.relevant for part in parts], 0),
        padded([part.present for part in parts], 0),
        np.concatenate([part.n_relevant for part in parts]),
    )


def learn_weights(
    candidates: Candidates, names: Sequence[str], *, k: int = 20
) -> tuple[dict[str, float], float]:
    """λ by coordinate ascent on the mean NDCG@k of the validation users.

    The ascent is done on halves of the users, drawn twice, and λ is the mean of what the four give:
    each follows what its users happen to like, their mean less so (docs/decisions/0027). Where the
    best single signal is better for all users together, by more than the standard error of the
    difference, it is taken alone.

    Returns:
        λ by signal name, the largest 1, and the NDCG@k reached.

    Raises:
        TrainingError: there is no signal.
    """
    if not names:
        raise TrainingError(
            "no signal can be made of what is left when a part is held out: more users are needed "
            "who have an item in common"
        )
    halves = random_halves(len(candidates.n_relevant))
    mean = np.mean([_ascend(candidates.of_users(np.sort(half)), k) for half in halves], axis=0)
    trials = [*np.eye(len(names)), mean]
    ndcg = [
        ndcg_of_users(candidates, np.tensordot(tried.astype(np.float32), candidates.features, 1), k)
        for tried in trials
    ]
    single = int(np.argmax([values.mean() for values in ndcg[:-1]]))
    gain = ndcg[single] - ndcg[-1]
    best = single if gain.mean() > _standard_error(gain) else len(names)
    weights = trials[best] / trials[best].max()
    return dict(zip(names, map(float, weights), strict=True)), float(ndcg[best].mean())


def random_halves(users: int) -> list[Int64[NDArray[np.int64], " half"]]:
    """Two halves of so many users, drawn at random, and two more, each time the same.

    Of one user it is twice that one.
    """
    generator = np.random.default_rng(0)
    drawn = (np.array_split(generator.permutation(users), 2) for _ in range(2))
    return [half for halves in drawn for half in halves if len(half)]


def _ascend(candidates: Candidates, k: int) -> Float64[NDArray[np.float64], " signals"]:
    """λ by coordinate ascent, the largest 1.

    It starts from the best single signal and tries a few factors on one weight at a time, first
    far ones, then near ones, until none helps. A signal comes in only where it gains more than the
    standard error of what it gains, so that a few users cannot let noise in. NDCG is what counts
    and is flat nearly everywhere, which rules out gradients; there are only a handful of weights.
    """
    single = [ndcg_of_users(candidates, values, k) for values in candidates.features]
    first = int(np.argmax([ndcg.mean() for ndcg in single]))
    weights = np.zeros(len(single))
    weights[first] = 1.0
    best = single[first]
    for steps in _STEPS:
        for _ in range(_ROUNDS):
            before = best
            for signal in range(len(weights)):
                best = _improve(candidates, weights, signal, steps, best, k)
            if best is before:
                break
    return weights / weights.max()


def _improve(
    candidates: Candidates,
    weights: NDArray[np.float64],
    signal: int,
    steps: Sequence[float],
    best: Float64[NDArray[np.float64], " users"],
    k: int,
) -> Float64[NDArray[np.float64], " users"]:
    """Try the steps on one weight; changes `weights` in place and returns the best NDCG."""
    enters = weights[signal] == 0.0
    start = 0.25 * weights.max() if enters else weights[signal]
    others = weights.copy()
    others[signal] = 0.0
    # float32 on both sides: a float64 product would be twice as much to move.
    fixed = np.tensordot(others.astype(np.float32), candidates.features, axes=1)
    before = best
    for step in steps:
        if not (step or others.any()):
            continue
        trial = fixed + np.float32(start * step) * candidates.features[signal]
        ndcg = ndcg_of_users(candidates, trial, k)
        least = _standard_error(ndcg - before) if enters else 0.0
        if ndcg.mean() > best.mean() + _LEAST_GAIN and ndcg.mean() > before.mean() + least:
            best = ndcg
            weights[signal] = start * step
    return best


def _standard_error(values: Float64[NDArray[np.float64], " users"]) -> float:
    return float(values.std() / np.sqrt(len(values)))


def ndcg_of_users(
    candidates: Candidates, values: Float32[NDArray[np.float32], "users candidates"], k: int = 20
) -> Float64[NDArray[np.float64], " users"]:
    """NDCG@k of each user's candidates, ranked by some values."""
    hits = top_hits(candidates, values, k)
    k = hits.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.clip(candidates.n_relevant, 1, k) - 1]
    return (hits @ discount) / ideal


def top_hits(
    candidates: Candidates, values: Float32[NDArray[np.float32], "users candidates"], k: int
) -> Bool[NDArray[np.bool_], "users k"]:
    """Whether the candidate at each rank is relevant, ranked by some values."""
    return hits_of_rows(values, candidates.present, candidates.relevant, min(k, values.shape[1]))
