# pyright: basic
# scipy's sparse matrices are typed in part: what an operator returns is often unknown.
"""What is known of nodes and relationships as numbers of a like size, for a network."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from recsvc.errors import TrainingError
from recsvc.models.base import TrainingData

_MOST = 5.0
"""Standard deviations from the mean: what is farther off counts as this far."""

Features = Float32[NDArray[np.float32], "rows features"]


def standardised(values: Features) -> Features:
    """Columns of mean 0 and deviation 1 within ±5, what is missing as 0, and where all is missing.

    A single number goes through sign(x) log(1 + |x|) first: prices, votes and lengths are skewed.
    A vector of several is left as it is.

    Args:
        values: NaN where there is none.

    Returns:
        One column more: 1 where a row is missing.
    """
    wide = values.astype(np.float64)
    if wide.shape[1] == 1:
        wide = np.sign(wide) * np.log1p(np.abs(wide))
    missing = np.asarray(np.isnan(wide).any(axis=1, keepdims=True))
    present = ~missing[:, 0]
    if present.any():
        wide -= wide[present].mean(axis=0)
        deviation = wide[present].std(axis=0)
        wide = np.divide(wide, deviation, out=np.zeros_like(wide), where=deviation > 1e-9)
    scaled = np.where(missing, 0.0, np.clip(wide, -_MOST, _MOST))
    return np.concatenate([scaled, missing], axis=1).astype(np.float32)


def interaction_features(data: TrainingData, names: tuple[str, ...]) -> Features:
    """What is known of each stored entry of the evidence: its weight, its time, its properties.

    Of several kinds of events of one pair, properties are the mean and the time is the newest.

    Args:
        data: what is learned from.
        names: of the properties.

    Raises:
        TrainingError: no interaction has such a property.
    """
    evidence, did = data.evidence, data.graph.interactions
    width = evidence.shape[1]
    key = row_numbers(evidence) * width + evidence.indices
    order = np.argsort(key)
    own = did.user_index * width + did.item_index
    place = np.minimum(np.searchsorted(key[order], own), max(0, len(key) - 1))
    matches = key[order][place] == own
    entry = order[place[matches]]
    newest = np.full(len(key), -np.inf)
    np.maximum.at(newest, entry, np.nan_to_num(did.last_at[matches], nan=-np.inf))
    columns = [evidence.data, np.where(np.isfinite(newest), newest, np.nan)]
    for name in names:
        values = _property(did.properties, name, "interaction")[matches]
        columns.append(_means(values[:, 0], entry, len(key)))
    return np.concatenate(
        [standardised(column.astype(np.float32)[:, None]) for column in columns], axis=1
    )


def item_features(data: TrainingData, names: tuple[str, ...]) -> Features:
    """What is known of each item besides what it is linked with.

    Raises:
        TrainingError: no item has such a property.
    """
    properties = data.graph.item_properties
    columns = [standardised(_property(properties, name, "item")) for name in names]
    return np.concatenate([np.empty((len(data.graph.items), 0), np.float32), *columns], axis=1)


def count_features(count: Int64[NDArray[np.int64], " nodes"]) -> Features:
    """How many relationships each node has, as one feature; 0 of a node without any."""
    feature = standardised(count.astype(np.float32)[:, None])[:, :1]
    return np.where(count[:, None] > 0, feature, 0.0).astype(np.float32)


def _property(features: Mapping[str, Features], name: str, kind: str) -> Features:
    values = features.get(name)
    if values is None or not np.isfinite(values).any():
        raise TrainingError(
            f"no {kind} has a number as its property {name!r}: name one that is a number, or leave "
            f"it out of {kind}_properties"
        )
    return values


def _means(
    values: Float32[NDArray[np.float32], " n"], entry: Int64[NDArray[np.int64], " n"], entries: int
) -> NDArray[np.float64]:
    there = np.isfinite(values)
    count = np.bincount(entry[there], minlength=entries)
    total = np.bincount(entry[there], values[there], entries)
    return np.divide(total, count, out=np.full(entries, np.nan), where=count > 0)


def row_numbers(matrix: sp.csr_matrix) -> Int64[NDArray[np.int64], " entries"]:
    """The row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
