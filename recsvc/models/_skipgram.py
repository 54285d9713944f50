# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Skip-gram with negative sampling over walks: pair after pair on a CPU, in batches on a GPU.

Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality",
§2.2: for a node c and a node o within the window around it, make
log σ(<v_c, w_o>) + Σ_n log σ(-<v_c, w_n>) large, with n drawn in proportion to count^ns_exponent.
Both implementations draw the width of the window anew for each c, so near nodes count more. On a
CPU all pairs of a c share their negatives.
"""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsvc.models._loop import take_over
from recsvc.models._sgd import AliasTable, alias_table, train_walks
from recsvc.models._walks import Walks
from recsvc.models.base import EpochRecord, FittedModel, Progress, Tables
from recsvc.signals.degrees import power

_WALKS_AT_ONCE = 4096
_FINAL_ALPHA = 0.004  # of the first step size, as word2vec has it: 0.025 → 0.0001


class NodeVectors(NamedTuple):
    """The two tables of skip-gram; zero for a node that is in no walk.

    Attributes:
        centre: v, what a node is as the one whose surroundings are told.
        context: w, what a node is as one of the surroundings.
    """

    centre: Float32[NDArray[np.float32], "nodes dim"]
    context: Float32[NDArray[np.float32], "nodes dim"]


class SkipGram(NamedTuple):
    """What both implementations need to know.

    Attributes:
        walks: nodes of each walk; -1 after the end of a short one.
        nodes: number of nodes, whether or not in a walk.
        dimensions: length of a vector.
        window: farthest distance of a pair.
        negatives: negative nodes for each pair.
        ns_exponent: of the counts in drawing negatives.
        seed: of everything.
    """

    walks: Walks
    nodes: int
    dimensions: int
    window: int
    negatives: int
    ns_exponent: float
    seed: int

    def counts(self) -> Int64[NDArray[np.int64], " nodes"]:
        """How often each node is in the walks."""
        return np.bincount(self.walks[self.walks >= 0], minlength=self.nodes)


def fit_in_turn(
    skip_gram: SkipGram, alpha: float, epochs: int, progress: Progress, earlier: Tables = ()
) -> tuple[NodeVectors, tuple[EpochRecord, ...], bool]:
    """Vectors of all nodes by word2vec's SGD, one centre after the other.

    One thread: each centre starts from what the one before it left, so the seed alone decides the
    result. The step size falls linearly over all epochs. Ctrl-C ends it with the vectors so far;
    before the end of the first epoch the interrupt goes on.

    Args:
        skip_gram: what to learn.
        alpha: first step size.
        epochs: passes over the walks.
        progress: is told each epoch.
        earlier: see `FitRun.start`.

    Returns:
        The vectors, the finished epochs, and whether Ctrl-C ended it.
    """
    vectors, counts = _first_vectors(skip_gram, earlier), skip_gram.counts()
    draw = alias_table(power(counts.astype(np.float64), skip_gram.ns_exponent))
    history: list[EpochRecord] = []
    try:
        for epoch in range(epochs):
            start = perf_counter()
            sizes = _alpha(alpha, epoch / epochs), _alpha(alpha, (epoch + 1) / epochs)
            loss, pairs = _pass(skip_gram, vectors, draw, epoch, sizes)
            rate = pairs / (perf_counter() - start)
            history.append(EpochRecord(epoch + 1, loss / max(pairs, 1), None, rate))
            progress(history[-1])
    except KeyboardInterrupt:
        if not history:
            raise
    return vectors, tuple(history), len(history) < epochs


def _first_vectors(skip_gram: SkipGram, earlier: Tables) -> NodeVectors:
    """As word2vec does: v uniform within ±1/2d, w zero; or those of an earlier fit."""
    size = (skip_gram.nodes, skip_gram.dimensions)
    centre = np.random.default_rng(skip_gram.seed).random(size, np.float32) - np.float32(0.5)
    centre /= np.float32(skip_gram.dimensions)
    vectors, absent = NodeVectors(centre, np.zeros(size, np.float32)), skip_gram.counts() == 0
    for table, given in zip(vectors, earlier, strict=bool(earlier)):
        np.copyto(table, given, where=~np.isnan(given))
    for table in vectors:
        table[absent] = 0.0
    return vectors


def _pass(
    skip_gram: SkipGram,
    vectors: NodeVectors,
    draw: AliasTable,
    epoch: int,
    alphas: tuple[float, float],
) -> tuple[float, int]:
    """One epoch: sum of the losses, number of pairs. A part at a time, so that Ctrl-C is heard."""
    generator = np.random.default_rng((skip_gram.seed, epoch))
    order = generator.permutation(len(skip_gram.walks))
    loss, pairs = 0.0, 0
    for begin in range(0, len(order), _WALKS_AT_ONCE):
        part = order[begin : begin + _WALKS_AT_ONCE]
        more, count = train_walks(
            skip_gram.walks[part],
            *vectors,
            *draw,
            window=skip_gram.window,
            negatives=skip_gram.negatives,
            alphas=np.interp([begin, begin + len(part)], [0, len(order)], alphas),
            seed=int(generator.integers(2**63)),
        )
        loss, pairs = loss + more, pairs + count
    return loss, pairs


class SkipGramLearner:
    """Skip-gram in training by torch. See `recsvc.models._loop.Learner`."""

    def __init__(
        self,
        skip_gram: SkipGram,
        device: torch.device,
        walks_per_step: int,
        build: Callable[[NodeVectors], FittedModel],
    ) -> None:
        """Draw the first vectors as word2vec does: v uniform within ±1/2d, w zero."""
        self._skip_gram = skip_gram
        self._walks_per_step = walks_per_step
        self._build = build
        self.generator = torch.Generator(device).manual_seed(skip_gram.seed)
        self._walks = torch.from_numpy(skip_gram.walks).to(device).long()
        counts = skip_gram.counts()
        self._absent = counts == 0
        weights = power(counts.astype(np.float64), skip_gram.ns_exponent)
        self._weights = torch.from_numpy(np.cumsum(weights)).to(device)
        size, bound = (skip_gram.nodes, skip_gram.dimensions), 0.5 / skip_gram.dimensions
        self._centre = torch.empty(size, device=device)
        self._centre.uniform_(-bound, bound, generator=self.generator).requires_grad_()
        self._context = torch.zeros(size, device=device, requires_grad=True)

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self._centre, self._context]

    def start_from(self, tables: Tables) -> None:
        """See `Learner.start_from`."""
        take_over(self.parameters(), tables)

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: the examples are pairs of nodes."""
        order = torch.randperm(
            len(self._walks), generator=self.generator, device=self._walks.device
        )
        for part in order.split(self._walks_per_step):
            centre, context, real = self._pairs(self._walks[part])
            yield self._loss(centre, context, real), len(centre)

    def model(self) -> FittedModel:
        """See `Learner.model`."""
        centre, context = (
            table.detach().cpu().numpy().copy() for table in (self._centre, self._context)
        )
        centre[self._absent], context[self._absent] = 0.0, 0.0
        return self._build(NodeVectors(centre, context))

    def _pairs(
        self, walks: Int64[Tensor, "n length"]
    ) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"], Bool[Tensor, " pairs"]]:
        """Centres, contexts, and which of the pairs count.

        Pairs beyond the drawn width or the end of a walk are marked and not taken out: how many
        there are is known without waiting for the device.
        """
        window = self._skip_gram.window
        reach = torch.randint(
            1, window + 1, walks.shape, generator=self.generator, device=walks.device
        )
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for distance in range(1, min(window, walks.shape[1] - 1) + 1):
            left, right = walks[:, :-distance], walks[:, distance:]
            wide = reach >= distance
            parts.append((left, right, wide[:, :-distance] & (right >= 0)))
            parts.append((right, left, wide[:, distance:] & (right >= 0)))
        centre, context, real = (
            torch.cat([part.flatten() for part in column]) for column in zip(*parts, strict=True)
        )
        return centre.clamp(min=0), context.clamp(min=0), real

    def _loss(
        self,
        centre: Int64[Tensor, " pairs"],
        context: Int64[Tensor, " pairs"],
        real: Bool[Tensor, " pairs"],
    ) -> Tensor:
        size = (len(centre), self._skip_gram.negatives)
        drawn = torch.rand(
            size, generator=self.generator, device=centre.device, dtype=torch.float64
        )
        other = torch.searchsorted(self._weights, drawn * self._weights[-1], right=True)
        own = functional.embedding(centre, self._centre)
        near = (own * functional.embedding(context, self._context)).sum(1)
        far = torch.einsum("pd,pnd->pn", own, functional.embedding(other, self._context))
        # word2vec leaves out a negative that is the context itself.
        far_loss = functional.softplus(far).masked_fill(other == context[:, None], 0.0)
        loss = (functional.softplus(-near) + far_loss.sum(1)).masked_fill(~real, 0.0)
        return loss.sum() / real.sum().clamp(min=1)


def _alpha(first: float, progress: float) -> float:
    return first * (1.0 - (1.0 - _FINAL_ALPHA) * progress)
