"""The models, by name; a model's libraries are imported when that model is asked for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import Any, cast

from pydantic import ValidationError

from recsvc.errors import TrainingError
from recsvc.model_names import KERNELS, OTHERS
from recsvc.models._memory import available_bytes
from recsvc.models.base import (
    EmbeddingModel,
    EpochRecord,
    Fit,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    Progress,
    Range,
    SearchSpace,
    Told,
    TrainingData,
    Validation,
    untold,
)

__all__ = [
    "MODELS",
    "EmbeddingModel",
    "EpochRecord",
    "Fit",
    "FitReport",
    "FitRun",
    "FittedModel",
    "ModelOptions",
    "ModelSpec",
    "Progress",
    "Range",
    "SearchSpace",
    "TrainingData",
    "Validation",
    "check_device",
]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Where a model is.

    Attributes:
        name: as on the command line; its module has the same name.
    """

    name: str

    @property
    def options(self) -> type[ModelOptions]:
        """The class of the options that its `fit` takes; imports the model's libraries."""
        return cast(type[ModelOptions], self._module().fit.__annotations__["options"])

    def options_of(self, values: Mapping[str, Any]) -> ModelOptions:
        """The options with these values; imports the model's libraries.

        Raises:
            ValueError: there is no such option, or it does not take that value.
        """
        try:
            return self.options.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError(f"{self.name}{self._refusal(error)}") from None

    def _refusal(self, error: ValidationError) -> str:
        """What is wrong with options, after the name of the model."""
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # options that do not go together
            return f": {message}"
        if first["type"] == "extra_forbidden":
            message = "there is no such option"
        return (
            f".{'.'.join(map(str, first['loc']))}={first['input']!r}: {message}: expected one of "
            f"{', '.join(self.options.model_fields)} with a value in its range"
        )

    def fit(
        self, data: TrainingData, options: ModelOptions, run: FitRun
    ) -> tuple[FittedModel, FitReport]:
        """Fit the model; imports its libraries. See `Fit`.

        Raises:
            TrainingError: its arrays do not fit into memory, or see the model.
        """
        self.require_memory(data, options, run.device)
        return cast(Fit, self._module().fit)(data, options, run)

    @property
    def search(self) -> SearchSpace:
        """What tuning tries, by option; empty for a model with nothing to tune."""
        return cast(SearchSpace, getattr(self._module(), "SEARCH", {}))

    @property
    def linear(self) -> bool:
        """Whether a fitted one is a kernel over a user's items."""
        return self.name in KERNELS

    @property
    def scores_links(self) -> bool:
        """Whether a fitted one has `link_scores`; imports the model's libraries."""
        return cast(bool, getattr(self._module(), "LINKS", False))

    def speaks(self, data: TrainingData) -> bool:
        """Whether the data has what it learns from; imports the model's libraries."""
        able = getattr(self._module(), "speaks", None)
        return able is None or cast(bool, able(data))

    def require_speech(self, data: TrainingData) -> None:
        """Refuse data that have nothing it learns from.

        Raises:
            TrainingError: see `speaks`.
        """
        if not self.speaks(data):
            raise TrainingError(
                f"{self.name} learns from the order of time, and no user of the data did two "
                "things at different times: ingest interactions with a timestamp"
            )

    def resolved(
        self, data: TrainingData, options: ModelOptions, seed: int, told: Told = untold
    ) -> ModelOptions:
        """The options with what they leave open chosen on the data, where the model does so.

        A fit does it by itself. Fits on a part and on the whole that are to be alike take what
        was resolved once, on the whole.
        """
        resolve = getattr(self._module(), "resolved", None)
        if resolve is None:
            return options
        return cast(ModelOptions, resolve(data, options, seed, told))

    def memory_bytes(self, data: TrainingData, options: ModelOptions) -> int:
        """Estimate of what a fit holds in arrays at its peak; imports the model's libraries."""
        return cast(int, self._module().memory_bytes(data, options))

    def require_memory(
        self, data: TrainingData, options: ModelOptions, device: str
    ) -> tuple[int, int]:
        """The bytes that a fit takes, and those that are free.

        Raises:
            TrainingError: the first number is above the second.
        """
        needed, available = self.memory_bytes(data, options), available_bytes(device)
        if needed > available:
            raise TrainingError(
                f"{self.name} would take about {needed / 2**30:,.2f} GiB on {device} for "
                f"{data.evidence.shape[0]:,} users and {data.evidence.shape[1]:,} items, where "
                f"{available / 2**30:,.2f} GiB are free: take fewer users, items or dimensions, "
                "another model, or a machine with more memory"
            )
        return needed, available

    def _module(self) -> ModuleType:
        return importlib.import_module(f"recsvc.models.{self.name}")


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {name: ModelSpec(name) for name in sorted((*KERNELS, *OTHERS))}
)
"""Every model there is."""


def check_device(name: str) -> None:
    """See that there is such a device; for any but the CPU that imports torch.

    Raises:
        TrainingError: there is none.
    """
    if name != "cpu":
        from recsvc.models._loop import open_device  # heavy, and rarely needed

        open_device(name)
