# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""NGCF: vectors passed along the graph through a learned layer at each step."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorLearner,
    FactorOptions,
    factor_memory_bytes,
    to_numpy,
)
from recsvc.models._loop import fit_by_epochs
from recsvc.models._propagation import Graph, Product, normalised_adjacency
from recsvc.models.base import FitReport, FitRun, Range, TrainingData

_SLOPE = 0.2  # of the leaky rectifier below 0, as in the authors' code


class NGCFOptions(FactorOptions):
    """Options of NGCF."""

    layers: int = Field(default=3, ge=1, le=4)
    """Steps over the graph, L; each adds a vector of length `dimensions` to the final one."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of a layer's numbers that training leaves out at random."""


SEARCH = {**FACTOR_SEARCH, "layers": Range(1, 3), "dropout": Range(0.0, 0.3)}


@dataclass(frozen=True, slots=True, eq=False)
class NGCFModel:
    """The vectors of all layers, one after the other; the score is their inner product.

    The layers are not linear, so there is no kernel over what a user did.

    Attributes:
        user_vectors: e*_u.
        item_vectors: e*_i.
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "ngcf"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: <e*_u, e*_i>, as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: there is none."""


def memory_bytes(data: TrainingData, options: NGCFOptions) -> int:
    """Bytes of the tables, what each layer keeps for its gradient, the graph and a batch."""
    users, items = data.evidence.shape
    kept_by_layer = 8 * 4 * (users + items) * options.dimensions
    return factor_memory_bytes(data, options, 2) + options.layers * kept_by_layer


def fit(data: TrainingData, options: NGCFOptions, run: FitRun) -> tuple[NGCFModel, FitReport]:
    """Fit NGCF. See `Fit`.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: NGCFLearner(data.evidence, options, device, run.seed),
        data,
        options,
        run,
        memory_bytes=memory_bytes(data, options),
    )


class NGCFLearner(FactorLearner):
    """NGCF in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: NGCFOptions, device: torch.device, seed: int
    ) -> None:
        """Draw the tables and, by Glorot & Bengio 2010, the layers."""
        super().__init__(evidence, options, device, seed)
        self._dropout = options.dropout
        self._graph = Graph(normalised_adjacency(evidence), device)
        size = (options.layers, options.dimensions, options.dimensions)
        bound = (3.0 / options.dimensions) ** 0.5
        self._of_sum, self._of_product = (
            torch.empty(size, device=device)
            .uniform_(-bound, bound, generator=self.generator)
            .requires_grad_()
            for _ in range(2)
        )

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self.table, self._of_sum, self._of_product]

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        return self._final(self._dropout)[nodes], functional.embedding(nodes, self.table)

    def model(self) -> NGCFModel:
        """See `Learner.model`."""
        with torch.no_grad():
            final = to_numpy(self._final(0.0))
        return NGCFModel(final[: self._users], final[self._users :])

    def _final(self, dropout: float) -> Float32[Tensor, "nodes all_dims"]:
        """e^(0) beside the normalised e^(1) … e^(L).

        e^(k) = LeakyReLU((A e + e) W₁ + (A e ⊙ e) W₂), with e = e^(k-1) and A the normalised
        graph: Wang et al. 2019, "Neural graph collaborative filtering", eq. 7.
        """
        layers = [self.table]
        below = self.table
        for layer in range(len(self._of_sum)):
            around = Product.apply(below, self._graph)
            linear = (around + below) @ self._of_sum[layer]
            mixed = (around * below) @ self._of_product[layer]
            below = self._dropped(functional.leaky_relu(linear + mixed, _SLOPE), dropout)
            layers.append(functional.normalize(below))
        return torch.cat(layers, dim=1)

    def _dropped(self, x: Tensor, share: float) -> Tensor:
        if share == 0.0:
            return x
        draw = torch.rand(x.shape, generator=self.generator, device=x.device)
        return x * (draw >= share) / (1.0 - share)
