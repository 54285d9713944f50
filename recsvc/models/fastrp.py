# pyright: basic
# scipy's sparse products are typed in part: what they return is often unknown.
"""FastRP: vectors that keep, in fewer numbers, where short random walks go."""

from time import perf_counter
from typing import Annotated

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from recsvc.blend.options import split_commas
from recsvc.models._nodes import Relationship, homogeneous_graph
from recsvc.models._vectors import VectorModel
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    SearchSpace,
    TrainingData,
    require_evidence,
)
from recsvc.signals.degrees import degrees, power

SEARCH: SearchSpace = {
    "dimensions": (128, 256, 512),
    "degree_exponent": Range(-1.0, 0.0),
    "popularity": Range(0.0, 1.5),
}


class FastRPOptions(ModelOptions):
    """Options of FastRP."""

    relationships: Annotated[tuple[Relationship, ...], BeforeValidator(split_commas)] = Field(
        default=("interactions", "follows"), min_length=1
    )
    """What the walks follow, in both directions; as text, with commas between."""
    dimensions: int = Field(default=256, ge=1, le=4096)
    """Length of a vector."""
    iteration_weights: Annotated[tuple[float, ...], BeforeValidator(split_commas)] = Field(
        default=(0.0, 1.0), min_length=1, max_length=20
    )
    """How much walks of 1, 2, … steps count; as text, with commas between."""
    degree_exponent: float = Field(default=-0.25, ge=-2.0, le=1.0)
    """A node where walks end counts in proportion to its degree to this power."""
    popularity: float = Field(default=0.5, ge=0.0, le=2.0)
    """An item's vector is multiplied by its degree to this power when it is ranked."""

    @field_validator("iteration_weights")
    @classmethod
    def _some_weight(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if not np.isfinite(weights).all() or not any(weights):
            raise ValueError(f"{weights}: expected finite weights, one of them other than 0")
        return weights


def memory_bytes(data: TrainingData, options: FastRPOptions) -> int:
    """Bytes of the graph and of the tables: of a step, the one before, the sum, the result."""
    graph = data.graph
    edges = data.evidence.nnz + len(graph.follows) + len(graph.in_category)
    nodes = len(graph.users) + len(graph.items) + len(graph.categories)
    return 2 * 3 * 16 * edges + 4 * 4 * nodes * options.dimensions


def fit(data: TrainingData, options: FastRPOptions, run: FitRun) -> tuple[VectorModel, FitReport]:
    """Project. See `Fit`.

    K(j, i) = <N_j, d_i^γ N_i>

    N = Σ_k α_k S^k L R, with α the iteration weights, S = D^-1 A the transitions of a random walk,
    L = diag((d_j / 2m)^β), β the degree exponent, and 2m = Σ_j d_j (Chen et al. 2019, "Fast and
    accurate network embeddings via very sparse random projection", §3.3 and algorithm 1). L R is
    made once, then each step is one sparse product.

    With β = -1/2 and γ, the exponent of popularity, at 1, K(j, i) is an estimate, for an undirected
    graph, of Σ_k Σ_l α_k α_l (S^(k+l))_ji: how likely a walk from j is at item i after k + l steps.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    weights = homogeneous_graph(data, options.relationships)
    vectors = _projected_walks(weights, options, run.seed)
    users, items = data.evidence.shape
    own, degree = slice(users, users + items), degrees(weights, 1)[users : users + items]
    target = vectors[own] * (degree**options.popularity)[:, None].astype(np.float32)
    model = VectorModel("fastrp", vectors[:users], target, vectors[own])
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return model, report


def very_sparse_projection(nodes: int, dimensions: int, seed: int) -> sp.csr_matrix:
    """R, [nodes, dimensions]: ±√(s/d) with chance 1/2s each, else 0, with s = √nodes; E[R Rᵀ] = I.

    Li, Hastie & Church 2006, "Very sparse random projections", eq. 2. The number of entries is
    drawn first and then their places, so nothing of the size of the whole is made.
    """
    generator = np.random.default_rng(seed)
    s = np.sqrt(nodes)
    count = generator.binomial(nodes * dimensions, 1.0 / s)
    place = generator.choice(nodes * dimensions, count, replace=False)
    value = generator.choice([-1.0, 1.0], count) * np.sqrt(s / dimensions)
    entries = (value.astype(np.float32), (place // dimensions, place % dimensions))
    return sp.csr_matrix(entries, shape=(nodes, dimensions))


def _projected_walks(
    weights: sp.csr_matrix, options: FastRPOptions, seed: int
) -> Float32[NDArray[np.float32], "nodes dim"]:
    degree = degrees(weights, 1)
    scale = power(degree / degree.sum(), options.degree_exponent)
    walk = sp.csr_matrix(sp.diags(power(degree, -1.0)) @ weights, dtype=np.float32)
    projection = very_sparse_projection(len(degree), options.dimensions, seed)
    step = np.asarray((sp.diags(scale) @ projection).toarray(), np.float32)
    total = np.zeros_like(step)
    for weight in options.iteration_weights:
        step = np.asarray(walk @ step, np.float32)
        total += np.float32(weight) * step
    return total
