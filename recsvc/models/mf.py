# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Matrix factorisation: a vector of its own for each user and item."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorLearner,
    FactorOptions,
    factor_memory_bytes,
    fold_in,
    to_numpy,
)
from recsvc.models._loop import fit_by_epochs, open_device
from recsvc.models.base import FitReport, FitRun, TrainingData, require_evidence
from recsvc.signals.embedding import EmbeddingSignal

SEARCH = FACTOR_SEARCH


class MFOptions(FactorOptions):
    """Options of matrix factorisation."""


@dataclass(frozen=True, slots=True, eq=False)
class MFModel:
    """Vectors p_u and q_i; the score is <p_u, q_i>, a cosine where training compared cosines.

    Koren, Bell & Volinsky 2009, "Matrix factorization techniques for recommender systems",
    without biases; what is made small is in the options.

    Attributes:
        user_vectors: p.
        item_vectors: q.
        source_vectors: what an item says as evidence, M q_j, with the matrix M for which
            Σ_j e_uj M q_j comes nearest to p_u in direction, over all users. With it a user
            unknown to the training has a vector too.
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "mf"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: <p_u, q_i>, as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T

    def signal(self, items: IdMap) -> EmbeddingSignal:
        """See `FittedModel.signal`; p_u is made from the items, see `source_vectors`."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)


def memory_bytes(data: TrainingData, options: MFOptions) -> int:
    """Bytes of the tables and a batch."""
    return factor_memory_bytes(data, options, 0)


def fit(data: TrainingData, options: MFOptions, run: FitRun) -> tuple[MFModel, FitReport]:
    """Fit both tables. See `Fit`.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    learner = MFLearner(data.evidence, options, open_device(run.device), run.seed)
    memory = memory_bytes(data, options)
    return fit_by_epochs(learner, data, options, run, started=start, memory_bytes=memory)


class MFLearner(FactorLearner):
    """Matrix factorisation in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: MFOptions, device: torch.device, seed: int
    ) -> None:
        """See `FactorLearner`."""
        super().__init__(evidence, options, device, seed)
        self._evidence = evidence
        self._cosine = options.loss != "bpr"

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        rows = functional.embedding(nodes, self.table)
        return rows, rows

    def model(self) -> MFModel:
        """See `Learner.model`."""
        table = self.table.detach()
        table = to_numpy(functional.normalize(table) if self._cosine else table)
        users, items = table[: self._users], table[self._users :]
        return MFModel(users, items, fold_in(self._evidence, users, items))
