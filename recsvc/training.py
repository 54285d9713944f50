"""Fitting one model: the number of epochs on a validation split, then everything."""

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import scipy.sparse as sp
from pydantic import ValidationError

from loaders.types import HeteroGraph
from recsvc.errors import SettingsError, TrainingError
from recsvc.models import (
    MODELS,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    Progress,
    TrainingData,
    Validation,
)
from recsvc.models.base import silent
from recsvc.splits import entries, hold_out

_VALIDATION_SHARE = 0.2


def model_options(name: str, assignments: Sequence[str]) -> ModelOptions:
    """The options of a model from `name=value` pairs.

    Raises:
        SettingsError: no such model or option, or a value it cannot take.
    """
    if name not in MODELS:
        raise SettingsError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    values: dict[str, str] = {}
    for assignment in assignments:
        option, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r}: expected name=value")
        values[option] = value
    try:
        return MODELS[name].options.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"--set {where}={first['input']!r}: {first['msg']}: expected one of "
            f"{', '.join(MODELS[name].options.model_fields)} with a value in its range"
        ) from None


def fit_validated(
    name: str,
    data: TrainingData,
    options: ModelOptions,
    *,
    seed: int,
    device: str,
    progress: Progress = silent,
) -> tuple[FittedModel, FitReport, FitReport]:
    """Fit twice: on a part, to find the best epoch on the rest; then on everything, that long.

    Args:
        name: the model.
        data: all of the training data.
        options: of the model.
        seed: of the split and the fits.
        device: `cpu` or `cuda`.
        progress: told each epoch of both fits.

    Returns:
        The final model, the report of its fit, and that of the fit on the part.

    Raises:
        TrainingError: the model cannot be fitted.
    """
    mask = hold_out(data.evidence, _VALIDATION_SHARE, seed=seed)
    if not mask.any():
        raise TrainingError(
            "no user has 5 items or more, so nothing can be held out to validate on: "
            "train on more interactions"
        )
    part = TrainingData(data.graph, entries(data.evidence, ~mask))
    validation = Validation(entries(data.evidence, mask))
    fit = MODELS[name].fit
    first = FitRun(seed, validation, device, progress=progress)
    _, tried = fit(part, options, first)
    model, report = fit(data, options, replace(first, validation=None, epochs=tried.epochs or None))
    return model, report, tried


def save_model(
    folder: Path, model: FittedModel, graph: HeteroGraph, manifest: Mapping[str, Any]
) -> None:
    """Write a model's arrays (`model.npz`), its ids and a manifest; nothing is pickled.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for field in dataclasses.fields(model):  # pyright: ignore[reportArgumentType] - all are
        value = getattr(model, field.name)
        if isinstance(value, sp.csr_matrix):
            arrays |= {
                f"{field.name}_{p}": getattr(value, p) for p in ("data", "indices", "indptr")
            }
        else:
            arrays[field.name] = np.asarray(value)
    np.savez(folder / "model.npz", allow_pickle=False, **arrays)
    for label, ids in (("users", graph.users), ("items", graph.items)):
        pl.DataFrame({"index": np.arange(len(ids)), "id": list(ids)}).write_csv(
            folder / f"{label}.csv"
        )
    environment = {"python": platform.python_version(), "numpy": np.__version__}
    document = {**manifest, "environment": environment}
    (folder / "manifest.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
