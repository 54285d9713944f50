# pyright: basic
# scipy and torch are typed in part: what they return is often unknown.
"""Node2Vec: vectors of nodes that random walks pass close together."""

from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from typing import Annotated, Literal, Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from recsvc.blend.options import split_commas
from recsvc.errors import TrainingError
from recsvc.models._loop import Trained, TrainerOptions, measure_on, open_device, train
from recsvc.models._nodes import Relationship, homogeneous_graph
from recsvc.models._skipgram import NodeVectors, SkipGram, SkipGramLearner, fit_in_turn
from recsvc.models._vectors import VectorModel
from recsvc.models._walks import WalkGraph, Walks, random_walks, typed_walks
from recsvc.models.base import (
    FitReport,
    FitRun,
    Range,
    SearchSpace,
    TrainingData,
    require_evidence,
)

NodeType = Literal["user", "item", "category"]

_FINE_TUNING_ALPHA = 0.4
"""Of the first step size, where vectors are there already."""

_TYPES: tuple[NodeType, ...] = ("user", "item", "category")  # in the order of their nodes
_LINKS: dict[frozenset[NodeType], Relationship] = {
    frozenset[NodeType](("user", "item")): "interactions",
    frozenset[NodeType](("user",)): "follows",
    frozenset[NodeType](("item", "category")): "in_category",
}

WALK_SEARCH: SearchSpace = {
    "dimensions": (32, 64, 128),
    "walks_per_node": Range(5, 20),
    "walk_length": Range(10, 80, logarithmic=True),
    "window": Range(2, 10),
    "negative_count": Range(2, 10),
    "popularity_discount": Range(0.0, 1.0),
    "alpha": Range(0.01, 0.1, logarithmic=True),
}
SEARCH: SearchSpace = {
    **WALK_SEARCH,
    "p": Range(0.25, 4.0, logarithmic=True),
    "q": Range(0.25, 4.0, logarithmic=True),
}


class WalkOptions(TrainerOptions):
    """Options of walks and skip-gram, whatever decides where a walk goes."""

    relationships: Annotated[tuple[Relationship, ...], BeforeValidator(split_commas)] = Field(
        default=("interactions", "follows"), min_length=1
    )
    """What the walks follow, in both directions; as text, with commas between."""
    dimensions: int = Field(default=64, ge=1, le=4096)
    """Length of a vector."""
    walks_per_node: int = Field(default=10, ge=1, le=1000)
    """Walks that start at each node."""
    walk_length: int = Field(default=20, ge=2, le=1000)
    """Nodes in a walk."""
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
    learning_rate: float = Field(default=0.01, gt=0.0, le=10.0)
    """Step size of Adam, for torch."""
    alpha: float = Field(default=0.05, gt=0.0, le=1.0)
    """Step size of SGD at the start, from which it falls linearly."""
    walks_per_step: int = Field(default=512, ge=1)
    """Walks whose pairs make one step of torch."""
    backend: Literal["auto", "sgd", "torch"] = "auto"
    """What fits the vectors: `sgd`, pair after pair on the CPU, or `torch`, in batches by Adam;
    `auto` is torch where the device is a GPU."""


class Node2VecOptions(WalkOptions):
    """Options of Node2Vec."""

    p: float = Field(default=1.0, ge=0.01, le=100.0)
    """Return parameter: lower goes back to the node just left more often."""
    q: float = Field(default=1.0, ge=0.01, le=100.0)
    """In-out parameter: lower goes away from the node just left more often."""
    metapath: Annotated[tuple[NodeType, ...], BeforeValidator(split_commas)] = ()
    """Types that a walk visits in turn, over and over, the last one being the first one:
    `user,item,category,item,user`. It names the relationships itself, `relationships` then means
    nothing, and walks start at nodes of the first type. Empty: a walk goes anywhere."""

    @field_validator("metapath")
    @classmethod
    def _is_a_round_trip(cls, path: tuple[NodeType, ...]) -> tuple[NodeType, ...]:
        if not path:
            return path
        if len(path) < 2 or path[0] != path[-1]:
            raise ValueError(
                f"{','.join(path)} does not come back: expected two types or more, the last one "
                "being the first one, such as user,item,user"
            )
        for step in pairwise(path):
            if frozenset(step) not in _LINKS:
                raise ValueError(
                    f"no relationship links {step[0]} and {step[1]}: expected steps between user "
                    "and item, user and user, or item and category"
                )
        return path

    @model_validator(mode="after")
    def _bias_has_no_path(self) -> Self:
        if self.metapath and (self.p, self.q) != (1.0, 1.0):
            raise ValueError(
                f"p={self.p} and q={self.q} with a metapath: its walks take the next type "
                "whatever the node before was; leave p and q at 1, or metapath out"
            )
        return self

    def followed(self) -> tuple[Relationship, ...]:
        """The relationships that walks follow."""
        if not self.metapath:
            return self.relationships
        return tuple(dict.fromkeys(_LINKS[frozenset(step)] for step in pairwise(self.metapath)))


class Node2VecModel(VectorModel):
    """Both tables of skip-gram; zero for a node that no relationship reaches.

    With negatives drawn uniformly, <v_j, w_i> is log P(i near j) but for a constant that is the
    same for all i (Levy & Goldberg 2014, "Neural word embedding as implicit matrix
    factorization", §3.1, with a uniform distribution in place of the counts). Ranking by it ranks
    by how likely a walk from j is to meet i, popularity included. The cosine of two v does not: it
    puts the rarest items first. That constant is what taking the mean of all w off each of them
    leaves out, so that 0, which an item has that no walk meets, is what the average item has.

    Attributes:
        user_vectors: v of the users as nodes; <v_u, w_i> is how near item i is to user u.
        item_vectors: w of the items, less the mean of those that walks meet.
        source_vectors: v of the items, less for popular ones.
    """

    __slots__ = ()

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · <source_j, w_i> / Σ_j e_j; 0 without evidence."""
        total = np.asarray(evidence.sum(axis=1), np.float32).ravel()
        mean = (evidence @ self.source_vectors) / np.where(total > 0.0, total, 1.0)[:, None]
        return np.asarray(mean @ self.item_vectors.T, np.float32)


def memory_bytes(data: TrainingData, options: WalkOptions) -> int:
    """Bytes of the graph, the walks, the tables, and torch's part: their moments and a step."""
    graph = data.graph
    edges = data.evidence.nnz + len(graph.follows) + len(graph.in_category)
    nodes = len(graph.users) + len(graph.items) + len(graph.categories)
    walks = 4 * nodes * options.walks_per_node * options.walk_length
    # Two tables, their gradients and moments, and the vectors given back.
    tables = 4 * nodes * options.dimensions * 10
    pairs = options.walks_per_step * options.walk_length * 2 * options.window
    step = 4 * pairs * (options.negative_count + 2) * options.dimensions * 2
    return 2 * 3 * 16 * edges + 3 * walks + tables + step


def fit(
    data: TrainingData,
    options: Node2VecOptions,
    run: FitRun,
) -> tuple[Node2VecModel, FitReport]:
    """Walk, then fit skip-gram to the walks. See `Fit`.

    SGD always runs all epochs, since its step size falls over all of them; torch stops by the
    validation part. Ctrl-C ends either with what there is after one epoch or more; only torch
    keeps a checkpoint.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    start = perf_counter()
    require_evidence(data)
    needed = memory_bytes(data, options)
    if run.start and not run.share:
        model = _model(NodeVectors(*run.start), data.evidence, options.popularity_discount)
        return model, Trained(model, 0, None, (), tables=run.start).report(start, needed)
    if run.start:
        options, run = _fine_tuning(options, run)
    weights = homogeneous_graph(data, options.followed())
    skip_gram = SkipGram(
        walk(data, weights, options, run.seed),
        weights.shape[0],
        options.dimensions,
        options.window,
        options.negative_count,
        options.ns_exponent,
        run.seed,
    )
    trained = _fit_skip_gram(skip_gram, data, options, run)
    return trained.model, trained.report(start, needed)


def _fine_tuning(options: Node2VecOptions, run: FitRun) -> tuple[Node2VecOptions, FitRun]:
    """One pass over as many walks as there are passes over a walk in its share of a fit."""
    passes = options.walks_per_node * (run.epochs or options.epochs)
    changes = {
        "walks_per_node": run.fine_tuning_epochs(passes),
        "alpha": options.alpha * _FINE_TUNING_ALPHA,
    }
    return options.model_copy(update=changes), replace(run, epochs=1)


def walk(data: TrainingData, weights: sp.csr_matrix, options: Node2VecOptions, seed: int) -> Walks:
    """The walks over the graph of these weights.

    Raises:
        TrainingError: no node of the first type of the meta-path has a relationship.
    """
    graph = WalkGraph.from_matrix(weights)
    length = options.walk_length
    if not options.metapath:
        starts = _starts(np.flatnonzero(np.diff(weights.indptr)), options.walks_per_node, seed)
        return random_walks(graph, starts, length, p=options.p, q=options.q, seed=seed)
    users, items = data.evidence.shape
    bounds = (0, users, users + items, weights.shape[0])
    path = tuple(map(_TYPES.index, options.metapath))
    own = np.arange(bounds[path[0]], bounds[path[0] + 1])
    linked = own[np.diff(weights.indptr)[own] > 0]
    if not len(linked):
        raise TrainingError(
            f"no {options.metapath[0]} has a relationship that {','.join(options.metapath)} "
            "follows: give categories or follows, or another metapath"
        )
    starts = _starts(linked, options.walks_per_node, seed)
    return typed_walks(graph, starts, length, bounds=bounds, path=path, seed=seed)


def _starts(
    nodes: Int64[NDArray[np.int64], " n"], walks_per_node: int, seed: int
) -> Int64[NDArray[np.int64], " walks"]:
    """Every node, `walks_per_node` times, each time in another order."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.permutation(nodes) for _ in range(walks_per_node)])


def _fit_skip_gram(
    skip_gram: SkipGram,
    data: TrainingData,
    options: Node2VecOptions,
    run: FitRun,
) -> Trained:
    def build(vectors: NodeVectors) -> Node2VecModel:
        return _model(vectors, data.evidence, options.popularity_discount)

    opened = open_device(run.device)
    measure = measure_on(data, run.validation, run.seed)
    if options.backend == "torch" or (options.backend == "auto" and opened.type != "cpu"):
        learner = SkipGramLearner(skip_gram, opened, options.walks_per_step, build)
        return train(learner, options, run, measure=measure)
    epochs = run.fine_tuning_epochs(run.epochs or options.epochs)
    vectors, history, interrupted = fit_in_turn(
        skip_gram, options.alpha, epochs, run.progress, run.start
    )
    model = build(vectors)
    metric = measure(model) if measure else None
    return Trained(model, len(history), metric, history, interrupted, tuple(vectors))


def _model(vectors: NodeVectors, evidence: sp.csr_matrix, discount: float) -> Node2VecModel:
    users, items = evidence.shape
    item_rows = slice(users, users + items)
    context = vectors.context[item_rows]
    met = context.any(axis=1, keepdims=True)
    mean = context.sum(axis=0) / np.float32(max(1, np.count_nonzero(met)))
    degree = np.asarray(evidence.sum(axis=0)).ravel()
    share = np.asarray((1.0 + degree) ** -discount, np.float32)
    return Node2VecModel(
        "node2vec",
        user_vectors=vectors.centre[:users],
        item_vectors=np.where(met, context - mean, np.float32(0.0)),
        source_vectors=vectors.centre[item_rows] * share[:, None],
    )
