"""The options of the blend on tables."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from loaders.types import PropertyNames
from recsvc.blend.blend import BASE
from recsvc.blend.options import BlendOptions
from recsvc.models import MODELS
from recsvc.models.base import ModelOptions
from recsvc.signals.metapath import usable_metapaths
from recsvc.signals.pagerank import PAGERANK


def _split_weights(value: object) -> object:
    """`chebycf=1,lightgcn=0.5` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part]
    for name, equals, weight in pairs:
        if not (name and equals and weight):
            raise ValueError(f"{name + equals + weight!r} is no weight: expected name=number")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError(f"{value!r} names a signal twice: give each one weight")
    return {name: weight for name, _, weight in pairs}


class HybridOptions(BlendOptions, ModelOptions):
    """Options of the blend on tables: those of every blend, and how its parts are put together."""

    fusion: Literal["learned", "weighted", "rrf"] = "learned"
    """How parts are put together: by weights learned on a validation split, by the `weights`
    given, or by the ranks they give."""
    weights: Annotated[Mapping[str, float], BeforeValidator(_split_weights)] = Field(
        default_factory=dict[str, float]
    )
    """λ by signal for `weighted`, `base` for popularity; as text, `walk3=1,lightgcn=0.5`. A signal
    that is not named has 0."""
    rank_constant: float = Field(default=60.0, ge=0.0, le=10_000.0)
    """k of `rrf`: how little the first ranks differ."""

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        able = [name for name in MODELS if name not in ("hybrid", "popularity")]
        for name in names:
            if name not in able:
                raise ValueError(f"{name!r} cannot take part: expected some of {', '.join(able)}")
        return names

    @model_validator(mode="after")
    def _check(self) -> "HybridOptions":
        for name in self.options:
            self.of_part(name)
        self._check_weights((*self.models, PAGERANK, *usable_metapaths(None)))
        return self

    def _check_weights(self, parts: Sequence[str]) -> None:
        if self.fusion != "weighted":
            if self.weights:
                raise ValueError(f"weights with fusion={self.fusion}: use fusion=weighted")
            return
        for name, weight in self.weights.items():
            if name not in (*parts, BASE):
                raise ValueError(
                    f"weight of {name!r}, which takes no part: expected {', '.join((*parts, BASE))}"
                )
            if not (np.isfinite(weight) and weight >= 0.0):
                raise ValueError(f"weight {weight} of {name!r}: expected 0 or more")
        if not any(self.weights.get(name) for name in parts):
            raise ValueError("fusion=weighted without weights: give them, such as walk3=1,base=0.1")

    def of_part(self, name: str) -> ModelOptions:
        """The options of one of the models.

        Raises:
            ValueError: one of them has no such option, or not that value.
        """
        return MODELS[name].options_of(self.options.get(name, {}))

    @property
    def property_names(self) -> PropertyNames:
        """See `ModelOptions.property_names`: those of all parts."""
        return reduce(or_, (self.of_part(name).property_names for name in self.models))

    @property
    def has_epochs(self) -> bool:
        """Whether a part is trained, so that its best epoch is to be found."""
        return any("epochs" in MODELS[name].options.model_fields for name in self.models)
