"""How fast models that learn in epochs come to their best, on one split of one graph.

`Peer.begin` gives an iterator: each step of it trains, for an epoch or a part of one, and gives the
scores as they are then. What is timed is only its steps, the first of which includes what comes
before training; measuring NDCG@20 is not.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from recsvc.evaluation.metrics import ScoreFunction, mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models._loop import Adam
from recsvc.models.lightgcn import LightGCNLearner, LightGCNOptions

WITHIN = 0.99
"""Share of its own best at which a model counts as learned."""
MEASURED_USERS = 10_000


class Trained(NamedTuple):
    """What a model has after a step: how to score, and the examples that it took in this step."""

    score: ScoreFunction
    examples: int


@dataclass(frozen=True)
class Peer:
    """A model, where it comes from, and how it learns."""

    name: str
    begin: Callable[[sp.csr_matrix], Iterator[Trained]]


@dataclass(frozen=True)
class Curve:
    """What was measured of one model; seconds and processor seconds are of training alone.

    Attributes:
        seconds: since the beginning, after each step.
        cpu_seconds: of all processors, the same.
        examples: that it had learned from by then.
        ndcg: NDCG@20 on what was held out, the same.
    """

    seconds: list[float]
    cpu_seconds: list[float]
    examples: list[int]
    ndcg: list[float]

    @property
    def best(self) -> float:
        """The highest NDCG@20."""
        return max(self.ndcg)

    @property
    def learned(self) -> int:
        """Position of the first step within 1% of the best."""
        return next(at for at, ndcg in enumerate(self.ndcg) if ndcg >= WITHIN * self.best)

    def per_epoch(self, spent: list[float], interactions: int) -> float:
        """Median of what a pass over all interactions costs, but for the first step.

        Args:
            spent: `seconds` or `cpu_seconds`.
            interactions: how many there are.
        """
        first = min(1, len(spent) - 1)  # it includes what comes before training
        of_each = np.diff(spent, prepend=0.0)[first:] / np.diff(self.examples, prepend=0)[first:]
        return float(np.median(of_each)) * interactions


def lightgcn(
    train: sp.csr_matrix,
    device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
) -> Iterator[Trained]:
    """This project's, by its own learner and default options; an epoch may be several steps."""
    options = LightGCNOptions()
    learner = LightGCNLearner(train, options, device, seed=0)
    optimizer = Adam(learner.parameters(), options.learning_rate)
    while True:
        examples = 0
        for loss, count in learner.epoch():
            loss.backward()
            optimizer.step()
            examples += count
        # To copy the vectors waits for the device.
        yield Trained(learner.model().scores, examples)


def split(evidence: sp.csr_matrix, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """A fifth of each user's items is held out; of it, that of at most 10,000 users is measured."""
    out = hold_out(evidence, seed=seed)
    train, held_out = entries(evidence, ~out), entries(evidence, out)
    able = np.flatnonzero(np.diff(held_out.indptr))
    taken = np.random.default_rng(seed).permutation(able)[:MEASURED_USERS]
    owner = np.repeat(np.arange(evidence.shape[0]), np.diff(held_out.indptr))
    return train, entries(held_out, np.isin(owner, taken))


def learn(
    peer: Peer, train: sp.csr_matrix, held_out: sp.csr_matrix, *, patience: int, minutes: float
) -> Curve:
    """Train until `patience` epochs bring nothing better, or for so many minutes, measuring too."""
    curve = Curve([], [], [], [])
    wall = cpu = 0.0
    examples = best = 0
    steps, ends = peer.begin(train), time.monotonic() + minutes * 60.0
    while time.monotonic() < ends and examples - best < patience * train.nnz:
        start = time.perf_counter(), time.process_time()
        trained = next(steps)
        wall += time.perf_counter() - start[0]
        cpu += time.process_time() - start[1]
        examples += trained.examples
        curve.seconds.append(wall)
        curve.cpu_seconds.append(cpu)
        curve.examples.append(examples)
        curve.ndcg.append(mean_ndcg(trained.score, train, held_out))
        best = curve.examples[int(np.argmax(curve.ndcg))]
    return curve
