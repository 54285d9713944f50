"""What a refresh learns: models fitted, signals made, and the weights of the blend.

The weights are learned on interactions held out from a sample of users, by models that have not
seen them.
"""

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from loaders.gateway import Gateway
from loaders.types import HeteroGraph, IdMap
from recsvc.errors import RefreshError
from recsvc.evaluation import Estimate, Evaluation, evaluate, top_k
from recsvc.evidence import EvidenceKind
from recsvc.fusion import (
    BASE,
    LEAST_WEIGHT,
    collect_candidates,
    learn_weights,
    unit_rms,
)
from recsvc.models import (
    MODELS,
    EmbeddingModel,
    FitRun,
    FittedModel,
    ModelOptions,
    TrainingData,
    Validation,
)
from recsvc.settings import EventSettings
from recsvc.signals import EmbeddingSignal, RowSignal, Signal
from recsvc.signals.metapath import all_rows, held_out_scores, metapath_kinds
from recsvc.signals.pagerank import pagerank_rows
from recsvc.signals.popularity import popularity_prior
from recsvc.signals.rows import kernel_rows
from recsvc.splits import entries, hold_out

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""

PAGERANK = "pagerank"


class RefreshOptions(BaseModel):
    """How a refresh is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(default=("lightgcn", "node2vec", "ridge"), min_length=1)
    """Models that the blend is made of; each is linear in what a user did."""
    seed: int = Field(default=0, ge=0)
    """Decides the validation split, the training and the walks."""
    device: str = "cpu"
    """Where models are fitted: `cpu`, or `cuda`."""
    validation_users: int = Field(default=300, ge=10, le=100_000)
    """Users whose held-out items the weights of the blend are learned on."""
    held_out_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of a validation user's items that is held out."""
    row_size: int = Field(default=200, ge=10, le=10_000)
    """Entries kept in each PageRank and meta-path row."""
    kernel_size: int = Field(default=500, ge=10, le=10_000)
    """Entries kept in each row of a model that has no vectors."""
    damping: float = Field(default=0.5, gt=0.0, lt=1.0)
    """PageRank's chance of going on; a restart keeps it near the evidence."""
    pagerank_epsilon: float = Field(default=5e-3, ge=1e-6, le=0.5)
    """Mass that a PageRank row may lack before it is cut: its L1 error."""
    similar_items: int = Field(default=5, ge=1, le=100)
    """SIMILAR relationships written for each item and model."""


@dataclass(slots=True)
class Run:
    """What every step of one refresh needs."""

    gateway: Gateway
    options: RefreshOptions
    events: Mapping[str, EventSettings]
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Count the time of the block to one step."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What the validation part decided.

    Attributes:
        weights: λ by signal.
        epochs: best number by model; 0 for one without epochs.
        metrics: Recall@20 and NDCG@20 by signal, and of the blend as `hybrid`.
        embeddings: the models that have vectors to write back.
    """

    weights: Mapping[str, float]
    epochs: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Estimate]]
    embeddings: frozenset[str]


def settled_options(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> dict[str, ModelOptions]:
    """The options of each model, what they leave open chosen once: both fits are to be alike."""
    data = TrainingData(graph, evidence)
    settled: dict[str, ModelOptions] = {}
    for name in run.options.models:
        spec = MODELS[name]
        with run.step(f"fit {name} for validation"):
            settled[name] = spec.settled(data, spec.options(), run.options.seed)
    return settled


def learn(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, options: Mapping[str, ModelOptions]
) -> Learned:
    """Fit on what is left without the held-out part; learn the weights on that part.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        options: of each model.

    Raises:
        RefreshError: nobody has enough items for a held-out part.
    """
    users, kept, held_out = _split(run, evidence)
    data = TrainingData(graph, kept)
    models: dict[str, FittedModel] = {}
    epochs: dict[str, int] = {}
    for name in run.options.models:
        models[name], epochs[name] = fit_model(
            run, name, data, options[name], validation=Validation(held_out)
        )
    item_signals, _ = model_signals(run, models, graph.items)
    with run.step("pagerank"):
        rows, _, _ = _pagerank(run, graph, kept)
        item_signals.append(RowSignal(PAGERANK, "item", graph.items, rows))
    raw = {signal.name: signal.batch_scores(kept[users]) for signal in item_signals}
    with run.step("validation paths"):
        for name, scores in _rehearsed(run, graph, kept, held_out, users).items():
            raw[name] = scores.toarray().astype(np.float32)
    with run.step("weights"):
        normal = {n: (s * unit_rms(s)[:, None]).astype(np.float32) for n, s in raw.items()}
        prior = popularity_prior(kept)
        normal[BASE] = np.broadcast_to(prior, (len(users), len(prior)))
        seen = [kept[u].indices.astype(np.int64) for u in users.tolist()]
        answers = [held_out[u].indices.astype(np.int64) for u in users.tolist()]
        learnable = {name: scores for name, scores in normal.items() if scores.any()}
        candidates = collect_candidates(list(learnable.values()), seen, answers)
        weights, _ = learn_weights(candidates, list(learnable))
        weights = {name: max(weights.get(name, 0.0), LEAST_WEIGHT) for name in normal}
        metrics = _validation_metrics(normal, weights, kept, held_out, users)
    return Learned(weights, epochs, metrics, frozenset(embedding_models(models)))


def _split(
    run: Run, evidence: sp.csr_matrix
) -> tuple[Int64[NDArray[np.int64], " users"], sp.csr_matrix, sp.csr_matrix]:
    """Validation users, what is left of everybody's evidence, and what is held out."""
    options = run.options
    mask = hold_out(evidence, options.held_out_share, seed=options.seed)
    owner = np.repeat(np.arange(evidence.shape[0]), np.diff(evidence.indptr))
    able = np.unique(owner[mask])
    if len(able) < 1:
        raise RefreshError(
            "no user has 5 items or more: the weights of the blend cannot be learned; "
            "ingest more interactions"
        )
    rng = np.random.default_rng(options.seed)
    users = np.sort(rng.permutation(able)[: options.validation_users])
    mask &= np.isin(owner, users)
    return users, entries(evidence, ~mask), entries(evidence, mask)


def fit_model(
    run: Run,
    name: str,
    data: TrainingData,
    options: ModelOptions,
    *,
    validation: Validation | None = None,
    epochs: int | None = None,
) -> tuple[FittedModel, int]:
    """Fit one model; returns it and its epochs."""
    what = f"fit {name}" + (" for validation" if validation else "")
    with run.step(what):
        model, report = MODELS[name].fit(
            data,
            options,
            FitRun(
                run.options.seed,
                validation,
                run.options.device,
                epochs,
                lambda record: run.progress(what, record.epoch, epochs or 0),
            ),
        )
    if report.interrupted:
        raise KeyboardInterrupt  # the model so far is no use: the others are not fitted
    return model, report.epochs


def embedding_models(models: Mapping[str, FittedModel]) -> dict[str, EmbeddingModel]:
    """Those that have vectors, which are written back to the graph."""
    return {name: model for name, model in models.items() if isinstance(model, EmbeddingModel)}


def embedding_signals(models: Mapping[str, FittedModel], items: IdMap) -> list[EmbeddingSignal]:
    """One signal per embedding model."""
    return [
        EmbeddingSignal(name, items, model.source_vectors, model.item_vectors)
        for name, model in embedding_models(models).items()
    ]


def model_signals(
    run: Run, models: Mapping[str, FittedModel], items: IdMap
) -> tuple[list[Signal], dict[str, float]]:
    """One signal per model, in a form that can be stored: vectors, or rows cut to their largest.

    Returns:
        The signals, and by model without vectors the share of its kernel's weight that was cut off.

    Raises:
        RefreshError: a model is not linear in a user's items.
    """
    signals: list[Signal] = [*embedding_signals(models, items)]
    cut: dict[str, float] = {}
    for name, model in models.items():
        if isinstance(model, EmbeddingModel):
            continue
        kernel = model.signal(items)
        if kernel is None:
            raise RefreshError(not_linear(name))
        with run.step(f"rows of {name}"):
            rows, cut[name] = kernel_rows(kernel, run.options.kernel_size)
        signals.append(RowSignal(name, "item", items, rows))
    return signals, cut


def not_linear(name: str) -> str:
    """Why a model cannot be in the blend."""
    return (
        f"{name} is not linear in what a user did, so no answer with it could be explained: "
        "leave it out"
    )


def _pagerank(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> tuple[sp.csr_matrix, float, float]:
    return pagerank_rows(
        graph,
        evidence,
        damping=run.options.damping,
        epsilon=run.options.pagerank_epsilon,
        size=run.options.row_size,
    )


def row_signals(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> tuple[list[Signal], dict[str, float]]:
    """PageRank and every meta-path, over all evidence nodes of the whole graph.

    Returns:
        The signals, and of PageRank's rows the share of their mass that was cut off.
    """
    ids = _evidence_ids(graph)
    with run.step("pagerank"):
        rows, _, cut = _pagerank(run, graph, evidence)
    signals: list[Signal] = [RowSignal(PAGERANK, "item", graph.items, rows)]
    with run.step("meta-paths"):
        for name, kind in metapath_kinds().items():
            found = all_rows(
                run.gateway, name, ids[kind], graph.items, run.options.row_size, run.progress
            )
            signals.append(RowSignal(name, kind, ids[kind], found))
    return signals, {PAGERANK: cut}


def _rehearsed(
    run: Run,
    graph: HeteroGraph,
    kept: sp.csr_matrix,
    held_out: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " users"],
) -> dict[str, sp.csr_matrix]:
    by_kind: dict[EvidenceKind, sp.csr_matrix] = {
        "item": kept,
        "user": graph.follows.matrix(len(graph.users), len(graph.users), weighted=False),
        "category": graph.prefers.matrix(len(graph.users), len(graph.categories)),
    }
    return held_out_scores(
        run.gateway, metapath_kinds(), _evidence_ids(graph), by_kind, graph.users, held_out, users,
        size=run.options.row_size, progress=run.progress,
    )  # fmt: skip


def _evidence_ids(graph: HeteroGraph) -> dict[EvidenceKind, IdMap]:
    return {"item": graph.items, "user": graph.users, "category": graph.categories}


def _validation_metrics(
    normal: Mapping[str, Float32[NDArray[np.float32], "users items"]],
    weights: Mapping[str, float],
    kept: sp.csr_matrix,
    held_out: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " users"],
) -> dict[str, dict[str, Estimate]]:
    blended = sum(weights[n] * s for n, s in normal.items())
    position = {int(user): row for row, user in enumerate(users)}

    def measured(scores: NDArray[np.float32]) -> dict[str, Estimate]:
        def score(
            user_index: Int64[NDArray[np.int64], " n"], _evidence: sp.csr_matrix
        ) -> Float32[NDArray[np.float32], "n items"]:
            return scores[[position[int(user)] for user in user_index]]

        ranking = top_k(score, kept, k=20, user_index=users)
        found: Evaluation = evaluate(ranking, held_out, kept, cuts=(20,))
        return {name: found.estimates[name] for name in ("recall@20", "ndcg@20")}

    every = {**normal, "hybrid": np.asarray(blended, np.float32)}
    return {name: measured(scores) for name, scores in every.items()}
