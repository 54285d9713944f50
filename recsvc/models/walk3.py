"""The three-hop walk user → item → user → item, RP3β."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    TrainingData,
    require_evidence,
)
from recsvc.signals.rows import RowSignal, truncate_rows

_ITEMS_AT_ONCE = 2048


class Walk3Options(ModelOptions):
    """Options of the three-hop walk."""

    alpha: float = Field(default=0.7, ge=0.0, le=2.0)
    """How much a step is divided among the neighbours of the node it leaves: 1 is the random
    walk, 0 counts paths."""
    beta: float = Field(default=0.4, ge=0.0, le=2.0)
    """How much a popular item is held back where the walk ends."""
    neighbours: int = Field(default=1000, ge=1)
    """Largest kernel entries kept for each item."""


@dataclass(frozen=True, slots=True, eq=False)
class Walk3Model:
    """One sparse row of reached items for each item a user may have touched.

    Attributes:
        rows: K(j, i), float32 [items, items].
    """

    rows: sp.csr_matrix

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "walk3"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · K(j, i)."""
        return np.asarray((evidence @ self.rows).toarray(), np.float32)

    def signal(self, items: IdMap) -> RowSignal:
        """See `FittedModel.signal`."""
        return RowSignal(self.name, "item", items, self.rows)


def memory_bytes(data: TrainingData, options: Walk3Options) -> int:
    """Bytes of the kernel and of the widest block of it before the cut.

    A row has at most one entry per item and per two-step path, whichever is fewer.
    """
    width = np.diff(data.evidence.indptr).astype(np.int64)
    paths = np.minimum(data.evidence.T.astype(bool).astype(np.int64) @ width, len(data.graph.items))
    kept = int(np.minimum(paths, options.neighbours).sum())
    block = int(np.sort(paths)[-_ITEMS_AT_ONCE:].sum())
    # A float32 and an int32 for each kept entry; the cut sorts a block through int64 arrays.
    return 8 * kept + 48 * block


def fit(
    data: TrainingData,
    options: Walk3Options,
    run: FitRun,
) -> tuple[Walk3Model, FitReport]:
    """Compute the kernel. See `Fit`.

    K(j, i) = Σ_u e_uj e_ui / (d_j^α d_u^α d_i^β), where a degree d is the sum of the evidence
    of a user or an item. This is P³α (Cooper et al. 2014, "Random walks in recommender systems")
    with the last step divided by the target's popularity (RP³β, Paudel et al. 2017,
    "Updatable, accurate, diverse, and scalable recommendations for interactive applications"),
    without the factor of the first step, which is the same for all items of a user.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    model = Walk3Model(_kernel(data.evidence, options))
    report = FitReport(perf_counter() - start, 0, None, (), memory_bytes(data, options))
    return model, report


def _kernel(evidence: sp.csr_matrix, options: Walk3Options) -> sp.csr_matrix:
    leave_item = _scale(evidence.sum(axis=0), options.alpha)
    leave_user = _scale(evidence.sum(axis=1), options.alpha)
    reach_item = _scale(evidence.sum(axis=0), options.beta)
    first = sp.csr_matrix(sp.diags(leave_item) @ evidence.T @ sp.diags(leave_user))
    second = sp.csr_matrix(evidence @ sp.diags(reach_item))
    blocks = [
        truncate_rows(first[begin : begin + _ITEMS_AT_ONCE] @ second, options.neighbours)[0]
        for begin in range(0, first.shape[0], _ITEMS_AT_ONCE)
    ]
    return sp.csr_matrix(sp.vstack(blocks, format="csr", dtype=np.float32))


def _scale(degree: np.matrix, exponent: float) -> Float64[NDArray[np.float64], " nodes"]:
    """degree^-exponent, and 0 where there is no degree."""
    flat = np.asarray(degree, np.float64).ravel()
    return np.power(flat, -exponent, where=flat > 0.0, out=np.zeros_like(flat))
