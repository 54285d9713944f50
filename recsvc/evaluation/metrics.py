"""Full ranking, metrics, and how sure they are."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.evaluation.exposure import coverage, gini, places_of

CUTS = (5, 10, 20, 50)
"""Lengths of the list at which the metrics are taken."""

USER_METRICS = ("recall", "ndcg", "hit_rate", "precision", "mrr", "map", "mar", "novelty")
"""Metrics that have a value for each user, and so an interval."""

_CHUNK_SCORES = 10_000_000  # scores held at once: a matrix product of fewer rows is slower
_CHUNK_COUNTS = 4_000_000  # bootstrap counts held at once

_Name = TypeVar("_Name")

ScoreFunction = Callable[
    [Int64[NDArray[np.int64], " n"], sp.csr_matrix], Float32[NDArray[np.float32], "n items"]
]
"""(rows of users, their evidence) → scores of all items; `FittedModel.scores` is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The best items of each user, best first.

    Attributes:
        user_index: rows of the users.
        items: rows of the items; -1 after the last one where fewer than k can be recommended.
        scores: their scores; -inf where there is no item.
    """

    user_index: Int64[NDArray[np.int64], " users"]
    items: Int64[NDArray[np.int64], "users k"]
    scores: Float32[NDArray[np.float32], "users k"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over users with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The metrics of one ranking.

    Attributes:
        user_index: the users that have something held out, the only ones that count.
        per_user: one value per user, by `metric@k`.
        estimates: their means and intervals, by the same names.
        coverage: share of all items that somebody was recommended, by k.
        gini: how unequally the places of the lists are spread over all items, by k.
    """

    user_index: Int64[NDArray[np.int64], " users"]
    per_user: Mapping[str, Float64[NDArray[np.float64], " users"]]
    estimates: Mapping[str, Estimate]
    coverage: Mapping[int, float]
    gini: Mapping[int, float]


def top_k(
    score: ScoreFunction,
    evidence: sp.csr_matrix,
    *,
    k: int = max(CUTS),
    user_index: Int64[NDArray[np.int64], " users"] | None = None,
    seen: sp.csr_matrix | None = None,
) -> Ranking:
    """Rank all items for each user, without those seen; ties go to the smaller item row.

    Args:
        score: scores of all items.
        evidence: what each user did, [users, items].
        k: length of the lists.
        user_index: for whom; all users if not given.
        seen: its stored entries are left out, [users, items]; `evidence` if not given.
    """
    users = np.arange(evidence.shape[0]) if user_index is None else user_index
    seen = evidence if seen is None else seen
    items = np.empty((len(users), k), np.int64)
    values = np.empty((len(users), k), np.float32)
    step = max(1, _CHUNK_SCORES // max(1, evidence.shape[1]))
    for begin in range(0, len(users), step):
        part = users[begin : begin + step]
        some = slice(begin, begin + step)
        items[some], values[some] = best_of_rows(score(part, evidence[part]), k, seen[part])
    return Ranking(users, items, values)


def best_of_rows(
    scores: Float32[NDArray[np.float32], "n columns"], k: int, left_out: sp.csr_matrix | None = None
) -> tuple[Int64[NDArray[np.int64], "n k"], Float32[NDArray[np.float32], "n k"]]:
    """Columns of the k largest scores of each row, best first, and these scores.

    Ties go to the smaller column. Where fewer than k are left, columns are -1 and scores -inf; NaN
    and -inf are never chosen.

    Args:
        scores: a row for each user.
        k: how many.
        left_out: its stored entries are not chosen, [n, columns].
    """
    # Compiled code takes a moment to import, and the service imports this module.
    from recsvc.evaluation._top_k import select_best

    rows = np.arange(len(scores))
    items = np.full((len(scores), k), -1)
    values = np.full((len(scores), k), -np.inf, np.float32)
    if not k:
        return items, values
    seen = sp.csr_matrix(scores.shape) if left_out is None else left_out.sorted_indices()
    threads = os.cpu_count() or 1
    arrays = (np.ascontiguousarray(scores, np.float32), rows, items, values)
    shares = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    # Threads of our own and not numba's, which would change how many torch uses.
    with ThreadPoolExecutor(threads) as pool:
        done = [
            pool.submit(select_best, chunk, own, seen.indptr, seen.indices, best, best_values)
            for chunk, own, best, best_values in shares
        ]
        for share in done:
            share.result()
    return items, values


def hits_of_rows(
    scores: Float32[NDArray[np.float32], "n columns"],
    there: Bool[NDArray[np.bool_], "n columns"],
    relevant: Bool[NDArray[np.bool_], "n columns"],
    k: int,
) -> Bool[NDArray[np.bool_], "n k"]:
    """Whether the column at each rank is relevant. Ties go to the smaller column.

    Args:
        scores: a row for each user.
        there: which columns are ranked.
        relevant: which are to be found.
        k: how many ranks.
    """
    from recsvc.evaluation._top_k import mark_hits

    hits = np.zeros((len(scores), k), bool)
    mark_hits(scores, there, relevant, hits)
    return hits


def evaluate(
    ranking: Ranking,
    held_out: sp.csr_matrix,
    train: sp.csr_matrix,
    *,
    cuts: tuple[int, ...] = CUTS,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare a ranking with what was held out.

    With T the held-out items of a user, r_1, r_2, … the ranked items and h_n = 1 where r_n ∈ T:

    - recall@k = Σ_{n≤k} h_n / |T|
    - precision@k = Σ_{n≤k} h_n / k
    - hit_rate@k = 1 where recall@k > 0
    - ndcg@k = Σ_{n≤k} h_n / log2(n + 1), divided by the same sum over the first min(k, |T|) ranks
    - mrr@k = 1 / rank of the first hit, 0 where it is past k
    - map@k = Σ_{n≤k} h_n · precision@n / min(k, |T|)
    - mar@k = Σ_{n≤k} h_n · precision@n / |T|, mean average recall as the package recmetrics
      computes it (`mark`): average precision over all that is to be found (Manning et al. 2008,
      "Introduction to information retrieval", §8.4), cut at k. It is never above recall@k, and
      equal to it where the hits come first
    - novelty@k = mean over the k items of -log2 p(i), where p(i) is the share of users who have i
      in `train` (an item nobody has counts as one that one user has)
    - coverage@k = share of all items that are in the list of at least one of these users
    - gini@k = the Gini coefficient of how many of these lists each item is in

    These are the definitions of He et al. 2020, "LightGCN", §4.1, for recall and ndcg: a user
    without held-out items is left out, not counted as 0.

    Args:
        ranking: lists of at least `max(cuts)` items; its users may be in any order.
        held_out: its stored entries are the answers, [users, items].
        train: what the model was fitted on, for novelty, [users, items].
        cuts: the k.
        resamples: bootstrap samples behind an interval.
        seed: of the bootstrap.

    Raises:
        ValueError: the lists are shorter than the largest cut, or nobody has held-out items.
    """
    if ranking.items.shape[1] < max(cuts):
        raise ValueError(f"lists of {ranking.items.shape[1]} items, expected {max(cuts)} or more")
    counted = np.diff(held_out.indptr)[ranking.user_index] > 0
    users, items = ranking.user_index[counted], ranking.items[counted]
    if not len(users):
        raise ValueError("none of the ranked users has a held-out item: nothing to evaluate")
    answers = np.diff(held_out.indptr)[users]
    hits = is_held_out(users, items, held_out)
    information = _self_information(train)
    per_user: dict[str, Float64[NDArray[np.float64], " users"]] = {}
    for k in cuts:
        values = accuracy(hits[:, :k], answers) | {"novelty": _novelty(items[:, :k], information)}
        per_user |= {f"{name}@{k}": values[name] for name in USER_METRICS}
    places = {k: places_of(items[:, :k], held_out.shape[1]) for k in cuts}
    return Evaluation(
        users,
        per_user,
        bootstrap(per_user, resamples, seed),
        {k: coverage(held) for k, held in places.items()},
        {k: gini(np.sort(held)) for k, held in places.items()},
    )


def mean_ndcg(
    score: ScoreFunction, evidence: sp.csr_matrix, held_out: sp.csr_matrix, k: int = 20
) -> float:
    """Mean NDCG@k of the users with held-out items, without intervals: what training watches."""
    users = np.flatnonzero(np.diff(held_out.indptr))
    ranking = top_k(score, evidence, k=k, user_index=users)
    hits = is_held_out(users, ranking.items, held_out)
    return float(accuracy(hits, np.diff(held_out.indptr)[users])["ndcg"].mean())


def paired_difference(
    a: Evaluation, b: Evaluation, *, resamples: int = 1000, seed: int = 0
) -> Mapping[str, Estimate]:
    """By how much `a` is above `b`, by metric, over the users of both.

    Both are resampled together: a user that is easy for one is easy for the other, so the
    interval of the difference is much narrower than the two intervals side by side. An interval
    that does not hold 0 is a significant difference at 5%.

    Raises:
        ValueError: the evaluations are of different users or have no metric in common.
    """
    if not np.array_equal(a.user_index, b.user_index):
        raise ValueError("the evaluations are of different users: rank the same users for both")
    shared = [name for name in a.per_user if name in b.per_user]
    if not shared:
        raise ValueError("the evaluations have no metric in common: take the same cuts for both")
    return bootstrap({n: a.per_user[n] - b.per_user[n] for n in shared}, resamples, seed)


def bootstrap(
    per_user: Mapping[_Name, Float64[NDArray[np.float64], " users"]], resamples: int, seed: int
) -> Mapping[_Name, Estimate]:
    """Mean and 95% percentile interval of each column, all from the same resampled users."""
    values = np.stack(list(per_user.values()), axis=1)
    users = len(values)
    generator = np.random.default_rng(seed)
    means: list[Float64[NDArray[np.float64], "samples metrics"]] = []
    step = max(1, _CHUNK_COUNTS // users)
    for begin in range(0, resamples, step):
        count = np.empty((min(step, resamples - begin), users))
        for sample in count:
            sample[:] = np.bincount(generator.integers(users, size=users), minlength=users)
        means.append(count @ values / users)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975], axis=0)
    return {
        name: Estimate(float(mean), float(low[column]), float(high[column]))
        for column, (name, mean) in enumerate(zip(per_user, values.mean(axis=0), strict=True))
    }


def accuracy(
    hits: Bool[NDArray[np.bool_], "users k"], answers: NDArray[np.integer]
) -> dict[str, Float64[NDArray[np.float64], " users"]]:
    """The accuracy metrics of `evaluate` at the width of `hits`.

    Args:
        hits: whether the item at each rank was held out.
        answers: number of held-out items of each user, above 0.
    """
    k = hits.shape[1]
    rank = np.arange(1, k + 1)
    discount = 1.0 / np.log2(rank + 1)
    possible = np.minimum(answers, k)
    count = hits.sum(axis=1)
    precision_at_hits = (hits * np.cumsum(hits, axis=1) / rank).sum(axis=1)
    return {
        "recall": count / answers,
        "precision": count / k,
        "hit_rate": (count > 0).astype(np.float64),
        "ndcg": hits @ discount / np.cumsum(discount)[possible - 1],
        "mrr": (hits / rank).max(axis=1),
        "map": precision_at_hits / possible,
        "mar": precision_at_hits / answers,
    }


def is_held_out(
    users: Int64[NDArray[np.int64], " users"],
    items: Int64[NDArray[np.int64], "users k"],
    held_out: sp.csr_matrix,
) -> Bool[NDArray[np.bool_], "users k"]:
    """Whether each ranked item was held out for its user."""
    width = held_out.shape[1]
    rows = np.repeat(np.arange(held_out.shape[0]), np.diff(held_out.indptr))
    answers = np.sort(rows * width + held_out.indices)
    keys = users[:, None] * width + items
    place = np.searchsorted(answers, keys.ravel()).clip(max=len(answers) - 1).reshape(keys.shape)
    return (answers[place] == keys) & (items >= 0)


def _self_information(train: sp.csr_matrix) -> Float64[NDArray[np.float64], " items"]:
    owners = np.bincount(train.indices, minlength=train.shape[1])
    return np.log2(train.shape[0]) - np.log2(np.maximum(owners, 1))


def _novelty(
    items: Int64[NDArray[np.int64], "users k"], information: Float64[NDArray[np.float64], " items"]
) -> Float64[NDArray[np.float64], " users"]:
    present = items >= 0
    total = np.where(present, information[items], 0.0).sum(axis=1)
    return total / np.maximum(present.sum(axis=1), 1)
