"""PureSVD: the largest singular vectors of what users did."""

from time import perf_counter

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from recsvc.models._spectral import filter_bytes, largest_singular_value, singular_vectors
from recsvc.models._vectors import VectorModel
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    SearchSpace,
    TrainingData,
    require_evidence,
)

SEARCH: SearchSpace = {"dimensions": Range(8, 512, logarithmic=True)}


class SVDOptions(ModelOptions):
    """Options of PureSVD."""

    dimensions: int = Field(default=64, ge=1, le=4096)
    """Singular vectors that are kept; no more than the rank of the evidence count."""


def memory_bytes(data: TrainingData, options: SVDOptions) -> int:
    """Bytes of the evidence, the blocks in which the vectors are found, and all vectors."""
    vectors = 4 * sum(data.evidence.shape) * options.dimensions
    return filter_bytes(data, options.dimensions) + vectors


def fit(data: TrainingData, options: SVDOptions, run: FitRun) -> tuple[VectorModel, FitReport]:
    """Find the vectors. See `Fit`.

    K(j, i) = <v_j, v_i>,  E ≈ U S Vᵀ

    with S the largest singular values of the evidence E, in which 0 stands for what nobody did
    (Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-n recommendation
    tasks", §3.2, PureSVD: the scores are E V Vᵀ). The vectors of items are the rows of V,
    those of users the rows of E V.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    evidence = sp.csr_matrix(data.evidence, dtype=np.float64)
    scaled = sp.csr_matrix(evidence / largest_singular_value(evidence, run.seed), dtype=np.float32)
    vectors = singular_vectors(scaled, options.dimensions, run.seed, told=run.told)
    users = np.asarray(data.evidence @ vectors, np.float32)
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return VectorModel("svd", users, vectors, vectors), report
