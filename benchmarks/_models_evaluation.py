"""Evaluation of every Gowalla user, beside a full sort for each user.

The vectors are random: what is timed is ranking, metrics and intervals, whose work does not depend
on how good a model is. The naive way is timed on a part of the users, and both must agree there.
"""

from statistics import median
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, read_split
from recsvc.evaluation.metrics import CUTS, evaluate, top_k

DIMENSIONS = 64
ROUNDS = 3
NAIVE_USERS = 1000


class Vectors:
    """An embedding model with random vectors."""

    def __init__(self, users: int, items: int) -> None:
        """Draw them."""
        generator = np.random.default_rng(0)
        self.users = generator.normal(size=(users, DIMENSIONS)).astype(np.float32)
        self.items = generator.normal(size=(items, DIMENSIONS)).astype(np.float32)

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], _evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `recsvc.models.FittedModel.scores`."""
        return self.users[user_index] @ self.items.T


def run() -> None:
    """Print seconds of ranking and of metrics, and the ratio to the naive ranking."""
    data = read_split("gowalla", DATA, seed=0)[1]
    model = Vectors(*data.evidence.shape)
    users = data.users
    top_k(model.scores, data.evidence, user_index=users[:100])  # compiles, where that is to do
    ranks: list[float] = []
    metrics: list[float] = []
    for _ in range(ROUNDS):
        started = perf_counter()
        ranking = top_k(model.scores, data.evidence, user_index=users)
        ranked = perf_counter()
        evaluate(ranking, data.held_out, data.evidence)
        ranks.append(ranked - started)
        metrics.append(perf_counter() - ranked)
    started = perf_counter()
    naive = np.stack([_naive(model, data.evidence, user) for user in users[:NAIVE_USERS].tolist()])
    seconds = (perf_counter() - started) / NAIVE_USERS * len(users)
    assert np.array_equal(naive, ranking.items[:NAIVE_USERS])
    print(
        f"Gowalla, {len(users):,} users x {len(data.graph.items):,} items, {DIMENSIONS} "
        f"dimensions: rank {median(ranks):.2f} s ({min(ranks):.2f} to {max(ranks):.2f}), metrics "
        f"with intervals {median(metrics):.2f} s ({min(metrics):.2f} to {max(metrics):.2f}); a "
        f"full sort for each user {seconds:.0f} s (from {NAIVE_USERS:,} of them), "
        f"ratio {seconds / median(ranks):.0f}, the same lists",
        flush=True,
    )


def _naive(model: Vectors, evidence: sp.csr_matrix, user: int) -> Int64[NDArray[np.int64], " k"]:
    row = np.array([user])
    scores = model.scores(row, evidence[row])[0]
    scores[evidence.indices[evidence.indptr[user] : evidence.indptr[user + 1]]] = -np.inf
    return np.argsort(-scores, kind="stable")[: max(CUTS)]
