"""The search for a model's options, on a validation part only."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from recsvc.errors import SettingsError, TrainingError
from recsvc.models import MODELS, FitRun, ModelOptions, Range
from recsvc.training.fit import (
    ValidationSplit,
    Watch,
    fit_part,
    has_epochs,
    model_options,
    most_epochs,
    unwatched,
)

Sampler = Literal["random", "tpe"]

_TRIALS_WITHOUT_EPOCHS = 12
_IDENTITY, _EPOCHS, _ERROR = "identity", "epochs", "error"


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How a search is made.

    Attributes:
        trials: how many options are tried, those of earlier calls with the same study included.
        timeout_seconds: no trial begins later than this; None for no such limit.
        sampler: `random`, or `tpe` (Bergstra et al. 2011, "Algorithms for hyper-parameter
            optimization").
        study: file with the trials of earlier calls, to go on with; None to keep them in memory.
    """

    trials: int
    timeout_seconds: float | None = None
    sampler: Sampler = "tpe"
    study: Path | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One try.

    Attributes:
        number: from 0.
        values: the options that were searched.
        ndcg: NDCG@20 on the validation part; None where the model could not be fitted.
        epochs: the best number; None for a model without epochs.
        seconds: what it took.
        error: why the model could not be fitted.
    """

    number: int
    values: Mapping[str, Any]
    ndcg: float | None
    epochs: int | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a search found.

    Attributes:
        options: the best options.
        best: the trial with them.
        trials: all of them, in the order they were made.
        interrupted: whether Ctrl-C ended it.
    """

    options: ModelOptions
    best: Trial
    trials: tuple[Trial, ...]
    interrupted: bool = False


def default_trials(name: str) -> int:
    """One for a model trained in epochs, whose best number one fit finds; else some."""
    return 1 if has_epochs(name) or not MODELS[name].search else _TRIALS_WITHOUT_EPOCHS


def tune(
    name: str,
    split: ValidationSplit,
    fixed: Mapping[str, Any],
    options: TuneOptions,
    run: FitRun,
    watch: Watch = unwatched,
) -> Tuning:
    """Try options of a model, the defaults first; the best has the highest NDCG@20.

    What the defaults leave open is resolved on the whole, as a fit without a search does.

    Args:
        name: the model.
        split: what is fitted on, and what is measured on.
        fixed: options that are not searched.
        options: how the search is made.
        run: seed and device of the fits.
        watch: see `Watch`.

    Raises:
        SettingsError: an option is wrong, or the study is of another search.
        TrainingError: none of the options could be fitted.
    """
    started = perf_counter()
    defaults = MODELS[name].resolved(split.whole, model_options(name, fixed), run.seed)
    space = _distributions(name, fixed)
    study = _open_study(name, split, fixed, options, run)
    # An option whose default is out of its range keeps it in the first trial.
    inside = _inside(name, defaults, space)
    first = not study.trials
    if first:
        study.enqueue_trial(inside)
    interrupted = False
    while len(_ended(study)) < (options.trials if space else 1) and not interrupted:
        late = perf_counter() - started >= (options.timeout_seconds or float("inf"))
        if late and _ended(study):
            break
        study.sampler = _sampler(options.sampler, run.seed + len(study.trials))
        asked = study.ask({option: space[option] for option in inside} if first else space)
        first = False
        progress = watch(f"trial {asked.number + 1} of {options.trials}", most_epochs(defaults))
        watched = replace(run, progress=progress)
        try:
            interrupted = _one_trial(name, split, fixed, study, asked, watched)
        except KeyboardInterrupt:
            study.tell(asked, state=TrialState.FAIL)
            if not any(trial.ndcg is not None for trial in _ended(study)):
                raise
            interrupted = True
    return _best(name, fixed, _ended(study), interrupted=interrupted)


def _one_trial(
    name: str,
    split: ValidationSplit,
    fixed: Mapping[str, Any],
    study: optuna.Study,
    asked: optuna.Trial,
    run: FitRun,
) -> bool:
    """Try what the sampler suggests; returns whether Ctrl-C ended it."""
    try:
        _, tried = fit_part(name, split, model_options(name, {**fixed, **asked.params}), run)
    except (TrainingError, SettingsError) as error:
        asked.set_user_attr(_ERROR, str(error))
        study.tell(asked, state=TrialState.FAIL)
        return False
    asked.set_user_attr(_EPOCHS, tried.epochs)
    study.tell(asked, tried.ndcg)
    return tried.interrupted


def _best(
    name: str, fixed: Mapping[str, Any], trials: Sequence[Trial], *, interrupted: bool
) -> Tuning:
    fitted = [trial for trial in trials if trial.ndcg is not None]
    if not fitted:
        raise TrainingError(f"{name} could not be fitted with any options: {trials[-1].error}")
    best = max(fitted, key=lambda trial: (trial.ndcg, -trial.number))
    return Tuning(model_options(name, {**fixed, **best.values}), best, tuple(trials), interrupted)


def _distributions(name: str, fixed: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    fields = MODELS[name].options.model_fields
    space: dict[str, BaseDistribution] = {}
    for option, choice in MODELS[name].search.items():
        if option in fixed:
            continue
        if not isinstance(choice, Range):
            space[option] = CategoricalDistribution(choice)
        elif fields[option].annotation is int:
            low, high = int(choice.low), int(choice.high)
            space[option] = IntDistribution(low, high, log=choice.logarithmic)
        else:
            space[option] = FloatDistribution(choice.low, choice.high, log=choice.logarithmic)
    return space


def _inside(name: str, defaults: ModelOptions, searched: Iterable[str]) -> dict[str, Any]:
    """The defaults that the search could have come to; the sampler chooses the others."""
    space, values = MODELS[name].search, defaults.model_dump()
    inside: dict[str, Any] = {}
    for option in searched:
        choice, value = space[option], values[option]
        if isinstance(choice, Range):
            inside_space = value is not None and choice.low <= value <= choice.high
        else:
            inside_space = value in choice
        if inside_space:
            inside[option] = value
    return inside


def _sampler(name: Sampler, seed: int) -> BaseSampler:
    return TPESampler(seed=seed) if name == "tpe" else RandomSampler(seed=seed)


def _open_study(
    name: str, split: ValidationSplit, fixed: Mapping[str, Any], options: TuneOptions, run: FitRun
) -> optuna.Study:
    """The trials so far: those of the file, if it is there.

    Raises:
        SettingsError: they are of another search, or the file holds something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = options.study and JournalStorage(JournalFileBackend(str(options.study)))
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"{options.study} holds no trials ({error}): name another --study file"
        ) from None
    parts = (split.part.evidence, split.held_out.held_out)
    content = hashlib.sha256(b"".join(m.indptr.tobytes() + m.indices.tobytes() for m in parts))
    searched = {option: str(choice) for option, choice in _distributions(name, fixed).items()}
    identity = [content.hexdigest(), dict(fixed), searched, run.seed]
    earlier = study.user_attrs.get(_IDENTITY)
    if earlier is None:
        study.set_user_attr(_IDENTITY, identity)
    elif earlier != identity:
        raise SettingsError(
            f"{options.study} holds trials of {name} on other data, or with another seed or other "
            "fixed options: name another --study file"
        )
    return study


def _ended(study: optuna.Study) -> list[Trial]:
    return [
        Trial(
            trial.number, trial.params, trial.value, trial.user_attrs.get(_EPOCHS),
            trial.duration.total_seconds() if trial.duration else 0.0,
            trial.user_attrs.get(_ERROR),
        )
        for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
    ]  # fmt: skip
