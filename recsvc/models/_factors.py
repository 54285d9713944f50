# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""What models of user and item vectors share: options, batches and losses."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._loop import TrainerOptions, take_over
from recsvc.models._losses import (
    LogSumExp,
    bilateral_softmax,
    pairwise_ranking,
    sampled_softmax,
)
from recsvc.models._sampling import EvidenceSampler, Positives
from recsvc.models.base import FittedModel, Range, SearchSpace, Tables, TrainingData
from recsvc.signals.embedding import EmbeddingSignal

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
    """Positive examples in a step."""
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


@dataclass(frozen=True, slots=True, eq=False)
class FactorModel:
    """Vectors of users and items; the score is their inner product.

    Attributes:
        name: the name in `MODELS`.
        user_vectors: as trained.
        item_vectors: as trained.
        source_vectors: what an item says as evidence, so that their sum over a user's items points
            where the vector of the user does; see `fold_in`.
    """

    name: str
    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: of the users as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T

    def signal(self, items: IdMap) -> EmbeddingSignal:
        """See `FittedModel.signal`; a user's vector is made from their items."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)


class FactorLearner(ABC):
    """A model of user and item vectors in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: FactorOptions, device: torch.device, seed: int
    ) -> None:
        """Draw the first vectors; users and items without evidence start at 0."""
        self._options = options
        self._users = evidence.shape[0]
        self._sampler = EvidenceSampler(evidence, options.batch_size, device, seed)
        self.generator = self._sampler.generator
        table = torch.empty(sum(evidence.shape), options.dimensions, device=device)
        table.normal_(0.0, options.initial_deviation, generator=self.generator)
        degree = np.concatenate([np.diff(evidence.indptr), evidence.getnnz(axis=0)])
        self._absent = torch.from_numpy(degree == 0).to(device)
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
        """See `Learner.epoch`: every positive example once."""
        loss = self._ranking_loss if self._options.loss == "bpr" else self._softmax_loss
        for positives in self._sampler.positives():
            each, penalty = loss(positives)
            mean = (each * positives.weight).sum() / positives.weight.sum()
            yield mean + penalty, len(positives.item)

    @abstractmethod
    def model(self) -> FittedModel:
        """See `Learner.model`."""

    @abstractmethod
    def vectors(
        self, nodes: Int64[Tensor, " n"]
    ) -> tuple[Float32[Tensor, "n dim"], Float32[Tensor, "n dim"]]:
        """Vectors of some different nodes, users before items: final, and as first drawn."""

    def _softmax_loss(self, positives: Positives) -> tuple[Tensor, Tensor]:
        options = self._options
        negatives = self._sampler.shared(
            options.negatives, positives, options.negative_count, options.popularity_correction
        )
        user, item, other, penalty = self._looked_up(
            positives.user, positives.item, negatives.item, normalised=True
        )
        positive = (user * item).sum(1) / options.temperature
        negative = LogSumExp.apply(
            user / options.temperature,
            other,
            negatives.weight,
            self._sampler.owned_shared(positives.user, negatives.item),
        )
        if options.loss == "sampled_softmax":
            return sampled_softmax(positive, negative), penalty
        return bilateral_softmax(positive, negative, options.negative_weight), penalty

    def _ranking_loss(self, positives: Positives) -> tuple[Tensor, Tensor]:
        options, sampler = self._options, self._sampler
        if options.negatives == "hard":
            return self._hard_ranking_loss(positives)
        drawn = sampler.draw(options.negatives, positives, options.negative_count)
        user, item, other, penalty = self._looked_up(
            positives.user, positives.item, drawn.flatten(), normalised=False
        )
        negative = torch.einsum("bd,bnd->bn", user, other.view(*drawn.shape, -1))
        owned = sampler.owned(positives.user, drawn)
        return pairwise_ranking((user * item).sum(1), negative, owned), penalty

    def _hard_ranking_loss(self, positives: Positives) -> tuple[Tensor, Tensor]:
        count, sampler = self._options.negative_count, self._sampler
        pool = sampler.shared("uniform", positives, self._options.batch_size, 0.0).item
        user, item, other, penalty = self._looked_up(
            positives.user, positives.item, pool, normalised=False
        )
        with torch.no_grad():
            score = user @ other.T
            score[sampler.owned_shared(positives.user, pool)] = -torch.inf
            size, device = (len(user), count), score.device
            drawn = torch.randint(len(pool), size, generator=self.generator, device=device)
            best = drawn.gather(1, score.gather(1, drawn).argmax(1, keepdim=True))
            owned = score.gather(1, best).isneginf()
        negative = (user * functional.embedding(best[:, 0], other)).sum(1, keepdim=True)
        return pairwise_ranking((user * item).sum(1), negative, owned), penalty

    def _looked_up(
        self, user: Tensor, item: Tensor, other: Tensor, *, normalised: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Final vectors of the three kinds of nodes, and the penalty on the first ones."""
        nodes, place = torch.unique(
            torch.cat([user, item + self._users, other + self._users]), return_inverse=True
        )
        final, first = self.vectors(nodes)
        if normalised:
            final = functional.normalize(final)
        sizes = [len(user), len(item), len(other)]
        parts = [functional.embedding(part, final) for part in place.split(sizes)]
        penalty = first.new_zeros(())
        if self._options.l2:
            norm = first.square().sum(1)
            means = [norm[part].mean() for part in place.split(sizes)]
            penalty = self._options.l2 / 2.0 * torch.stack(means).sum()
        return parts[0], parts[1], parts[2], penalty


def factor_memory_bytes(data: TrainingData, options: FactorOptions, layers: int) -> int:
    """Bytes of the table, its gradient and moments, the layers, the graph and a batch."""
    users, items = data.evidence.shape
    table = 4 * (users + items) * options.dimensions
    graph = 2 * 8 * data.evidence.nnz + 32 * data.evidence.nnz
    compared = options.batch_size if options.negatives == "in_batch" else options.negative_count
    batch = 4 * options.batch_size * (2 * compared + 12 * options.dimensions)
    # The table, its gradient, two moments, the kept one, and for the layers one table each way.
    return table * (7 + min(layers, 2)) + graph + batch


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
