# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What models of user and item vectors share: options, batches and losses."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from recsvc.models._loop import TrainerOptions, take_over
from recsvc.models._losses import (
    LogSumExp,
    WithGradient,
    bilateral_softmax,
    pairwise_ranking,
    sampled_softmax,
)
from recsvc.models._sampling import EvidenceSampler, Positives, Shared
from recsvc.models._vectors import VectorModel
from recsvc.models.base import FittedModel, Range, SearchSpace, Tables, TrainingData

FACTOR_SEARCH: SearchSpace = {
    "learning_rate": Range(3e-4, 1e-2, logarithmic=True),
    "temperature": Range(0.05, 0.3, logarithmic=True),
    "popularity_correction": Range(0.0, 1.0),
    "l2": Range(1e-7, 1e-3, logarithmic=True),
}
"""Where a search looks, in all of these models."""


class FactorOptions(TrainerOptions):
    """Options of a model of user and item vectors."""

    dimensions: int = Field(default=64, ge=1, le=4096)
    """Length of a vector."""
    loss: Literal["sampled_softmax", "bsl", "bpr"] = "sampled_softmax"
    """What training makes small: see `sampled_softmax`, `bilateral_softmax` and
    `pairwise_ranking`. The softmax losses compare cosines, `bpr` inner products."""
    temperature: float = Field(default=0.12, ge=0.02, le=10.0)
    """τ of the softmax losses: lower looks harder at the closest negatives."""
    negative_weight: float = Field(default=1.0, gt=0.0, le=10.0)
    """ω of `bsl`: how much its negatives count against its positives."""
    negatives: Literal["uniform", "popularity", "in_batch", "hard"] = "in_batch"
    """Where negatives come from: all items alike; items by the 3/4 power of their owners; the
    items of the batch; or, for `bpr` alone, the best-scored of some of all items (dynamic negative
    sampling, Zhang et al. 2013, "Optimizing top-N collaborative filtering via dynamic negative
    item sampling")."""
    negative_count: int = Field(default=512, ge=1, le=1_000_000)
    """Negatives drawn: for the batch by the softmax losses (`in_batch` takes all of the batch),
    for each example by `bpr` (`hard` keeps the best-scored one of them)."""
    popularity_correction: float = Field(default=1.0, ge=0.0, le=1.0)
    """How far the softmax losses make up for popular items being negatives more often."""
    batch_size: int = Field(default=2048, ge=1)
    """Positive examples that are compared with the same negatives."""
    steps_per_epoch: int = Field(default=1_000_000, ge=1, le=1_000_000)
    """Most steps in an epoch."""
    batches_per_step: int = Field(default=1, ge=1, le=1_000_000)
    """Most batches in a step. A step takes several where there are more batches than steps; where
    there are more still, an epoch is a random part of the examples."""
    initial_deviation: float = Field(default=0.01, gt=0.0, le=10.0)
    """Standard deviation of the vectors before training."""
    l2: float = Field(default=0.0, ge=0.0)
    """Weight of the squared norms of the vectors before the first step over the graph."""

    @model_validator(mode="after")
    def _hard_negatives_are_for_bpr(self) -> "FactorOptions":
        if self.negatives == "hard" and self.loss != "bpr":
            raise ValueError(
                f"negatives=hard with loss={self.loss}: the softmax losses weigh hard negatives "
                "by themselves; use loss=bpr, or another kind of negatives"
            )
        return self


class FactorModel(VectorModel):
    """Vectors of users and items as trained; the score is their inner product.

    `source_vectors` are made so that their sum over a user's items points where the vector of the
    user does; see `fold_in`.
    """

    __slots__ = ()

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: of the users as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T


class FactorLearner(ABC):
    """A model of user and item vectors in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self,
        evidence: sp.csr_matrix,
        options: FactorOptions,
        device: torch.device,
        seed: int,
        absent: Bool[NDArray[np.bool_], " rows"] | None = None,
    ) -> None:
        """Draw the first vectors.

        Args:
            evidence: the positive examples, [users, items].
            options: of the model.
            device: that trains.
            seed: the only source of randomness.
            absent: which rows of the table start at 0; if not given, those of users and items
                without evidence.
        """
        self._options = options
        self._users = evidence.shape[0]
        self._sampler = EvidenceSampler(evidence, options.batch_size, device, seed)
        self.generator = self._sampler.generator
        if absent is None:
            degree = np.concatenate([np.diff(evidence.indptr), evidence.getnnz(axis=0)])
            self._absent = torch.from_numpy(degree == 0).to(device)
        else:
            self._absent = torch.from_numpy(absent).to(device)
        table = torch.empty(len(self._absent), options.dimensions, device=device)
        table.normal_(0.0, options.initial_deviation, generator=self.generator)
        table[self._absent] = 0.0
        self.table = table.requires_grad_()

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self.table]

    def start_from(self, tables: Tables) -> None:
        """See `Learner.start_from`."""
        take_over(self.parameters(), tables)
        with torch.no_grad():
            self.table[self._absent] = 0.0

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: every positive example once, or a part of them."""
        sizes = self._options.steps_per_epoch, self._options.batches_per_step
        for batches in self._sampler.steps(*sizes):
            yield self._step(batches), sum(len(batch.item) for batch in batches)

    @abstractmethod
    def model(self) -> FittedModel:
        """See `Learner.model`."""

    @abstractmethod
    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Float32[Tensor, "n dim"], ...]:
        """Vectors of some different nodes, users before items: final, as first drawn, and others.

        The others are for `beside`.
        """

    def beside(
        self,
        final: Float32[Tensor, "n dim"],
        others: Sequence[Float32[Tensor, "n dim"]],
        groups: Sequence[Int64[Tensor, " m"]],
    ) -> Tensor | None:
        """A loss beside that of the examples; a model without one has None.

        Args:
            final: of the nodes of a step.
            others: further vectors that `vectors` gave.
            groups: places of the users, then of the items of each batch among them.
        """
        return None

    def _step(self, batches: Sequence[Positives]) -> Tensor:
        """Mean loss of some batches together, and the penalty.

        The vectors go over the graph once for all of them, and the sum of the gradients once back.
        """
        compared = [(batch, self._others(batch)) for batch in batches]
        parts = [
            part
            for batch, other in compared
            for part in (batch.user, batch.item + self._users, other.item + self._users)
        ]
        nodes, place = torch.unique(torch.cat(parts), return_inverse=True)
        final, first, *further = self.vectors(nodes)
        if self._options.loss != "bpr":
            final = functional.normalize(final)
        places = place.split([len(part) for part in parts])
        total, gradient = self._of_examples(final.detach(), compared, places)
        loss = WithGradient.apply(final, gradient, total)
        besides = self.beside(final, further, [*places[0::3], *places[1::3]])
        if besides is not None:
            loss = loss + besides
        if not self._options.l2:
            return loss
        norm = first.square().sum(1)
        means = [norm[torch.cat(places[kind::3])].mean() for kind in range(3)]
        return loss + self._options.l2 / 2.0 * torch.stack(means).sum()

    def _of_examples(
        self,
        vectors: Float32[Tensor, "n dim"],
        compared: Sequence[tuple[Positives, Shared]],
        places: Sequence[Int64[Tensor, " m"]],
    ) -> tuple[Tensor, Float32[Tensor, "n dim"]]:
        """Mean loss of the examples of some batches, and its gradient by the vectors.

        Args:
            vectors: of the nodes of a step.
            compared: batches, each with the items that it is compared with.
            places: of the users, the items and the other items of each batch among the nodes.
        """
        of_batch = self._ranking_loss if self._options.loss == "bpr" else self._softmax_loss
        total, gradient = vectors.new_zeros(()), torch.zeros_like(vectors)
        weight = torch.stack([batch.weight.sum() for batch, _ in compared]).sum()
        for number, (batch, other) in enumerate(compared):
            own = places[3 * number : 3 * number + 3]
            rows = [vectors.index_select(0, part).requires_grad_() for part in own]
            loss = (of_batch(batch, other, *rows) * batch.weight).sum() / weight
            total += loss.detach()
            for part, change in zip(own, torch.autograd.grad(loss, rows), strict=True):
                gradient.index_add_(0, part, change)
        return total, gradient

    def _others(self, positives: Positives) -> Shared:
        """The items that a batch is compared with; `bpr` has some for each example, in a row."""
        options, sampler = self._options, self._sampler
        if options.loss != "bpr":
            return sampler.shared(
                options.negatives, positives, options.negative_count, options.popularity_correction
            )
        if options.negatives == "hard":
            return sampler.shared("uniform", positives, options.batch_size, 0.0)
        drawn = sampler.draw(options.negatives, positives, options.negative_count).flatten()
        return Shared(drawn, drawn.new_ones(()))

    def _softmax_loss(
        self, positives: Positives, negatives: Shared, user: Tensor, item: Tensor, other: Tensor
    ) -> Float32[Tensor, " batch"]:
        options = self._options
        positive = (user * item).sum(1) / options.temperature
        # All examples of a user are compared with the same: that is worked out once.
        distinct, place = torch.unique(positives.user, return_inverse=True)
        one = place.new_empty(len(distinct)).scatter_(
            0, place, torch.arange(len(place), device=place.device)
        )
        of_user = LogSumExp.apply(
            user.index_select(0, one) / options.temperature,
            other,
            negatives.weight,
            self._sampler.owned_shared(distinct, negatives.item),
        )
        negative = of_user.index_select(0, place)
        if options.loss == "sampled_softmax":
            return sampled_softmax(positive, negative)
        return bilateral_softmax(positive, negative, options.negative_weight)

    def _ranking_loss(
        self, positives: Positives, negatives: Shared, user: Tensor, item: Tensor, other: Tensor
    ) -> Float32[Tensor, " batch"]:
        positive = (user * item).sum(1)
        if self._options.negatives == "hard":
            best, owned = self._hardest(positives, negatives, user, other)
            negative = (user * functional.embedding(best, other)).sum(1, keepdim=True)
            return pairwise_ranking(positive, negative, owned)
        drawn = negatives.item.view(len(user), -1)
        negative = torch.einsum("bd,bnd->bn", user, other.view(*drawn.shape, -1))
        return pairwise_ranking(positive, negative, self._sampler.owned(positives.user, drawn))

    @torch.no_grad()
    def _hardest(
        self, positives: Positives, pool: Shared, user: Tensor, other: Tensor
    ) -> tuple[Int64[Tensor, " batch"], Bool[Tensor, "batch 1"]]:
        """Of some of the pool for each example the best-scored one, and whether it is none."""
        score = user @ other.T
        score[self._sampler.owned_shared(positives.user, pool.item)] = -torch.inf
        size = (len(user), self._options.negative_count)
        drawn = torch.randint(len(pool.item), size, generator=self.generator, device=score.device)
        best = drawn.gather(1, score.gather(1, drawn).argmax(1, keepdim=True))
        return best[:, 0], score.gather(1, best).isneginf()


def factor_memory_bytes(data: TrainingData, options: FactorOptions, layers: int) -> int:
    """Bytes of the table, its gradient and moments, the layers, the graph and a batch."""
    users, items = data.evidence.shape
    table = 4 * (users + items) * options.dimensions
    graph = 2 * 8 * data.evidence.nnz + 32 * data.evidence.nnz
    compared = options.batch_size if options.negatives == "in_batch" else options.negative_count
    batch = 4 * options.batch_size * (2 * compared + 12 * options.dimensions)
    # The table, its gradient, two moments, the kept one, the vectors of a step as they are, of one
    # length and their gradient, and for the layers one table each way.
    return table * (10 + min(layers, 2)) + graph + batch


def to_numpy(tensor: Tensor) -> Float32[NDArray[np.float32], "rows dim"]:
    """A copy outside torch."""
    return tensor.detach().cpu().contiguous().numpy().copy()


def fold_in(
    evidence: sp.csr_matrix,
    user_vectors: Float32[NDArray[np.float32], "users dim"],
    item_vectors: Float32[NDArray[np.float32], "items dim"],
) -> Float32[NDArray[np.float32], "items dim"]:
    """v_j M for every item, so that Σ_j e_uj v_j M points where the vector of u does.

    M is found by least squares over the directions of all users, held near a multiple of the
    identity: minimise Σ_u |a_u M - b_u|² + ρ |M - c I|², where a_u and b_u are the two directions,
    c their mean cosine, and ρ the mean of the diagonal of Σ_u a_uᵀ a_u.
    """
    made, wanted = _directions(evidence @ item_vectors), _directions(user_vectors)
    gram = made.T @ made
    near = np.mean(np.diag(gram)) * np.eye(len(gram))
    cosine = float((made * wanted).sum() / max(1, np.count_nonzero(np.diff(evidence.indptr))))
    matrix = np.linalg.solve(gram + near, made.T @ wanted + cosine * near)
    return np.asarray(item_vectors @ matrix, np.float32)


def _directions(
    vectors: Float32[NDArray[np.float32], "rows dim"],
) -> Float32[NDArray[np.float32], "rows dim"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
