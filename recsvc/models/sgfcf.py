"""SGFCF: singular vectors, smoothed more for some items than for others, and two steps."""

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.models._homophily import homophily
from recsvc.models._spectral import (
    FilterModel,
    chebyshev_series,
    filter_bytes,
    largest_singular_value,
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
from recsvc.signals.operator import FilterKernel, OperatorSignal

SEARCH = {
    "rank": Range(32, 512, logarithmic=True),
    "exponent": Range(0.2, 0.5),
    "beta": Range(0.3, 2.0),
    "beta_spread": Range(0.0, 3.0),
    "gamma": Range(0.02, 2.0, logarithmic=True),
}


class SGFCFOptions(ModelOptions):
    """Options of SGFCF; the defaults are near those of the authors for their dense data sets."""

    rank: int = Field(default=256, ge=1)
    """K: singular vectors; no more than the smaller of the numbers of users and items count."""
    exponent: float = Field(default=0.3, ge=0.0, le=1.0)
    """ε: how far degrees are divided out on both sides; below ½ the spectrum falls faster."""
    beta: float = Field(default=0.5, ge=0.0, le=20.0)
    """β of the node with the least homophily. With a larger β less is left of small singular
    values."""
    beta_spread: float = Field(default=1.0, ge=0.0, le=20.0)
    """How much larger β is of the node with the most homophily."""
    gamma: float = Field(default=1.0, ge=0.0, le=10.0)
    """Weight of the two steps beside the singular vectors."""
    own_filter: bool = False
    """Whether scores are those of the paper, with β and a balance of each user's own. They are not
    linear in what the user did, so a blend takes the kernel instead, which is the same without."""


def memory_bytes(data: TrainingData, options: SGFCFOptions) -> int:
    """Bytes of the normalised evidence, the singular vectors, and the blocks they come from."""
    return filter_bytes(data, options.rank)


@dataclass(frozen=True, slots=True, eq=False)
class OwnFilterModel:
    """SGFCF with a filter of each user's own.

        score(u, i) = Σ_k û_uk σ_k^(β_u) σ_k^(β_i) V_ik / r_u + γ (ÑÑᵀÑ)_ui / n_u

    with û the left singular vectors, and r_u and n_u the sums over all items of what they divide.
    β_u depends on which items the user has together, and r_u on all of them: so the score is not
    linear in them.

    Attributes:
        kernel: with the β and the balance that all users share.
        values: σ, singular values as shares of the largest.
        beyond: β_u less the β that all users share.
        gamma: γ.
    """

    kernel: FilterKernel
    values: Float64[NDArray[np.float64], " rank"]
    beyond: Float64[NDArray[np.float64], " users"]
    gamma: float

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "sgfcf"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`."""
        kernel = self.kernel
        own = np.asarray(evidence @ kernel.source) * self.values ** self.beyond[user_index, None]
        smooth = _shares(own.astype(np.float32) @ kernel.target.T)
        steps = replace(kernel, source=kernel.source[:, :0], target=kernel.target[:, :0])
        return np.asarray(smooth + self.gamma * _shares(steps.scores(evidence)), np.float32)

    def signal(self, items: IdMap) -> OperatorSignal:
        """See `FittedModel.signal`; of the filter that all users share."""
        return OperatorSignal("sgfcf", items, self.kernel)


def fit(
    data: TrainingData, options: SGFCFOptions, run: FitRun
) -> tuple[FilterModel | OwnFilterModel, FitReport]:
    """Find the largest singular vectors, and how much is shared with others. See `Fit`.

    K(j, i) = d_j^-ε [Σ_k V_jk σ_k^(β − 1 + β_i) V_ik + γ c (ÑᵀÑ)_ji]

    with Ñ = D_U^-ε E D_I^-ε, D the sums of the evidence of users and of items, σ its largest
    singular values as shares of the largest, and V the right singular vectors (Peng et al. 2024,
    "How powerful is graph filtering for recommendation", SGFCF: generalised normalisation and
    individualised filter). β_i goes from the smallest to the largest β as the homophily of item i
    does from the smallest to the largest: see `homophily`.

    In the paper users have a β_u too, and for each user both parts have the same sum over all
    items. Neither is linear in what the user did. The kernel has the mean of β_u for everybody,
    β, and a number c with which both parts have the same sum over all users and items.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    matrix = normalised(data.evidence, options.exponent, options.exponent)
    matrix = sp.csr_matrix(matrix / largest_singular_value(matrix, run.seed), dtype=np.float32)
    vectors = singular_vectors(matrix, options.rank, run.seed, told=run.told)
    values = np.linalg.norm(np.asarray(matrix @ vectors, np.float64), axis=0)
    of_users = _betas(data.evidence, options)
    shared = float(of_users[np.diff(data.evidence.indptr) > 0].mean())
    target = vectors * values ** _betas(sp.csr_matrix(data.evidence.T), options)[:, None]
    kernel = _kernel(data, options, matrix, vectors * values ** (shared - 1.0), target)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    if options.own_filter:
        return OwnFilterModel(kernel, values, of_users - shared, options.gamma), report
    return FilterModel("sgfcf", kernel), report


def _betas(evidence: sp.csr_matrix, options: SGFCFOptions) -> Float64[NDArray[np.float64], " rows"]:
    """β of each row, from the smallest to the largest as their homophily is."""
    share = homophily(evidence)
    share = share - share.min()
    return options.beta + options.beta_spread * share / max(share.max(), np.finfo(float).tiny)


def _kernel(
    data: TrainingData,
    options: SGFCFOptions,
    matrix: sp.csr_matrix,
    source: Float64[NDArray[np.float64], "items rank"],
    target: Float64[NDArray[np.float64], "items rank"],
) -> FilterKernel:
    """Both parts, balanced."""
    reached = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    of_vectors = float((reached @ source) @ target.sum(axis=0))
    of_steps = float((matrix @ reached) @ np.asarray(matrix.sum(axis=1)).ravel())
    before = power(degrees(data.evidence, 0), -options.exponent).astype(np.float32)
    return FilterKernel(
        (matrix, matrix.T.tocsr()),
        chebyshev_series(0.0, 1.0),
        before,
        np.full(len(before), options.gamma * of_vectors / of_steps, np.float32),
        before[:, None] * source.astype(np.float32),
        target.astype(np.float32),
    )


def _shares(
    scores: Float32[NDArray[np.float32], "n items"],
) -> Float32[NDArray[np.float32], "n items"]:
    """Each row divided by its sum; a row of zeros stays one."""
    total = scores.sum(axis=1, dtype=np.float64, keepdims=True)
    return (scores / np.where(total == 0.0, 1.0, total)).astype(np.float32)
