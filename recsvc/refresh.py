"""extract → fit → evaluate → write back → activate.

The weights of the blend are learned on interactions held out from a sample of users, by models
that have not seen them. Then the same models are fitted on everything and written into the free
slots; one transaction makes the new versions active.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from loaders import writeback
from loaders.extract import ItemDetails, extract_details, extract_graph
from loaders.gateway import Gateway
from loaders.types import Edges, EmbeddingTable, HeteroGraph, IdMap
from recsvc.errors import RefreshError
from recsvc.evaluation import Estimate, Evaluation, evaluate, top_k
from recsvc.evidence import EvidenceKind, evidence_matrix
from recsvc.fusion import (
    BASE,
    LEAST_WEIGHT,
    Blend,
    collect_candidates,
    learn_weights,
    unit_rms,
)
from recsvc.models import MODELS, EmbeddingModel, TrainingData, Validation
from recsvc.settings import EventSettings
from recsvc.signals import EmbeddingSignal, RowSignal, Signal
from recsvc.signals.metapath import all_rows, held_out_scores, metapath_kinds
from recsvc.signals.pagerank import pagerank_rows
from recsvc.signals.popularity import popularity_prior
from recsvc.snapshot import Snapshot, pack
from recsvc.splits import entries, hold_out

PAGERANK = "pagerank"
_RUNNING_HOURS = 6

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""


class RefreshOptions(BaseModel):
    """How a refresh is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(default=("lightgcn", "node2vec"), min_length=1)
    """Embedding models that the blend is made of."""
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
    damping: float = Field(default=0.5, gt=0.0, lt=1.0)
    """PageRank's chance of going on; a restart keeps it near the evidence."""
    pagerank_epsilon: float = Field(default=1e-6, gt=0.0, le=1e-2)
    """Residual per degree at which PageRank stops."""
    similar_items: int = Field(default=5, ge=1, le=100)
    """SIMILAR relationships written for each item and model."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did.

    Attributes:
        versions: number of the new active version, by model.
        weights: λ by signal.
        metrics: NDCG@20 and Recall@20 on the validation users: of every signal alone, and of the
            blend as `hybrid`.
        seconds: time of each step.
        counts: nodes, relationships and vectors.
        sha256: of the arrays the blend is served from.
    """

    versions: Mapping[str, int]
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Estimate]]
    seconds: Mapping[str, float]
    counts: Mapping[str, int]
    sha256: str


@dataclass(slots=True)
class _Run:
    """What every step of one refresh needs."""

    gateway: Gateway
    options: RefreshOptions
    events: Mapping[str, EventSettings]
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, slots=True, eq=False)
class _Learned:
    """What the validation part decided."""

    weights: Mapping[str, float]
    epochs: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Estimate]]


def refresh(
    gateway: Gateway,
    options: RefreshOptions,
    events: Mapping[str, EventSettings],
    *,
    force: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> RefreshReport:
    """Make a new version of every model and of the blend, and activate them together.

    Args:
        gateway: the graph.
        options: how.
        events: settings by kind of event.
        force: start although another refresh seems to be running; its versions are marked failed.
        progress: told what is done.

    Raises:
        RefreshError: another refresh is running, or there is too little to learn from.
        TrainingError: a model cannot be fitted.
        Neo4jError: the graph cannot be read or written.
    """
    _check_models(options.models)
    running = writeback.running_refresh(gateway, hours=_RUNNING_HOURS)
    if running and not force:
        raise RefreshError(
            f"another refresh is running ({running}): wait for it, or use --force to take over"
        )
    if running:
        writeback.fail_unfinished(gateway, "taken over by a refresh with --force")
    versions = {
        model: writeback.begin_version(
            gateway, model, seed=options.seed, options=options.model_dump(mode="json")
        )
        for model in (*options.models, "hybrid")
    }
    try:
        return _refresh(_Run(gateway, options, events, progress), versions)
    except BaseException as error:
        writeback.fail_unfinished(gateway, f"{type(error).__name__}: {error}"[:500])
        raise


def _refresh(run: _Run, versions: Mapping[str, writeback.Version]) -> RefreshReport:
    with run.step("extract"):
        graph = extract_graph(run.gateway, run.progress)
        details = extract_details(run.gateway, graph.items, graph.categories)
    evidence = evidence_matrix(graph, run.events, now=time.time())
    learned = _learn(run, graph, evidence)
    models = {
        name: _fit(run, name, TrainingData(graph, evidence), epochs=learned.epochs[name])[0]
        for name in run.options.models
    }
    rows = _row_signals(run, graph, evidence)
    signals: list[Signal] = [*_embedding_signals(models, graph.items), *rows]
    blend = Blend(
        tuple(signals),
        tuple(learned.weights[signal.name] for signal in signals),
        popularity_prior(evidence),
        learned.weights[BASE],
    )
    numbers = {name: version.number for name, version in versions.items()}
    snapshot = _snapshot(graph, details, blend, numbers)
    counts, sha256 = _write(run, versions, graph, models, snapshot, learned)
    with run.step("activate"):
        writeback.activate(run.gateway, versions.values())
    with run.step("neighbours"):
        for signal in _embedding_signals(models, graph.items):
            _write_neighbours(run, signal, snapshot)
    return RefreshReport(numbers, learned.weights, learned.metrics, run.seconds, counts, sha256)


def _check_models(names: Sequence[str]) -> None:
    for name in names:
        if name not in MODELS or not hasattr(MODELS[name].options, "model_fields"):
            raise RefreshError(f"no model {name!r}: expected one of {', '.join(MODELS)}")


def _learn(run: _Run, graph: HeteroGraph, evidence: sp.csr_matrix) -> _Learned:
    """Fit on what is left without the held-out part; learn the weights on that part."""
    users, kept, held_out = _split(run, evidence)
    data = TrainingData(graph, kept)
    models: dict[str, EmbeddingModel] = {}
    epochs: dict[str, int] = {}
    for name in run.options.models:
        models[name], epochs[name] = _fit(run, name, data, validation=Validation(held_out))
    item_signals: list[Signal] = _embedding_signals(models, graph.items)
    with run.step("pagerank"):
        rows, _ = _pagerank(run, graph, kept)
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
    return _Learned(weights, epochs, metrics)


def _split(
    run: _Run, evidence: sp.csr_matrix
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


def _fit(
    run: _Run,
    name: str,
    data: TrainingData,
    *,
    validation: Validation | None = None,
    epochs: int | None = None,
) -> tuple[EmbeddingModel, int]:
    """Fit one model; returns it and its epochs."""
    spec = MODELS[name]
    what = f"fit {name}" + (" for validation" if validation else "")
    options = spec.options()
    with run.step(what):
        model, report = spec.fit(
            data,
            options,
            seed=run.options.seed,
            validation=validation,
            device=run.options.device,
            epochs=epochs,
            progress=lambda record: run.progress(what, record.epoch, epochs or 0),
        )
    if not isinstance(model, EmbeddingModel):
        raise RefreshError(f"{name} has no vectors to write back: choose an embedding model")
    return model, report.epochs


def _embedding_signals(models: Mapping[str, EmbeddingModel], items: IdMap) -> list[Signal]:
    return [
        EmbeddingSignal(name, items, model.source_vectors, model.item_vectors)
        for name, model in models.items()
    ]


def _pagerank(
    run: _Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> tuple[sp.csr_matrix, float]:
    return pagerank_rows(
        graph,
        evidence,
        damping=run.options.damping,
        epsilon=run.options.pagerank_epsilon,
        size=run.options.row_size,
    )


def _row_signals(run: _Run, graph: HeteroGraph, evidence: sp.csr_matrix) -> list[Signal]:
    """PageRank and every meta-path, over all evidence nodes of the whole graph."""
    ids = _evidence_ids(graph)
    with run.step("pagerank"):
        rows, _ = _pagerank(run, graph, evidence)
    signals: list[Signal] = [RowSignal(PAGERANK, "item", graph.items, rows)]
    with run.step("meta-paths"):
        for name, kind in metapath_kinds().items():
            found = all_rows(
                run.gateway, name, ids[kind], graph.items, run.options.row_size, run.progress
            )
            signals.append(RowSignal(name, kind, ids[kind], found))
    return signals


def _rehearsed(
    run: _Run,
    graph: HeteroGraph,
    kept: sp.csr_matrix,
    held_out: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " users"],
) -> dict[str, sp.csr_matrix]:
    by_kind: dict[EvidenceKind, sp.csr_matrix] = {
        "item": kept,
        "user": _matrix(graph.follows, len(graph.users), len(graph.users), weighted=False),
        "category": _matrix(graph.prefers, len(graph.users), len(graph.categories), weighted=True),
    }
    return held_out_scores(
        run.gateway, metapath_kinds(), _evidence_ids(graph), by_kind, graph.users, held_out, users,
        size=run.options.row_size, progress=run.progress,
    )  # fmt: skip


def _evidence_ids(graph: HeteroGraph) -> dict[EvidenceKind, IdMap]:
    return {"item": graph.items, "user": graph.users, "category": graph.categories}


def _matrix(edges: Edges, rows: int, columns: int, *, weighted: bool) -> sp.csr_matrix:
    weight = edges.weight if weighted else np.ones(len(edges), np.float32)
    return sp.csr_matrix((weight, (edges.source, edges.target)), shape=(rows, columns))


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


def _snapshot(
    graph: HeteroGraph, details: ItemDetails, blend: Blend, versions: Mapping[str, int]
) -> Snapshot:
    by_user = any(signal.kind == "user" for signal in blend.signals)
    return Snapshot(
        versions=versions,
        items=graph.items,
        categories=graph.categories,
        users=graph.users if by_user else IdMap(()),
        titles=details.titles,
        category_names=details.category_names,
        available=np.array(details.available, bool),
        in_category=_matrix(
            graph.in_category, len(graph.items), len(graph.categories), weighted=False
        ),
        blend=blend,
    )


def _write(
    run: _Run,
    versions: Mapping[str, writeback.Version],
    graph: HeteroGraph,
    models: Mapping[str, EmbeddingModel],
    snapshot: Snapshot,
    learned: _Learned,
) -> tuple[dict[str, int], str]:
    """Write vectors and arrays into the new versions; returns the counts and the SHA-256."""
    counts = {
        "users": len(graph.users), "items": len(graph.items),
        "categories": len(graph.categories), "interactions": len(graph.interactions),
        "follows": len(graph.follows), "vectors": 0,
    }  # fmt: skip
    for name, model in models.items():
        with run.step("write vectors"):
            for label, ids, vectors in (
                ("User", graph.users, model.user_vectors),
                ("Item", graph.items, model.item_vectors),
            ):
                table = EmbeddingTable(label, ids, vectors)
                counts["vectors"] += writeback.write_vectors(
                    run.gateway, versions[name], table, run.progress
                )
    with run.step("write snapshot"):
        content, sha256 = pack(snapshot)
        counts["snapshot_bytes"] = len(content)
        writeback.write_snapshot(run.gateway, versions["hybrid"].number, content)
    for name, version in versions.items():
        extra = {"sha256": sha256} if name == "hybrid" else {"epochs": learned.epochs[name]}
        writeback.mark_ready(
            run.gateway,
            version,
            metrics={m: e.mean for m, e in learned.metrics[name].items()},
            weights=dict(learned.weights),
            seconds=sum(run.seconds.values()),
            **counts,
            **extra,
        )
    return counts, sha256


def _write_neighbours(run: _Run, signal: Signal, snapshot: Snapshot) -> None:
    """SIMILAR relationships: the nearest items by cosine, for items whose vector is not zero."""
    if not isinstance(signal, EmbeddingSignal):
        return
    neighbours, scores = nearest_items(signal.target, run.options.similar_items)
    writeback.write_similar(
        run.gateway, signal.name, snapshot.items, neighbours, scores, run.progress
    )


def nearest_items(
    vectors: Float32[NDArray[np.float32], "items dim"], k: int, *, chunk: int = 1024
) -> tuple[Int64[NDArray[np.int64], "items k"], Float32[NDArray[np.float32], "items k"]]:
    """The k nearest other rows of each row, by cosine.

    Returns:
        Rows, best first (ties: smaller row), -1 for a vector of length 0; and the cosines.
    """
    length = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(length > 0, length, 1.0)[:, None]
    k = min(k, len(vectors) - 1)
    neighbours = np.full((len(vectors), k), -1, np.int64)
    scores = np.zeros((len(vectors), k), np.float32)
    for start in range(0, len(vectors), chunk):
        rows = np.arange(start, min(start + chunk, len(vectors)))
        cosine = unit[rows] @ unit.T
        cosine[:, length == 0] = -np.inf
        cosine[np.arange(len(rows)), rows] = -np.inf
        top = np.sort(np.argpartition(-cosine, k - 1, axis=1)[:, :k], axis=1)
        value = np.take_along_axis(cosine, top, 1)
        order = np.argsort(-value, axis=1, kind="stable")
        neighbours[rows] = np.take_along_axis(top, order, 1)
        scores[rows] = np.take_along_axis(value, order, 1)
    neighbours[length == 0] = -1
    neighbours[~np.isfinite(scores)] = -1
    return neighbours, np.where(np.isfinite(scores), scores, 0.0).astype(np.float32)
