"""What every model takes, is, and reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from loaders.types import NO_PROPERTIES, HeteroGraph, IdMap, PropertyNames
from recsvc.errors import TrainingError
from recsvc.signals.base import Signal


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a model is fitted on.

    Attributes:
        graph: all nodes and relationships; its rows are the rows of every array here.
        evidence: how much each user did with each item, float32 > 0, [users, items].
        kinds: of events, those that speak for an item on meta-paths; all of the graph's if None.
    """

    graph: HeteroGraph
    evidence: sp.csr_matrix
    kinds: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        expected = (len(self.graph.users), len(self.graph.items))
        if self.evidence.shape != expected:
            raise ValueError(f"evidence is {self.evidence.shape}, the graph says {expected}")
        if self.evidence.nnz and not (
            np.isfinite(self.evidence.data).all() and self.evidence.data.min() > 0.0
        ):
            raise ValueError("evidence holds a weight that is not above 0: leave such pairs out")


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """What was held out of the evidence, to choose the number of epochs with.

    Attributes:
        held_out: 1 where held out, [users, items].
    """

    held_out: sp.csr_matrix


@runtime_checkable
class FittedModel(Protocol):
    """A model that scores every item for a user."""

    @property
    def name(self) -> str:
        """The name in `MODELS`."""
        ...

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """The score of every item, higher is better.

        Args:
            user_index: rows of the users.
            evidence: what these users did, one row per user, [n, items].
        """
        ...

    def signal(self, items: IdMap) -> Signal | None:
        """The model as a kernel K(j, i) over what a user did, so that its scores can be explained.

        Args:
            items: ids of the items, in the order of the rows.

        Returns:
            The kernel; None for a model that is not linear in a user's items.
        """
        ...


@runtime_checkable
class EmbeddingModel(FittedModel, Protocol):
    """A model that is a set of vectors, which can be written back to the graph."""

    @property
    def user_vectors(self) -> Float32[NDArray[np.float32], "users dim"]:
        """One vector per user."""
        ...

    @property
    def item_vectors(self) -> Float32[NDArray[np.float32], "items dim"]:
        """What an item is as a candidate."""
        ...

    @property
    def source_vectors(self) -> Float32[NDArray[np.float32], "items dim"]:
        """What an item is as evidence: it adds <source_j, item_i> to the score of item i."""
        ...


@runtime_checkable
class InductiveModel(EmbeddingModel, Protocol):
    """A model that says what the vectors of an item are that was not there when it was fitted.

    They are means, over the items two steps away, of what those send it.
    """

    @property
    def sent_source(self) -> Float32[NDArray[np.float32], "items dim"]:
        """What an item sends to the source vector of a new one."""
        ...

    @property
    def sent_target(self) -> Float32[NDArray[np.float32], "items dim"]:
        """What it sends to the target vector, before that is brought to length 1."""
        ...


class ModelOptions(BaseModel):
    """The hyper-parameters of one model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def property_names(self) -> PropertyNames:
        """The properties that a fit learns from, besides the graph's form and its weights."""
        return NO_PROPERTIES


class Range(NamedTuple):
    """The values of one numeric option among which a search looks.

    A model's module names them in `SEARCH`, by option; an option with few values that are not
    numbers is given as a tuple of those instead. Whether they are whole numbers is the option's
    own type.

    Attributes:
        low: smallest value.
        high: largest value, above `low`.
        logarithmic: ratios count, not differences, as for a learning rate.
    """

    low: float
    high: float
    logarithmic: bool = False


SearchSpace = Mapping[str, Range | tuple[str | int | float | bool, ...]]
"""What a search tries, by option."""


class EpochRecord(NamedTuple):
    """One epoch of training.

    Attributes:
        epoch: number, from 1.
        loss: mean training loss; None where the library that trains does not tell it.
        metric: NDCG@20 on the validation part; None where it was not measured.
        examples_per_second: training examples a second.
    """

    epoch: int
    loss: float | None
    metric: float | None
    examples_per_second: float


Progress = Callable[[EpochRecord], None]

Tables = tuple[Float32[NDArray[np.float32], "..."], ...]
"""What a model learns by gradients. Where it is linear in what a user did, one of two dimensions
has a row for each node, users before items before categories; after all of them may come rows of
the model's own, such as those of relations. One of one dimension is the same for all nodes."""

FINE_TUNING_SHARE = 0.1
"""How much of a fit's training there is when it goes on from tables that were trained before."""


def silent(record: EpochRecord) -> None:
    """Report no progress."""


Told = Callable[[int, int], None]
"""Told (done, total) of work that has no epochs."""


def untold(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """How a fit went.

    Attributes:
        seconds: wall time of the whole fit.
        epochs: epochs that the returned model has seen, the best one where there was a
            validation part; 0 for a model without epochs.
        metric: NDCG@20 of the returned model on the validation part; None without one.
        history: every epoch that was run.
        memory_bytes: estimate of the peak of the arrays, made before the fit.
        interrupted: whether Ctrl-C ended it; the model is the best so far.
        weights: λ by signal, of a blend.
        tables: what a later fit can go on from; none for a model without epochs.
    """

    seconds: float
    epochs: int
    metric: float | None
    history: tuple[EpochRecord, ...]
    memory_bytes: int
    interrupted: bool = False
    weights: Mapping[str, float] | None = None
    tables: Tables = ()

    @classmethod
    def without_epochs(cls, started: float, memory_bytes: int) -> "FitReport":
        """Of a model in closed form, fitted since `started`, a `perf_counter()`."""
        return cls(perf_counter() - started, 0, None, (), memory_bytes)


@dataclass(frozen=True, slots=True)
class FitRun:
    """Everything about one fit that is neither the data nor the model's options.

    Attributes:
        seed: the only source of randomness.
        validation: chooses the epoch to keep; without it the last one is kept.
        device: `cpu`, or a CUDA device such as `cuda`.
        epochs: this many instead of the options' number, such as the best number of an earlier
            fit; for a model without epochs it means nothing.
        progress: is told each epoch.
        told: is told how far a fit without epochs is.
        checkpoint: file from which training goes on, if it is there, and in which it is kept up to
            date; for a model without epochs it means nothing.
        start: `FitReport.tables` of an earlier fit, its rows put where the nodes are now; NaN where
            a node is new. Training goes on from there; for a model without epochs it means nothing.
        share: of what `epochs` says, how much training there is then; 0 for none: the model is
            that of these tables.
    """

    seed: int
    validation: Validation | None = None
    device: str = "cpu"
    epochs: int | None = None
    progress: Progress = silent
    told: Told = untold
    checkpoint: Path | None = None
    start: Tables = ()
    share: float = FINE_TUNING_SHARE

    def fine_tuning_epochs(self, epochs: int) -> int:
        """Epochs of a fit that would take so many from its beginning."""
        if not self.start:
            return epochs
        return max(1, round(epochs * self.share)) if self.share else 0


@runtime_checkable
class Fit(Protocol):
    """How a model is fitted; every model's `fit` has this form."""

    def __call__(
        self,
        data: TrainingData,
        options: Any,  # each model has its own class, named in the signature
        run: FitRun,
    ) -> tuple[FittedModel, FitReport]:
        """Fit the model.

        Args:
            data: what to learn from.
            options: the model's own options.
            run: seed, validation part, device and the like.

        Raises:
            TrainingError: there is nothing to learn from, or the loss is no longer finite.
        """
        ...


def require_evidence(data: TrainingData) -> None:
    """Refuse data to which no model can be fitted.

    Raises:
        TrainingError: nobody did anything.
    """
    if data.evidence.nnz == 0:
        raise TrainingError(
            f"no evidence among {data.evidence.shape[0]} users and {data.evidence.shape[1]} items: "
            "ingest interactions with a weight above 0"
        )
