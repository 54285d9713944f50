"""EASE: a linear autoencoder without a diagonal, in closed form."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import lapack

from loaders.types import IdMap
from recsvc.errors import TrainingError
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    TrainingData,
    require_evidence,
)
from recsvc.signals.dense import DenseSignal

SEARCH = {"l2": Range(1.0, 10_000.0, logarithmic=True)}


class EASEOptions(ModelOptions):
    """Options of EASE."""

    l2: float = Field(default=500.0, gt=0.0)
    """λ: weight of the squared norm of the kernel."""


@dataclass(frozen=True, slots=True, eq=False)
class EASEModel:
    """A weight for each pair of items.

    Attributes:
        kernel: K(j, i), 0 on the diagonal.
    """

    kernel: Float32[NDArray[np.float32], "items items"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "ease"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · K(j, i)."""
        return np.asarray(evidence @ self.kernel, np.float32)

    def signal(self, items: IdMap) -> DenseSignal:
        """See `FittedModel.signal`."""
        return DenseSignal(self.name, items, self.kernel)


def memory_bytes(data: TrainingData, options: EASEOptions) -> int:
    """Bytes of the item-item matrix, inverted in its place, and of its sparse form before.

    The sparse form is counted as if it had no zeros; it is gone when the kernel is made.
    """
    return (8 + 12) * data.evidence.shape[1] ** 2


def fit(data: TrainingData, options: EASEOptions, run: FitRun) -> tuple[EASEModel, FitReport]:
    """Solve for the kernel. See `Fit`.

    K = I − P / diag(P),  P = (EᵀE + λI)^-1

    which is the smallest ‖E − EK‖² + λ‖K‖² with a diagonal of 0 (Steck 2019, "Embarrassingly
    shallow autoencoders for sparse data", eq. 8).

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    model = EASEModel(_kernel(data.evidence, options.l2))
    return model, FitReport.without_epochs(start, memory_bytes(data, options))


def _kernel(evidence: sp.csr_matrix, l2: float) -> Float32[NDArray[np.float32], "items items"]:
    exact = evidence.astype(np.float64)
    inverse = np.asarray((exact.T @ exact).toarray(order="F"))
    inverse[np.diag_indices_from(inverse)] += l2
    _invert(inverse)
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0.0)
    return np.ascontiguousarray(inverse, np.float32)


def _invert(matrix: Float64[NDArray[np.float64], "n n"]) -> None:
    """Invert a symmetric positive definite matrix in its place, by Cholesky's decomposition.

    Args:
        matrix: in Fortran order, so that LAPACK makes no copy.

    Raises:
        TrainingError: it is not positive definite in 64 bits.
    """
    factor, failed = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
    if not failed:
        factor, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise TrainingError("ease cannot invert the item-item matrix: take a larger l2")
    for row in range(1, len(matrix)):
        matrix[:row, row] = factor[row, :row]
