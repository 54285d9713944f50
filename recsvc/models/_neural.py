# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What the models of "Neural collaborative filtering" share: a learned similarity of two vectors.

He et al. 2017, with p_u and q_i vectors of a user and an item, the first g numbers of each apart
from the others:

    score(u, i) = <h, p_u ∘ q_i>  over the first g,  + <w, x_L>
    x_0 = p_u beside q_i, without the first g,   x_k = relu(x_(k-1) W_k + b_k)

Each layer is half as wide as the one below. They are here to compare with: a user's vector is
learned and not made of what the user did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._factors import to_numpy
from recsvc.models._loop import TrainerOptions, fit_by_epochs, take_over
from recsvc.models._sampling import EvidenceSampler, Positives
from recsvc.models.base import (
    FitReport,
    FitRun,
    Range,
    SearchSpace,
    Tables,
    TrainingData,
)

NEURAL_SEARCH: SearchSpace = {
    "learning_rate": Range(3e-4, 1e-2, logarithmic=True),
    "dimensions": (8, 16, 32, 64),
    "negative_count": Range(2, 10),
    "l2": Range(1e-6, 1e-1, logarithmic=True),
}
"""Where a search looks, in all of these models."""

_VALUES_AT_ONCE = 4_000_000
_MOST_STEPS = 1_000_000_000


class NeuralOptions(TrainerOptions):
    """Options of a learned similarity."""

    dimensions: int = Field(default=32, ge=1, le=4096)
    """Length of a vector."""
    negative_count: int = Field(default=4, ge=1, le=1000)
    """Items that are drawn for each positive example, all items alike."""
    batch_size: int = Field(default=512, ge=1)
    """Positive examples in a step."""
    initial_deviation: float = Field(default=0.01, gt=0.0, le=10.0)
    """Standard deviation of the vectors before training."""
    l2: float = Field(default=0.0, ge=0.0)
    """Weight of the squared norms of the vectors."""


class LayeredOptions(NeuralOptions):
    """Options of a similarity with layers."""

    layers: int = Field(default=3, ge=1, le=6)
    """L: the first is as wide as a vector, each other half as wide as the one below."""


@dataclass(frozen=True, slots=True, eq=False)
class NeuralModel:
    """Vectors, and what makes a score of two of them.

    Attributes:
        name: the name in `MODELS`.
        users: p, zero for a user without evidence.
        items: q.
        product: h; its length is g.
        weights: W of each layer.
        biases: b of each layer.
        output: w; none without layers.
        known: whether each user had evidence.
    """

    name: str
    users: Float32[NDArray[np.float32], "users dim"]
    items: Float32[NDArray[np.float32], "items dim"]
    product: Float32[NDArray[np.float32], " g"]
    weights: tuple[Float32[NDArray[np.float32], "_ _"], ...]
    biases: tuple[Float32[NDArray[np.float32], " _"], ...]
    output: Float32[NDArray[np.float32], " _"]
    known: NDArray[np.bool_]

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: as trained, whatever the evidence is now; 0 where untrained."""
        g = len(self.product)
        users = self.users[user_index]
        scores = (users[:, :g] * self.product) @ self.items[:, :g].T
        if self.weights:
            scores += self._tower_scores(users[:, g:])
        return np.where(self.known[user_index, None], scores, np.float32(0.0))

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: there is none."""

    def _tower_scores(
        self, users: Float32[NDArray[np.float32], "n dim"]
    ) -> Float32[NDArray[np.float32], "n items"]:
        """<w, x_L> of each pair. What W_1 makes of an item is the same for all users."""
        width = users.shape[1]
        of_items = self.items[:, -width:] @ self.weights[0][width:] + self.biases[0]
        of_users = users @ self.weights[0][:width]
        scores = np.empty((len(users), len(of_items)), np.float32)
        step = max(1, _VALUES_AT_ONCE // max(1, of_items.size))
        for begin in range(0, len(users), step):
            x = np.maximum(of_users[begin : begin + step, None] + of_items, np.float32(0.0))
            for weight, bias in zip(self.weights[1:], self.biases[1:], strict=True):
                x = np.maximum(x @ weight + bias, np.float32(0.0))
            scores[begin : begin + step] = x @ self.output
        return scores


class NeuralLearner:
    """A learned similarity in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self,
        name: str,
        evidence: sp.csr_matrix,
        options: NeuralOptions,
        device: torch.device,
        seed: int,
        *,
        product: int,
        layers: int,
    ) -> None:
        """Draw the vectors and, by Glorot & Bengio 2010, the weights.

        Args:
            name: of the model.
            evidence: what is learned from, [users, items].
            options: of the model.
            device: that trains.
            seed: the only source of randomness.
            product: g.
            layers: L; without any, all numbers of a vector are among the first g.
        """
        self._name, self._options, self._users = name, options, evidence.shape[0]
        self._sampler = EvidenceSampler(evidence, options.batch_size, device, seed)
        self.generator = self._sampler.generator
        self._product = product
        rest = options.dimensions if layers else 0
        degree = np.concatenate([np.diff(evidence.indptr), evidence.getnnz(axis=0)])
        self._absent = torch.from_numpy(degree == 0).to(device)
        table = torch.empty(len(degree), product + rest, device=device)
        table.normal_(0.0, options.initial_deviation, generator=self.generator)
        self._table = table.requires_grad_()
        # No layer is narrower than one number.
        widths = [2 * rest, *(max(1, rest >> layer) for layer in range(layers))]
        sizes = [*pairwise(widths), (product + widths[-1], 1)]
        self._weights = [self._drawn(size, device) for size in sizes]
        self._biases = [
            torch.zeros(width, device=device, requires_grad=True) for _, width in sizes[:-1]
        ]

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self._table, *self._weights, *self._biases]

    def start_from(self, tables: Tables) -> None:
        """See `Learner.start_from`."""
        take_over(self.parameters(), tables)

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: every positive example once, each with its negatives."""
        for (positives,) in self._sampler.steps(_MOST_STEPS, 1):
            yield self._loss(positives), len(positives.item)

    @torch.no_grad()
    def model(self) -> NeuralModel:
        """See `Learner.model`."""
        table, *rest = (to_numpy(table) for table in self.parameters())
        *weights, last = rest[: len(self._weights)]
        known = ~self._absent[: self._users].cpu().numpy()
        return NeuralModel(
            self._name, table[: self._users], table[self._users :], last[: self._product, 0],
            tuple(weights), tuple(rest[len(self._weights) :]), last[self._product :, 0], known,
        )  # fmt: skip

    def _loss(self, positives: Positives) -> Tensor:
        """Binary cross-entropy (eq. 7), by the evidence of the positive example, and the penalty.

        A drawn item that the user has is no negative.
        """
        drawn = self._sampler.draw("uniform", positives, self._options.negative_count)
        counted = ~self._sampler.owned(positives.user, drawn)
        users = functional.embedding(positives.user, self._table)
        items = functional.embedding(
            torch.cat([positives.item[:, None], drawn], dim=1) + self._users, self._table
        )
        score = self._scores(users[:, None].expand(-1, items.shape[1], -1), items)
        losses = functional.softplus(-score[:, 0])
        losses = losses + functional.softplus(score[:, 1:]).masked_fill(~counted, 0.0).sum(1)
        total = (positives.weight * (1 + counted.sum(1))).sum()
        loss = (losses * positives.weight).sum() / total
        if not self._options.l2:
            return loss
        norm = users.square().sum(1).mean() + items.square().sum(2).mean()
        return loss + self._options.l2 / 2.0 * norm

    def _scores(
        self, users: Float32[Tensor, "b n dim"], items: Float32[Tensor, "b n dim"]
    ) -> Float32[Tensor, "b n"]:
        g = self._product
        x = torch.cat([users[..., g:], items[..., g:]], dim=-1)
        for weight, bias in zip(self._weights, self._biases, strict=False):
            x = functional.relu(x @ weight + bias)
        both = torch.cat([users[..., :g] * items[..., :g], x], dim=-1)
        return (both @ self._weights[-1])[..., 0]

    def _drawn(self, size: tuple[int, int], device: torch.device) -> Tensor:
        bound = (6.0 / sum(size)) ** 0.5
        weight = torch.empty(size, device=device)
        return weight.uniform_(-bound, bound, generator=self.generator).requires_grad_()


def neural_memory_bytes(
    data: TrainingData, options: NeuralOptions, *, product: int, layers: int
) -> int:
    """Bytes of the table, its gradients and moments, the evidence, a step, and scores at once."""
    rest = options.dimensions if layers else 0
    table = 4 * sum(data.evidence.shape) * (product + rest)
    values = product + 2 * rest + sum(max(1, rest >> layer) for layer in range(layers))
    step = 4 * options.batch_size * (1 + options.negative_count) * 4 * values
    largest = 2 * 4 * max(_VALUES_AT_ONCE, data.evidence.shape[1] * rest) if layers else 0
    return 8 * table + 32 * data.evidence.nnz + step + largest


def fit_neural(
    name: str,
    data: TrainingData,
    options: NeuralOptions,
    run: FitRun,
    *,
    product: int,
    layers: int,
) -> tuple[NeuralModel, FitReport]:
    """Fit a learned similarity. See `Fit`.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_by_epochs(
        lambda device: NeuralLearner(
            name, data.evidence, options, device, run.seed, product=product, layers=layers
        ),
        data,
        options,
        run,
        memory_bytes=neural_memory_bytes(data, options, product=product, layers=layers),
    )
