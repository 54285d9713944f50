"""The models, by name; a model's libraries are imported when that model is asked for."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import cast

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
    TrainingData,
    Validation,
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
]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Where a model is.

    Attributes:
        name: as on the command line; its module has the same name.
        options_name: its options class in that module.
    """

    name: str
    options_name: str

    @property
    def options(self) -> type[ModelOptions]:
        """The options class; imports the model's libraries."""
        return cast(type[ModelOptions], getattr(self._module(), self.options_name))

    @property
    def fit(self) -> Fit:
        """The fit function; imports the model's libraries."""
        return cast(Fit, self._module().fit)

    @property
    def search(self) -> SearchSpace:
        """What tuning tries, by option; empty for a model with nothing to tune."""
        return cast(SearchSpace, getattr(self._module(), "SEARCH", {}))

    @property
    def linear(self) -> bool:
        """Whether a fitted one is a kernel over a user's items; imports the model's libraries."""
        return cast(bool, getattr(self._module(), "LINEAR", True))

    def memory_bytes(self, data: TrainingData, options: ModelOptions) -> int:
        """Estimate of what a fit holds in arrays at its peak; imports the model's libraries."""
        return cast(int, self._module().memory_bytes(data, options))

    def _module(self) -> ModuleType:
        return importlib.import_module(f"recsvc.models.{self.name}")


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        name: ModelSpec(name, options_name)
        for name, options_name in (
            ("chebycf", "ChebyCFOptions"),
            ("deepwalk", "DeepWalkOptions"),
            ("ease", "EASEOptions"),
            ("fastrp", "FastRPOptions"),
            ("gfcf", "GFCFOptions"),
            ("hybrid", "HybridOptions"),
            ("itemknn", "ItemKNNOptions"),
            ("lightgcn", "LightGCNOptions"),
            ("mf", "MFOptions"),
            ("ngcf", "NGCFOptions"),
            ("node2vec", "Node2VecOptions"),
            ("popularity", "PopularityOptions"),
            ("turbocf", "TurboCFOptions"),
            ("walk3", "Walk3Options"),
        )
    }
)
"""Every model there is."""
