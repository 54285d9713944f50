# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""LightGCN: vectors smoothed over the graph of users and items."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Int64
from pydantic import Field, model_validator
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
from recsvc.models._losses import contrastive
from recsvc.models._propagation import (
    Graph,
    LayerMean,
    Noise,
    normalised_adjacency,
    spectral_start,
)
from recsvc.models.base import FitReport, FitRun, Range, TrainingData
from recsvc.signals.degrees import degrees, power


class LightGCNOptions(FactorOptions):
    """Options of LightGCN."""

    layers: int = Field(default=2, ge=0, le=4)
    """Steps over the graph, L; without any it is matrix factorisation."""
    steps_per_epoch: int = Field(default=64, ge=1, le=1_000_000)
    """See `FactorOptions`. The vectors go over the graph as often whatever the number of examples,
    so that the cost of an epoch is linear in it."""
    batches_per_step: int = Field(default=8, ge=1, le=1_000_000)
    """See `FactorOptions`."""
    epochs: int = Field(default=10, ge=1, le=10_000)
    """See `TrainerOptions`."""
    patience: int = Field(default=3, ge=1)
    """See `TrainerOptions`."""
    start: Literal["spectral", "random"] = "spectral"
    """The vectors before training: rows of the largest singular vectors of the normalised evidence,
    or random ones."""
    contrast: float = Field(default=0.0, ge=0.0, le=10.0)
    """λ of XSimGCL: weight of a contrastive loss beside the other. It asks that of a batch each
    vector is nearest to the one that the same node has in a layer below, both with noise."""
    noise: float = Field(default=0.2, ge=0.0, le=10.0)
    """ε: length of the noise that each layer adds to each vector under the contrastive loss."""
    contrast_temperature: float = Field(default=0.2, ge=0.02, le=10.0)
    """τ of the contrastive loss."""
    contrast_layer: int = Field(default=1, ge=1, le=4)
    """l*: the layer that the mean of the layers is contrasted with."""

    @model_validator(mode="after")
    def _has_the_layer_of_the_contrast(self) -> "LightGCNOptions":
        if self.contrast and self.contrast_layer > self.layers:
            raise ValueError(
                f"contrast_layer={self.contrast_layer} with layers={self.layers}: "
                "take a layer that there is"
            )
        return self


SEARCH = {**FACTOR_SEARCH, "layers": Range(1, 3)}


def memory_bytes(data: TrainingData, options: LightGCNOptions) -> int:
    """Bytes of the tables, the layers, the graph and a batch."""
    compared = 2 * 4 * options.batch_size**2 * options.batches_per_step if options.contrast else 0
    return factor_memory_bytes(data, options, options.layers) + compared


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

    With `contrast`, training is that of XSimGCL (Yu et al. 2023, "XSimGCL: Towards extremely simple
    graph contrastive learning for recommendation"): every layer adds noise to every vector, and

        loss = (the loss of the examples) + λ · (mean over users + mean over items of a batch of
               the contrastive loss of E* and z^(l*))

    Unlike there, E* has the vectors before the first layer too, so that what is learned is the same
    kind of model, and nothing of it has noise once it is.

    On a CPU the same seed gives the same arrays; on a GPU they agree but for rounding, since
    its sparse product adds in no fixed order.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: LightGCNLearner(data.evidence, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class LightGCNLearner(FactorLearner):
    """LightGCN in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: LightGCNOptions, device: torch.device, seed: int
    ) -> None:
        """See `FactorLearner`."""
        super().__init__(evidence, options, device, seed)
        self._layers = options.layers
        self._contrast, self._temperature = options.contrast, options.contrast_temperature
        self._noise = (
            Noise(options.noise, options.contrast_layer, self.generator)
            if options.contrast
            else None
        )
        self._graph = Graph(normalised_adjacency(evidence), device)
        self._evidence = evidence
        if options.start == "spectral":
            spectral_start(self.table, self._graph, self._users)
            with torch.no_grad():
                self.table[self._absent] = 0.0

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, ...]:
        """See `FactorLearner.vectors`; those of the contrasted layer come third."""
        return LayerMean.apply(self.table, self._graph, nodes, self._layers, self._noise)

    def beside(
        self, final: Tensor, others: Sequence[Tensor], groups: Sequence[Tensor]
    ) -> Tensor | None:
        """See `FactorLearner.beside`: the contrastive loss."""
        if self._noise is None:
            return None
        one, other = functional.normalize(final), functional.normalize(others[0])
        means = [
            contrastive(one[nodes], other[nodes], self._temperature).mean()
            for nodes in map(torch.unique, groups)
        ]
        return self._contrast * 2.0 * torch.stack(means).mean()

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
