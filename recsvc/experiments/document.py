"""The document of an experiment: what an operator writes, checked."""

from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from loaders.limits import MAX_DOCUMENT_NAME, MAX_KIND_CHARACTERS
from recsvc.experiments.assignment import Assignment

MAX_VARIANTS = 10

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")]
"""Of a variant: letters, digits and `_.-`."""
ScenarioName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DOCUMENT_NAME)]
OutcomeName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KIND_CHARACTERS)]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class Variant(_Part):
    """One way to make lists, and how many users get it."""

    name: Name
    share: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
    """Of all users."""
    version: Annotated[int, Field(ge=1, le=2**31)] | None = None
    """The version of the blend; the active one where it is left out."""
    scenario: ScenarioName | None = None
    """The scenario its lists are made under; that of the request where it is left out."""


class Experiment(_Part):
    """Two or more ways to make the same lists."""

    variants: Annotated[list[Variant], Field(min_length=2, max_length=MAX_VARIANTS)]
    """The first one is what the others are compared with."""
    kind: OutcomeName = "click"
    """The kind of outcome that is to follow an impression."""
    scenario: ScenarioName | None = None
    """It is about the lists that are asked for under this scenario; left out, under none."""
    effect: Annotated[float, Field(ge=1e-4, le=10.0, allow_inf_nan=False)] = 0.1
    """The relative difference that is looked for: the interval is narrowest for such."""

    @model_validator(mode="after")
    def _variants_fit(self) -> Self:
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise PydanticCustomError("names", "expected variants of different names")
        total = sum(Fraction(str(variant.share)) for variant in self.variants)
        if total > 1:
            raise PydanticCustomError(
                "shares",
                "expected shares of 1 or less in sum, got {total}",
                {"total": f"{float(total):g}"},
            )
        return self

    def assignment(self, name: str) -> Assignment:
        """Who gets which variant."""
        return Assignment.of(name, {each.name: each.share for each in self.variants})

    @property
    def scenarios(self) -> frozenset[str]:
        """Names of the scenarios that lists are made by."""
        named = (self.scenario, *(variant.scenario for variant in self.variants))
        return frozenset(each for each in named if each is not None)

    @property
    def follows_active(self) -> bool:
        """Whether a variant is made by the version that is active, whichever that is."""
        return any(variant.version is None for variant in self.variants)

    def variant(self, name: str) -> Variant | None:
        """A variant by its name; None where there is no such."""
        return next((each for each in self.variants if each.name == name), None)
