"""Fits of the graph filters beside a whole singular value decomposition of the same matrix.

Prints how long each takes on a random part of the Gowalla users, the ratio, and how near the
scores of the two are.
"""

from time import perf_counter

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, read_split
from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.models import MODELS, FitRun, FittedModel, TrainingData
from recsvc.models._spectral import FilterModel, normalised
from recsvc.models.chebycf import ChebyCFOptions
from recsvc.signals.degrees import degrees

USERS = 3000
SCORED = 200


def run() -> None:
    """Print the sizes, and one line for each filter."""
    whole = read_split("gowalla", DATA, seed=0)[1]
    data = _part(TrainingData(whole.graph, whole.evidence), USERS)
    users, items = data.evidence.shape
    print(
        f"part of Gowalla: {users} users, {items} items, {data.evidence.nnz} interactions; numbers "
        "are seconds"
    )
    vectors, dense_seconds = _dense_vectors(data.evidence)
    for name, exponent in (("gfcf", 0.5), ("chebycf", ChebyCFOptions().beta)):
        spec = MODELS[name]
        options = spec.options()
        model, report = spec.fit(data, options, FitRun(seed=0))
        rank, alpha = (options.model_dump()[field] for field in ("rank", "alpha"))
        difference = _difference(
            model, alpha * vectors[:, :rank], vectors[:, :rank], exponent, data
        )
        print(
            f"{name:8} fit {report.seconds:6.2f}, dense SVD {dense_seconds:6.2f}, "
            f"{dense_seconds / report.seconds:5.1f} times as fast; scores of the low-rank part "
            f"differ by {difference:.4f} of their norm"
        )


def _part(data: TrainingData, count: int) -> TrainingData:
    """Some users, and the items they have."""
    chosen = np.sort(np.random.default_rng(0).permutation(data.evidence.shape[0])[:count])
    evidence = data.evidence[chosen]
    had = np.flatnonzero(np.bincount(evidence.indices, minlength=evidence.shape[1]))
    graph = HeteroGraph(
        IdMap([data.graph.users[row] for row in chosen.tolist()]),
        IdMap([data.graph.items[row] for row in had.tolist()]),
        IdMap([]),
        Interactions.empty(),
    )
    return TrainingData(graph, evidence[:, had])


def _dense_vectors(evidence: sp.csr_matrix) -> tuple[NDArray[np.float32], float]:
    """All right singular vectors of the normalised evidence, and the seconds that took."""
    start = perf_counter()
    vectors = np.linalg.svd(normalised(evidence, 0.5, 0.5).toarray(), full_matrices=False)[2].T
    return vectors, perf_counter() - start


def _difference(
    model: FittedModel,
    source: NDArray[np.float32],
    target: NDArray[np.float32],
    exponent: float,
    data: TrainingData,
) -> float:
    """Of the low-rank scores of some users from those of the exact vectors, by the latter."""
    assert isinstance(model, FilterModel)
    popularity = degrees(data.evidence, 0)[:, None]
    own = data.evidence[:SCORED]
    exact = (own @ (popularity**-exponent * source)) @ (popularity**exponent * target).T
    found = (own @ model.kernel.source) @ model.kernel.target.T
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
