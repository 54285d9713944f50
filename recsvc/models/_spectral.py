"""What graph filters share: normalised evidence, its largest singular vectors, the fitted form."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray
from scipy import linalg

from loaders.types import IdMap
from recsvc.models.base import Told, TrainingData, untold
from recsvc.signals.degrees import degrees, power
from recsvc.signals.operator import FilterKernel, OperatorSignal

_OVERSAMPLING = 0.25
_COLUMNS_AT_ONCE = 32
_LARGEST_GROWTH = 1e6
_MOST_PASSES = 50
_SMALLEST_EIGENVALUE = 1e-6
_POWER_ERROR, _MOST_POWERS = 1e-6, 300
PASSES = 100
"""What the search for singular vectors is in `Told`."""


@dataclass(frozen=True, slots=True, eq=False)
class FilterModel:
    """A graph filter; the models differ in how its kernel is made.

    Attributes:
        name: the name in `MODELS`.
        kernel: K(j, i).
    """

    name: str
    kernel: FilterKernel

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · K(j, i)."""
        return self.kernel.scores(evidence)

    def signal(self, items: IdMap) -> OperatorSignal:
        """See `FittedModel.signal`."""
        return OperatorSignal(self.name, items, self.kernel)


def chebyshev_series(*powers: float) -> Float64[NDArray[np.float64], " terms"]:
    """The polynomial with these coefficients, of λ^0 first, as a Chebyshev series on [0, 1]."""
    series = Polynomial(powers).convert(kind=Chebyshev, domain=[0.0, 1.0])
    return np.asarray(series.coef, np.float64)


def normalised(
    evidence: sp.csr_matrix, user_exponent: float, item_exponent: float
) -> sp.csr_matrix:
    """D_U^-a · E · D_I^-b, float32 [users, items].

    With a + b = 1 and a = b no singular value is above 1.
    """
    users = sp.diags(power(degrees(evidence, 1), -user_exponent))
    items = sp.diags(power(degrees(evidence, 0), -item_exponent))
    return sp.csr_matrix(users @ evidence @ items, dtype=np.float32)


def largest_singular_value(matrix: sp.csr_matrix, seed: int) -> float:
    """By power iteration, from below: entries are not negative, so the first vector is not."""
    vector = np.random.default_rng(seed).random(matrix.shape[1]) + 0.5
    value = 0.0
    for _ in range(_MOST_POWERS):
        vector = matrix.T @ (matrix @ (vector / np.linalg.norm(vector)))
        before, value = value, float(np.linalg.norm(vector))
        if value - before <= _POWER_ERROR * value:
            break
    return float(np.sqrt(value))


def singular_vectors(
    matrix: sp.csr_matrix, rank: int, seed: int, *, tolerance: float = 1e-3, told: Told = untold
) -> Float32[NDArray[np.float32], "columns rank"]:
    """Right singular vectors of the `rank` largest singular values, none of which is above 1.

    A matrix whose smaller side is not much above the rank is decomposed whole. Otherwise
    subspace iteration with a Chebyshev filter (Zhou et al. 2006, "Self-consistent-field
    calculations using Chebyshev-filtered subspace iteration"): a random block, wider than
    the rank by a quarter, is multiplied by T_m(2A/c − I) with A = M·Mᵀ and c its smallest Ritz
    value, which lets what is above c grow and nothing else, and is made orthonormal again. It
    ends when no wanted vector has a residual ‖Ax − λx‖ above the tolerance. The products take
    nearly all of the time; Lanczos would spend it on orthogonal vectors one at a time.

    Args:
        matrix: M.
        rank: how many.
        seed: of the first block.
        tolerance: largest residual.
        told: how far the residual has come, of `PASSES` in all.

    Returns:
        Orthonormal columns, largest first; fewer where the matrix itself has a smaller rank.
    """
    short = matrix if matrix.shape[0] <= matrix.shape[1] else sp.csr_matrix(matrix.T)
    rank = min(rank, short.shape[0])
    width = _width(rank)
    if short.shape[0] <= 2 * width:
        gram = (short @ short.T).toarray().astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank].astype(np.float32)
    else:
        values, vectors = _largest(short, rank, width, np.random.default_rng(seed), tolerance, told)
    positive = values > _SMALLEST_EIGENVALUE
    values, vectors = values[positive], vectors[:, positive]
    if short is matrix:
        vectors = (matrix.T @ vectors) / np.sqrt(values)
    return np.ascontiguousarray(vectors, np.float32)


def _width(rank: int) -> int:
    """Columns of the block from which that many vectors are taken."""
    return rank + int(_OVERSAMPLING * rank) + 8


def _largest(
    short: sp.csr_matrix,
    rank: int,
    width: int,
    generator: np.random.Generator,
    tolerance: float,
    told: Told,
) -> tuple[Float64[NDArray[np.float64], " rank"], Float32[NDArray[np.float32], "rows rank"]]:
    """Largest eigenvalues and eigenvectors of short · shortᵀ."""
    tall = sp.csr_matrix(short.T)
    block = generator.standard_normal((short.shape[0], width), np.float32)
    values, block, residual = _ritz(short, tall, block)
    first = worst = float(residual[:rank].max())
    for _ in range(_MOST_PASSES):
        if worst <= tolerance:
            break
        # Each pass divides the residual by about the same.
        come = np.log(max(1.0, first / worst)) / np.log(first / tolerance)
        told(round(PASSES * come), PASSES)
        block = _grow(short, tall, block, max(float(values[-1]), _SMALLEST_EIGENVALUE))
        values, block, residual = _ritz(short, tall, block)
        worst = float(residual[:rank].max())
    return values[:rank], block[:, :rank]


def _ritz(
    short: sp.csr_matrix, tall: sp.csr_matrix, block: Float32[NDArray[np.float32], "rows width"]
) -> tuple[
    Float64[NDArray[np.float64], " width"],
    Float32[NDArray[np.float32], "rows width"],
    Float32[NDArray[np.float32], " width"],
]:
    """Ritz values, largest first, their vectors, and the norms of their residuals."""
    basis = linalg.qr(block, mode="economic", overwrite_a=True, check_finite=False)[0]
    image = _by_columns(lambda part: short @ (tall @ part), basis)
    values, rotation = np.linalg.eigh((basis.T @ image).astype(np.float64))
    values, rotation = values[::-1], rotation[:, ::-1].astype(np.float32)
    vectors = np.asarray(basis @ rotation, np.float32)
    residual = np.linalg.norm(image @ rotation - vectors * values.astype(np.float32), axis=0)
    return values, vectors, residual.astype(np.float32)


def _grow(
    short: sp.csr_matrix,
    tall: sp.csr_matrix,
    block: Float32[NDArray[np.float32], "rows width"],
    cut: float,
) -> Float32[NDArray[np.float32], "rows width"]:
    """T_m(2A/c − I) times the block, m so large that a float32 still holds what is near the cut."""
    order = max(2, int(np.log(2.0 * _LARGEST_GROWTH) / np.arccosh(max(2.0 / cut - 1.0, 1.1))))
    scale = np.float32(2.0 / cut)

    def filtered(part: NDArray[np.float32]) -> NDArray[np.float32]:
        older, newer = part, scale * (short @ (tall @ part)) - part
        for _ in range(order - 1):
            older, newer = newer, 2.0 * (scale * (short @ (tall @ newer)) - newer) - older
        return newer

    return _by_columns(filtered, block)


def _by_columns(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    block: Float32[NDArray[np.float32], "rows width"],
) -> Float32[NDArray[np.float32], "rows width"]:
    """A function of columns, some at once, in as many threads as there are processors."""
    starts = range(0, block.shape[1], _COLUMNS_AT_ONCE)
    parts = [np.ascontiguousarray(block[:, s : s + _COLUMNS_AT_ONCE]) for s in starts]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate(list(pool.map(function, parts)), axis=1)


def filter_bytes(data: TrainingData, rank: int) -> int:
    """Bytes of the normalised evidence, both ways round, and of singular vectors while found."""
    users, items = data.evidence.shape
    width = _width(min(rank, users, items))
    evidence = 2 * 8 * data.evidence.nnz
    blocks = 4 * 4 * width * min(users, items)
    return evidence + blocks + 3 * 4 * rank * items
