"""GF-CF: a linear graph filter and an ideal low-pass filter."""

from time import perf_counter

import numpy as np
from pydantic import Field

from recsvc.models._spectral import (
    FilterModel,
    chebyshev_series,
    filter_bytes,
    normalised,
    singular_vectors,
)
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    TrainingData,
    require_evidence,
)
from recsvc.signals.degrees import degrees, power
from recsvc.signals.operator import FilterKernel

SEARCH = {"alpha": Range(0.0, 1.0), "rank": Range(32, 512, logarithmic=True)}


class GFCFOptions(ModelOptions):
    """Options of GF-CF; the defaults are those of the authors' code."""

    alpha: float = Field(default=0.3, ge=0.0, le=10.0)
    """Weight of the ideal low-pass filter beside the linear one."""
    rank: int = Field(default=256, ge=1)
    """Singular vectors that the ideal low-pass filter lets through; no more than the smaller of
    the numbers of users and items count."""


def memory_bytes(data: TrainingData, options: GFCFOptions) -> int:
    """Bytes of the normalised evidence, the singular vectors, and the blocks they come from."""
    return filter_bytes(data, options.rank)


def fit(data: TrainingData, options: GFCFOptions, run: FitRun) -> tuple[FilterModel, FitReport]:
    """Normalise the evidence and find its largest singular vectors. See `Fit`.

    K = ÑᵀÑ + α · D_I^-½ V Vᵀ D_I^½

    with Ñ = D_U^-½ E D_I^-½, D the sums of the evidence of users and of items, and V the right
    singular vectors of the largest singular values of Ñ (Shen et al. 2021, "How powerful is graph
    convolution for recommendation?", GF-CF).

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    matrix = normalised(data.evidence, 0.5, 0.5)
    items = degrees(data.evidence, 0)
    vectors = singular_vectors(matrix, options.rank, run.seed, told=run.told)
    ones = np.ones(len(items), np.float32)
    kernel = FilterKernel(
        (matrix, matrix.T.tocsr()),
        chebyshev_series(0.0, 1.0),
        ones,
        ones,
        (options.alpha * power(items, -0.5)[:, None] * vectors).astype(np.float32),
        (power(items, 0.5)[:, None] * vectors).astype(np.float32),
    )
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return FilterModel("gfcf", kernel), report
