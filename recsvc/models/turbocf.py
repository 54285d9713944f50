"""Turbo-CF: a polynomial graph filter, with no decomposition of a matrix."""

from time import perf_counter
from typing import Literal

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from recsvc.models._spectral import FilterModel, chebyshev_series, normalised
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    TrainingData,
    require_evidence,
)
from recsvc.signals.operator import FilterKernel

SEARCH = {
    "alpha": Range(0.0, 1.0),
    "power": Range(0.5, 1.5),
    "filter": ("linear", "second_order", "ideal"),
}

_FILTERS = {
    "linear": (0.0, 1.0),
    "second_order": (0.0, 2.0, -1.0),
    "ideal": (0.0, 0.71, 0.1, -0.01),
}


class TurboCFOptions(ModelOptions):
    """Options of Turbo-CF; the defaults are those of the authors' code."""

    alpha: float = Field(default=0.5, ge=0.0, le=1.0)
    """How much of the normalisation falls to the users; the items have the rest."""
    power: float = Field(default=1.0, gt=0.0, le=4.0)
    """s: each similarity of two items is raised to it; below 1 brings them closer together."""
    filter: Literal["linear", "second_order", "ideal"] = "linear"
    """p(P): `linear` is P, `second_order` is 2P - P², and `ideal` is 0.71 P + 0.1 P² - 0.01 P³,
    near an ideal low-pass filter. With all but the linear one, scores take much longer."""


def memory_bytes(data: TrainingData, options: TurboCFOptions) -> int:
    """Bytes of the similarities while they are made, at most one for each path between items."""
    users = np.diff(data.evidence.indptr).astype(np.int64)
    paths = data.evidence.T.astype(bool).astype(np.int64) @ users
    return 2 * 8 * int(np.minimum(paths, len(data.graph.items)).sum())


def fit(data: TrainingData, options: TurboCFOptions, run: FitRun) -> tuple[FilterModel, FitReport]:
    """Compute the similarities of the items. See `Fit`.

    K = p(P),  P_ji = (ÑᵀÑ)_ji^s,  Ñ = D_U^-α E D_I^(α-1)

    with D the sums of the evidence of users and of items (Park et al. 2024, "Turbo-CF: matrix
    decomposition-free graph filtering for fast recommendation").

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    matrix = normalised(data.evidence, options.alpha, 1.0 - options.alpha)
    similarity = sp.csr_matrix(matrix.T @ matrix)
    np.power(similarity.data, np.float32(options.power), out=similarity.data)
    ones = np.ones(similarity.shape[0], np.float32)
    nothing = np.zeros((similarity.shape[0], 0), np.float32)
    series = chebyshev_series(*_FILTERS[options.filter])
    kernel = FilterKernel((similarity,), series, ones, ones, nothing, nothing)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return FilterModel("turbocf", kernel), report
