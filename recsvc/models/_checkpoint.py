# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""Where a training stands: kept in memory for Ctrl-C, and in a file to go on from."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loaders.files import whole_file
from recsvc.errors import TrainingError
from recsvc.models.base import EpochRecord, FitRun, ModelOptions


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

    def save(self, learner: Any, optimizer: torch.optim.Optimizer) -> None:
        """Replace the checkpoint by one of this moment; a kill leaves the one before."""
        if self.path is None:
            return
        arrays: dict[str, Any] = {
            "identity": self.identity,
            "history": json.dumps(self.history),
            "standing": json.dumps([self.epoch, self.metric, self.waited]),
            "generator": learner.generator.get_state().numpy(),
        }
        moments = optimizer.state_dict()["state"]
        for number, (table, kept) in enumerate(zip(learner.parameters(), self.kept, strict=True)):
            arrays[f"table_{number}"] = table.detach().cpu().numpy()
            arrays[f"kept_{number}"] = kept.cpu().numpy()
            for name, value in moments[number].items():
                arrays[f"{name}_{number}"] = value.cpu().numpy()
        with whole_file(self.path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def open_state(
    learner: Any, optimizer: torch.optim.Optimizer, options: ModelOptions, run: FitRun
) -> TrainingState:
    """Where the training starts: at the checkpoint, if it is there.

    Raises:
        TrainingError: the checkpoint is not of the same options, seed and size of tables.
    """
    sizes = [list(table.shape) for table in learner.parameters()]
    identity = json.dumps([options.model_dump(mode="json"), run.seed, sizes], sort_keys=True)
    state = TrainingState(run.checkpoint, identity)
    if run.checkpoint is None or not run.checkpoint.exists():
        return state
    with np.load(run.checkpoint, allow_pickle=False) as arrays:
        found = str(arrays["identity"])
        if found != identity:
            raise TrainingError(
                f"{run.checkpoint} was made with {found}, this fit has {identity}: remove the "
                "file, or go on with what it was made with"
            )
        _restore(state, learner, optimizer, dict(arrays))
    return state


def _restore(
    state: TrainingState, learner: Any, optimizer: torch.optim.Optimizer, arrays: dict[str, Any]
) -> None:
    state.history = [EpochRecord(*record) for record in json.loads(str(arrays["history"]))]
    state.epoch, state.metric, state.waited = json.loads(str(arrays["standing"]))
    learner.generator.set_state(torch.from_numpy(arrays["generator"]))
    moments = {}
    for number, table in enumerate(learner.parameters()):
        table.data.copy_(torch.from_numpy(arrays[f"table_{number}"]))
        state.kept.append(torch.from_numpy(arrays[f"kept_{number}"]).to(table.device))
        moments[number] = {
            name: torch.from_numpy(arrays[f"{name}_{number}"])
            for name in ("step", "exp_avg", "exp_avg_sq")
        }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
