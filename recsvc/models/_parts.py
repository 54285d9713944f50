"""The parts of a blend on tables: kernels of models, side signals, and what λ is learned on."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray

from recsvc.blend.blend import (
    PER_SIGNAL,
    SCORES_AT_ONCE,
    Candidates,
    candidates_in_parts,
    scaled_scores,
)
from recsvc.models.base import FittedModel, TrainingData
from recsvc.signals.base import Signal
from recsvc.signals.popularity import popularity_prior
from recsvc.signals.rows import RowSignal
from recsvc.signals.side import CATEGORIES, FOLLOWS, category_signal, follows_signal

PAGERANK = "pagerank"
SideSignal = Literal["pagerank", "follows", "categories"]

_DAMPING, _EPSILON, _ROW_SIZE = 0.5, 5e-3, 200


def kernels(data: TrainingData, models: Mapping[str, FittedModel]) -> list[Signal]:
    """The models as kernels; every one of them must be one."""
    found: list[Signal] = []
    for name, model in models.items():
        kernel = model.signal(data.graph.items)
        if kernel is None:
            raise ValueError(f"{name} is no kernel")
        found.append(kernel)
    return found


def side_signals(data: TrainingData, names: Sequence[SideSignal]) -> tuple[Signal, ...]:
    """Those of the names that have something to say in this graph."""
    graph, evidence = data.graph, data.evidence
    signals: list[Signal] = []
    if PAGERANK in names:
        # numba takes a second to import.
        from recsvc.signals.pagerank import pagerank_rows

        rows, *_ = pagerank_rows(
            graph, evidence, damping=_DAMPING, epsilon=_EPSILON, size=_ROW_SIZE
        )
        signals.append(RowSignal(PAGERANK, "item", graph.items, rows))
    if FOLLOWS in names and len(graph.follows):
        signals.append(follows_signal(graph, evidence))
    if CATEGORIES in names and len(graph.in_category):
        signals.append(category_signal(graph))
    return tuple(signals)


def side_bytes(data: TrainingData, names: Sequence[SideSignal]) -> int:
    """Bytes of the arrays of `side_signals`."""
    sizes = {
        PAGERANK: 8 * data.evidence.shape[1] * _ROW_SIZE,
        FOLLOWS: 8 * data.evidence.nnz,
        CATEGORIES: 16 * len(data.graph.in_category),
    }
    return sum(sizes[name] for name in names)


def follows_matrix(data: TrainingData) -> sp.csr_matrix:
    """1 where a user follows another, [users, users]."""
    users = len(data.graph.users)
    return data.graph.follows.matrix(users, users, weighted=False)


def sample_candidates(
    data: TrainingData,
    held_out: sp.csr_matrix,
    signals: Sequence[Signal],
    *,
    users: int,
    seed: int,
) -> Candidates:
    """What λ is learned on: the signals, then popularity, for a sample of users.

    All items are scored for some users at a time, and only the candidates are kept.

    Args:
        data: what the signals were made of.
        held_out: what they are to find, [users, items].
        signals: in the order of the features.
        users: size of the sample, of those with something held out.
        seed: decides which.
    """
    able = np.flatnonzero(np.diff(held_out.indptr))
    sample = np.sort(np.random.default_rng(seed).permutation(able)[:users])
    prior = popularity_prior(data.evidence)
    by_kind = {"item": data.evidence[sample], "user": follows_matrix(data)[sample]}

    def score(some: slice) -> list[Float32[NDArray[np.float32], "n items"]]:
        scores = [scaled_scores(signal, by_kind[signal.kind][some]) for signal in signals]
        return [*scores, np.broadcast_to(prior, scores[0].shape)]

    return candidates_in_parts(score, len(signals) + 1, by_kind["item"], held_out[sample])


def candidate_bytes(data: TrainingData, lists: int, users: int) -> int:
    """Bytes of `sample_candidates` at its peak and of learning on them.

    Args:
        data: what is learned from.
        lists: signals, popularity among them.
        users: size of the sample.
    """
    width = min(data.evidence.shape[1], lists * PER_SIGNAL)
    # Two float32 of each value while chunks are joined, four arrays of one value while λ is tried.
    kept = min(users, data.evidence.shape[0]) * width * (8 * lists + 16)
    return kept + 8 * SCORES_AT_ONCE
