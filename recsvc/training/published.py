"""Configurations of models that somebody published for a data set, shipped in published.toml."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field

from loaders.types import HeteroGraph
from recsvc.errors import SettingsError

SHIPPED = Path(__file__).with_name("published.toml")


class Published(BaseModel):
    """One configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """Paper and table, or page, that it is from."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Options of the model."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes of training; none for a model without epochs."""


class _DataSet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    models: Mapping[str, Published]


class _Catalogue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    data_set: tuple[_DataSet, ...]


@dataclass(frozen=True, slots=True)
class PublishedFor:
    """A configuration and the name of the data set it is for."""

    data_set: str
    configuration: Published


def data_sha256(graph: HeteroGraph) -> str:
    """What identifies a training set: SHA-256 over its different (user_id, item_id), sorted.

    For each user with interactions, a line of JSON: [user_id, [item_id, …]], ids by code point.
    """
    did = graph.interactions
    pairs = np.unique(did.user_index * len(graph.items) + did.item_index)
    users, items = np.divmod(pairs, max(1, len(graph.items)))
    present, begin = np.unique(users, return_index=True)
    names = [graph.items[item] for item in items.tolist()]
    end = [*begin[1:].tolist(), len(pairs)]
    digest = hashlib.sha256()
    for user, first, last in zip(present.tolist(), begin.tolist(), end, strict=True):
        digest.update(orjson.dumps([graph.users[user], names[first:last]]) + b"\n")
    return digest.hexdigest()


def published_configuration(
    model: str, graph: HeteroGraph, shipped: Path | None = None
) -> PublishedFor:
    """The configuration for this model and these interactions.

    Args:
        model: its name.
        graph: with the training interactions only.
        shipped: another file than the one of this package.

    Raises:
        SettingsError: none is shipped; the message lists what is.
    """
    with (shipped or SHIPPED).open("rb") as file:
        data_sets = _Catalogue.model_validate(tomllib.load(file)).data_set
    digest = data_sha256(graph)
    listed = "; ".join(f"{data.name}: {', '.join(sorted(data.models))}" for data in data_sets)
    for data in data_sets:
        if data.sha256 != digest:
            continue
        if model not in data.models:
            raise SettingsError(
                f"no configuration of {model} is shipped for {data.name} ({listed}): take another "
                "model, or --protocol validated"
            )
        return PublishedFor(data.name, data.models[model])
    raise SettingsError(
        f"no configuration is shipped for these training interactions (SHA-256 {digest[:12]}…), "
        f"only for {listed}: take --protocol validated"
    )
