from collections.abc import Iterator

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from recsvc.models._loop import TrainerOptions, train


class Counter:
    """A learner whose model is the number of epochs it has seen."""

    def __init__(self) -> None:
        self.seen = 0
        self._x = torch.ones(1, requires_grad=True)

    def parameters(self) -> list[Tensor]:
        return [self._x]

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        self.seen += 1
        yield self._x.square().sum(), 3
        yield self._x.square().sum(), 1

    def model(self) -> "Snapshot":
        return Snapshot(self.seen)


class Snapshot:
    name = "snapshot"

    def __init__(self, seen: int) -> None:
        self.seen = seen

    def scores(self, user_index: np.ndarray, evidence: sp.csr_matrix) -> np.ndarray:
        return np.zeros((len(user_index), evidence.shape[1]), np.float32)


def run(metrics: list[float] | None, *, epochs: int = 10, **options: int):
    learner, told = Counter(), []
    trained = train(
        learner,
        TrainerOptions(**options),
        epochs=epochs,
        measure=None if metrics is None else lambda model: metrics[model.seen - 1],
        progress=told.append,
    )
    assert tuple(told) == trained.history
    return trained


def test_without_a_measure_the_last_epoch_is_kept() -> None:
    trained = run(None)
    assert (trained.model.seen, trained.epochs, trained.metric) == (10, 10, None)
    assert [record.epoch for record in trained.history] == list(range(1, 11))
    assert all(record.metric is None for record in trained.history)
    assert trained.history[-1].loss < trained.history[0].loss


def test_the_best_epoch_is_kept_and_training_stops() -> None:
    trained = run([0.1, 0.3, 0.2, 0.25, 0.9], patience=2)
    assert (trained.model.seen, trained.epochs, trained.metric) == (2, 2, 0.3)
    assert len(trained.history) == 4


def test_an_equal_measure_is_no_better() -> None:
    assert run([0.3] * 10, patience=3).epochs == 1


def test_it_is_measured_every_so_often_and_at_the_end() -> None:
    trained = run([0.9, 0.9, 0.1, 0.9, 0.2], epochs=5, evaluate_every=3)
    assert [record.metric for record in trained.history] == [None, None, 0.1, None, 0.2]
    assert trained.epochs == 5


@pytest.mark.parametrize("field", ["epochs", "learning_rate", "evaluate_every", "patience"])
def test_options_are_bounded(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        TrainerOptions.model_validate({field: 0})
