"""How the numbers of many nodes are spread."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from recsvc.evaluation.exposure import gini

_CURVE_POINTS = 100


@dataclass(frozen=True, slots=True)
class Distribution:
    """One number for each of many nodes.

    Attributes:
        nodes: how many nodes.
        lowest: smallest number.
        median: half of the nodes have at most this.
        mean: arithmetic mean.
        p90: 90% of the nodes have at most this.
        p99: 99% of the nodes have at most this.
        highest: largest number.
        gini: how unequal they are: 0 where all are equal, towards 1 where one node has all.
        curve: (number from 1 on, share of the nodes that have at least it), ascending; at most
            100 points, evenly spaced on a logarithmic scale.
    """

    nodes: int
    lowest: int
    median: float
    mean: float
    p90: float
    p99: float
    highest: int
    gini: float
    curve: tuple[tuple[int, float], ...]


def distribution(numbers: Int64[NDArray[np.int64], " nodes"]) -> Distribution | None:
    """Describe numbers that are 0 or more; None where there are none."""
    if not len(numbers):
        return None
    ascending = np.sort(numbers)
    median, p90, p99 = np.quantile(ascending, [0.5, 0.9, 0.99]).tolist()
    return Distribution(
        nodes=len(ascending),
        lowest=int(ascending[0]),
        median=median,
        mean=float(ascending.mean()),
        p90=p90,
        p99=p99,
        highest=int(ascending[-1]),
        gini=gini(ascending),
        curve=_curve(ascending),
    )


def _curve(ascending: Int64[NDArray[np.int64], " nodes"]) -> tuple[tuple[int, float], ...]:
    points = np.unique(ascending[ascending > 0])
    if len(points) > _CURVE_POINTS:
        wanted = np.geomspace(points[0], points[-1], _CURVE_POINTS)
        nearest = np.minimum(np.searchsorted(points, wanted), len(points) - 1)
        points = points[np.unique(nearest)]
    share = 1.0 - np.searchsorted(ascending, points) / len(ascending)
    return tuple(zip(points.tolist(), share.tolist(), strict=True))
