# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""The one training loop, for every model that is fitted by gradients."""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.optim.adam import adam

from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import mean_ndcg
from recsvc.evaluation.splits import entries
from recsvc.models._checkpoint import open_state
from recsvc.models.base import (
    EpochRecord,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    Tables,
    TrainingData,
    Validation,
    require_evidence,
)

_VALIDATION_USERS = 4096
_FINE_TUNING_RATES = (0.1, 0.5), (0.25, 0.5)
"""Of the step size, for a tenth and for half of the training, where vectors are there already: the
first steps of Adam are as long for numbers that need no change as for others."""


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
    """What a model gives to the loop: its tables, its loss, and what it is at the moment.

    Attributes:
        generator: where all its random numbers come from.
    """

    generator: torch.Generator

    def parameters(self) -> list[Tensor]:
        """The tables to learn."""
        ...

    def start_from(self, tables: Tables) -> None:
        """Put the rows of an earlier fit in the place of those drawn; see `FitRun.start`."""
        ...

    def epoch(self) -> Iterator[tuple[Tensor, int]]:
        """One pass: (mean loss of a batch, number of its examples); a step follows each."""
        ...

    def model(self) -> FittedModel:
        """A copy of the model as it is now."""
        ...


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1), with torch's own step.

    To construct `torch.optim.Adam` imports torch's compiler, which takes a second or more and is
    not used.

    Attributes:
        moments: of each table, by their names in torch's checkpoints: `step`, `exp_avg` and
            `exp_avg_sq`.
    """

    def __init__(self, tables: Sequence[Tensor], rate: float) -> None:
        """Begin with moments of 0.

        Args:
            tables: what is learned.
            rate: step size.
        """
        self._tables, self._rate = tables, rate
        self.moments = [
            {
                "step": torch.zeros((), device=table.device),
                "exp_avg": torch.zeros_like(table, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(table, requires_grad=False),
            }
            for table in tables
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Take one step against the gradients, and drop them."""
        for table, own in zip(self._tables, self.moments, strict=True):
            if table.grad is None:
                continue
            adam(
                [table], [table.grad], [own["exp_avg"]], [own["exp_avg_sq"]], [], [own["step"]],
                fused=True, foreach=False, amsgrad=False, maximize=False,
                lr=self._rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
            )  # fmt: skip
            table.grad = None


class Trained(NamedTuple):
    """What the loop returns; the fields are those of `FitReport`."""

    model: Any
    epochs: int
    metric: float | None
    history: tuple[EpochRecord, ...]
    interrupted: bool = False
    tables: Tables = ()

    def report(self, started: float, memory_bytes: int) -> FitReport:
        """The report of a fit since `started`, a `perf_counter()`."""
        return FitReport(
            perf_counter() - started, self.epochs, self.metric, self.history, memory_bytes,
            self.interrupted, tables=self.tables,
        )  # fmt: skip


def fit_by_epochs(
    learner_on: Callable[[torch.device], Learner],
    data: TrainingData,
    options: TrainerOptions,
    run: FitRun,
    *,
    memory_bytes: int,
) -> tuple[Any, FitReport]:
    """Train, and say how it went.

    Args:
        learner_on: the model in training, on a device.
        data: what it is trained on.
        options: of the loop.
        run: see `FitRun`.
        memory_bytes: the estimate made before.

    Returns:
        What `learner.model()` gives, and the report.

    Raises:
        TrainingError: there is no evidence, the loss is no longer finite, or the checkpoint is of
            another fit.
    """
    start = perf_counter()
    require_evidence(data)
    learner = learner_on(open_device(run.device))
    trained = train(learner, options, run, measure=measure_on(data, run.validation, run.seed))
    return trained.model, trained.report(start, memory_bytes)


def train(
    learner: Learner,
    options: TrainerOptions,
    run: FitRun,
    *,
    measure: Callable[[FittedModel], float] | None,
) -> Trained:
    """Fit by Adam (Kingma & Ba 2015), keeping the best epoch where it can be measured.

    Ctrl-C ends the training with what is kept by then; before the end of the first epoch nothing
    is, and the interrupt goes on. With a checkpoint, each finished epoch is stored, and the same
    fit started again gives what it would have given without the interruption.

    Args:
        learner: the model in training.
        options: of the loop.
        run: epochs, progress and checkpoint.
        measure: a number to make as large as possible; None keeps the last epoch.

    Raises:
        TrainingError: the loss is no longer finite, or the checkpoint is of another fit.
    """
    rate = options.learning_rate
    if run.start:
        learner.start_from(run.start)
        rate *= float(np.interp(run.share, *_FINE_TUNING_RATES))
    optimizer = Adam(learner.parameters(), rate)
    epochs = run.fine_tuning_epochs(run.epochs or options.epochs)
    state = open_state(learner, optimizer.moments, options, run)
    interrupted = False
    try:
        for epoch in range(len(state.history) + 1, epochs + 1):
            if state.waited == options.patience:
                break
            loss, rate = _one_epoch(learner, optimizer, epoch)
            measured = measure and (epoch % options.evaluate_every == 0 or epoch == epochs)
            metric = measure(learner.model()) if measure and measured else None
            state.add(EpochRecord(epoch, loss, metric, rate), learner, measurable=bool(measure))
            run.progress(state.history[-1])
            state.save(learner, optimizer.moments)
    except KeyboardInterrupt:
        if not state.history:
            raise
        interrupted = True
    if state.kept:
        for table, best in zip(learner.parameters(), state.kept, strict=True):
            table.data.copy_(best)
    tables = tuple(table.detach().cpu().numpy().copy() for table in learner.parameters())
    return Trained(
        learner.model(), state.epoch, state.metric, tuple(state.history), interrupted, tables
    )


def take_over(own: list[Tensor], tables: Tables) -> None:
    """Put the rows of an earlier fit into a learner's own tables; where they are NaN these stay."""
    with torch.no_grad():
        for table, given in zip(own, tables, strict=True):
            earlier = torch.from_numpy(given).to(table.device)
            table.copy_(torch.where(torch.isnan(earlier), table, earlier))


def measure_on(
    data: TrainingData, validation: Validation | None, seed: int
) -> Callable[[FittedModel], float] | None:
    """NDCG@20 of a model on the validation part; None where there is none.

    Of many validation users, the seed takes 4,096: their mean is known to about 0.5%.
    """
    if validation is None or validation.held_out.nnz == 0:
        return None
    able = np.flatnonzero(np.diff(validation.held_out.indptr))
    taken = np.random.default_rng(seed).permutation(able)[:_VALIDATION_USERS]
    owner = np.repeat(np.arange(data.evidence.shape[0]), np.diff(validation.held_out.indptr))
    held_out = entries(validation.held_out, np.isin(owner, taken))
    return lambda model: mean_ndcg(model.scores, data.evidence, held_out)


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


def _one_epoch(learner: Learner, optimizer: Adam, epoch: int) -> tuple[float, float]:
    """Mean loss and examples a second of one pass.

    The loss is summed on the device and looked at once: a look at each batch would make a GPU
    wait. A loss that is not finite stays so in the sum.
    """
    start = perf_counter()
    total, examples = torch.zeros((), device=learner.parameters()[0].device), 0
    for loss, count in learner.epoch():
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
