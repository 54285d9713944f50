# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""ROLAND: vectors that pass over a graph of each stretch of time, and remember by a gated unit."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from loaders.types import IdMap
from recsvc.errors import TrainingError
from recsvc.evidence import has_order, pair_times
from recsvc.models._factors import (
    FACTOR_SEARCH,
    FactorLearner,
    FactorOptions,
    factor_memory_bytes,
    to_numpy,
)
from recsvc.models._loop import fit_by_epochs, open_device
from recsvc.models._propagation import Graph, Product, normalised_adjacency
from recsvc.models._sampling import EvidenceSampler
from recsvc.models.base import FitReport, FitRun, Range, TrainingData, require_evidence

LINEAR = False
"""What a gate lets through depends on all that came before."""


class RolandOptions(FactorOptions):
    """Options of ROLAND."""

    snapshots: int = Field(default=6, ge=1, le=100)
    """Stretches of time, with as many interactions each."""
    steps_per_epoch: int = Field(default=16, ge=1, le=1_000_000)
    """Most steps of each stretch in an epoch: all stretches before it are gone over in each."""
    batches_per_step: int = Field(default=4, ge=1, le=1_000_000)
    """See `FactorOptions`."""


SEARCH = {**FACTOR_SEARCH, "snapshots": Range(2, 12)}


@dataclass(frozen=True, slots=True, eq=False)
class RolandModel:
    """The vectors after the last stretch of time; the score is their inner product.

    Attributes:
        user_vectors: of users.
        item_vectors: of items.
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "roland"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: as trained, whatever the evidence is now."""
        return self.user_vectors[user_index] @ self.item_vectors.T

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: there is none."""


def speaks(data: TrainingData) -> bool:
    """See `ModelSpec.speaks`."""
    return has_order(data.graph)


def memory_bytes(data: TrainingData, options: RolandOptions) -> int:
    """Bytes of the table, what each stretch keeps for its gradient, the graphs and a batch."""
    users, items = data.evidence.shape
    # Of the nodes of a stretch: what comes in, what was there, six gates and what goes out.
    nodes = min(users + items, 2 * data.evidence.nnz // options.snapshots + 1)
    kept = 4 * (10 * nodes + 3 * (users + items)) * options.dimensions
    return factor_memory_bytes(data, options, 2) + options.snapshots * kept


def fit(data: TrainingData, options: RolandOptions, run: FitRun) -> tuple[RolandModel, FitReport]:
    """Fit ROLAND. See `Fit`.

        x_t     = H_(t-1) + D_t^-½ A_t D_t^-½ H_(t-1)
        H_t     = GRU(x_t, H_(t-1)),    H_0 = z
        score   = <H_T,u, H_T,i>

    of You, Du & Leskovec 2022, "ROLAND: graph learning framework for dynamic graphs", §3.2, with
    one step over the graph as LightGCN takes it (He et al. 2020, eq. 3) for the layer. A_t has what
    was done in the t-th of some stretches of time, of as many interactions each; a node of which
    nothing was done in one keeps its vector. H_(t-1) is trained on what was done in stretch t, as
    it is when it is asked for what comes next (§3.3), back to z through all stretches. What has no
    time is in the first.

    It is here for comparison: it is not linear in what a user did.

    Raises:
        TrainingError: there is no evidence, it is all of one time, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    parts = stretches(data, options.snapshots)
    if len(parts) < 2:
        raise TrainingError(
            "roland learns from the order of time, and more than half of what was done is of the "
            "latest time: ingest interactions with their own timestamps"
        )
    learner = RolandLearner(data.evidence, parts, options, open_device(run.device), run.seed)
    memory = memory_bytes(data, options)
    return fit_by_epochs(learner, data, options, run, started=start, memory_bytes=memory)


def stretches(data: TrainingData, most: int) -> list[sp.csr_matrix]:
    """The evidence of each stretch of time, [users, items], the earliest first; none is empty."""
    known = pair_times(data.graph)
    evidence = data.evidence.tocoo()
    at = np.asarray(known[evidence.row, evidence.col]).ravel()
    # What was done at one time is in one stretch.
    ends = np.unique(np.quantile(at, np.linspace(0.0, 1.0, most + 1)[1:-1], method="lower"))
    number = np.searchsorted(ends, at, side="left")
    return [
        sp.csr_matrix(
            (evidence.data[own], (evidence.row[own], evidence.col[own])), shape=evidence.shape
        )
        for each in range(len(ends) + 1)
        if (own := number == each).any()
    ]


class RolandLearner(FactorLearner):
    """ROLAND in training. See `recsvc.models._loop.Learner`."""

    def __init__(
        self,
        evidence: sp.csr_matrix,
        parts: list[sp.csr_matrix],
        options: RolandOptions,
        device: torch.device,
        seed: int,
    ) -> None:
        """Draw the table and the gates, these as `torch.nn.GRUCell` does.

        Args:
            evidence: all of it.
            parts: the same by stretches of time.
            options: of the model.
            device: where it is trained.
            seed: of all draws.
        """
        super().__init__(evidence, options, device, seed)
        self._stretches = [EvidenceSampler(p, options.batch_size, device, seed) for p in parts]
        for stretch in self._stretches:
            stretch.generator = self.generator  # one state to go on from
        self._graphs = [Graph(normalised_adjacency(part), device) for part in parts]
        self._nodes = [_nodes(part).to(device) for part in parts]
        self._past = 0
        size, bound = options.dimensions, options.dimensions**-0.5
        self._gates = [
            torch.empty(shape, device=device)
            .uniform_(-bound, bound, generator=self.generator)
            .requires_grad_()
            for shape in ((3 * size, size), (3 * size, size), (3 * size,), (3 * size,))
        ]

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self.table, *self._gates]

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: each stretch is foretold from those before it."""
        sizes = self._options.steps_per_epoch, self._options.batches_per_step
        for past, stretch in enumerate(self._stretches):
            self._past = past
            for batches in stretch.steps(*sizes):
                yield self._step(batches), sum(len(batch.item) for batch in batches)

    def vectors(self, nodes: Int64[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """See `FactorLearner.vectors`."""
        return self._after(self._past)[nodes], functional.embedding(nodes, self.table)

    def model(self) -> RolandModel:
        """See `Learner.model`."""
        with torch.no_grad():
            final = to_numpy(self._after(len(self._graphs)))
        return RolandModel(final[: self._users], final[self._users :])

    def _after(self, past: int) -> Float32[Tensor, "nodes dim"]:
        """The vectors of all nodes after the first stretches."""
        state = self.table
        for graph, nodes in zip(self._graphs[:past], self._nodes[:past], strict=True):
            own = state[nodes]
            around = Product.apply(state, graph)[nodes]
            state = state.index_copy(0, nodes, torch.gru_cell(own + around, own, *self._gates))
        return state


def _nodes(part: sp.csr_matrix) -> Int64[Tensor, " n"]:
    """The users, then items, of whom something was done."""
    users = np.flatnonzero(np.diff(part.indptr))
    items = np.flatnonzero(part.getnnz(axis=0)) + part.shape[0]
    return torch.from_numpy(np.concatenate([users, items]))
