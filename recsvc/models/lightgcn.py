# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""LightGCN: vectors smoothed over the graph of users and items."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.models._loop import TrainerOptions, measure_on, open_device, train
from recsvc.models._sampling import EvidenceSampler, Negatives, Positives
from recsvc.models.base import (
    FitReport,
    FitRun,
    TrainingData,
    require_evidence,
)
from recsvc.signals.embedding import EmbeddingSignal

_MASKED = -1e9  # finite, so that a row whose negatives are all masked has a gradient of 0


class LightGCNOptions(TrainerOptions):
    """Options of LightGCN."""

    layers: int = Field(default=2, ge=1, le=8)
    """Steps over the graph, L."""
    dimensions: int = Field(default=64, ge=1, le=4096)
    """Length of a vector."""
    loss: Literal["sampled_softmax", "bsl", "bpr"] = "sampled_softmax"
    """What training makes small: see `sampled_softmax`, `bilateral_softmax` and `pairwise`."""
    temperature: float = Field(default=0.12, gt=0.0, le=10.0)
    """τ of the softmax losses: lower looks harder at the closest negatives."""
    positive_temperature: float = Field(default=0.12, gt=0.0, le=10.0)
    """τ1 of `bsl`: lower trusts the best positives of a user more; its τ2 is `temperature`."""
    negatives: Literal["uniform", "in_batch"] = "in_batch"
    """Where negatives come from: all items alike, or the batch itself with a correction for
    popularity."""
    negative_count: int = Field(default=512, ge=1, le=1_000_000)
    """Uniform negatives that a batch shares."""
    batch_size: int = Field(default=2048, ge=1)
    """Positive examples in a step."""
    initial_deviation: float = Field(default=0.01, gt=0.0, le=10.0)
    """Standard deviation of the vectors before training."""
    l2: float = Field(default=0.0, ge=0.0)
    """Weight of the squared norms of the vectors before the first step over the graph."""


@dataclass(frozen=True, slots=True, eq=False)
class LightGCNModel:
    """The vectors E* = Σ_k z^(k) / (L + 1), and what they are made of.

    With e_uj the evidence and d_u its sum over a user's items,

        user_vectors_u = base_vectors_u + Σ_j e_uj · source_vectors_j / √d_u

    so a score is a part that is the user's own and a sum over what they did.

    Attributes:
        user_vectors: E*_u.
        item_vectors: E*_i.
        source_vectors: what an item adds to the vector of a user who has it, before 1/√d_u.
        base_vectors: what training gave the user besides: z_u^(0) / (L + 1).
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]
    base_vectors: Float32[NDArray[np.float32], "users dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "lightgcn"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: <E*_u, E*_i>, as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T

    def signal(self, items: IdMap) -> EmbeddingSignal:
        """See `FittedModel.signal`; without `base_vectors`, which no evidence carries."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)


def memory_bytes(data: TrainingData, options: LightGCNOptions) -> int:
    """Bytes of the tables, their gradients and moments, the layers, the graph and a batch."""
    users, items = data.evidence.shape
    table = 4 * (users + items) * options.dimensions
    graph = 2 * 8 * data.evidence.nnz
    per_batch = options.negative_count if options.negatives == "uniform" else options.batch_size
    batch = 4 * 4 * options.batch_size * (per_batch + 4 * options.dimensions)
    # The table, its gradient, two moments, the sum and its gradient, the kept model, a layer each
    # way.
    return table * (9 + options.layers) + graph + batch


def fit(
    data: TrainingData,
    options: LightGCNOptions,
    run: FitRun,
) -> tuple[LightGCNModel, FitReport]:
    """Fit LightGCN. See `Fit`.

    On a CPU the same seed gives the same arrays; on a GPU they agree but for rounding, since
    its sparse product adds in no fixed order.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    learner = LightGCNLearner(data.evidence, options, open_device(run.device), run.seed)
    trained = train(
        learner,
        options,
        epochs=run.epochs or options.epochs,
        measure=measure_on(data, run.validation),
        progress=run.progress,
    )
    assert isinstance(trained.model, LightGCNModel)
    report = FitReport(
        perf_counter() - start,
        trained.epochs,
        trained.metric,
        trained.history,
        memory_bytes(data, options),
    )
    return trained.model, report


class LightGCNLearner:
    """LightGCN in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self, evidence: sp.csr_matrix, options: LightGCNOptions, device: torch.device, seed: int
    ) -> None:
        """Draw the first vectors; users and items without evidence start at 0."""
        self._options = options
        self._users = evidence.shape[0]
        self._sampler = EvidenceSampler(evidence, options.batch_size, device, seed)
        self._adjacency = to_torch(normalised_adjacency(evidence), device)
        self._source_scale = torch.from_numpy(inverse_root(evidence.sum(axis=0))).to(device)
        table = torch.empty(sum(evidence.shape), options.dimensions, device=device)
        table.normal_(0.0, options.initial_deviation, generator=self._sampler.generator)
        table[: self._users][torch.from_numpy(np.diff(evidence.indptr) == 0).to(device)] = 0.0
        self.table = table.requires_grad_()

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self.table]

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: the whole graph is propagated once for each batch."""
        for positives in self._sampler.positives():
            if self._options.negatives == "uniform":
                negatives = self._sampler.uniform(self._options.negative_count)
            else:
                negatives = self._sampler.in_batch(positives)
            yield self._loss(positives, negatives), len(positives.item)

    def model(self) -> LightGCNModel:
        """See `Learner.model`."""
        with torch.no_grad():
            layers = propagate(self._adjacency, self.table, self._options.layers)
            share = 1.0 / len(layers)
            final = torch.stack(layers).sum(0) * share
            below = torch.stack(layers[:-1]).sum(0)[self._users :] * share
            source = below * self._source_scale[:, None]
            base = self.table[: self._users] * share
        return LightGCNModel(
            _to_numpy(final[: self._users]),
            _to_numpy(final[self._users :]),
            _to_numpy(source),
            _to_numpy(base),
        )

    def _loss(self, positives: Positives, negatives: Negatives) -> Tensor:
        layers = propagate(self._adjacency, self.table, self._options.layers)
        final = torch.stack(layers).mean(0)
        rows = (positives.user, positives.item + self._users, negatives.item + self._users)
        each = self._losses(
            [functional.embedding(row, final) for row in rows], positives, negatives
        )
        loss = (each * positives.weight).sum() / positives.weight.sum()
        if self._options.l2:
            first = [functional.embedding(row, self.table).square().sum(1).mean() for row in rows]
            loss = loss + self._options.l2 / 2.0 * torch.stack(first).sum()
        return loss

    def _losses(
        self, vectors: list[Tensor], positives: Positives, negatives: Negatives
    ) -> Float32[Tensor, " batch"]:
        options = self._options
        owned = self._sampler.owned(positives.user, negatives.item)
        if options.loss != "bpr":
            vectors = [functional.normalize(part) for part in vectors]
        user, item, other = vectors
        positive, negative = (user * item).sum(1), user @ other.T
        if options.loss == "bpr":
            return pairwise(positive, negative, negatives.log_weight, owned)
        negative = negative / options.temperature + negatives.log_weight
        if options.loss == "sampled_softmax":
            return sampled_softmax(positive / options.temperature, negative, owned)
        positive = positive / options.positive_temperature
        return bilateral_softmax(
            options.positive_temperature * log_mean_exp_by_user(positive, positives.user),
            options.temperature,
            negative,
            owned,
        )


def sampled_softmax(
    positive: Float32[Tensor, " batch"],
    negative: Float32[Tensor, "batch negatives"],
    owned: Bool[Tensor, "batch negatives"],
) -> Float32[Tensor, " batch"]:
    """-log(exp(p) / (exp(p) + Σ_n exp(n))).

    Wu et al. 2024, "On the effectiveness of sampled softmax loss for item recommendation".

    Args:
        positive: cosine / τ of each example.
        negative: cosine / τ of each example with each negative.
        owned: negatives that are none for that user; they are left out of the sum.
    """
    logits = torch.cat([positive[:, None], negative.masked_fill(owned, _MASKED)], dim=1)
    return torch.logsumexp(logits, dim=1) - positive


def bilateral_softmax(
    positive: Float32[Tensor, " batch"],
    temperature: float,
    negative: Float32[Tensor, "batch negatives"],
    owned: Bool[Tensor, "batch negatives"],
) -> Float32[Tensor, " batch"]:
    """-τ1 log E_i[exp(f_ui / τ1)] + τ2 log E_j[exp(f_uj / τ2)].

    Wu et al. 2024, "BSL: Understanding and improving softmax loss for recommendation". The
    first mean is over the user's positives in the batch, as in the authors' code.

    Args:
        positive: τ1 log E_i[exp(f_ui / τ1)] of each example's user.
        temperature: τ2.
        negative: f_uj / τ2 of each example with each negative.
        owned: negatives that are none for that user; they are left out of the mean.
    """
    count = (~owned).sum(1)
    total = torch.logsumexp(negative.masked_fill(owned, _MASKED), dim=1)
    mean = torch.where(count > 0, total - count.clamp(min=1).log(), 0.0)
    return temperature * mean - positive


def log_mean_exp_by_user(
    value: Float32[Tensor, " batch"], user: Int64[Tensor, " batch"]
) -> Float32[Tensor, " batch"]:
    """For each example, log of the mean of exp(value) over the examples of the same user."""
    distinct, group = torch.unique(user, return_inverse=True)
    highest = value.detach().max()
    total = torch.zeros(len(distinct), device=value.device).index_add(
        0, group, torch.exp(value - highest)
    )
    mean = total / torch.bincount(group)
    return (mean.log() + highest)[group]


def pairwise(
    positive: Float32[Tensor, " batch"],
    negative: Float32[Tensor, "batch negatives"],
    log_weight: Float32[Tensor, " negatives"],
    owned: Bool[Tensor, "batch negatives"],
) -> Float32[Tensor, " batch"]:
    """Mean over the negatives of -log σ(f_ui - f_uj).

    BPR, Rendle et al. 2009, §4.1, with every negative of the batch in place of one for each
    example: the same expectation with less noise.
    """
    weight = log_weight.exp() * ~owned
    each = functional.softplus(negative - positive[:, None]) * weight
    return each.sum(1) / weight.sum(1).clamp(min=1e-9)


def propagate(
    adjacency: Tensor, table: Float[Tensor, "nodes dim"], layers: int
) -> list[Float[Tensor, "nodes dim"]]:
    """z^(0) … z^(L), where z^(k) = D^-½ A D^-½ z^(k-1).

    He et al. 2020, "LightGCN: Simplifying and powering graph convolution network for
    recommendation", eq. 7.
    """
    result = [table]
    for _ in range(layers):
        result.append(_SymmetricProduct.apply(adjacency, result[-1]))
    return result


def normalised_adjacency(evidence: sp.csr_matrix) -> sp.csr_matrix:
    """D^-½ A D^-½ of the graph of users, then items, with the evidence as edge weights."""
    left = sp.diags(inverse_root(evidence.sum(axis=1)))
    right = sp.diags(inverse_root(evidence.sum(axis=0)))
    scaled = left @ evidence @ right
    return sp.csr_matrix(sp.block_array([[None, scaled], [scaled.T, None]]), dtype=np.float32)


def inverse_root(degree: np.matrix) -> Float32[NDArray[np.float32], " nodes"]:
    """1 / √degree, and 0 where there is no degree."""
    flat: Float64[NDArray[np.float64], " nodes"] = np.asarray(degree, np.float64).ravel()
    root = np.power(flat, -0.5, where=flat > 0.0, out=np.zeros_like(flat))
    return root.astype(np.float32)


def to_torch(matrix: sp.csr_matrix, device: torch.device) -> Tensor:
    """The same matrix as a sparse tensor with 32-bit indices, which MKL takes as they are."""
    with warnings.catch_warnings():
        # torch calls its CSR tensors a beta; the product is all that is used of them.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data),
            matrix.shape,
            device=device,
            check_invariants=True,
        )


def _to_numpy(tensor: Tensor) -> Float32[NDArray[np.float32], "rows dim"]:
    return tensor.detach().cpu().contiguous().numpy()


class _SymmetricProduct(torch.autograd.Function):
    """A @ X for a symmetric A: the gradient is A @ G, so no transpose is ever made."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, x: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.adjacency @ gradients[0]
