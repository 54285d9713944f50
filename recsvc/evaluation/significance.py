"""Which of several models is better: paired tests of every two, corrected for their number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from scipy import stats

from recsvc.evaluation.metrics import Estimate, Evaluation, bootstrap

LEVEL = 0.05
"""A corrected p below it is called significant."""

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models by one metric, over the same users.

    Attributes:
        first: name of a model.
        second: name of another one.
        metric: such as `ndcg@20`.
        difference: by how much the first is above the second, with its own 95% interval.
        p: of the paired t-test, both sides.
        corrected: p by Holm, for all comparisons that were made together.
    """

    first: str
    second: str
    metric: str
    difference: Estimate
    p: float
    corrected: float

    @property
    def significant(self) -> bool:
        """Whether the corrected p is below `LEVEL`."""
        return self.corrected < LEVEL


def compare(evaluations: Mapping[str, Evaluation], metrics: Sequence[str]) -> list[Comparison]:
    """Compare every two models by each metric.

    Each comparison is a paired t-test over users, which Urbano, Lima & Hanjalic 2019, "Statistical
    significance testing in information retrieval: an empirical analysis of type I, type II and
    type III errors", recommend for means of such metrics. `corrected` makes the chance that
    any of all these comparisons is called significant where the two are alike at most `LEVEL`.

    Args:
        evaluations: by model, of the same users.
        metrics: names in `per_user`.

    Raises:
        ValueError: the evaluations are of different users.
    """
    first, *others = evaluations.values()
    if not all(np.array_equal(first.user_index, other.user_index) for other in others):
        raise ValueError("the evaluations are of different users: rank the same users for all")
    apart = {
        (name, other, metric): evaluation.per_user[metric] - against.per_user[metric]
        for (name, evaluation), (other, against) in combinations(evaluations.items(), 2)
        for metric in metrics
    }
    if not apart:
        return []
    estimates = bootstrap(apart, _RESAMPLES, seed=0)
    p = np.array([paired_p(difference) for difference in apart.values()])
    return [
        Comparison(*names, estimates[names], own, corrected)
        for names, own, corrected in zip(apart, p.tolist(), holm(p).tolist(), strict=True)
    ]


def paired_p(difference: Float64[NDArray[np.float64], " users"]) -> float:
    """Probability of a mean as far from 0 or farther, were it 0: a t-test, both sides.

    It is 1 where all differences are 0, and where one user cannot tell.
    """
    if len(difference) < 2 or not difference.any():
        return 1.0
    if np.ptp(difference) == 0.0:
        return 0.0
    return float(stats.ttest_1samp(difference, 0.0).pvalue)


def holm(p: Float64[NDArray[np.float64], " n"]) -> Float64[NDArray[np.float64], " n"]:
    """p-values corrected for their number, so that LEVEL holds for all of them together.

    The i-th smallest of n becomes max_{j ≤ i} min(1, (n − j + 1) · p_(j)): Holm 1979, "A simple
    sequentially rejective multiple test procedure". Nothing is asked of how they depend on each
    other.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, np.arange(len(p), 0, -1) * p[order])
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(stepped)
    return corrected
