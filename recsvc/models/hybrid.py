"""The blend of any models and of what is known besides interactions.

    score(u, i) = Σ_s λ_s · n_s(u) · Σ_j e_j · K_s(j, i)  +  λ_base · prior_i

See `recsvc.blend.blend.Blend`. The parts are the kernels of other models, PageRank over users and
items, what followed users did, and shared categories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.blend.blend import (
    BASE,
    LEAST_WEIGHT,
    Blend,
    Candidates,
    learn_weights,
)
from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries, hold_out
from recsvc.models import MODELS
from recsvc.models._hybrid_options import HybridOptions
from recsvc.models._parts import (
    candidate_bytes,
    follows_matrix,
    kernels,
    sample_candidates,
    side_bytes,
    side_signals,
)
from recsvc.models._rank_fusion import RankFusionModel
from recsvc.models.base import (
    EpochRecord,
    FitReport,
    FitRun,
    FittedModel,
    TrainingData,
    Validation,
    require_evidence,
)
from recsvc.signals.popularity import popularity_prior

LINEAR = False
"""Each signal's scale n_s(u) depends on the user, so the blend is no single kernel: `HybridModel`
has the kernels in its `blend`, which takes a score apart exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class HybridModel:
    """The linear forms, `learned` and `weighted`.

    Attributes:
        blend: kernels, λ and the prior; `blend.score` and `blend.terms` take a score apart.
        follows: whom each user follows, [users, users].
    """

    blend: Blend
    follows: sp.csr_matrix

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
        """See `FittedModel.scores`."""
        return self.blend.batch_scores({"item": evidence, "user": self.follows[user_index]})

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: several kernels, each on a scale of the user's own."""

    def reweighted(self, weights: Mapping[str, float]) -> "HybridModel":
        """The same signals with other λ; one that is not named has 0, the prior its least."""
        given = tuple(weights.get(signal.name, 0.0) for signal in self.blend.signals)
        base = max(weights.get(BASE, 0.0), LEAST_WEIGHT)
        return replace(self, blend=replace(self.blend, weights=given, base_weight=base))


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """What λ and epochs are learned on.

    Attributes:
        kept: what the parts are fitted on.
        held_out: 1 where held out, [users, items] as in `kept`.
    """

    kept: TrainingData
    held_out: sp.csr_matrix


def memory_bytes(data: TrainingData, options: HybridOptions) -> int:
    """Bytes of all parts together, of the side signals, and of what λ is learned on."""
    parts = sum(MODELS[name].memory_bytes(data, options.of_part(name)) for name in options.models)
    besides = side_bytes(data, options.signals)
    if options.fusion != "learned":
        return parts + besides
    lists = len(options.models) + len(options.signals) + 1
    return parts + besides + candidate_bytes(data, lists, options.validation_users)


def fit(
    data: TrainingData,
    options: HybridOptions,
    run: FitRun,
) -> tuple[HybridModel | RankFusionModel, FitReport]:
    """Fit the parts and put them together. See `Fit`.

    A share of each user's items is held out first: trained parts find their best epoch on it, and
    λ is learned on it. Then all parts are fitted on everything, for the epochs found. A validation
    part of the run takes no part in that: it is only measured on.

    Raises:
        TrainingError: there is no evidence, nothing can be held out, a model cannot be fitted, or
            one is not linear where the form is.
        KeyboardInterrupt: Ctrl-C came while a part was being fitted.
    """
    start = perf_counter()
    require_evidence(data)
    _check_linear(options)
    options = _settled(data, options, run.seed)
    decided = _Decided(dict(options.weights), {}, (), None)
    if options.fusion == "learned" or options.has_epochs:
        decided = _decide(_rehearse(data, options, run), options, run)
    models, _, history = _fit_models(data, options, run, None, decided.epochs)
    model = _put_together(data, options, models, decided.weights)
    metric = None
    if run.validation is not None and run.validation.held_out.nnz:
        metric = mean_ndcg(model.scores, data.evidence, run.validation.held_out)
    report = FitReport(
        perf_counter() - start,
        0,
        metric,
        (*decided.history, *history),
        memory_bytes(data, options),
        weights=model.weights if isinstance(model, HybridModel) else None,
    )
    return model, report


def fit_without_each(
    data: TrainingData,
    options: HybridOptions,
    run: FitRun,
    rehearsal: Rehearsal | None = None,
) -> tuple[HybridModel, dict[str, HybridModel], dict[str, HybridModel]]:
    """The blend, the blend without each of its signals, and each signal alone.

    λ is learned again without the signal, and nothing is fitted again. Popularity stays in all.

    Args:
        data: what to learn from.
        options: of a blend with learned weights and two signals or more.
        run: seed and device.
        rehearsal: what λ and epochs are learned on; a random part of the data if not given.

    Raises:
        TrainingError: as `fit`.
        ValueError: the weights are not learned.
    """
    _check_linear(options)
    options = _settled(data, options, run.seed)
    decided = _decide(rehearsal or _rehearse(data, options, run), options, run)
    if decided.candidates is None:
        raise ValueError(f"fusion={options.fusion} learns no weights: use fusion=learned")
    models, _, _ = _fit_models(data, options, run, None, decided.epochs)
    whole = _put_together(data, options, models, decided.weights)
    if not isinstance(whole, HybridModel):
        raise TypeError("a blend with learned weights is linear")
    names = list(decided.weights)
    without: dict[str, HybridModel] = {}
    for position, name in enumerate(names[:-1]):
        features = np.delete(decided.candidates.features, position, axis=0)
        others = [other for other in names if other != name]
        learned = _learned(replace(decided.candidates, features=features), others)
        without[name] = whole.reweighted(learned)
    return whole, without, {name: whole.reweighted({name: 1.0}) for name in names[:-1]}


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was found on the part held out."""

    weights: Mapping[str, float]
    epochs: Mapping[str, int]
    history: tuple[EpochRecord, ...]
    candidates: Candidates | None


def _check_linear(options: HybridOptions) -> None:
    for name in options.models:
        if options.fusion != "rrf" and not MODELS[name].linear:
            raise TrainingError(
                f"{name} is not linear in a user's items, so a sum with it could not be explained: "
                "use fusion=rrf, or leave it out"
            )


def _settled(data: TrainingData, options: HybridOptions, seed: int) -> HybridOptions:
    """What parts choose by themselves, chosen once: λ belongs to the kernels it is learned for."""
    of_parts = {
        name: MODELS[name].settled(data, options.of_part(name), seed).model_dump()
        for name in options.models
    }
    return options.model_copy(update={"options": of_parts})


def _rehearse(data: TrainingData, options: HybridOptions, run: FitRun) -> Rehearsal:
    """Hold out a share of each user's items."""
    mask = hold_out(data.evidence, options.held_out_share, seed=run.seed)
    if not mask.any():
        least = max(5, int(0.5 / options.held_out_share) + 1)
        raise TrainingError(
            f"no user has {least} items or more, so nothing can be held out to learn the blend on: "
            "train on more interactions, or use fusion=weighted with models without epochs"
        )
    kept = TrainingData(data.graph, entries(data.evidence, ~mask))
    return Rehearsal(kept, entries(data.evidence, mask))


def _decide(rehearsal: Rehearsal, options: HybridOptions, run: FitRun) -> _Decided:
    """Epochs of the trained parts and λ, by parts that have not seen what is held out."""
    kept, held_out = rehearsal.kept, rehearsal.held_out
    models, epochs, history = _fit_models(kept, options, run, Validation(held_out), {})
    if options.fusion != "learned":
        return _Decided(options.weights, epochs, history, None)
    signals = (*kernels(kept, models), *side_signals(kept, options.signals))
    candidates = sample_candidates(
        kept, held_out, signals, users=options.validation_users, seed=run.seed
    )
    weights = _learned(candidates, [*(signal.name for signal in signals), BASE])
    return _Decided(weights, epochs, history, candidates)


def _learned(candidates: Candidates, names: Sequence[str]) -> dict[str, float]:
    weights, _ = learn_weights(candidates, names)
    return {name: max(weight, LEAST_WEIGHT) for name, weight in weights.items()}


def _fit_models(
    data: TrainingData,
    options: HybridOptions,
    run: FitRun,
    validation: Validation | None,
    epochs: Mapping[str, int],
) -> tuple[dict[str, FittedModel], dict[str, int], tuple[EpochRecord, ...]]:
    """The fitted models, the epochs of those that have some, and all epochs that were run."""
    models: dict[str, FittedModel] = {}
    found: dict[str, int] = {}
    history: list[EpochRecord] = []
    for name in options.models:
        part = replace(run, validation=validation, epochs=epochs.get(name), checkpoint=None)
        models[name], report = MODELS[name].fit(data, options.of_part(name), part)
        if report.interrupted:
            raise KeyboardInterrupt  # a blend of which parts are missing is none
        history += report.history
        if report.epochs:
            found[name] = report.epochs
    return models, found, tuple(history)


def _put_together(
    data: TrainingData,
    options: HybridOptions,
    models: Mapping[str, FittedModel],
    weights: Mapping[str, float],
) -> HybridModel | RankFusionModel:
    side, follows = side_signals(data, options.signals), follows_matrix(data)
    prior = popularity_prior(data.evidence)
    if options.fusion == "rrf":
        return RankFusionModel(tuple(models.values()), side, follows, prior, options.rank_constant)
    signals = (*kernels(data, models), *side)
    # The prior orders what no evidence reaches, whatever weight it was given.
    base = max(weights.get(BASE, 0.0), LEAST_WEIGHT)
    given = tuple(weights.get(signal.name, 0.0) for signal in signals)
    return HybridModel(Blend(signals, given, prior, base), follows)
