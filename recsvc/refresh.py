"""extract → fit → evaluate → write back → activate.

The weights of the blend are learned on interactions held out from a sample of users, by models
that have not seen them. Then the same models are fitted on everything and written into the free
slots; one transaction makes the new versions active.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from loaders import writeback
from loaders.extract import ItemDetails, extract_details, extract_graph
from loaders.gateway import Gateway
from loaders.types import EmbeddingTable, HeteroGraph, IdMap
from recsvc.deletion import finish_deletions
from recsvc.errors import RefreshError
from recsvc.evaluation import Estimate
from recsvc.evidence import evidence_matrix
from recsvc.fusion import BASE, Blend
from recsvc.learning import (
    Learned,
    Progress,
    RefreshOptions,
    Run,
    embedding_models,
    embedding_signals,
    fit_model,
    learn,
    model_signals,
    not_linear,
    row_signals,
    settled_options,
)
from recsvc.models import MODELS, EmbeddingModel, TrainingData
from recsvc.settings import EventSettings
from recsvc.signals import EmbeddingSignal
from recsvc.signals.embedding import nearest_items
from recsvc.signals.popularity import popularity_prior
from recsvc.snapshot import Snapshot, pack

HYBRID = "hybrid"
_RUNNING_HOURS = 6


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
        cut: share of its kernel's weight that was cut off, by model without vectors, and of
            PageRank.
        sha256: of the arrays the blend is served from.
    """

    versions: Mapping[str, int]
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Estimate]]
    seconds: Mapping[str, float]
    counts: Mapping[str, int]
    cut: Mapping[str, float]
    sha256: str


def refresh(
    gateway: Gateway,
    options: RefreshOptions,
    events: Mapping[str, EventSettings],
    *,
    force: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> RefreshReport:
    """Make a new version of every model with vectors and of the blend, and activate them together.

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
    unfinished = writeback.unfinished_versions(gateway, hours=_RUNNING_HOURS)
    running = [version for version in unfinished if version.recent]
    if running and not force:
        first = running[0]
        raise RefreshError(
            f"another refresh is running ({first.model} {first.number}, begun {first.started_at}): "
            "wait for it, or use --force to take over"
        )
    writeback.mark_failed(gateway, unfinished, "left unfinished, or taken over with --force")
    run = Run(gateway, options, events, progress)
    versions = {HYBRID: _begin(run, HYBRID)}
    try:
        return _refresh(run, versions)
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        writeback.mark_failed(gateway, versions.values(), reason)
        finish_deletions(gateway)
        raise


def _begin(run: Run, name: str) -> writeback.Version:
    options = run.options
    return writeback.begin_version(
        run.gateway, name, seed=options.seed, options=options.model_dump(mode="json")
    )


def _refresh(run: Run, versions: dict[str, writeback.Version]) -> RefreshReport:
    """Fit, write and activate; adds the version of each model that has vectors to `versions`."""
    graph_at = datetime.now(UTC)
    with run.step("extract"):
        graph = extract_graph(run.gateway, run.progress)
        details = extract_details(run.gateway, graph.items, graph.categories)
    evidence = evidence_matrix(graph, run.events, now=time.time())
    options = settled_options(run, graph, evidence)
    learned = learn(run, graph, evidence, options)
    versions |= {
        name: _begin(run, name) for name in run.options.models if name in learned.embeddings
    }
    data = TrainingData(graph, evidence)
    models = {
        name: fit_model(run, name, data, options[name], epochs=learned.epochs[name] or None)[0]
        for name in run.options.models
    }
    of_models, cut = model_signals(run, models, graph.items)
    of_rows, cut_of_rows = row_signals(run, graph, evidence)
    signals = [*of_models, *of_rows]
    blend = Blend(
        tuple(signals),
        tuple(learned.weights[signal.name] for signal in signals),
        popularity_prior(evidence),
        learned.weights[BASE],
    )
    numbers = {name: version.number for name, version in versions.items()}
    snapshot = _snapshot(graph, details, blend, numbers)
    vectors = embedding_models(models)
    counts, sha256 = _write(run, versions, graph, vectors, snapshot, learned, graph_at)
    with run.step("activate"):
        # Whoever was deleted since the graph was read is in the arrays that were just stored.
        finish_deletions(run.gateway)
        writeback.activate(run.gateway, versions.values())
    with run.step("neighbours"):
        for signal in embedding_signals(models, graph.items):
            _write_neighbours(run, signal, snapshot)
    return RefreshReport(
        numbers, learned.weights, learned.metrics, run.seconds, counts, cut | cut_of_rows, sha256
    )


def _check_models(names: Sequence[str]) -> None:
    for name in names:
        if name not in MODELS:
            raise RefreshError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
        if not MODELS[name].linear:
            raise RefreshError(not_linear(name))


def _snapshot(
    graph: HeteroGraph, details: ItemDetails, blend: Blend, versions: Mapping[str, int]
) -> Snapshot:
    by_user = any(signal.kind == "user" for signal in blend.signals)
    counts = np.bincount(graph.interactions.user_index, minlength=len(graph.users))
    return Snapshot(
        versions=versions,
        items=graph.items,
        categories=graph.categories,
        users=graph.users if by_user else IdMap(()),
        user_counts=counts if by_user else counts[:0],
        titles=details.titles,
        available=np.array(details.available, bool),
        in_category=graph.in_category.matrix(
            len(graph.items), len(graph.categories), weighted=False
        ),
        blend=blend,
        event=_only_event(graph),
    )


def _only_event(graph: HeteroGraph) -> str | None:
    """The kind of event that all interactions have; None where there are several."""
    kinds = np.unique(graph.interactions.event_index).tolist()
    return graph.interactions.events[kinds[0]] if len(kinds) == 1 else None


def _write(
    run: Run,
    versions: Mapping[str, writeback.Version],
    graph: HeteroGraph,
    models: Mapping[str, EmbeddingModel],
    snapshot: Snapshot,
    learned: Learned,
    graph_at: datetime,
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
        writeback.write_snapshot(run.gateway, versions[HYBRID].number, content)
    for name, version in versions.items():
        extra = {"sha256": sha256} if name == HYBRID else {"epochs": learned.epochs[name]}
        writeback.mark_ready(
            run.gateway,
            version,
            metrics={m: e.mean for m, e in learned.metrics[name].items()},
            weights=dict(learned.weights),
            seconds=sum(run.seconds.values()),
            graph_at=graph_at,
            **counts,
            **extra,
        )
    return counts, sha256


def _write_neighbours(run: Run, signal: EmbeddingSignal, snapshot: Snapshot) -> None:
    """SIMILAR relationships: the nearest items by cosine, for items whose vector is not zero."""
    neighbours, scores = nearest_items(signal.target, run.options.similar_items)
    writeback.write_similar(
        run.gateway, signal.name, snapshot.items, neighbours, scores, run.progress
    )
