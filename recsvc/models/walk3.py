"""The three-hop walk user → item → user → item, RP3β."""

from time import perf_counter

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
from recsvc.signals.degrees import degrees, power

SEARCH = {"alpha": Range(0.0, 1.2), "beta": Range(0.0, 1.2)}


class Walk3Options(ModelOptions):
    """Options of the three-hop walk."""

    alpha: float = Field(default=0.7, ge=0.0, le=2.0)
    """How much a step is divided among the neighbours of the node it leaves: 1 is the random
    walk, 0 counts paths."""
    beta: float = Field(default=0.4, ge=0.0, le=2.0)
    """How much a popular item is held back where the walk ends."""
    neighbours: int = Field(default=1000, ge=1)
    """Largest kernel entries kept for each item."""


def memory_bytes(data: TrainingData, options: Walk3Options) -> int:
    """Bytes of the kernel and of the widest block of it before the cut."""
    return product_bytes(data, options.neighbours)


def fit(
    data: TrainingData,
    options: Walk3Options,
    run: FitRun,
) -> tuple[RowModel, FitReport]:
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
    evidence = data.evidence
    leave_item = power(degrees(evidence, 0), -options.alpha)
    leave_user = power(degrees(evidence, 1), -options.alpha)
    reach_item = power(degrees(evidence, 0), -options.beta)
    first = sp.csr_matrix(sp.diags(leave_item) @ evidence.T @ sp.diags(leave_user))
    second = sp.csr_matrix(evidence @ sp.diags(reach_item))
    rows = largest_entries(product_blocks(first, second), options.neighbours)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return RowModel("walk3", rows), report
