"""The options of a refresh, and those that the settings give to it and to each model."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from pydantic import Field, ValidationError

from loaders.types import NO_PROPERTIES, PropertyNames
from recsvc.blend.options import BlendOptions, with_parts
from recsvc.errors import SettingsError
from recsvc.models import MODELS
from recsvc.settings import Settings

CONTENT = "content"
"""The model of what nodes say of themselves."""
HYBRID = "hybrid"


class RefreshOptions(BlendOptions):
    """How a refresh is made."""

    seed: int = Field(default=0, ge=0)
    """Decides the validation split, the training and the walks."""
    device: str = "cpu"
    """Where models are fitted: `cpu`, or `cuda`."""
    least_coverage: float = Field(default=0.9, ge=0.0, le=1.0)
    """Share of the items that somebody did something with that a version needs to reach."""
    fine_tune_below: float = Field(default=0.1, ge=0.0, le=1.0)
    """A refresh goes on from the active version while less than this share of the interactions came
    or went since the last one from scratch; with 0 it never does."""
    refuse_by_log: bool = False
    """Whether a version is refused that would have earned significantly less than the active one
    where lists were shown that explored."""
    similar_items: int = Field(default=5, ge=1, le=100)
    """SIMILAR relationships written for each item and model."""


def refresh_options(settings: Settings, given: Mapping[str, Any]) -> RefreshOptions:
    """`[refresh]` of the settings, with `[models.NAME]` of its models.

    Args:
        settings: all of them.
        given: values that stand above the settings; an option of a model as `ridge.penalty`.

    Raises:
        SettingsError: there is no such option or model, or it does not take that value.
    """
    if "options" in settings.refresh:
        raise SettingsError("setting 'refresh.options': options of a model go into [models.NAME]")
    values = with_parts({**settings.refresh, **given}, _of_models(settings))
    try:
        return RefreshOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "models"
        wrong = "there is no such option" if first["type"] == "extra_forbidden" else first["msg"]
        source = "setting 'refresh." if where in settings.refresh and where not in given else "'"
        raise SettingsError(
            f"{source}{where}' = {first['input']!r}: {wrong}: expected one of "
            f"{', '.join(RefreshOptions.model_fields)} with a value in its range"
        ) from None


def wanted_properties(options: RefreshOptions) -> PropertyNames:
    """The properties that the models of a refresh learn from."""
    given = (MODELS[n].options_of(options.options.get(n, {})) for n in options.models)
    return reduce(or_, (options.property_names for options in given), NO_PROPERTIES)


def model_values(settings: Settings, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings say of a model, below what is given for it.

    `hybrid` has what `[refresh]` says of the blend, and the options of its parts.

    Raises:
        SettingsError: the settings name an option or a model that is none, or a wrong value.
    """
    of_models = _of_models(settings)
    if name != HYBRID:
        return {**of_models.get(name, {}), **given}
    refresh_options(settings, {})
    blend = {n: v for n, v in settings.refresh.items() if n in BlendOptions.model_fields}
    return with_parts({**blend, **of_models.get(HYBRID, {}), **given}, of_models)


def _of_models(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """`[models.NAME]`, checked.

    Raises:
        SettingsError: there is no such model or option, or it does not take that value.
    """
    for name, values in settings.models.items():
        if name not in MODELS:
            raise SettingsError(
                f"setting 'models.{name}': there is no such model: expected one of "
                f"{', '.join(MODELS)}"
            )
        try:
            MODELS[name].options_of(values)
        except ValueError as error:
            raise SettingsError(f"setting 'models.{name}': {error}") from None
    return settings.models
