"""Nearest items by cosine."""

from collections.abc import Iterator
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from recsvc.models._rows import RowModel, largest_entries, product_blocks, product_bytes
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    TrainingData,
    require_evidence,
)

SEARCH = {
    "neighbours": Range(5, 1000, logarithmic=True),
    "shrinkage": Range(0.1, 1000.0, logarithmic=True),
}


class ItemKNNOptions(ModelOptions):
    """Options of the nearest items; the defaults are those of Dacrema et al.'s code."""

    neighbours: int = Field(default=50, ge=1)
    """k: most similar items kept for each item."""
    shrinkage: float = Field(default=100.0, ge=0.0)
    """h: how far pairs of items of which little is known are held back."""


def memory_bytes(data: TrainingData, options: ItemKNNOptions) -> int:
    """Bytes of the kernel and of the widest block of it before the cut."""
    return product_bytes(data, options.neighbours)


def fit(data: TrainingData, options: ItemKNNOptions, run: FitRun) -> tuple[RowModel, FitReport]:
    """Compute the similarities. See `Fit`.

    K(j, i) = Σ_u e_uj e_ui / (‖e_j‖ ‖e_i‖ + h)

    for the k items i ≠ j where it is largest (Deshpande & Karypis 2004, "Item-based top-N
    recommendation algorithms", with the shrinkage of Dacrema et al. 2019, "Are we really
    making much progress? A worrying analysis of recent neural recommendation approaches").

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    rows = largest_entries(_cosines(data.evidence, options.shrinkage), options.neighbours)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return RowModel("itemknn", rows), report


def _cosines(evidence: sp.csr_matrix, shrinkage: float) -> Iterator[sp.csr_matrix]:
    """Similarities of some items with all others, after another."""
    length = np.sqrt(np.asarray(evidence.multiply(evidence).sum(axis=0), np.float64).ravel())
    begin = 0
    for block in product_blocks(sp.csr_matrix(evidence.T), evidence):
        item = begin + np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        other = block.indices
        block.data = np.where(
            item == other, 0.0, block.data / (length[item] * length[other] + shrinkage)
        ).astype(np.float32)
        block.eliminate_zeros()
        yield block
        begin += block.shape[0]
