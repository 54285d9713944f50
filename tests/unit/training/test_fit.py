"""Options from the command line, memory, the two fits, and what Ctrl-C leaves."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.errors import SettingsError, TrainingError
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evidence import seen_matrix
from recsvc.models import EpochRecord, FitRun, ModelOptions, Progress, TrainingData
from recsvc.models._memory import available_bytes
from recsvc.models.base import silent
from recsvc.training.fit import (
    Trained,
    assigned,
    fit_part,
    model_options,
    needs_validation,
    train,
    validation_split,
)
from tests.unit.made_tables import training_data

QUICK = {"dimensions": "8", "epochs": "6", "batch_size": "256", "learning_rate": "0.05"}


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    return training_data(tmp_path)


def quick() -> ModelOptions:
    return model_options("mf", QUICK)


def scores_of(trained: Trained, data: TrainingData) -> np.ndarray:
    return trained.model.scores(np.arange(data.evidence.shape[0]), data.evidence)


class Interrupt:
    """Ctrl-C at one epoch of one fit."""

    def __init__(self, fit: str, epoch: int) -> None:
        self.fit, self.epoch = fit, epoch

    def __call__(self, fit: str, _epochs: int | None) -> Progress:
        return self._stop if fit == self.fit else lambda _record: None

    def _stop(self, record: EpochRecord) -> None:
        if record.epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_option_is_for_every_model_or_for_one() -> None:
    given = ["layers=1", "mf.epochs=3", "lightgcn.layers=2", "weights=a=1"]
    assert assigned("mf", given) == {"layers": "1", "epochs": "3", "weights": "a=1"}
    assert assigned("lightgcn", given) == {"layers": "2", "weights": "a=1"}


@pytest.mark.parametrize(
    ("given", "says"), [("layers", "expected name=value"), ("magic.layers=1", "no model 'magic'")]
)
def test_an_assignment_that_means_nothing_is_named(given: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        assigned("mf", [given])


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("magic", {}, "no model 'magic'.*walk3"),
        (
            "walk3",
            {"gamma": "1"},
            r"walk3\.gamma='1': there is no such option: expected one of alpha, beta",
        ),
        ("mf", {"negatives": "hard"}, "^--set mf: negatives=hard with loss=.*use loss=bpr"),
        ("walk3", {"alpha": "9"}, "--set walk3.alpha='9'.*less than or equal to 2"),
    ],
)
def test_options_that_cannot_be_are_named(name: str, values: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        model_options(name, values)


def test_a_model_that_does_not_fit_is_refused_before_it_is_fitted(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsvc.models.available_bytes", lambda _device: 1000)
    with pytest.raises(
        TrainingError, match=r"ease would take about .* GiB on cpu for .* items, where 0\.00 GiB"
    ):
        train("ease", data, model_options("ease", {}), FitRun(0))


def test_the_memory_that_is_free_is_some_of_that_of_the_machine() -> None:
    assert 2**20 < available_bytes("cpu") < 2**50


@pytest.mark.gpu
def test_the_memory_that_is_free_on_a_gpu_is_that_of_the_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    free, total = torch.cuda.mem_get_info()
    assert free / 2 < available_bytes("cuda") <= total


def test_nothing_to_hold_out_is_refused(data: TrainingData) -> None:
    few = sp.csr_matrix(np.eye(*data.evidence.shape, dtype=np.float32))
    with pytest.raises(TrainingError, match="5 items or more"):
        validation_split(TrainingData(data.graph, few), 0)


def test_the_parts_of_the_split_are_all_of_it_and_share_nothing(data: TrainingData) -> None:
    split = validation_split(data, 0)
    part, held_out = split.part.evidence, split.held_out.held_out
    assert (part + held_out != data.evidence).nnz == 0
    assert part.multiply(held_out).nnz == 0
    assert 0.15 < held_out.nnz / data.evidence.nnz < 0.25
    left = split.part.graph.interactions  # meta-paths follow these
    assert (seen_matrix(split.part.graph).astype(bool) != part.astype(bool)).nnz == 0
    assert len(left) < len(data.graph.interactions)


def test_the_fit_on_a_part_is_measured_on_the_rest(data: TrainingData) -> None:
    split = validation_split(data, 0)
    model, tried = fit_part("walk3", split, model_options("walk3", {}), FitRun(0))
    assert tried.ndcg == mean_ndcg(model.scores, split.part.evidence, split.held_out.held_out)
    assert (tried.epochs, tried.history, tried.interrupted) == (None, (), False)


@pytest.mark.parametrize(("name", "validates"), [("mf", True), ("walk3", True), ("hybrid", False)])
def test_a_model_that_validates_in_its_own_fit_is_fitted_once(name: str, validates: bool) -> None:
    assert needs_validation(name) == validates


def test_the_same_seed_gives_the_same_model_twice(data: TrainingData) -> None:
    first, again = (train("mf", data, quick(), FitRun(3)) for _ in range(2))
    np.testing.assert_array_equal(scores_of(first, data), scores_of(again, data))
    assert first.tried is not None
    assert again.tried is not None
    assert first.tried.ndcg == again.tried.ndcg
    other = train("mf", data, quick(), FitRun(4))
    assert not np.array_equal(scores_of(first, data), scores_of(other, data))


def test_everything_is_fitted_for_the_best_number_of_epochs(data: TrainingData) -> None:
    seen: dict[str, int | None] = {}
    hasty = model_options("mf", QUICK | {"learning_rate": "0.5"})  # the last epoch is not the best
    trained = train(
        "mf", data, hasty, FitRun(0), watch=lambda fit, n: seen.update({fit: n}) or silent
    )
    assert trained.tried is not None
    assert trained.report is not None
    best = max(trained.tried.history, key=lambda record: record.metric or 0.0)
    assert trained.tried.epochs == trained.epochs == len(trained.report.history) == best.epoch
    assert best.epoch < 6
    assert seen == {"fit on a part": 6, "fit on everything": best.epoch}


@pytest.mark.parametrize("fit", ["fit on a part", "fit on everything"])
def test_ctrl_c_keeps_the_model_of_the_part(data: TrainingData, fit: str) -> None:
    whole = train("mf", data, quick(), FitRun(0))
    assert whole.epochs is not None
    trained = train("mf", data, quick(), FitRun(0), watch=Interrupt(fit, 1))
    assert trained.interrupted
    assert trained.report is None
    assert trained.tried is not None
    assert len(trained.tried.history) == (1 if fit == "fit on a part" else 6)
    split = validation_split(data, 0)
    found = mean_ndcg(trained.model.scores, split.part.evidence, split.held_out.held_out)
    assert found == trained.tried.ndcg


@pytest.mark.parametrize(("fit", "epoch"), [("fit on a part", 2), ("fit on everything", 1)])
def test_going_on_gives_what_the_whole_run_gives(
    data: TrainingData, tmp_path: Path, fit: str, epoch: int
) -> None:
    whole = train("mf", data, quick(), FitRun(0))
    train("mf", data, quick(), FitRun(0), watch=Interrupt(fit, epoch), checkpoints=tmp_path)
    resumed = train("mf", data, quick(), FitRun(0), checkpoints=tmp_path)
    assert not resumed.interrupted
    np.testing.assert_array_equal(scores_of(resumed, data), scores_of(whole, data))
