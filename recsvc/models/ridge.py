"""Ridge regression of what users did on what they did, with damped degrees, as a graph filter."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, product
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray
from pydantic import Field

from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models._spectral import FilterModel
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
    "l2": Range(0.02, 4.0, logarithmic=True),
    "user_exponent": Range(0.0, 0.5),
    "item_exponent": Range(0.0, 0.5),
    "popularity": Range(0.0, 0.5),
}

_CHOICES: Mapping[str, tuple[float, ...]] = {
    "l2": (0.05, 0.2, 0.8, 3.2),
    "popularity": (0.0, 0.25),
}
_HELD_OUT, _LEAST_ITEMS, _USERS = 0.2, 5, 1000
_ERROR, _ERROR_OF_CHOICE = 1e-6, 1e-3
_PASSES = 300
_SCORES_AT_ONCE = 8_000_000


class RidgeOptions(ModelOptions):
    """Options of the ridge regression."""

    l2: float | None = Field(default=None, ge=0.01, le=100.0)
    """λ: weight of the squared norm of the kernel, as a share of the largest eigenvalue. None: the
    best of 0.05, 0.2, 0.8 and 3.2 on a part of the evidence."""
    user_exponent: float = Field(default=0.25, ge=0.0, le=1.0)
    """How much less each thing counts that a user with many of them did."""
    item_exponent: float = Field(default=0.25, ge=0.0, le=1.0)
    """How much less a popular item counts in the regression."""
    popularity: float | None = Field(default=None, ge=0.0, le=1.0)
    """How much more a popular item is as a candidate. None: the better one of 0 and 0.25."""


def memory_bytes(data: TrainingData, options: RidgeOptions) -> int:
    """Bytes of the normalised evidence, both ways round, in two precisions while it is made."""
    return 5 * 8 * data.evidence.nnz


def fit(data: TrainingData, options: RidgeOptions, run: FitRun) -> tuple[FilterModel, FitReport]:
    """Normalise the evidence and expand the filter. See `Fit`.

    K = D_I^-b (A + λI)^-1 A D_I^c,  A = ÑᵀÑ / σ²,  Ñ = N_U^-a E' D_I^-b

    with E' the evidence, each user's divided by its mean, N_U the number of items of a user, D_I
    the sums of E' by item, a, b and c the exponents, and σ the largest singular value of Ñ.
    (A + λI)^-1 A is the smallest ‖Ñ − ÑB‖² / σ² + λ‖B‖² (Jin et al. 2021, "Towards a better
    understanding of linear models for recommendation", §3); without EASE's zero diagonal, which
    changes nothing for items that the user does not have but for a factor of each item's own.

    It is a filter that rises with the eigenvalue and levels off, so it is kept as a Chebyshev
    series that is within about 1e-6 of it, and no matrix of items by items is made or inverted.

    How much regularisation is right differs by more than an order of magnitude between data sets.
    What the options leave open is what finds best, by NDCG@20, a fifth of the items of a sample of
    1,000 users.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    kernel = _kernel(data.evidence, resolved(data, options, run.seed), run.seed)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return FilterModel("ridge", kernel), report


def _kernel(evidence: sp.csr_matrix, options: RidgeOptions, seed: int) -> FilterKernel:
    """The filter of options that leave nothing open."""
    scaled = _relative(evidence)
    count = np.diff(scaled.indptr).astype(np.float64)
    items = degrees(scaled, 0)
    users = sp.diags(power(count, -options.user_exponent))
    matrix = sp.csr_matrix(users @ scaled @ sp.diags(power(items, -options.item_exponent)))
    matrix = sp.csr_matrix(matrix / _largest_singular_value(matrix, seed), dtype=np.float32)
    none = np.zeros((len(items), 0), np.float32)
    return FilterKernel(
        (matrix, matrix.T.tocsr()),
        ridge_series(options.l2 or _CHOICES["l2"][1]),
        power(items, -options.item_exponent).astype(np.float32),
        power(items, options.popularity or 0.0).astype(np.float32),
        none,
        none,
    )


def resolved(data: TrainingData, options: RidgeOptions, seed: int) -> RidgeOptions:
    """The options with what they leave open; where nobody has enough items, 0.2 and 0."""
    open_names = [name for name in _CHOICES if getattr(options, name) is None]
    if not open_names:
        return options
    evidence = data.evidence
    mask = hold_out(evidence, _HELD_OUT, minimum=_LEAST_ITEMS, seed=seed)
    if not mask.any():
        return options
    kept, held_out = entries(evidence, ~mask), entries(evidence, mask)
    able = np.flatnonzero(np.diff(held_out.indptr))
    sample = np.random.default_rng(seed).permutation(able)[:_USERS]
    tried = [
        options.model_copy(update=dict(zip(open_names, values, strict=True)))
        for values in product(*(_CHOICES[name] for name in open_names))
    ]
    plain = _kernel(kept, options.model_copy(update={"popularity": 0.0}), seed)
    items, ndcg = degrees(_relative(kept), 0), np.zeros(len(tried))
    step = max(1, _SCORES_AT_ONCE // len(items))
    for begin in range(0, len(sample), step):
        users = sample[begin : begin + step]
        ndcg += len(users) * _ndcg(plain, items, tried, kept[users], held_out[users])
    return tried[int(np.argmax(ndcg))]


def _ndcg(
    plain: FilterKernel,
    items: Float64[NDArray[np.float64], " items"],
    tried: Sequence[RidgeOptions],
    evidence: sp.csr_matrix,
    held_out: sp.csr_matrix,
) -> Float64[NDArray[np.float64], " tried"]:
    """NDCG@20 of each choice for some users. Where λ is the same the filter runs once.

    A coarse series will do: of the first 20 items it changes one in 200.

    Args:
        plain: the kernel with popularity 0.
        items: D_I.
        tried: the choices, those with the same λ together.
        evidence: of the users.
        held_out: what is to be found.
    """
    found: list[float] = []
    for l2, alike in groupby(tried, key=lambda one: one.l2 or _CHOICES["l2"][1]):
        series = ridge_series(l2, _ERROR_OF_CHOICE)
        scores = replace(plain, coefficients=series).scores(evidence)
        for one in alike:
            ranked = scores * power(items, one.popularity or 0.0).astype(np.float32)
            found.append(mean_ndcg(lambda rows, _own, s=ranked: s[rows], evidence, held_out))
    return np.array(found)


def ridge_series(l2: float, error: float = _ERROR) -> Float64[NDArray[np.float64], " terms"]:
    """X / (x + λ) on [0, 1] as a Chebyshev series, within about `error`.

    The pole at -λ bounds the error of degree n by a multiple of ρ^-n, with ρ = z + √(z² − 1) and
    z = 1 + 2λ (Trefethen 2013, "Approximation theory and approximation practice", theorem 8.2).
    """
    z = 1.0 + 2.0 * l2
    degree = int(np.ceil(np.log(1.0 / error) / np.log(z + np.sqrt(z * z - 1.0))))
    series = Chebyshev.interpolate(lambda x: x / (x + l2), max(degree, 2), domain=[0.0, 1.0])
    return np.asarray(series.coef, np.float64)


def _relative(evidence: sp.csr_matrix) -> sp.csr_matrix:
    """Each user's evidence over its mean: who plays more is not worth more."""
    count = np.diff(evidence.indptr).astype(np.float64)
    mean = degrees(evidence, 1) * power(count, -1.0)
    return sp.csr_matrix(sp.diags(power(mean, -1.0)) @ evidence)


def _largest_singular_value(matrix: sp.csr_matrix, seed: int) -> float:
    """By power iteration, from below: entries are not negative, so the first vector is not."""
    vector = np.random.default_rng(seed).random(matrix.shape[1]) + 0.5
    value = 0.0
    for _ in range(_PASSES):
        vector = matrix.T @ (matrix @ (vector / np.linalg.norm(vector)))
        before, value = value, float(np.linalg.norm(vector))
        if value - before <= _ERROR * value:
            break
    return float(np.sqrt(value))
