"""The search: what it tries, that it goes on, and that it finds what is there to find."""

import math
from pathlib import Path

import pytest

from recsvc.errors import SettingsError, TrainingError
from recsvc.models import MODELS, FitRun, Range
from recsvc.training.fit import ValidationSplit, fit_part, model_options, validation_split
from recsvc.training.tuning import TuneOptions, Tuning, default_trials, tune
from tests.unit.made_tables import training_data


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ValidationSplit:
    return validation_split(training_data(tmp_path_factory.mktemp("tables")), 0)


def search(split: ValidationSplit, options: TuneOptions, *fixed: str, seed: int = 0) -> Tuning:
    given = dict(pair.split("=") for pair in fixed)
    return tune("walk3", split, given, options, FitRun(seed))


def test_the_defaults_come_first_and_the_best_is_the_best(split: ValidationSplit) -> None:
    tuning = search(split, TuneOptions(6))
    assert [trial.number for trial in tuning.trials] == list(range(6))
    defaults = MODELS["walk3"].options().model_dump()
    first = tuning.trials[0].values
    assert first == {option: defaults[option] for option in first}
    assert first
    assert tuning.best.ndcg == max(trial.ndcg or 0.0 for trial in tuning.trials)
    values = tuning.options.model_dump()
    assert {option: values[option] for option in tuning.best.values} == tuning.best.values
    _, again = fit_part("walk3", split, tuning.options, FitRun(0))
    assert again.ndcg == tuning.best.ndcg


def test_what_the_defaults_leave_open_is_resolved_on_the_whole(tmp_path: Path) -> None:
    """Not on the part, for which another regularisation may be right."""
    split, seed = validation_split(training_data(tmp_path), 3), 3
    resolved, other = (
        MODELS["ridge"].resolved(data, MODELS["ridge"].options(), seed)
        for data in (split.whole, split.part)
    )
    assert resolved != other
    first = tune("ridge", split, {}, TuneOptions(1), FitRun(seed)).options
    assert first == resolved


def test_one_trial_is_the_defaults(split: ValidationSplit) -> None:
    given = {"dimensions": "4", "epochs": "1"}
    found = tune("mf", split, given, TuneOptions(1), FitRun(0))
    assert found.options == model_options("mf", given)


def test_of_trials_that_are_as_good_the_first_is_the_best(split: ValidationSplit) -> None:
    """Without times, how fast what was done fades makes no difference."""
    found = tune("popularity", split, {}, TuneOptions(3), FitRun(0))
    assert len({trial.ndcg for trial in found.trials}) == 1
    assert (len(found.trials), found.best.number) == (3, 0)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_tries_the_same(split: ValidationSplit, sampler: str) -> None:
    options = TuneOptions(4, sampler=sampler)
    one, two = (search(split, options) for _ in range(2))
    assert [t.values for t in one.trials] == [t.values for t in two.trials]
    assert [t.ndcg for t in one.trials] == [t.ndcg for t in two.trials]
    other = search(split, options, seed=1)
    assert [t.values for t in one.trials[1:]] != [t.values for t in other.trials[1:]]


def test_every_value_is_inside_its_range(split: ValidationSplit) -> None:
    for trial in search(split, TuneOptions(8, sampler="random")).trials[1:]:
        assert trial.values.keys() == MODELS["walk3"].search.keys()
        for option, choice in MODELS["walk3"].search.items():
            value = trial.values[option]
            if isinstance(choice, Range):
                assert choice.low <= value <= choice.high
            else:
                assert value in choice


def test_a_fixed_option_is_not_searched(split: ValidationSplit) -> None:
    found = search(split, TuneOptions(4), "beta=0.1")
    assert all("beta" not in trial.values for trial in found.trials)
    assert found.options.model_dump()["beta"] == 0.1


def test_a_second_call_goes_on(split: ValidationSplit, tmp_path: Path) -> None:
    study = tmp_path / "study.log"
    first = search(split, TuneOptions(2, study=study))
    second = search(split, TuneOptions(5, study=study))
    assert second.trials[:2] == first.trials
    assert len(second.trials) == 5
    assert len({tuple(trial.values.values()) for trial in second.trials}) == 5
    assert search(split, TuneOptions(3, study=study)).trials == second.trials


@pytest.mark.parametrize("change", ["seed", "fixed", "data"])
def test_a_study_of_another_search_is_refused(
    split: ValidationSplit, tmp_path: Path, change: str
) -> None:
    study = tmp_path / "study.log"
    search(split, TuneOptions(1, study=study))
    other = ValidationSplit(split.whole, split.part, split.held_out)
    if change == "data":
        other = validation_split(training_data(tmp_path), 1)
    fixed = ("beta=0.1",) if change == "fixed" else ()
    with pytest.raises(SettingsError, match="other data, or with another seed"):
        search(other, TuneOptions(1, study=study), *fixed, seed=int(change == "seed"))


def test_time_ends_a_search_after_the_trial_it_is_in(split: ValidationSplit) -> None:
    assert len(search(split, TuneOptions(1000, timeout_seconds=1e-3)).trials) == 1


def test_what_cannot_be_fitted_is_noted_and_the_search_goes_on(
    split: ValidationSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12, 1, 10**12])
    monkeypatch.setattr("recsvc.models.available_bytes", lambda _device: next(free))
    found = search(split, TuneOptions(3))
    assert [trial.ndcg is None for trial in found.trials] == [False, True, False]
    assert "GiB" in (found.trials[1].error or "")


def test_nothing_that_can_be_fitted_is_an_error(
    split: ValidationSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsvc.models.available_bytes", lambda _device: 1)
    with pytest.raises(TrainingError, match="with any options: walk3 would take"):
        search(split, TuneOptions(2))


def test_ctrl_c_gives_the_best_so_far(
    split: ValidationSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**12, 10**12])

    def available(_device: str) -> int:
        for value in free:
            return value
        raise KeyboardInterrupt

    monkeypatch.setattr("recsvc.models.available_bytes", available)
    found = search(split, TuneOptions(9))
    assert found.interrupted
    assert [trial.ndcg is None for trial in found.trials] == [False, False, True]
    with pytest.raises(KeyboardInterrupt):
        search(split, TuneOptions(9))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_search_space_fits_the_options(name: str) -> None:
    spec = MODELS[name]
    for option, choice in spec.search.items():
        ends = choice[:2] if isinstance(choice, Range) else choice
        for value in ends:
            whole = spec.options.model_fields[option].annotation is int
            spec.options.model_validate({option: int(value) if whole else value})
        if isinstance(choice, Range):
            assert choice.low < choice.high
            assert not choice.logarithmic or choice.low > 0.0
            assert math.isfinite(choice.high)


def test_how_many_trials_there_are_by_default() -> None:
    assert default_trials("walk3") > 5
    assert default_trials("mf") == 1
    assert default_trials("hybrid") == 1
