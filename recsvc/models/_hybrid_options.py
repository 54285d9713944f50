"""The options of the blend."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from recsvc.blend.blend import BASE
from recsvc.blend.options import split_commas
from recsvc.models import MODELS
from recsvc.models._parts import SideSignal
from recsvc.models.base import ModelOptions


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


class HybridOptions(ModelOptions):
    """Options of the blend.

    The options of a part are written with its name before them: `lightgcn.layers=1`.
    """

    models: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = (
        "ridge",
        "walk3",
        "chebycf",
        "lightgcn",
    )
    """Models that take part; as text, with commas between. Popularity always does."""
    signals: Annotated[tuple[SideSignal, ...], BeforeValidator(split_commas)] = (
        "follows",
        "categories",
    )
    """What counts besides: PageRank from a user's items, what followed users did, categories that
    items share. Where the graph has no such relationships there is none."""
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
    validation_users: int = Field(default=3000, ge=10, le=1_000_000)
    """Users on whose held-out items λ is learned, at most."""
    held_out_share: float = Field(default=0.1, gt=0.0, lt=1.0)
    """Share of each user's items that is held out for it. Parts do not all lose as much by what is
    held out: the less of it, the nearer is λ to the one that is right for parts of everything."""
    options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict[str, Mapping[str, Any]])
    """Options of the parts, by model."""

    @model_validator(mode="before")
    @classmethod
    def _gather_part_options(cls, values: Any) -> Any:
        """`{"walk3.alpha": 1}` says the same as `{"options": {"walk3": {"alpha": 1}}}`."""
        if not isinstance(values, Mapping):
            return values
        gathered = {key: value for key, value in values.items() if "." not in key}
        options = {name: dict(given) for name, given in gathered.get("options", {}).items()}
        for key, value in values.items():
            if "." in key:
                name, _, option = key.partition(".")
                options.setdefault(name, {})[option] = value
        return gathered | ({"options": options} if options else {})

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        able = [name for name in MODELS if name not in ("hybrid", "popularity")]
        for name in names:
            if name not in able:
                raise ValueError(f"{name!r} cannot take part: expected some of {', '.join(able)}")
        if len(set(names)) < len(names):
            raise ValueError(f"{', '.join(names)} names a model twice: name each once")
        return names

    @model_validator(mode="after")
    def _agree(self) -> "HybridOptions":
        parts = (*self.models, *self.signals)
        if not parts:
            raise ValueError("no models and no signals: a blend needs one part at least")
        self._check_weights(parts)
        for name in self.options:
            if name not in self.models:
                raise ValueError(
                    f"options of {name!r}, which takes no part: expected {', '.join(self.models)}"
                )
            self.of_part(name)
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
    def has_epochs(self) -> bool:
        """Whether a part is trained, so that its best epoch is to be found."""
        return any("epochs" in MODELS[name].options.model_fields for name in self.models)
