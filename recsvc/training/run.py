"""`recsvc train`: one model, its folder, and all that is worth knowing about how it was made."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from loaders.types import HeteroGraph
from recsvc.errors import TrainingError, file_error
from recsvc.models import MODELS, EpochRecord, FitRun, ModelOptions, TrainingData
from recsvc.run_environment import environment
from recsvc.settings import EventSettings
from recsvc.training.fit import Trained, Watch, training_data
from recsvc.training.fit import train as fit_model
from recsvc.training.folder import RunFolder, write_manifest, write_model
from recsvc.training.page import write_run_page
from recsvc.training.published import data_sha256


@dataclass(slots=True)
class TrainingRun:
    """One training.

    Attributes:
        name: of the model.
        options: of the model.
        data: what is learned from.
        seed: of the split and the fits.
        device: `cpu` or `cuda`.
        manifest: what is known of the run, once it is done.
        histories: the epochs of each fit, once it is done.
    """

    name: str
    options: ModelOptions
    data: TrainingData
    seed: int
    device: str
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    histories: Mapping[str, Sequence[EpochRecord]] = field(
        default_factory=dict[str, Sequence[EpochRecord]]
    )

    @classmethod
    def of(
        cls,
        name: str,
        options: ModelOptions,
        graph: HeteroGraph,
        events: Mapping[str, EventSettings],
        seed: int,
        device: str,
    ) -> Self:
        """On a graph; half-lives count from its newest interaction.

        Raises:
            TrainingError: it has no interactions.
        """
        if not len(graph.interactions.user_index):
            raise TrainingError(
                f"there is no interaction for {name} to learn from: ingest a table of them, or "
                "name one with --data"
            )
        data = training_data(graph, events)
        return cls(name, options, data, seed, device)

    def announcement(self) -> str:
        """What is about to be fitted, and the memory that takes.

        Raises:
            TrainingError: there is not so much memory.
        """
        needed, free = MODELS[self.name].require_memory(self.data, self.options, self.device)
        graph = self.data.graph
        return (
            f"{len(graph.users):,} users, {len(graph.items):,} items; the arrays of {self.name} "
            f"take about {needed / 2**20:,.0f} MiB of the {free / 2**20:,.0f} MiB free on "
            f"{self.device}"
        )

    def consolation(self, out: Path | None) -> str:
        """What Ctrl-C has left."""
        if out is None:
            return "interrupted: without --out nothing is kept"
        return f"interrupted: the best model so far is kept in {out}; --resume goes on"

    def fit(self, watch: Watch, out: Path | None, *, resume: bool = False) -> dict[str, Any]:
        """Fit, and write the folder if one is asked for.

        Returns:
            What to tell about it.

        Raises:
            SettingsError: the folder cannot be used, or its run cannot be resumed.
            TrainingError: the model cannot be fitted, or the disk is full after an epoch that
                `resume` goes on from.
            OSError: the folder cannot be written; nothing of it stays.
        """
        about = self._about()
        folder = RunFolder(out) if out is not None else None
        checkpoints = folder and folder.begin(self._identity(about), resume=resume)
        run = FitRun(self.seed, device=self.device)
        try:
            trained = fit_model(
                self.name, self.data, self.options, run, watch=watch, checkpoints=checkpoints
            )
            self._describe(about, trained)
            if folder is not None:
                self._write(folder, trained)
        except BaseException as error:
            if folder is None or folder.give_up() or not isinstance(error, OSError):
                raise
            raise TrainingError(f"{file_error(error)}; --resume goes on then") from error
        left_out = {"history", "environment", "finished_at"}
        told = {name: value for name, value in self.manifest.items() if name not in left_out}
        return told | ({"out": str(out)} if out is not None else {})

    def _write(self, folder: RunFolder, trained: Trained) -> None:
        with folder.written() as part:
            write_model(part, trained.model, self.data.graph)
            write_manifest(part, self.manifest)
            write_run_page(self.manifest, self.histories, part / "report.html")
        if not trained.interrupted:
            folder.end()

    def _about(self) -> dict[str, Any]:
        graph = self.data.graph
        return {
            "model": self.name,
            "options": self.options.model_dump(mode="json"),
            "seed": self.seed,
            "device": self.device,
            "data": {
                "sha256": data_sha256(graph),
                "users": len(graph.users),
                "items": len(graph.items),
                "interactions": len(graph.interactions),
            },
        }

    def _identity(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        return {
            **{name: about[name] for name in ("model", "options", "seed")},
            "data": about["data"]["sha256"],
            "evidence": hashlib.sha256(self.data.evidence.data.tobytes()).hexdigest(),
        }

    def _describe(self, about: Mapping[str, Any], trained: Trained) -> None:
        tried, report = trained.tried, trained.report
        histories: dict[str, Sequence[EpochRecord]] = {}
        if tried is not None:
            histories["fit on a part"] = tried.history
        if report is not None:
            histories["fit on everything"] = report.history
        seconds = (tried.seconds if tried else 0.0) + (report.seconds if report else 0.0)
        self.histories = histories
        self.manifest = {
            **about,
            "epochs": trained.epochs,
            "metrics": {"ndcg@20": tried.ndcg} if tried else {},
            "interrupted": trained.interrupted,
            "seconds": seconds,
            "memory_bytes": MODELS[self.name].memory_bytes(self.data, self.options),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(self.device),
            "history": {n: [record._asdict() for record in h] for n, h in histories.items()},
        }
