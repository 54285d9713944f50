"""Fitting one model: on a part to see how good it is, then on everything."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from loaders.types import HeteroGraph
from recsvc.blend.hold_out import split_by
from recsvc.errors import SettingsError, TrainingError
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import HoldOut, hold_out
from recsvc.event_kinds import EventSettings, speaking_kinds
from recsvc.evidence import evidence_matrix, newest_time, pair_times
from recsvc.models import (
    MODELS,
    EpochRecord,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    Progress,
    TrainingData,
    Validation,
)
from recsvc.models.base import silent

_VALIDATION_SHARE = 0.2

Watch = Callable[[str, int | None], Progress]
"""Takes the name of a fit and the most epochs it runs; returns its `Progress`."""


def unwatched(_fit: str, _epochs: int | None) -> Progress:
    """Report no progress."""
    return silent


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSplit:
    """Training data in two parts.

    Attributes:
        whole: both parts together.
        part: what is fitted on.
        held_out: what is to be found again.
    """

    whole: TrainingData
    part: TrainingData
    held_out: Validation


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training one model gave.

    Attributes:
        model: fitted on everything; on the part where Ctrl-C came before that was done.
        options: of the model, with what they left open.
        epochs: it has seen; None for a model without epochs.
        tried: the fit on the part; None for a model that validates in its own fit, or not at all.
        report: the fit on everything; None where there is none.
        interrupted: whether Ctrl-C ended it.
    """

    model: FittedModel
    options: ModelOptions
    epochs: int | None
    tried: "Tried | None"
    report: FitReport | None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What a fit on a part showed.

    Attributes:
        options: of the model.
        epochs: the best number; None for a model without epochs.
        ndcg: NDCG@20 over all users of the validation part.
        seconds: of the fit and the measurement.
        history: its epochs.
        interrupted: whether Ctrl-C ended it.
    """

    options: ModelOptions
    epochs: int | None
    ndcg: float
    seconds: float
    history: tuple[EpochRecord, ...] = ()
    interrupted: bool = False


def training_data(graph: HeteroGraph, events: Mapping[str, EventSettings]) -> TrainingData:
    """What is learned from a graph; half-lives count from its newest interaction."""
    evidence = evidence_matrix(graph, events, now=newest_time(graph))
    return TrainingData(graph, evidence, speaking_kinds(graph.interactions.events, events))


def known_model(name: str) -> str:
    """The name, if there is such a model.

    Raises:
        SettingsError: there is none.
    """
    if name not in MODELS:
        raise SettingsError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    return name


def assigned(name: str, assignments: Sequence[str]) -> dict[str, str]:
    """The options that `--set` gives to one model.

    `model.option=value` is for that model only, `option=value` for every model of the command.
    `hybrid` also takes the options of its parts.

    Raises:
        SettingsError: an assignment has no value.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        target, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r}: expected name=value")
        owner, dot, option = target.partition(".")
        if not dot or owner == name:
            values[option if dot else target] = value
        elif owner in MODELS and name == "hybrid":
            values[target] = value
        elif owner not in MODELS:
            raise SettingsError(
                f"--set {assignment!r}: no model {owner!r}: expected one of {', '.join(MODELS)}"
            )
    return values


def model_options(name: str, values: Mapping[str, object]) -> ModelOptions:
    """The options of a model, checked.

    Raises:
        SettingsError: no such model or option, or a value it cannot take.
    """
    try:
        return MODELS[known_model(name)].options_of(values)
    except ValueError as error:
        raise SettingsError(f"--set {error}") from None


def has_epochs(name: str) -> bool:
    """Whether a model is trained in epochs, whose best number validation finds."""
    return "epochs" in MODELS[name].options.model_fields


def needs_validation(name: str) -> bool:
    """Whether validation has anything to choose; a model that does so in its own fit has not."""
    return has_epochs(name) or bool(MODELS[name].search)


def validation_split(data: TrainingData, seed: int, which: HoldOut = "random") -> ValidationSplit:
    """Hold out a fifth of each user's items.

    Args:
        data: all of the training data.
        seed: decides which, or which of those of one time.
        which: some at random, or the latest.

    Raises:
        TrainingError: no user has enough items.
    """
    times = pair_times(data.graph) if which == "latest" else None
    mask = hold_out(data.evidence, _VALIDATION_SHARE, seed=seed, times=times)
    if not mask.any():
        raise TrainingError(
            "no user has 5 items or more, so nothing can be held out to validate on: "
            "train on more interactions"
        )
    split = split_by(mask, data.graph, data.evidence)
    part = replace(data, graph=split.graph, evidence=split.kept)
    return ValidationSplit(data, part, Validation(split.held_out))


def fit_part(
    name: str, split: ValidationSplit, options: ModelOptions, run: FitRun
) -> tuple[FittedModel, Tried]:
    """Fit on the part, and measure on what is held out.

    Raises:
        TrainingError: the model cannot be fitted, or its arrays do not fit into memory.
    """
    started = perf_counter()
    MODELS[name].require_speech(split.part)
    model, report = MODELS[name].fit(split.part, options, replace(run, validation=split.held_out))
    ndcg = mean_ndcg(model.scores, split.part.evidence, split.held_out.held_out)
    return model, Tried(
        options, report.epochs or None, ndcg, perf_counter() - started, report.history,
        report.interrupted,
    )  # fmt: skip


def fit_whole(
    name: str, data: TrainingData, options: ModelOptions, run: FitRun
) -> tuple[FittedModel, FitReport]:
    """Fit on everything.

    Raises:
        TrainingError: the model cannot be fitted, or its arrays do not fit into memory.
    """
    MODELS[name].require_speech(data)
    return MODELS[name].fit(data, options, replace(run, validation=None))


def train(
    name: str,
    data: TrainingData,
    options: ModelOptions,
    run: FitRun,
    *,
    watch: Watch = unwatched,
    checkpoints: Path | None = None,
) -> Trained:
    """Fit on a part to find the best epoch, then on everything for that long.

    Ctrl-C keeps the model of the part, which is the best there is until the second fit is done.

    Args:
        name: the model.
        data: all of the training data.
        options: of the model.
        run: seed and device.
        watch: see `Watch`.
        checkpoints: folder with the checkpoints of both fits, from which they go on.

    Raises:
        TrainingError: the model cannot be fitted, or its arrays do not fit into memory.
        KeyboardInterrupt: Ctrl-C came when there was no model yet.
    """
    MODELS[name].require_memory(data, options, run.device)
    options = MODELS[name].resolved(data, options, run.seed)  # once, so that both fits are alike
    most = most_epochs(options)
    if not needs_validation(name):
        run = replace(run, progress=watch("fit", most), checkpoint=_file(checkpoints, "fit"))
        model, report = fit_whole(name, data, options, run)
        return Trained(model, options, report.epochs or None, None, report, report.interrupted)
    first = replace(run, progress=watch("fit on a part", most))
    first = replace(first, checkpoint=_file(checkpoints, "part"))
    part_model, tried = fit_part(name, validation_split(data, run.seed), options, first)
    trained = Trained(part_model, options, tried.epochs, tried, None, interrupted=True)
    if tried.interrupted:
        return trained
    second = replace(run, progress=watch("fit on everything", tried.epochs), epochs=tried.epochs)
    second = replace(second, checkpoint=_file(checkpoints, "fit"))
    try:
        model, report = fit_whole(name, data, options, second)
    except KeyboardInterrupt:
        return trained
    if report.interrupted:
        return trained
    return Trained(model, options, tried.epochs, tried, report)


def most_epochs(options: ModelOptions) -> int | None:
    """The number of epochs that the options allow; None for a model without epochs."""
    return getattr(options, "epochs", None)


def _file(folder: Path | None, name: str) -> Path | None:
    return folder and folder / f"{name}.npz"
