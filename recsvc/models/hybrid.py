"""The blend that a refresh serves, learned on tables.

    score(u, i) = Σ_s λ_s · r_s(u) · n_s(u) · Σ_j e_j · K_s(j, i)  +  λ_base · r_base(u) · prior_i

See `recsvc.blend.blend.Blend`. The parts are other models, PageRank over users and items, and the
meta-paths that declare a walk; `recsvc.blend.fit` makes them, and `recsvc.blend.learn` weighs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap
from recsvc.blend.blend import BASE, LEAST_WEIGHT, Blend
from recsvc.blend.cut_users import MOST_CUT_USERS, PER_SIGNAL_OF_PART
from recsvc.blend.fit import Journal, Parts, fit_whole, row_signals, split_signals
from recsvc.blend.hold_out import ValidationSplit, all_evidence, held_out_mask, split_by
from recsvc.blend.learn import learn, learned_blend, tables_to_go_on, usual_weights
from recsvc.blend.new_items import learned_for_new
from recsvc.blend.parts import Fitted, Tables
from recsvc.blend.reliance import ALIKE, Reliance
from recsvc.blend.weights import PER_SIGNAL, SCORES_AT_ONCE
from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evidence import EvidenceMatrices, of_users
from recsvc.models import MODELS
from recsvc.models._hybrid_options import HybridOptions
from recsvc.models._rank_fusion import RankFusionModel
from recsvc.models.base import (
    EpochRecord,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    TrainingData,
    Validation,
    require_evidence,
)
from recsvc.models.parts import as_part, not_linear
from recsvc.signals.metapath import usable_metapaths
from recsvc.signals.popularity import popularity_prior

__all__ = ["HybridModel", "HybridOptions", "RankFusionModel", "fit", "fit_without_each"]


@dataclass(frozen=True, slots=True, eq=False)
class HybridModel:
    """The linear forms, `learned` and `weighted`.

    Attributes:
        blend: kernels, λ and the prior; `blend.score` and `blend.terms` take a score apart.
        besides: what is known of all users besides items.
    """

    blend: Blend
    besides: EvidenceMatrices

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "hybrid"

    @property
    def weights(self) -> dict[str, float]:
        """λ by signal."""
        names = [signal.name for signal in self.blend.signals]
        return dict(zip(names, self.blend.weights, strict=True)) | {BASE: self.blend.base_weight}

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`; a weight below 0 is a dislike."""
        given: EvidenceMatrices = {**of_users(self.besides, user_index), "item": evidence}
        return self.blend.batch_scores(given)

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: several kernels, each on a scale of the user's own."""

    def alone(self) -> dict[str, "HybridModel"]:
        """Each signal alone."""
        return {name: replace(self, blend=blend) for name, blend in self.blend.alone().items()}

    def reweighted(self, weights: Mapping[str, float], reliance: Reliance) -> "HybridModel":
        """The same signals with other λ; one that is not named has 0, the prior its least."""
        given = tuple(weights.get(signal.name, 0.0) for signal in self.blend.signals)
        base = max(weights.get(BASE, 0.0), LEAST_WEIGHT)
        blend = replace(self.blend, weights=given, base_weight=base, reliance=reliance)
        return replace(self, blend=blend)


def memory_bytes(data: TrainingData, options: HybridOptions) -> int:
    """Bytes of all parts together, of all rows, and of what λ is learned on."""
    users, items = data.evidence.shape
    paths = usable_metapaths(None)
    nodes = {"user": users, "item": items, "category": len(data.graph.categories)}
    rows = items + sum(nodes[kind] for kind in paths.values())
    held = sum(MODELS[name].memory_bytes(data, options.of_part(name)) for name in options.models)
    held += 8 * rows * min(options.row_size, items)
    if options.fusion != "rrf":
        held += 8 * len(options.models) * items * min(options.kernel_size, items)
    if options.fusion == "learned":
        lists = len(options.models) + len(paths) + 2
        # Two float32 of each value while chunks are joined, four arrays of one while λ is tried.
        width = min(items, lists * PER_SIGNAL) * (8 * lists + 16)
        asked = min(2 * options.validation_users, users)
        held += asked * width + 8 * SCORES_AT_ONCE
        # The same of users with part of their evidence, of whom there are fewer candidates.
        cut = (asked + MOST_CUT_USERS) * min(items, lists * PER_SIGNAL_OF_PART)
        held += cut * (8 * lists + 16)
    return held


def fit(
    data: TrainingData,
    options: HybridOptions,
    run: FitRun,
) -> tuple[HybridModel | RankFusionModel, FitReport]:
    """Fit the parts and put them together. See `Fit`.

    Some items of a sample of users are held out first: trained parts find their best epoch on
    them, and λ is learned on them. Then all parts are fitted on everything, for the epochs found. A
    validation part of the run takes no part in that: it is only measured on.

    Raises:
        TrainingError: there is no evidence, nothing can be held out, a model cannot be fitted, or
            one is not linear where the form is.
        KeyboardInterrupt: Ctrl-C came while a part was being fitted.
    """
    start = perf_counter()
    require_evidence(data)
    fits = _Fits.of(data, options, run)
    model = _fitted(data, fits.options, fits)
    metric = None
    if run.validation is not None and run.validation.held_out.nnz:
        metric = mean_ndcg(model.scores, data.evidence, run.validation.held_out)
    report = FitReport(
        perf_counter() - start,
        0,
        metric,
        tuple(fits.history),
        memory_bytes(data, options),
        weights=model.weights if isinstance(model, HybridModel) else None,
    )
    return model, report


def fit_without_each(
    data: TrainingData, options: HybridOptions, run: FitRun, split: ValidationSplit | None = None
) -> tuple[HybridModel, dict[str, HybridModel], dict[str, HybridModel]]:
    """The blend, the blend without each of its signals, and each signal alone.

    λ is learned again without the signal, and nothing is fitted again. Popularity stays in all,
    and so does what the parts count for with little known, but for a signal alone.

    Args:
        data: what to learn from.
        options: of a blend with learned weights.
        run: seed and device.
        split: what λ and epochs are learned on; what `fit` holds out if not given.

    Raises:
        TrainingError: as `fit`.
        ValueError: the weights are not learned.
    """
    if options.fusion != "learned":
        raise ValueError(f"fusion={options.fusion} learns no weights: use fusion=learned")
    fits = _Fits.of(data, options, run)
    signals = split_signals(fits.parts, split or fits.split())
    candidates = signals.candidates()
    weights, reliance = learned_blend(signals, candidates)
    tables, share = tables_to_go_on(signals)
    blend = fit_whole(
        fits.parts, data.graph, data.evidence, weights, signals.epochs,
        tables=tables, share=share, reliance=reliance,
        for_new=learned_for_new(signals, weights, reliance),
    ).blend  # fmt: skip
    whole = HybridModel(blend, _besides(data))
    # What items say of themselves counts for more of new ones, with each choice of weights alike.
    served = {name: whole.weights[name] / own for name, own in weights.items() if own}
    without: dict[str, HybridModel] = {}
    for position, name in enumerate(signals.kinds):
        features = np.delete(candidates.features, position, axis=0)
        others = signals.kinds
        del others[name]
        learned = usual_weights(signals, replace(candidates, features=features), others)
        learned = {signal: own * served.get(signal, 1.0) for signal, own in learned.items()}
        without[name] = whole.reweighted(learned | {BASE: weights[BASE]}, reliance)
    return whole, without, whole.alone()


def _fitted(
    data: TrainingData, options: HybridOptions, fits: "_Fits"
) -> HybridModel | RankFusionModel:
    if options.fusion == "rrf":
        epochs = fits.best_epochs()
        models = [
            fits.model(name, data.graph, data.evidence, epochs=epochs.get(name))[0]
            for name in options.models
        ]
        rows, _ = row_signals(fits.parts, data.graph, data.evidence)
        prior = popularity_prior(data.evidence)
        return RankFusionModel(
            tuple(models), tuple(rows), _besides(data), prior, options.rank_constant
        )
    for name in options.models:
        if not MODELS[name].linear:
            raise TrainingError(f"{not_linear(name)}, or use fusion=rrf")
    if options.fusion == "learned":
        learned = learn(fits.parts, fits.split())
        weights, epochs = learned.weights, learned.epochs
        tables, share, reliance = learned.tables, learned.share, learned.reliance
        for_new = learned.for_new
    else:
        weights, epochs = options.weights, fits.best_epochs()
        tables, share, reliance, for_new = {}, 1.0, ALIKE, 0.0
    blend = fit_whole(
        fits.parts,
        data.graph,
        data.evidence,
        weights,
        epochs,
        tables=tables,
        share=share,
        reliance=reliance,
        for_new=for_new,
    ).blend
    return HybridModel(blend, _besides(data))


def _besides(data: TrainingData) -> EvidenceMatrices:
    """What is known of all users besides items."""
    given = all_evidence(data.graph, data.evidence)
    return {kind: matrix for kind, matrix in given.items() if kind != "item"}


@dataclass(frozen=True, slots=True)
class _Fits:
    """Fits the models of one blend.

    Attributes:
        data: everything.
        options: of the blend.
        run: of the blend.
        of_models: options of each model, what they leave open chosen once.
        history: all epochs that were run.
    """

    data: TrainingData
    options: HybridOptions
    run: FitRun
    of_models: Mapping[str, ModelOptions]
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])

    @classmethod
    def of(cls, data: TrainingData, options: HybridOptions, run: FitRun) -> "_Fits":
        """Of those that the data say something to, with what they choose by themselves chosen."""
        able = tuple(name for name in options.models if MODELS[name].speaks(data))
        resolved = {
            name: MODELS[name].resolved(data, options.of_part(name), run.seed) for name in able
        }
        return cls(data, options.model_copy(update={"models": able}), run, resolved)

    @property
    def parts(self) -> Parts:
        """The parts of the blend."""
        kinds = self.data.kinds
        events = self.data.graph.interactions.events
        return Parts(self.options, events if kinds is None else kinds, self.part, None, Journal())

    def split(self) -> ValidationSplit:
        """What is held out."""
        graph, evidence = self.data.graph, self.data.evidence
        mask = held_out_mask(graph, evidence, self.options, self.run.seed)
        return split_by(mask, graph, evidence)

    def model(
        self,
        name: str,
        graph: HeteroGraph,
        evidence: sp.csr_matrix,
        *,
        held_out: sp.csr_matrix | None = None,
        epochs: int | None = None,
        start: Tables = (),
        share: float = 1.0,
    ) -> tuple[FittedModel, FitReport]:
        """Fit one model."""
        run = replace(
            self.run,
            validation=None if held_out is None else Validation(held_out),
            epochs=epochs,
            checkpoint=None,
            start=start,
            share=share,
            # Other walks than those that it has learned from already.
            seed=self.run.seed + bool(start),
        )
        data = replace(self.data, graph=graph, evidence=evidence)
        model, report = MODELS[name].fit(data, self.of_models[name], run)
        if report.interrupted:
            raise KeyboardInterrupt  # a blend of which parts are missing is none
        self.history.extend(report.history)
        return model, report

    def part(
        self,
        name: str,
        graph: HeteroGraph,
        evidence: sp.csr_matrix,
        purpose: str = "",
        *,
        held_out: sp.csr_matrix | None = None,
        epochs: int | None = None,
        start: Tables = (),
        share: float = 1.0,
    ) -> Fitted:
        """See `recsvc.blend.fit.FitModel`."""
        model, report = self.model(
            name, graph, evidence, held_out=held_out, epochs=epochs, start=start, share=share
        )
        return as_part(model, report, graph.items, self.options.kernel_size, Journal())

    def best_epochs(self) -> dict[str, int]:
        """The epochs found on what is held out, by trained model."""
        if not self.options.has_epochs:
            return {}
        split = self.split()
        reports = {
            name: self.model(name, split.graph, split.kept, held_out=split.held_out)[1]
            for name in self.options.models
            if "epochs" in MODELS[name].options.model_fields
        }
        return {name: report.epochs for name, report in reports.items()}
