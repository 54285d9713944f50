"""What a refresh learns: models fitted, signals made, and the weights of the blend.

The weights are learned on interactions held out from a sample of users, by models that have not
seen them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap
from recsvc.blend.blend import (
    BASE,
    LEAST_WEIGHT,
    Candidates,
    candidates_in_parts,
    learn_weights,
    scaled_scores,
    top_hits,
    unit_rms,
)
from recsvc.blend.hold_out import ValidationSplit, all_evidence, held_out_mask, split_by
from recsvc.errors import RefreshError
from recsvc.evaluation.metrics import accuracy, bootstrap
from recsvc.evaluation.splits import id_numbers, row_numbers
from recsvc.evidence import EvidenceKind
from recsvc.models import (
    MODELS,
    EmbeddingModel,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    TrainingData,
    Validation,
)
from recsvc.refresh.fine_tuning_state import Start, digests_of, moved
from recsvc.refresh.gate import Validated
from recsvc.refresh.parts import Fitted, Learned, Run, Vectors
from recsvc.signals import RowSignal, Signal
from recsvc.signals.metapath import (
    all_rows,
    evidence_ids,
    held_out_scores,
    metapath_kinds,
    metapath_reads,
)
from recsvc.signals.pagerank import pagerank_rows
from recsvc.signals.popularity import popularity_prior
from recsvc.signals.rows import kernel_rows

PAGERANK = "pagerank"


def settled_options(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix
) -> dict[str, ModelOptions]:
    """The options of each model, what they leave open chosen once: both fits are to be alike."""
    data = TrainingData(graph, evidence)

    def settle(name: str) -> dict[str, Any]:
        spec = MODELS[name]
        given = spec.options_of(run.options.options.get(name, {}))
        with run.step(f"settle {name}"):
            return spec.settled(data, given, run.options.seed).model_dump(mode="json")

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
        TrainingError: nobody has enough items for a held-out part.
    """
    return run.record.kept("weights", lambda: _learn(run, graph, evidence, options))


def _learn(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, options: Mapping[str, ModelOptions]
) -> Learned:
    mask = held_out_mask(graph, evidence, run.options, run.options.seed)
    split = split_by(mask, graph, evidence)
    signals = split_signals(run, split, options)
    names = [*signals.names, BASE]
    with run.step("weights"):
        asked = (split.kept[split.users], split.held_out[split.users])
        candidates = candidates_in_parts(signals.scores, len(names), *asked)
        heard = [place for place, values in enumerate(candidates.features) if values.any()]
        learnable = replace(candidates, features=candidates.features[heard])
        learned, _ = learn_weights(learnable, [names[place] for place in heard])
        weights = {name: max(learned.get(name, 0.0), LEAST_WEIGHT) for name in names}
        by_user = validation_accuracy(candidates, weights)
        metrics = {name: dict(bootstrap(values, 1000, 0)) for name, values in by_user.items()}
    validated = Validated(
        id_numbers(graph.users)[split.users],
        by_user["hybrid"]["ndcg@20"],
        row_numbers(asked[1], id_numbers(graph.items)),
    )
    return Learned(weights, signals.epochs, metrics, validated)


@dataclass(frozen=True, slots=True, eq=False)
class SplitSignals:
    """Every signal, made from what a split has left.

    Attributes:
        split: the split.
        epochs: by model; 0 for one without epochs.
        signals: models and PageRank.
        paths: raw scores of the users of the split by each meta-path, [users, items].
        prior: from what is left.
    """

    split: ValidationSplit
    epochs: Mapping[str, int]
    signals: tuple[Signal, ...]
    paths: Mapping[str, sp.csr_matrix]
    prior: Float32[NDArray[np.float32], " items"]

    @property
    def names(self) -> list[str]:
        """Names of the signals, in the order of `scores`, which end with the prior."""
        return [*(signal.name for signal in self.signals), *self.paths]

    def scores(
        self, some: slice | Int64[NDArray[np.int64], " n"]
    ) -> list[Float32[NDArray[np.float32], "n items"]]:
        """Scores by each signal, what λ is put on, and the prior, for some users of the split."""
        given = self.split.kept[self.split.users[some]]
        scores = [scaled_scores(signal, given) for signal in self.signals]
        raw = (found[some].toarray() for found in self.paths.values())
        scores += [(s * unit_rms(s)[:, None]).astype(np.float32) for s in raw]
        return [*scores, np.broadcast_to(self.prior, scores[0].shape)]


def split_signals(
    run: Run,
    split: ValidationSplit,
    options: Mapping[str, ModelOptions],
    epochs: Mapping[str, int] | None = None,
    purpose: str = "for validation",
) -> SplitSignals:
    """Make every signal from what a split has left, or take what an earlier step has made.

    Args:
        run: the refresh.
        split: what is left, and what is held out.
        options: of each model.
        epochs: of each model; found on what is held out unless given.
        purpose: in the names of the steps.
    """
    data = TrainingData(split.graph, split.kept)
    validation = Validation(split.held_out) if epochs is None else None
    fitted = {
        name: fit_model(
            run, name, data, options[name], purpose, validation=validation,
            epochs=(epochs or {}).get(name) or None,
        )
        for name in run.options.models
    }  # fmt: skip
    items = split.graph.items
    signals = [each.signal(name, items) for name, each in fitted.items()]
    signals.append(_pagerank(run, split.graph, split.kept, f"pagerank {purpose}")[0])
    return SplitSignals(
        split, {name: each.epochs for name, each in fitted.items()}, tuple(signals),
        _path_scores(run, split, f"paths {purpose}"), popularity_prior(split.kept),
    )  # fmt: skip


def fit_model(
    run: Run,
    name: str,
    data: TrainingData,
    options: ModelOptions,
    purpose: str = "",
    *,
    validation: Validation | None = None,
    epochs: int | None = None,
    start: Start | None = None,
) -> Fitted:
    """Fit one model, or take what an earlier attempt has fitted.

    Args:
        run: the refresh.
        name: of the model.
        data: what to learn from.
        options: of the model.
        purpose: what the fit is for, if not to be served.
        validation: chooses the number of epochs.
        epochs: their number, of a fit from scratch.
        start: what the refresh goes on from, if it does.

    Raises:
        RefreshError: it is not linear in a user's items.
        TrainingError: it cannot be fitted.
    """
    what = f"fit {name} {purpose}".rstrip()
    state = start.state if start else None

    def fit() -> Fitted:
        with run.step(what):
            model, report = MODELS[name].fit(
                data,
                options,
                FitRun(
                    # Other walks than those that it has learned from already.
                    run.options.seed + (state.in_a_row + 1 if state else 0),
                    validation,
                    run.options.device,
                    epochs,
                    lambda record: run.told(what, record.epoch, epochs or 0),
                    run.record.checkpoint(what),
                    state.placed_tables(name, data.graph, data.evidence) if state else (),
                ),
            )
            if report.interrupted:
                raise KeyboardInterrupt  # the model so far is no use: the others are not fitted
        return _fitted(run, name, model, report, data.graph.items)

    return run.record.kept(what, fit)


def _fitted(run: Run, name: str, model: FittedModel, report: FitReport, items: IdMap) -> Fitted:
    if isinstance(model, EmbeddingModel):
        vectors = Vectors(model.user_vectors, model.item_vectors, model.source_vectors)
        return Fitted(vectors, report.epochs, tables=report.tables)
    kernel = model.signal(items)
    if kernel is None:
        raise RefreshError(not_linear(name))
    with run.step(f"rows of {name}"):
        rows, cut = kernel_rows(kernel, run.options.kernel_size)
    return Fitted(rows, report.epochs, cut)


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
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, start: Start
) -> tuple[list[Signal], dict[str, float]]:
    """PageRank and every meta-path, over all evidence nodes of the whole graph.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        start: whose rows are taken where nothing that they depend on has changed.

    Returns:
        The signals, and of PageRank's rows the share of their mass that was cut off.
    """
    ids = evidence_ids(graph)
    pagerank, cut = _pagerank(run, graph, evidence, "pagerank")

    def rows(name: str, kind: EvidenceKind) -> sp.csr_matrix:
        with run.step(name):
            same = _same_rows(start, name, graph, ids[kind])
            if same is not None:
                return same
            return all_rows(
                run.gateway, name, graph, run.kinds(graph), run.options.row_size, run.told
            )

    signals = [pagerank]
    for name, kind in metapath_kinds().items():
        found = run.record.kept(name, partial(rows, name, kind))
        signals.append(RowSignal(name, kind, ids[kind], found))
    return signals, {PAGERANK: cut}


def _same_rows(start: Start, path: str, graph: HeteroGraph, ids: IdMap) -> sp.csr_matrix | None:
    """The active version's rows of a meta-path, if nothing that they depend on has changed."""
    reads = metapath_reads(path)
    if start.state is None or start.before is None or reads is None:
        return None
    now = digests_of(graph)
    signal = next((one for one in start.before.blend.signals if one.name == path), None)
    if not isinstance(signal, RowSignal) or any(start.state.digests[r] != now[r] for r in reads):
        return None
    items = graph.items.rows(start.before.items)
    return moved(signal.rows, ids.rows(signal.ids), items, (len(ids), len(graph.items)))


def _path_scores(run: Run, split: ValidationSplit, what: str) -> dict[str, sp.csr_matrix]:
    """Raw scores of the users of a split by each meta-path."""

    def scores() -> dict[str, sp.csr_matrix]:
        with run.step(what):
            return held_out_scores(
                run.gateway, split.graph, split.held_out, all_evidence(split.graph, split.kept),
                split.users, kinds=run.kinds(split.graph), size=run.options.row_size,
                progress=run.told,
            )  # fmt: skip

    return run.record.kept(what, scores)


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
