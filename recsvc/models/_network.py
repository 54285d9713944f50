# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What models share whose vectors come from a network over sampled neighbours.

A step does not see the relationships that it is asked to predict: they are left out of everything
that is drawn for it, in both directions. Else a network learns to read the answer off its input.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from recsvc.models._factors import FactorLearner, FactorOptions
from recsvc.models._neighbours import Links, sample_neighbours
from recsvc.models._propagation import Graph, normalised_adjacency, spectral_start
from recsvc.models._sampling import Positives

_LEAST_BATCH = 4
_STEPS_OF_AN_EPOCH = 20
"""At least: what a step leaves out is missing from what it looks at."""

Shapes = Mapping[str, tuple[int, ...]]
"""Of the weights of a network, by name."""


class NetworkOptions(FactorOptions):
    """Options of a model whose vectors come from a network over sampled neighbours."""

    fan_out: int = Field(default=10, ge=1, le=1000)
    """Neighbours that are drawn for each node of a layer, at most."""
    own_dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of nodes whose own vector training hides from the last layer, so that it learns what
    neighbours alone tell, as they do of a node that is new (Volkovs, Yu & Poutanen 2017,
    "DropoutNet: Addressing cold start in recommender systems")."""
    learning_rate: float = Field(default=5e-3, gt=0.0, le=10.0)
    """Step size of Adam."""
    epochs: int = Field(default=20, ge=1, le=10_000)
    """See `TrainerOptions`."""
    patience: int = Field(default=3, ge=1)
    """See `TrainerOptions`."""
    steps_per_epoch: int = Field(default=64, ge=1, le=1_000_000)
    """See `FactorOptions`."""
    batches_per_step: int = Field(default=8, ge=1, le=1_000_000)
    """See `FactorOptions`."""


class Drawn(NamedTuple):
    """Neighbours that were drawn, without those that the step is asked for.

    Attributes:
        row: for which of the nodes asked for, ascending.
        other: the neighbour.
        edge: the place of the relationship in `Links`.
    """

    row: Int64[NDArray[np.int64], " drawn"]
    other: Int64[NDArray[np.int64], " drawn"]
    edge: Int64[NDArray[np.int64], " drawn"]


class NetworkLearner(FactorLearner):
    """A network in training. See `recsvc.models._loop.Learner`.

    Attributes:
        network: all weights of the network, one after the other. What has one dimension is the
            same for all nodes; a later fit takes it as it is.
    """

    def __init__(
        self,
        evidence: sp.csr_matrix,
        options: NetworkOptions,
        device: torch.device,
        seed: int,
        shapes: Shapes,
    ) -> None:
        """Draw the first vectors as LightGCN does, and the weights by Glorot & Bengio 2010."""
        most = max(_LEAST_BATCH, evidence.nnz // _STEPS_OF_AN_EPOCH)
        size = min(options.batch_size, most)
        super().__init__(evidence, options.model_copy(update={"batch_size": size}), device, seed)
        self._dropout = options.own_dropout
        self._fan_out = options.fan_out
        self._items = evidence.shape[1]
        spectral_start(self.table, Graph(normalised_adjacency(evidence), device), self._users)
        with torch.no_grad():
            self.table[self._absent] = 0.0
        self._shapes = shapes
        self._hidden = np.array([-1])
        self.network = torch.cat([self._drawn_weights(name).flatten() for name in shapes])
        self.network.requires_grad_()

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self.table, self.network]

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network by name, parts of `network`."""
        parts = self.network.split([prod(shape) for shape in self._shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _drawn_weights(self, name: str) -> Tensor:
        """A vector of zeros, a matrix that keeps lengths, or, as `own…`, one that changes nothing.

        So at first a node's vector is its own, and what its neighbours send is added to it.
        """
        shape, device = self._shapes[name], self.table.device
        if len(shape) == 1:
            return torch.zeros(shape, device=device)
        if name.startswith("own"):
            return torch.eye(*shape, device=device)
        bound = (6.0 / (shape[-2] + shape[-1])) ** 0.5
        return torch.empty(shape, device=device).uniform_(-bound, bound, generator=self.generator)

    def _step(self, batches: Sequence[Positives]) -> Tensor:
        pairs = torch.cat([batch.user * self._items + batch.item for batch in batches])
        self._hidden = np.sort(pairs.cpu().numpy())
        return super()._step(batches)

    def shown(
        self, user: Int64[NDArray[np.int64], " n"], item: Int64[NDArray[np.int64], " n"]
    ) -> NDArray[np.bool_]:
        """Whether the step is not asked for what this user did with this item."""
        key = user * self._items + item
        place = np.searchsorted(self._hidden, key)
        return self._hidden[np.minimum(place, len(self._hidden) - 1)] != key

    def drawn(
        self, links: Links, nodes: Int64[NDArray[np.int64], " n"], most: int, *, of_users: bool
    ) -> Drawn:
        """Neighbours of users among items, or of items among users."""
        row, edge = sample_neighbours(links, nodes, most, self.seed())
        own, other = nodes[row], links.neighbour[edge].astype(np.int64)
        shown = self.shown(own, other) if of_users else self.shown(other, own)
        return Drawn(row[shown], other[shown], edge[shown])

    def seed(self) -> int:
        """A number for what is drawn outside torch."""
        device = self.table.device
        return int(torch.randint(2**62, (), generator=self.generator, device=device))

    def with_some_hidden(self, own: Float32[Tensor, "n dim"]) -> Float32[Tensor, "n dim"]:
        """The same with some rows 0."""
        if self._dropout == 0.0:
            return own
        draw = torch.rand(len(own), 1, generator=self.generator, device=own.device)
        return own * (draw >= self._dropout)

    def on_device(self, array: NDArray[np.generic]) -> Tensor:
        """A copy where the model is trained."""
        return torch.from_numpy(array).to(self.table.device)


def row_means(
    values: Float32[Tensor, "drawn dim"], row: Int64[Tensor, " drawn"], rows: int
) -> Float32[Tensor, "rows dim"]:
    """The mean of the values of each row; 0 where there is none."""
    count = torch.bincount(row, minlength=rows).clamp(min=1)
    return row_sums(values, row, rows) / count[:, None]


def row_sums(
    values: Float32[Tensor, "drawn dim"], row: Int64[Tensor, " drawn"], rows: int
) -> Float32[Tensor, "rows dim"]:
    """The sum of the values of each row."""
    return values.new_zeros(rows, values.shape[1]).index_add_(0, row, values)
