"""PureSVD: the largest singular vectors of what users did."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.models._spectral import filter_bytes, largest_singular_value, singular_vectors
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    SearchSpace,
    TrainingData,
    require_evidence,
)
from recsvc.signals.embedding import EmbeddingSignal

SEARCH: SearchSpace = {"dimensions": Range(8, 512, logarithmic=True)}


class SVDOptions(ModelOptions):
    """Options of PureSVD."""

    dimensions: int = Field(default=64, ge=1, le=4096)
    """Singular vectors that are kept; no more than the rank of the evidence count."""


@dataclass(frozen=True, slots=True, eq=False)
class SVDModel:
    """The right singular vectors V, and the rows of E V.

    Attributes:
        user_vectors: Σ_j e_uj v_j.
        item_vectors: v_i, the rows of V.
        source_vectors: the same.
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "svd"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · <v_j, v_i>."""
        return np.asarray(evidence @ self.source_vectors, np.float32) @ self.item_vectors.T

    def signal(self, items: IdMap) -> EmbeddingSignal:
        """See `FittedModel.signal`."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)


def memory_bytes(data: TrainingData, options: SVDOptions) -> int:
    """Bytes of the evidence, the blocks in which the vectors are found, and all vectors."""
    vectors = 4 * sum(data.evidence.shape) * options.dimensions
    return filter_bytes(data, options.dimensions) + vectors


def fit(data: TrainingData, options: SVDOptions, run: FitRun) -> tuple[SVDModel, FitReport]:
    """Find the vectors. See `Fit`.

    K(j, i) = <v_j, v_i>,  E ≈ U S Vᵀ

    with S the largest singular values of the evidence E, in which 0 stands for what nobody did
    (Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-n recommendation
    tasks", §3.2, PureSVD: the scores are E V Vᵀ).

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
    return SVDModel(users, vectors, vectors), report
