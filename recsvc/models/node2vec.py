# pyright: basic
# numba, gensim and torch are typed in part: what they return is often unknown.
"""Node2Vec: vectors of nodes that random walks pass close together."""

from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from loaders.types import IdMap
from recsvc.models._loop import Trained, TrainerOptions, measure_on, open_device, train
from recsvc.models._skipgram import NodeVectors, SkipGram, SkipGramLearner, fit_gensim
from recsvc.models._walks import WalkGraph, random_walks
from recsvc.models.base import (
    FitReport,
    FitRun,
    TrainingData,
    require_evidence,
)
from recsvc.signals.embedding import EmbeddingSignal

Relationship = Literal["interactions", "follows", "in_category"]


def _split_commas(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


class Node2VecOptions(TrainerOptions):
    """Options of Node2Vec."""

    relationships: Annotated[tuple[Relationship, ...], BeforeValidator(_split_commas)] = Field(
        default=("interactions", "follows"), min_length=1
    )
    """What the walks follow, in both directions; as text, with commas between."""
    dimensions: int = Field(default=64, ge=1, le=4096)
    """Length of a vector."""
    walks_per_node: int = Field(default=10, ge=1, le=1000)
    """Walks that start at each node."""
    walk_length: int = Field(default=20, ge=2, le=1000)
    """Nodes in a walk."""
    p: float = Field(default=1.0, ge=0.01, le=100.0)
    """Return parameter: lower goes back to the node just left more often."""
    q: float = Field(default=1.0, ge=0.01, le=100.0)
    """In-out parameter: lower goes away from the node just left more often."""
    window: int = Field(default=3, ge=1, le=100)
    """Farthest distance in a walk at which two nodes count as close."""
    negative_count: int = Field(default=5, ge=1, le=100)
    """Negative nodes for each pair of close ones."""
    ns_exponent: float = Field(default=0.0, ge=-2.0, le=2.0)
    """A node is a negative in proportion to its count in the walks to this power. 0, all nodes
    alike, ranks best; 0.75, word2vec's, takes popularity out (Caselles-Dupré et al. 2018,
    "Word2vec applied to recommendation: hyperparameters matter")."""
    popularity_discount: float = Field(default=0.4, ge=0.0, le=2.0)
    """How much less a popular item says as evidence: v_j is divided by (1 + d_j) to this power,
    with d_j the sum of its evidence."""
    epochs: int = Field(default=4, ge=1, le=1000)
    """Passes over the walks."""
    alpha: float = Field(default=0.05, gt=0.0, le=1.0)
    """Step size of gensim's SGD at the start; torch uses `learning_rate`."""
    walks_per_step: int = Field(default=64, ge=1)
    """Walks whose pairs make one step of torch."""
    backend: Literal["auto", "gensim", "torch"] = "auto"
    """What fits the vectors; `auto` is gensim on a CPU and torch on a GPU."""


@dataclass(frozen=True, slots=True, eq=False)
class Node2VecModel:
    """Both tables of skip-gram; zero for a node that no relationship reaches.

    With negatives drawn uniformly, <v_j, w_i> is log P(i near j) but for a constant that is the
    same for all i (Levy & Goldberg 2014, "Neural word embedding as implicit matrix
    factorization", §3.1, with a uniform distribution in place of the counts). Ranking by it ranks
    by how likely a walk from j is to meet i, popularity included. The cosine of two v does not: it
    puts the rarest items first.

    Attributes:
        user_vectors: v of the users as nodes; <v_u, w_i> is how near item i is to user u.
        item_vectors: w of the items.
        source_vectors: v of the items, less for popular ones.
    """

    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "node2vec"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · <source_j, w_i> / Σ_j e_j; 0 without evidence."""
        total = np.asarray(evidence.sum(axis=1), np.float32).ravel()
        mean = (evidence @ self.source_vectors) / np.where(total > 0.0, total, 1.0)[:, None]
        return np.asarray(mean @ self.item_vectors.T, np.float32)

    def signal(self, items: IdMap) -> EmbeddingSignal:
        """See `FittedModel.signal`."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)


def memory_bytes(data: TrainingData, options: Node2VecOptions) -> int:
    """Bytes of the graph, the walks, the tables, and gensim's or torch's copies of them."""
    graph = data.graph
    edges = data.evidence.nnz + len(graph.follows) + len(graph.in_category)
    nodes = len(graph.users) + len(graph.items) + len(graph.categories)
    walks = 4 * nodes * options.walks_per_node * options.walk_length
    # Two tables, their gradients and moments, and the vectors given back.
    tables = 4 * nodes * options.dimensions * 10
    return 2 * 3 * 16 * edges + 3 * walks + tables


def fit(
    data: TrainingData,
    options: Node2VecOptions,
    run: FitRun,
) -> tuple[Node2VecModel, FitReport]:
    """Walk, then fit skip-gram to the walks. See `Fit`.

    gensim always runs all epochs, since its step size falls over all of them; torch stops by
    the validation part.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    skip_gram = _walks(data, options, run.seed)
    trained = _fit_skip_gram(skip_gram, data, options, run)
    assert isinstance(trained.model, Node2VecModel)
    report = FitReport(
        perf_counter() - start,
        trained.epochs,
        trained.metric,
        trained.history,
        memory_bytes(data, options),
    )
    return trained.model, report


def homogeneous_graph(data: TrainingData, options: Node2VecOptions) -> sp.csr_matrix:
    """The symmetric weights of users, then items, then categories as nodes alike.

    A user and an item weigh their evidence; two users weigh 1, or 2 where they follow each
    other; an item and a category weigh 1, so that the scale of stored weights, which differs from
    data set to data set, does not decide where a walk goes.
    """
    graph = data.graph
    users, items, categories = len(graph.users), len(graph.items), len(graph.categories)
    edges = data.evidence.tocoo()
    parts = {
        "interactions": (edges.row, edges.col + users, edges.data),
        "follows": (graph.follows.source, graph.follows.target, np.ones(len(graph.follows))),
        "in_category": (
            graph.in_category.source + users,
            graph.in_category.target + users + items,
            np.ones(len(graph.in_category)),
        ),
    }
    taken = [parts[name] for name in options.relationships]
    source, target, weight = (np.concatenate(column) for column in zip(*taken, strict=True))
    nodes = users + items + categories
    half = sp.csr_matrix((weight, (source, target)), shape=(nodes, nodes))
    return sp.csr_matrix(half + half.T)


def _walks(data: TrainingData, options: Node2VecOptions, seed: int) -> SkipGram:
    weights = homogeneous_graph(data, options)
    starts = _starts(weights, options.walks_per_node, seed)
    graph = WalkGraph.from_matrix(weights)
    walks = random_walks(graph, starts, options.walk_length, p=options.p, q=options.q, seed=seed)
    return SkipGram(
        walks,
        weights.shape[0],
        options.dimensions,
        options.window,
        options.negative_count,
        options.ns_exponent,
        seed,
    )


def _starts(
    weights: sp.csr_matrix, walks_per_node: int, seed: int
) -> Int64[NDArray[np.int64], " walks"]:
    """Every node with a neighbour, `walks_per_node` times, each time in another order."""
    generator = np.random.default_rng(seed)
    nodes = np.flatnonzero(np.diff(weights.indptr))
    return np.concatenate([generator.permutation(nodes) for _ in range(walks_per_node)])


def _fit_skip_gram(
    skip_gram: SkipGram,
    data: TrainingData,
    options: Node2VecOptions,
    run: FitRun,
) -> Trained:
    def build(vectors: NodeVectors) -> Node2VecModel:
        return _model(vectors, data.evidence, options.popularity_discount)

    epochs = run.epochs or options.epochs
    opened = open_device(run.device)
    measure = measure_on(data, run.validation)
    if options.backend == "torch" or (options.backend == "auto" and opened.type != "cpu"):
        learner = SkipGramLearner(skip_gram, opened, options.walks_per_step, build)
        return train(learner, options, epochs=epochs, measure=measure, progress=run.progress)
    vectors, history = fit_gensim(
        skip_gram, alpha=options.alpha, epochs=epochs, progress=run.progress
    )
    model = build(vectors)
    return Trained(model, epochs, measure(model) if measure else None, history)


def _model(vectors: NodeVectors, evidence: sp.csr_matrix, discount: float) -> Node2VecModel:
    users, items = evidence.shape
    item_rows = slice(users, users + items)
    degree = np.asarray(evidence.sum(axis=0)).ravel()
    share = np.asarray((1.0 + degree) ** -discount, np.float32)
    return Node2VecModel(
        user_vectors=vectors.centre[:users],
        item_vectors=vectors.context[item_rows],
        source_vectors=vectors.centre[item_rows] * share[:, None],
    )
