"""What a refresh learns: models fitted, signals made, and the weights of the blend.

The weights are learned on interactions held out from a sample of users, by models that have not
seen them.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from loaders.gateway import Gateway
from loaders.types import HeteroGraph, IdMap
from recsvc.errors import RefreshError
from recsvc.evaluation import Estimate, accuracy, bootstrap
from recsvc.evidence import EvidenceKind
from recsvc.fusion import (
    BASE,
    LEAST_WEIGHT,
    Candidates,
    candidates_in_parts,
    learn_weights,
    scaled_scores,
    top_hits,
    unit_rms,
)
from recsvc.gate import Validated
from recsvc.lease import Lease
from recsvc.models import (
    MODELS,
    EmbeddingModel,
    FitRun,
    FittedModel,
    ModelOptions,
    TrainingData,
    Validation,
)
from recsvc.refresh_run import RefreshRun
from recsvc.settings import EventSettings
from recsvc.signals import EmbeddingSignal, RowSignal, Signal
from recsvc.signals.metapath import all_rows, held_out_scores, metapath_kinds
from recsvc.signals.pagerank import pagerank_rows
from recsvc.signals.popularity import popularity_prior
from recsvc.signals.rows import kernel_rows
from recsvc.splits import entries, hold_out_again, id_numbers

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
    validation_users: int = Field(default=500, ge=10, le=100_000)
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
    least_coverage: float = Field(default=0.9, ge=0.0, le=1.0)
    """Share of the items that somebody did something with that a version needs to reach."""
    similar_items: int = Field(default=5, ge=1, le=100)
    """SIMILAR relationships written for each item and model."""


@dataclass(slots=True)
class Run:
    """What every step of one refresh needs."""

    gateway: Gateway
    options: RefreshOptions
    events: Mapping[str, EventSettings]
    progress: Progress
    lease: Lease
    record: RefreshRun

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """One step: it begins only while the lease is held, is noted, and is told of.

        Raises:
            LeaseLostError: another refresh took over.
        """
        self.told(name, 0, 0)
        with self.record.step(name):
            yield
        self.progress(name, 1, 1)

    def told(self, what: str, done: int, total: int) -> None:
        """Report progress, which also ends a long step that goes on without the lease.

        Raises:
            LeaseLostError: another refresh took over.
        """
        self.lease.require()
        self.progress(what, done, total)


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of a fitted model: see `EmbeddingModel`."""

    user: Float32[NDArray[np.float32], "users dim"]
    item: Float32[NDArray[np.float32], "items dim"]
    source: Float32[NDArray[np.float32], "items dim"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model in a form that can be stored: vectors, or rows cut to their largest entries.

    Attributes:
        kernel: vectors, or K(j, i) as rows [items, items].
        epochs: that it has seen; 0 for one without epochs.
        cut: share of the weight of the rows that was cut off.
    """

    kernel: Vectors | sp.csr_matrix
    epochs: int
    cut: float = 0.0

    def signal(self, name: str, items: IdMap) -> Signal:
        """The model as a signal of that name."""
        if isinstance(self.kernel, Vectors):
            return EmbeddingSignal(name, items, self.kernel.source, self.kernel.item)
        return RowSignal(name, "item", items, self.kernel)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What the validation part decided.

    Attributes:
        weights: λ by signal.
        epochs: best number by model; 0 for one without epochs.
        metrics: Recall@20 and NDCG@20 by signal, and of the blend as `hybrid`.
        validated: how good the blend was for each validation user.
    """

    weights: Mapping[str, float]
    epochs: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Estimate]]
    validated: Validated


def settled_options(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> dict[str, ModelOptions]:
    """The options of each model, what they leave open chosen once: both fits are to be alike."""
    data = TrainingData(graph, evidence)

    def settle(name: str) -> dict[str, Any]:
        spec = MODELS[name]
        with run.step(f"settle {name}"):
            return spec.settled(data, spec.options(), run.options.seed).model_dump(mode="json")

    return {
        name: MODELS[name].options(**run.record.kept(f"settle {name}", partial(settle, name)))
        for name in run.options.models
    }


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
    return run.record.kept("weights", lambda: _learn(run, graph, evidence, options))


def _learn(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, options: Mapping[str, ModelOptions]
) -> Learned:
    numbers = id_numbers(graph.users)
    users, kept, held_out = _split(run, evidence, numbers, id_numbers(graph.items))
    data = TrainingData(graph, kept)
    fitted = {
        name: fit_model(run, name, data, options[name], validation=Validation(held_out))
        for name in run.options.models
    }
    item_signals = [each.signal(name, graph.items) for name, each in fitted.items()]
    item_signals.append(_pagerank(run, graph, kept, "pagerank for validation")[0])
    paths = _rehearsed(run, graph, kept, held_out, users)
    prior = popularity_prior(kept)
    names = [*(signal.name for signal in item_signals), *paths, BASE]

    def score(some: slice) -> list[Float32[NDArray[np.float32], "n items"]]:
        scores = [scaled_scores(signal, kept[users[some]]) for signal in item_signals]
        raw = (found[some].toarray() for found in paths.values())
        scores += [(s * unit_rms(s)[:, None]).astype(np.float32) for s in raw]
        return [*scores, np.broadcast_to(prior, scores[0].shape)]

    with run.step("weights"):
        candidates = candidates_in_parts(score, len(names), kept[users], held_out[users])
        heard = [place for place, values in enumerate(candidates.features) if values.any()]
        learnable = replace(candidates, features=candidates.features[heard])
        learned, _ = learn_weights(learnable, [names[place] for place in heard])
        weights = {name: max(learned.get(name, 0.0), LEAST_WEIGHT) for name in names}
        by_user = validation_accuracy(candidates, weights)
        metrics = {name: dict(bootstrap(values, 1000, 0)) for name, values in by_user.items()}
    epochs = {name: each.epochs for name, each in fitted.items()}
    validated = Validated(numbers[users], by_user["hybrid"]["ndcg@20"])
    return Learned(weights, epochs, metrics, validated)


def _split(
    run: Run,
    evidence: sp.csr_matrix,
    user_numbers: Int64[NDArray[np.int64], " users"],
    item_numbers: Int64[NDArray[np.int64], " items"],
) -> tuple[Int64[NDArray[np.int64], " validation"], sp.csr_matrix, sp.csr_matrix]:
    """Validation users, what is left of everybody's evidence, and what is held out.

    The next refresh takes mostly the same, so that its version can be compared with this one.
    """
    options = run.options
    mask = hold_out_again(
        evidence, user_numbers, item_numbers, options.held_out_share,
        most_users=options.validation_users, seed=options.seed,
    )  # fmt: skip
    if not mask.any():
        raise RefreshError(
            "no user has 5 items or more: the weights of the blend cannot be learned; "
            "ingest more interactions"
        )
    held_out = entries(evidence, mask)
    users = np.flatnonzero(np.diff(held_out.indptr))
    return users, entries(evidence, ~mask), held_out


def fit_model(
    run: Run,
    name: str,
    data: TrainingData,
    options: ModelOptions,
    *,
    validation: Validation | None = None,
    epochs: int | None = None,
) -> Fitted:
    """Fit one model, or take what an earlier attempt has fitted.

    Raises:
        RefreshError: it is not linear in a user's items.
        TrainingError: it cannot be fitted.
    """
    what = f"fit {name}" + (" for validation" if validation else "")

    def fit() -> Fitted:
        with run.step(what):
            model, report = MODELS[name].fit(
                data,
                options,
                FitRun(
                    run.options.seed,
                    validation,
                    run.options.device,
                    epochs,
                    lambda record: run.told(what, record.epoch, epochs or 0),
                    run.record.checkpoint(what),
                ),
            )
            if report.interrupted:
                raise KeyboardInterrupt  # the model so far is no use: the others are not fitted
        return _fitted(run, name, model, report.epochs, data.graph.items)

    return run.record.kept(what, fit)


def _fitted(run: Run, name: str, model: FittedModel, epochs: int, items: IdMap) -> Fitted:
    if isinstance(model, EmbeddingModel):
        vectors = Vectors(model.user_vectors, model.item_vectors, model.source_vectors)
        return Fitted(vectors, epochs)
    kernel = model.signal(items)
    if kernel is None:
        raise RefreshError(not_linear(name))
    with run.step(f"rows of {name}"):
        rows, cut = kernel_rows(kernel, run.options.kernel_size)
    return Fitted(rows, epochs, cut)


def not_linear(name: str) -> str:
    """Why a model cannot be in the blend."""
    return (
        f"{name} is not linear in what a user did, so no answer with it could be explained: "
        "leave it out"
    )


def _pagerank(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, what: str
) -> tuple[Signal, float]:
    """PageRank's rows, and the share of their mass that was cut off."""

    def rows() -> tuple[sp.csr_matrix, float]:
        with run.step(what):
            found, _, cut = pagerank_rows(
                graph,
                evidence,
                damping=run.options.damping,
                epsilon=run.options.pagerank_epsilon,
                size=run.options.row_size,
            )
        return found, cut

    kept, cut = run.record.kept(what, rows)
    return RowSignal(PAGERANK, "item", graph.items, kept, run.options.damping), cut


def row_signals(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> tuple[list[Signal], dict[str, float]]:
    """PageRank and every meta-path, over all evidence nodes of the whole graph.

    Returns:
        The signals, and of PageRank's rows the share of their mass that was cut off.
    """
    ids = _evidence_ids(graph)
    pagerank, cut = _pagerank(run, graph, evidence, "pagerank")

    def rows(name: str, kind: EvidenceKind) -> sp.csr_matrix:
        with run.step(name):
            return all_rows(
                run.gateway, name, ids[kind], graph.items, run.options.row_size, run.told
            )

    signals = [pagerank]
    for name, kind in metapath_kinds().items():
        found = run.record.kept(name, partial(rows, name, kind))
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

    def scores() -> dict[str, sp.csr_matrix]:
        with run.step("validation paths"):
            return held_out_scores(
                run.gateway, metapath_kinds(), _evidence_ids(graph), by_kind, graph.users,
                held_out, users, size=run.options.row_size, progress=run.told,
            )  # fmt: skip

    return run.record.kept("validation paths", scores)


def _evidence_ids(graph: HeteroGraph) -> dict[EvidenceKind, IdMap]:
    return {"item": graph.items, "user": graph.users, "category": graph.categories}


def validation_accuracy(
    candidates: Candidates, weights: Mapping[str, float]
) -> dict[str, dict[str, Float64[NDArray[np.float64], " users"]]]:
    """Recall@20 and NDCG@20 for each user, of each signal and of the blend as `hybrid`.

    What a signal says nothing about it does not find.
    """
    blend = np.tensordot(np.array(list(weights.values()), np.float32), candidates.features, axes=1)
    by_user: dict[str, dict[str, Float64[NDArray[np.float64], " users"]]] = {}
    for name, values in zip([*weights, "hybrid"], [*candidates.features, blend], strict=True):
        said = candidates.present & (values != 0.0)
        ranked = replace(candidates, present=said, relevant=candidates.relevant & said)
        found = accuracy(top_hits(ranked, values, 20), candidates.n_relevant)
        by_user[name] = {"recall@20": found["recall"], "ndcg@20": found["ndcg"]}
    return by_user
