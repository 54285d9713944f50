# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""The one training loop, for every model that is fitted by gradients."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from recsvc.errors import TrainingError
from recsvc.evaluation import mean_ndcg
from recsvc.models.base import (
    EpochRecord,
    FittedModel,
    ModelOptions,
    Progress,
    TrainingData,
    Validation,
)


class TrainerOptions(ModelOptions):
    """Options of the training loop."""

    epochs: int = Field(default=40, ge=1, le=10_000)
    """Passes over the examples: the most there will be with a validation part, and exactly so
    many without one."""
    learning_rate: float = Field(default=2e-3, gt=0.0, le=10.0)
    """Step size of Adam."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs from one measurement on the validation part to the next."""
    patience: int = Field(default=5, ge=1)
    """Measurements in a row without a better one after which training stops."""


@runtime_checkable
class Learner(Protocol):
    """What a model gives to the loop: its tables, its loss, and what it is at the moment."""

    def parameters(self) -> list[Tensor]:
        """The tables to learn."""
        ...

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """One pass: (mean loss of a batch, number of its examples); a step follows each."""
        ...

    def model(self) -> FittedModel:
        """A copy of the model as it is now."""
        ...


class Trained(NamedTuple):
    """What the loop returns; the fields are those of `FitReport`."""

    model: FittedModel
    epochs: int
    metric: float | None
    history: tuple[EpochRecord, ...]


def train(
    learner: Learner,
    options: TrainerOptions,
    *,
    epochs: int,
    measure: Callable[[FittedModel], float] | None,
    progress: Progress,
) -> Trained:
    """Fit by Adam (Kingma & Ba 2015), keeping the best epoch where it can be measured.

    Args:
        learner: the model in training.
        options: of the loop.
        epochs: passes, at most.
        measure: a number to make as large as possible; None keeps the last epoch.
        progress: is told each epoch.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    optimizer = torch.optim.Adam(learner.parameters(), options.learning_rate)
    history: list[EpochRecord] = []
    best: Trained | None = None
    waited = 0
    for epoch in range(1, epochs + 1):
        loss, rate = _one_epoch(learner, optimizer, epoch)
        measured = measure is not None and (epoch % options.evaluate_every == 0 or epoch == epochs)
        model = learner.model() if measured else None
        metric = measure(model) if measure and model else None
        history.append(EpochRecord(epoch, loss, metric, rate))
        progress(history[-1])
        if model is None or metric is None:
            continue
        if best is None or best.metric is None or metric > best.metric:
            best, waited = Trained(model, epoch, metric, ()), 0
        else:
            waited += 1
        if waited == options.patience:
            break
    best = best or Trained(learner.model(), epochs, None, ())
    return best._replace(history=tuple(history))


def measure_on(
    data: TrainingData, validation: Validation | None
) -> Callable[[FittedModel], float] | None:
    """NDCG@20 of a model on the validation part; None where there is none."""
    if validation is None or validation.held_out.nnz == 0:
        return None
    return lambda model: mean_ndcg(model.scores, data.evidence, validation.held_out)


def open_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        TrainingError: it is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainingError(f"device {name!r} is none that torch knows: use cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError(f"device {name!r} was asked for and torch sees no GPU: use cpu")
    return device


def _one_epoch(
    learner: Learner, optimizer: torch.optim.Optimizer, epoch: int
) -> tuple[float, float]:
    """Mean loss and examples a second of one pass.

    The loss is summed on the device and looked at once: a look at each batch would make a GPU
    wait. A loss that is not finite stays so in the sum.
    """
    start = perf_counter()
    total, examples = torch.zeros((), device=learner.parameters()[0].device), 0
    for loss, count in learner.epoch():
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.detach() * count
        examples += count
    mean = float(total) / examples
    if not torch.isfinite(total):
        raise TrainingError(
            f"the loss of epoch {epoch} is {mean}: lower the learning rate or raise the temperature"
        )
    return mean, examples / (perf_counter() - start)
