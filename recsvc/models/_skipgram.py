# pyright: basic
# gensim and torch are typed in part: what they return is often unknown.
"""Skip-gram with negative sampling over walks: gensim on a CPU, torch on a GPU.

Mikolov et al. 2013, "Distributed representations of words and phrases and their compositionality",
§2.2: for a node c and a node o within the window around it, make
log σ(<v_c, w_o>) + Σ_n log σ(-<v_c, w_n>) large, with n drawn in proportion to count^ns_exponent.
Both implementations draw the width of the window anew for each c, so near nodes count more.
"""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from gensim.models import Word2Vec
from jaxtyping import Bool, Float32, Int32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsvc.models.base import EpochRecord, FittedModel, Progress

_WALKS_AT_ONCE = 4096
_GENSIM_FINAL_ALPHA = 0.004  # of the first step size, as word2vec has it: 0.025 → 0.0001

Walks = Int32[NDArray[np.int32], "walks length"]


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


class WalkCorpus:
    """Walks as the sentences gensim reads, as often as it asks."""

    def __init__(self, walks: Walks, words: NDArray[np.object_]) -> None:
        """Take the walks and the word of each node."""
        self._walks = walks
        self._words = words

    def __iter__(self) -> Iterator[list[str]]:
        for begin in range(0, len(self._walks), _WALKS_AT_ONCE):
            part = self._walks[begin : begin + _WALKS_AT_ONCE]
            lengths = (part >= 0).sum(axis=1).tolist()
            for sentence, length in zip(self._words[part].tolist(), lengths, strict=True):
                yield sentence[:length]


def fit_gensim(
    skip_gram: SkipGram, *, alpha: float, epochs: int, progress: Progress
) -> tuple[NodeVectors, tuple[EpochRecord, ...]]:
    """Vectors of all nodes by gensim's SGD, the step size falling linearly over all epochs.

    One worker, and a vocabulary in the order of the nodes: the seed alone decides the result.
    """
    counts = skip_gram.counts()
    words = np.array([str(node) for node in range(skip_gram.nodes)], dtype=object)
    model = Word2Vec(
        vector_size=skip_gram.dimensions,
        window=skip_gram.window,
        negative=skip_gram.negatives,
        ns_exponent=skip_gram.ns_exponent,
        sg=1,
        sample=0.0,
        min_count=1,
        workers=1,
        seed=skip_gram.seed % 2**32,
    )
    present = np.flatnonzero(counts)
    model.build_vocab_from_freq({words[node]: int(counts[node]) for node in present})
    corpus = WalkCorpus(skip_gram.walks, words)
    history: list[EpochRecord] = []
    for epoch in range(epochs):
        start = perf_counter()
        model.train(
            corpus,
            total_words=int(counts.sum()),
            epochs=1,
            start_alpha=_alpha(alpha, epoch / epochs),
            end_alpha=_alpha(alpha, (epoch + 1) / epochs),
        )
        rate = float(counts.sum()) / (perf_counter() - start)
        history.append(EpochRecord(epoch + 1, None, None, rate))
        progress(history[-1])
    node = np.array(model.wv.index_to_key).astype(np.int64)
    size = (skip_gram.nodes, skip_gram.dimensions)
    vectors = NodeVectors(np.zeros(size, np.float32), np.zeros(size, np.float32))
    vectors.centre[node], vectors.context[node] = model.wv.vectors, model.syn1neg
    return vectors, tuple(history)


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
        self._generator = torch.Generator(device).manual_seed(skip_gram.seed)
        self._walks = torch.from_numpy(skip_gram.walks).to(device)
        weights = skip_gram.counts().astype(np.float64)
        self._absent = weights == 0.0
        weights[~self._absent] **= skip_gram.ns_exponent
        self._weights = torch.from_numpy(np.cumsum(weights)).to(device)
        size, bound = (skip_gram.nodes, skip_gram.dimensions), 0.5 / skip_gram.dimensions
        self._centre = torch.empty(size, device=device)
        self._centre.uniform_(-bound, bound, generator=self._generator).requires_grad_()
        self._context = torch.zeros(size, device=device, requires_grad=True)

    def parameters(self) -> list[Tensor]:
        """See `Learner.parameters`."""
        return [self._centre, self._context]

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """See `Learner.epoch`: the examples are pairs of nodes."""
        order = torch.randperm(
            len(self._walks), generator=self._generator, device=self._walks.device
        )
        for part in order.split(self._walks_per_step):
            centre, context = self._pairs(self._walks[part])
            if len(centre):
                yield self._loss(centre, context), len(centre)

    def model(self) -> FittedModel:
        """See `Learner.model`."""
        centre, context = (
            table.detach().cpu().numpy().copy() for table in (self._centre, self._context)
        )
        centre[self._absent], context[self._absent] = 0.0, 0.0
        return self._build(NodeVectors(centre, context))

    def _pairs(
        self, walks: Int32[Tensor, "n length"]
    ) -> tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]:
        window = self._skip_gram.window
        reach = torch.randint(
            1, window + 1, walks.shape, generator=self._generator, device=walks.device
        )
        centres: list[Tensor] = []
        contexts: list[Tensor] = []
        for distance in range(1, min(window, walks.shape[1] - 1) + 1):
            left, right = walks[:, :-distance], walks[:, distance:]
            real: Bool[Tensor, "n positions"] = right >= 0
            for centre, context, wide in (
                (left, right, reach[:, :-distance]),
                (right, left, reach[:, distance:]),
            ):
                taken = real & (wide >= distance)
                centres.append(centre[taken])
                contexts.append(context[taken])
        return torch.cat(centres).long(), torch.cat(contexts).long()

    def _loss(self, centre: Int64[Tensor, " pairs"], context: Int64[Tensor, " pairs"]) -> Tensor:
        size = (len(centre), self._skip_gram.negatives)
        drawn = torch.rand(
            size, generator=self._generator, device=centre.device, dtype=torch.float64
        )
        other = torch.searchsorted(self._weights, drawn * self._weights[-1], right=True)
        own = functional.embedding(centre, self._centre)
        near = (own * functional.embedding(context, self._context)).sum(1)
        far = torch.einsum("pd,pnd->pn", own, functional.embedding(other, self._context))
        # word2vec leaves out a negative that is the context itself.
        far_loss = functional.softplus(far).masked_fill(other == context[:, None], 0.0)
        return (functional.softplus(-near) + far_loss.sum(1)).mean()


def _alpha(first: float, progress: float) -> float:
    return first * (1.0 - (1.0 - _GENSIM_FINAL_ALPHA) * progress)
