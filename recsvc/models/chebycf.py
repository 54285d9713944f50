"""ChebyCF: a flat graph filter by Chebyshev interpolation, and an ideal low-pass filter."""

from time import perf_counter

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from pydantic import Field

from recsvc.models._spectral import (
    FilterModel,
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

SEARCH = {
    "flatness": Range(0.5, 30.0, logarithmic=True),
    "rank": Range(32, 512, logarithmic=True),
    "alpha": Range(0.0, 1.0),
    "beta": Range(0.0, 0.6),
}


class ChebyCFOptions(ModelOptions):
    """Options of ChebyCF; the defaults are the example of the authors' code."""

    order: int = Field(default=8, ge=1, le=64)
    """K, the degree of the polynomial; a user's scores take about as many products with the
    evidence as two times that."""
    flatness: float = Field(default=15.0, gt=0.0, le=1000.0)
    """φ: how flat the filter is in the middle of the spectrum; 1 is a straight line."""
    rank: int = Field(default=256, ge=0)
    """η: singular vectors that the ideal low-pass filter lets through; no more than the smaller of
    the numbers of users and items count."""
    alpha: float = Field(default=0.1, ge=0.0, le=10.0)
    """Weight of the ideal low-pass filter beside the polynomial."""
    beta: float = Field(default=0.2, ge=0.0, le=2.0)
    """How much less a popular item says as evidence, and how much more it is as a candidate."""


def memory_bytes(data: TrainingData, options: ChebyCFOptions) -> int:
    """Bytes of the normalised evidence, the singular vectors, and the blocks they come from."""
    return filter_bytes(data, options.rank)


def fit(data: TrainingData, options: ChebyCFOptions, run: FitRun) -> tuple[FilterModel, FitReport]:
    """Normalise the evidence, find its largest singular vectors, interpolate. See `Fit`.

    K = D_I^-β (p(ÑᵀÑ) + α V Vᵀ) D_I^β

    with Ñ = D_U^-½ E D_I^-½, D the sums of the evidence of users and of items, V the right
    singular vectors of the η largest singular values of Ñ, and p near 1 at the low frequencies,
    near 0 at the high ones, and ½ between (Kim et al. 2025, "Graph spectral filtering with
    Chebyshev interpolation for recommendation").

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    matrix = normalised(data.evidence, 0.5, 0.5)
    items = degrees(data.evidence, 0)
    vectors = np.zeros((len(items), 0), np.float32)
    if options.rank > 0 and options.alpha > 0.0:
        vectors = singular_vectors(matrix, options.rank, run.seed, told=run.told)
    before = power(items, -options.beta).astype(np.float32)
    after = power(items, options.beta).astype(np.float32)
    kernel = FilterKernel(
        (matrix, matrix.T.tocsr()),
        plateau_series(options.order, options.flatness),
        before,
        after,
        np.float32(options.alpha) * before[:, None] * vectors,
        after[:, None] * vectors,
    )
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return FilterModel("chebycf", kernel), report


def plateau_series(order: int, flatness: float) -> Float64[NDArray[np.float64], " terms"]:
    """The Chebyshev series of p on [0, 1], without terms of 0 at its end.

    With x = 2λ − 1 for an eigenvalue λ of ÑᵀÑ, so that x = 1 is the lowest frequency, the filter
    has the values h(x) = ½ (1 + sign(x) |x|^φ). As in the authors' code, the values are taken at
    the extrema t_k = cos(kπ / K) of T_K and given to the roots x_k = cos((k + ½)π / (K + 1)) of
    T_(K+1), so the filter is a little wider than h. Then

        c_j = (2 − [j = 0]) / (K + 1) · Σ_k h(t_k) T_j(x_k).
    """
    k = np.arange(order + 1)
    extrema = np.cos(k * np.pi / order).round(12)  # the middle one is 0
    values = 0.5 + 0.5 * np.sign(extrema) * np.abs(extrema) ** flatness
    bases = np.cos(np.outer(k, (k + 0.5) * np.pi / (order + 1)))
    series = 2.0 / (order + 1) * bases @ values
    series[0] /= 2.0
    # h − ½ is odd, and so is its polynomial: an even order ends in a 0, which would cost a product.
    terms = int(np.flatnonzero(np.abs(series) > 1e-12)[-1]) + 1
    return series[: max(terms, 2)]
