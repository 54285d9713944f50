# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""LightGCN: vectors smoothed over the graph of users and items."""

from time import perf_counter

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorLearner,
    FactorModel,
    FactorOptions,
    factor_memory_bytes,
    fold_in,
    to_numpy,
)
from recsvc.models._loop import fit_by_epochs, open_device
from recsvc.models._propagation import Graph, LayerMean, normalised_adjacency
from recsvc.models.base import FitReport, FitRun, Range, TrainingData, require_evidence
from recsvc.signals.degrees import degrees, power


class LightGCNOptions(FactorOptions):
    """Options of LightGCN."""

    layers: int = Field(default=2, ge=0, le=4)
    """Steps over the graph, L; without any it is matrix factorisation."""


SEARCH = {**FACTOR_SEARCH, "layers": Range(1, 3)}


def memory_bytes(data: TrainingData, options: LightGCNOptions) -> int:
    """Bytes of the tables, the layers, the graph and a batch."""
    return factor_memory_bytes(data, options, options.layers)


def fit(data: TrainingData, options: LightGCNOptions, run: FitRun) -> tuple[FactorModel, FitReport]:
    """Fit LightGCN. See `Fit`.

    A user and an item have the vectors E* = Σ_k z^(k) / (L + 1). With e_uj the evidence and d_u
    its sum over a user's items,

        E*_u = z_u^(0) / (L + 1) + Σ_j e_uj s_j / √d_u,
        s_j  = Σ_{k<L} z_j^(k) / ((L + 1) √d_j)

    Of this the first part is nothing that the user did. It goes along with the second one, though:
    with the matrix M for which Σ_j e_uj s_j M comes nearest to E*_u in direction, over all users,
    most of it is told by their items (docs/decisions/0001). The source vectors are s_j M, and
    without layers, where all of s is 0, E*_j M.

    On a CPU the same seed gives the same arrays; on a GPU they agree but for rounding, since
    its sparse product adds in no fixed order.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    learner = LightGCNLearner(data.evidence, options, open_device(run.device), run.seed)
    memory = memory_bytes(data, options)
    return fit_by_epochs(learner, data, options, run, started=start, memory_bytes=memory)


class LightGCNLearner(FactorLearner):
    """LightGCN in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: LightGCNOptions, device: torch.device, seed: int
    ) -> None:
        """See `FactorLearner`."""
        super().__init__(evidence, options, device, seed)
        self._layers = options.layers
        self._graph = Graph(normalised_adjacency(evidence), device)
        self._evidence = evidence

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        return LayerMean.apply(self.table, self._graph, nodes, self._layers)

    def model(self) -> FactorModel:
        """See `Learner.model`."""
        table = self.table.detach()
        layers = [table]
        for _ in range(self._layers):
            layers.append(self._graph.product(layers[-1]))
        share = 1.0 / len(layers)
        final = torch.stack(layers).sum(0) * share
        users, items = to_numpy(final[: self._users]), to_numpy(final[self._users :])
        below = to_numpy((final - layers[-1] * share)[self._users :])
        scale = power(degrees(self._evidence, 0), -0.5).astype(np.float32)[:, None]
        own = below * scale if self._layers else items
        return FactorModel("lightgcn", users, items, fold_in(self._evidence, users, own))
