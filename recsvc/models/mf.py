# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Matrix factorisation: a vector of its own for each user and item."""

import scipy.sparse as sp
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorLearner,
    FactorModel,
    FactorOptions,
    factor_memory_bytes,
    fold_in,
    to_numpy,
)
from recsvc.models._loop import fit_by_epochs
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = FACTOR_SEARCH


class MFOptions(FactorOptions):
    """Options of matrix factorisation."""

    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the numbers of each user's vector that a step leaves out, others in each step."""


def memory_bytes(data: TrainingData, options: MFOptions) -> int:
    """Bytes of the tables and a batch."""
    return factor_memory_bytes(data, options, 0)


def fit(data: TrainingData, options: MFOptions, run: FitRun) -> tuple[FactorModel, FitReport]:
    """Fit both tables. See `Fit`.

    The score is <p_u, q_i>, a cosine where training compared cosines: Koren, Bell & Volinsky 2009,
    "Matrix factorization techniques for recommender systems", without biases.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: MFLearner(data.evidence, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class MFLearner(FactorLearner):
    """Matrix factorisation in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: MFOptions, device: torch.device, seed: int
    ) -> None:
        """See `FactorLearner`."""
        super().__init__(evidence, options, device, seed)
        self._evidence = evidence
        self._cosine = options.loss != "bpr"
        self._dropout = options.dropout

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        rows = functional.embedding(nodes, self.table)
        if not self._dropout:
            return rows, rows
        draw = torch.rand(rows.shape, generator=self.generator, device=rows.device)
        left = (draw >= self._dropout) / (1.0 - self._dropout)
        return torch.where(nodes[:, None] < self._users, rows * left, rows), rows

    def model(self) -> FactorModel:
        """See `Learner.model`."""
        table = self.table.detach()
        table = to_numpy(functional.normalize(table) if self._cosine else table)
        users, items = table[: self._users], table[self._users :]
        return FactorModel("mf", users, items, fold_in(self._evidence, users, items))
