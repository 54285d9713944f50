# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Where a training stands: kept in memory for Ctrl-C, and in a file to go on from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loaders.value_file import read_value, write_value
from recsvc.errors import TrainingError
from recsvc.models.base import EpochRecord, FitRun, ModelOptions

Moments = Sequence[Mapping[str, Tensor]]
"""Of an optimizer: of each table, by name."""


@dataclass(slots=True)
class TrainingState:
    """What must survive an epoch.

    Attributes:
        path: the checkpoint; None without one.
        identity: what a checkpoint must have been made with to go on from it.
        history: the finished epochs.
        kept: the tables of the best epoch, or of the last one where none was measured.
        epoch: number of the kept epoch.
        metric: its measurement.
        waited: measurements since then.
    """

    path: Path | None
    identity: str
    history: list[EpochRecord] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)
    epoch: int = 0
    metric: float | None = None
    waited: int = 0

    def add(self, record: EpochRecord, learner: Any, *, measurable: bool) -> None:
        """Take in a finished epoch."""
        self.history.append(record)
        better = record.metric is not None and (self.metric is None or record.metric > self.metric)
        if better or self.metric is None:
            self.kept = [table.detach().clone() for table in learner.parameters()]
            self.epoch, self.metric = record.epoch, record.metric
        if measurable and record.metric is not None:
            self.waited = 0 if better else self.waited + 1

    def save(self, learner: Any, moments: Moments) -> None:
        """Replace the checkpoint by one of this moment; a kill leaves the one before."""
        if self.path is None:
            return
        write_value(
            self.path,
            {
                "identity": self.identity,
                "history": [list(record) for record in self.history],
                "standing": [self.epoch, self.metric, self.waited],
                "generator": learner.generator.get_state().numpy(),
                "tables": [table.detach().cpu().numpy() for table in learner.parameters()],
                "kept": [table.cpu().numpy() for table in self.kept],
                "moments": [
                    {name: value.cpu().numpy() for name, value in own.items()} for own in moments
                ],
            },
        )


def open_state(learner: Any, moments: Moments, options: ModelOptions, run: FitRun) -> TrainingState:
    """Where the training starts: at the checkpoint, if it is there.

    Args:
        learner: gets the tables and the random state of the checkpoint.
        moments: of the optimizer, by table and name; they become those of the checkpoint.
        options: of the fit.
        run: seed and checkpoint.

    Raises:
        TrainingError: the checkpoint is not of the same options, seed and size of tables.
    """
    sizes = [list(table.shape) for table in learner.parameters()]
    identity = json.dumps([options.model_dump(mode="json"), run.seed, sizes], sort_keys=True)
    state = TrainingState(run.checkpoint, identity)
    if run.checkpoint is None or not run.checkpoint.exists():
        return state
    made = read_value(run.checkpoint, ())
    if made["identity"] != identity:
        raise TrainingError(
            f"{run.checkpoint} was made with {made['identity']}, this fit has {identity}: remove "
            "the file, or go on with what it was made with"
        )
    state.history = [EpochRecord(*record) for record in made["history"]]
    state.epoch, state.metric, state.waited = made["standing"]
    learner.generator.set_state(torch.from_numpy(made["generator"]))
    for table, stored, best in zip(learner.parameters(), made["tables"], made["kept"], strict=True):
        table.data.copy_(torch.from_numpy(stored))
        state.kept.append(torch.from_numpy(best).to(table.device))
    for own, stored in zip(moments, made["moments"], strict=True):
        for name, value in own.items():
            value.copy_(torch.from_numpy(stored[name]))
    return state
