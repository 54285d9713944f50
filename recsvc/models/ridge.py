"""Ridge regression of what users did on what they did, with damped degrees, as a graph filter."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from pydantic import Field

from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models._spectral import (
    PASSES,
    FilterModel,
    chebyshev_series,
    filter_bytes,
    largest_singular_value,
    singular_vectors,
)
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    Told,
    TrainingData,
    require_evidence,
    untold,
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
_TOLERANCE = 0.02
"""Of a singular vector. The last ones found have nearly no weight: the line goes on from them."""
_SCORES_AT_ONCE = 8_000_000


class RidgeOptions(ModelOptions):
    """Options of the ridge regression."""

    l2: float | None = Field(default=None, ge=0.01, le=100.0)
    """λ: weight of the squared norm of the kernel, as a share of the largest eigenvalue. None: the
    best of 0.05, 0.2, 0.8 and 3.2 on a part of the evidence."""
    rank: int = Field(default=32, ge=1)
    """Singular vectors on which the filter is the regression's; below them it is a line."""
    user_exponent: float = Field(default=0.25, ge=0.0, le=1.0)
    """How much less each thing counts that a user with many of them did."""
    item_exponent: float = Field(default=0.25, ge=0.0, le=1.0)
    """How much less a popular item counts in the regression."""
    popularity: float | None = Field(default=None, ge=0.0, le=1.0)
    """How much more a popular item is as a candidate. None: the better one of 0 and 0.25."""


def memory_bytes(data: TrainingData, options: RidgeOptions) -> int:
    """Bytes of the normalised evidence, the singular vectors, and the blocks they come from."""
    return filter_bytes(data, options.rank)


def fit(data: TrainingData, options: RidgeOptions, run: FitRun) -> tuple[FilterModel, FitReport]:
    """Normalise the evidence and find its largest singular vectors. See `Fit`.

    K = D_I^-b [V (f(S) − s S) Vᵀ + s A] D_I^c,  A = ÑᵀÑ / σ²,  Ñ = N_U^-a E' D_I^-b

    with E' the evidence, each user's divided by its mean, N_U the number of items of a user, D_I
    the sums of E' by item, a, b and c the exponents, and σ the largest singular value of Ñ. The
    regression is f(A) with f(x) = x / (x + λ): (A + λI)^-1 A is the smallest
    ‖Ñ − ÑB‖² / σ² + λ‖B‖² (Jin et al. 2021, "Towards a better understanding of linear models for
    recommendation", §3); without EASE's zero diagonal, which changes nothing for items that the
    user does not have but for a factor of each item's own.

    Of the largest eigenvalues S of A, V are the eigenvectors, and on these the filter is f. On the
    others it is the line through 0 and the f of the smallest of S, s x. Small eigenvalues are where
    f is nearly a line, and where evidence is mostly noise. So what is left of items by items is
    two steps, which are never multiplied out, and a few vectors (docs/decisions/0025).

    How much regularisation is right differs by more than an order of magnitude between data sets.
    What the options leave open is what finds best, by NDCG@20, a fifth of the items of a sample of
    1,000 users.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    chosen = resolved(data, options, run.seed)
    spectrum = _Spectrum.of(data.evidence, chosen, run.seed, run.told)
    kernel = spectrum.kernel(chosen.l2 or _CHOICES["l2"][1], chosen.popularity or 0.0)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return FilterModel("ridge", kernel), report


@dataclass(frozen=True, slots=True, eq=False)
class _Spectrum:
    """The largest eigenvalues and eigenvectors of A.

    Attributes:
        matrix: Ñ / σ, float32.
        before: D_I^-b.
        degree: D_I.
        values: largest first.
        vectors: orthonormal columns.
    """

    matrix: sp.csr_matrix
    before: Float32[NDArray[np.float32], " items"]
    degree: Float64[NDArray[np.float64], " items"]
    values: Float64[NDArray[np.float64], " rank"]
    vectors: Float32[NDArray[np.float32], "items rank"]

    @classmethod
    def of(
        cls, evidence: sp.csr_matrix, options: RidgeOptions, seed: int, told: Told
    ) -> "_Spectrum":
        """Of normalised evidence."""
        scaled = _relative(evidence)
        count = np.diff(scaled.indptr).astype(np.float64)
        degree = degrees(scaled, 0)
        before = power(degree, -options.item_exponent)
        users = sp.diags(power(count, -options.user_exponent))
        matrix = sp.csr_matrix(users @ scaled @ sp.diags(before))
        matrix = sp.csr_matrix(matrix / largest_singular_value(matrix, seed), dtype=np.float32)
        vectors = singular_vectors(matrix, options.rank, seed, tolerance=_TOLERANCE, told=told)
        values = np.square(np.asarray(matrix @ vectors), dtype=np.float64).sum(axis=0)
        return cls(matrix, before.astype(np.float32), degree, values, vectors)

    def line(self, l2: float) -> float:
        """The slope s of the filter below the smallest of the eigenvalues."""
        return 1.0 / (float(self.values.min(initial=1.0)) + l2)

    def above_line(self, l2: float) -> Float32[NDArray[np.float32], " rank"]:
        """f(x) − s x of each eigenvalue."""
        return (self.values / (self.values + l2) - self.line(l2) * self.values).astype(np.float32)

    def kernel(self, l2: float, popularity: float) -> FilterKernel:
        """The kernel of one λ and one c."""
        after = power(self.degree, popularity).astype(np.float32)
        source = self.before[:, None] * self.vectors * self.above_line(l2)
        target = after[:, None] * self.vectors
        steps = (self.matrix, self.matrix.T.tocsr())
        line = chebyshev_series(0.0, self.line(l2))
        return FilterKernel(steps, line, self.before, after, source, target)


def resolved(
    data: TrainingData, options: RidgeOptions, seed: int, told: Told = untold
) -> RidgeOptions:
    """The options with what they leave open; where nobody has enough items, 0.2 and 0."""
    open_names = [name for name in _CHOICES if getattr(options, name) is None]
    if not open_names:
        return options
    evidence = data.evidence
    mask = hold_out(evidence, _HELD_OUT, minimum=_LEAST_ITEMS, seed=seed)
    if not mask.any():
        return options
    left, held_out = entries(evidence, ~mask), entries(evidence, mask)
    able = np.flatnonzero(np.diff(held_out.indptr))
    sample = np.random.default_rng(seed).permutation(able)[:_USERS]
    tried = [
        options.model_copy(update=dict(zip(open_names, values, strict=True)))
        for values in product(*(_CHOICES[name] for name in open_names))
    ]
    total = PASSES + len(sample)
    spectrum = _Spectrum.of(left, options, seed, lambda done, _passes: told(done, total))
    ndcg = np.zeros(len(tried))
    step = max(1, _SCORES_AT_ONCE // left.shape[1])
    for begin in range(0, len(sample), step):
        users = sample[begin : begin + step]
        told(PASSES + begin, total)
        ndcg += len(users) * _ndcg(spectrum, tried, left[users], held_out[users])
    return tried[int(np.argmax(ndcg))]


def _ndcg(
    spectrum: _Spectrum,
    tried: list[RidgeOptions],
    evidence: sp.csr_matrix,
    held_out: sp.csr_matrix,
) -> Float64[NDArray[np.float64], " tried"]:
    """NDCG@20 of each choice for some users. All are made of the same two steps and vectors.

    Args:
        spectrum: of what everybody has left.
        tried: the choices.
        evidence: of the users.
        held_out: what is to be found.
    """
    own = evidence @ sp.diags(spectrum.before)
    steps = ((own @ spectrum.matrix.T) @ spectrum.matrix).toarray()
    told = own @ spectrum.vectors
    by_choice: list[float] = []
    for one in tried:
        l2 = one.l2 or _CHOICES["l2"][1]
        scores = spectrum.line(l2) * steps + (told * spectrum.above_line(l2)) @ spectrum.vectors.T
        ranked = scores * power(spectrum.degree, one.popularity or 0.0)
        by_choice.append(
            mean_ndcg(lambda rows, _own, s=ranked: s[rows].astype(np.float32), evidence, held_out)
        )
    return np.array(by_choice)


def _relative(evidence: sp.csr_matrix) -> sp.csr_matrix:
    """Each user's evidence over its mean: who plays more is not worth more."""
    count = np.diff(evidence.indptr).astype(np.float64)
    mean = degrees(evidence, 1) * power(count, -1.0)
    return sp.csr_matrix(sp.diags(power(mean, -1.0)) @ evidence)
