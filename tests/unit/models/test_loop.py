import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from recsvc.errors import TrainingError
from recsvc.models._loop import Adam, TrainerOptions, take_over, train
from recsvc.models.base import EpochRecord, FitRun, Tables


class Counter:
    """A learner whose model is the number of epochs it has seen."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        self._x = torch.ones(1, requires_grad=True)
        self._seen = torch.zeros((), requires_grad=True)

    def parameters(self) -> list[Tensor]:
        return [self._x, self._seen]

    def start_from(self, tables: Tables) -> None:
        take_over(self.parameters()[:1], tables)

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        self._seen.data += 1
        noise = torch.rand((), generator=self.generator)
        yield (self._x + 0.01 * noise).square().sum() + 0 * self._seen, 3
        yield self._x.square().sum() + 0 * self._seen, 1

    def model(self) -> "Snapshot":
        return Snapshot(int(self._seen), float(self._x.detach()))


class Snapshot:
    name = "snapshot"

    def __init__(self, seen: int, x: float) -> None:
        self.seen = seen
        self.x = x

    def scores(self, user_index: np.ndarray, evidence: sp.csr_matrix) -> np.ndarray:
        return np.zeros((len(user_index), evidence.shape[1]), np.float32)


def run(metrics: list[float] | None, *, epochs: int = 10, **options: int):
    learner, told = Counter(), []
    trained = train(
        learner,
        TrainerOptions(**options),
        FitRun(0, epochs=epochs, progress=told.append),
        measure=None if metrics is None else lambda model: metrics[model.seen - 1],
    )
    assert tuple(told) == trained.history
    return trained


def test_without_a_measure_the_last_epoch_is_kept() -> None:
    trained = run(None)
    assert (trained.model.seen, trained.epochs, trained.metric) == (10, 10, None)
    assert [record.epoch for record in trained.history] == list(range(1, 11))
    assert all(record.metric is None for record in trained.history)
    assert trained.history[-1].loss < trained.history[0].loss


def test_a_fit_that_goes_on_takes_a_tenth_of_the_epochs_in_quarter_steps() -> None:
    """Adam's first steps are as long as the step size, whatever the gradient."""
    moved = {
        start: train(
            Counter(), TrainerOptions(), FitRun(0, epochs=epochs, start=tables), measure=None
        )
        for start, epochs, tables in (
            ("random", 1, ()), ("earlier", 10, (np.array([2.0], np.float32),)),
        )
    }  # fmt: skip
    assert [trained.epochs for trained in moved.values()] == [1, 1]
    first, then = 1.0 - moved["random"].model.x, 2.0 - moved["earlier"].model.x
    assert then == pytest.approx(first / 4.0, rel=0.01)


def test_a_step_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    tables = [torch.randn(shape, generator=generator) for shape in ((5, 3), (2,), (4,))]
    ours, theirs = ([t.clone().requires_grad_() for t in tables] for _ in range(2))
    own, torchs = Adam(ours, 0.02), torch.optim.Adam(theirs, 0.02)
    for _ in range(20):
        for table, other in zip(ours[:2], theirs[:2], strict=True):
            table.grad = torch.randn(table.shape, generator=generator)
            other.grad = table.grad.clone()
        own.step()
        torchs.step()
    for table, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(table, other)
    assert torch.equal(ours[2], tables[2])  # it has no gradient
    assert not torch.equal(ours[0], tables[0])


def test_training_imports_no_compiler() -> None:
    """It would take seconds in every process that trains."""
    code = (
        "import sys, torch; from recsvc.models._loop import Adam; "
        "x = torch.ones(2, requires_grad=True); x.sum().backward(); Adam([x], 0.1).step(); "
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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


class Stop:
    """Ctrl-C after some epochs."""

    def __init__(self, after: int) -> None:
        self._after = after

    def __call__(self, record: EpochRecord) -> None:
        if record.epoch == self._after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("metrics", "kept"), [(None, 4), ([0.1, 0.5, 0.2, 0.3], 2)])
def test_an_interrupt_keeps_the_best_so_far(metrics: list[float] | None, kept: int) -> None:
    measure = None if metrics is None else lambda model: metrics[model.seen - 1]
    trained = train(
        Counter(), TrainerOptions(), FitRun(0, epochs=9, progress=Stop(4)), measure=measure
    )
    assert trained.interrupted
    assert (trained.model.seen, trained.epochs, len(trained.history)) == (kept, kept, 4)


def test_an_interrupt_before_anything_is_kept_goes_on() -> None:
    class Interrupted(Counter):
        def epoch(self) -> Iterator[tuple[Tensor, int]]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), TrainerOptions(), FitRun(0, epochs=9), measure=None)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_resumed_training_is_the_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    metrics = [0.1, 0.5, 0.2, 0.3, 0.6, 0.1, 0.1]

    def measure(model: Snapshot) -> float:
        return metrics[model.seen - 1]

    options, file = TrainerOptions(patience=9), tmp_path / "checkpoint.npz"
    whole = train(Counter(), options, FitRun(0, epochs=7), measure=measure)
    first = FitRun(0, epochs=7, progress=Stop(stop + 1), checkpoint=file)
    assert train(Counter(), options, first, measure=measure).interrupted
    told: list[EpochRecord] = []
    again = FitRun(0, epochs=7, progress=told.append, checkpoint=file)
    resumed = train(Counter(), options, again, measure=measure)
    assert [record.epoch for record in told] == list(range(stop + 1, 8))
    assert (resumed.epochs, resumed.metric) == (whole.epochs, whole.metric)
    assert [r[:3] for r in resumed.history] == [r[:3] for r in whole.history]
    assert resumed.model.x == whole.model.x
    assert list(tmp_path.iterdir()) == [file]


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.npz"
    train(Counter(), TrainerOptions(), FitRun(0, epochs=1, checkpoint=file), measure=None)
    with pytest.raises(TrainingError, match=r"checkpoint\.npz was made with"):
        train(Counter(), TrainerOptions(), FitRun(1, epochs=2, checkpoint=file), measure=None)
    with pytest.raises(TrainingError, match=r"checkpoint\.npz was made with"):
        train(
            Counter(), TrainerOptions(learning_rate=0.5), FitRun(0, checkpoint=file), measure=None
        )
