"""Arrays → graph: vectors, versions, their activation, and what analysts read of them.

A version is written into the slot its model's active version does not use and becomes visible by
one transaction that flips the status of all versions of a refresh, so no reader mixes two.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.errors import QueryError
from loaders.gateway import Gateway, Transaction
from loaders.types import EmbeddingTable, IdMap

Slot = Literal["a", "b"]

_VECTORS_PER_TRANSACTION = 1_000
_ITEMS_PER_TRANSACTION = 200
_PART_BYTES = 4 * 1024 * 1024
_SNAPSHOTS_KEPT = 2

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model while it is written.

    Attributes:
        model: name of the model.
        number: its version.
        slot: where its vectors go; None for the blend, which has none.
    """

    model: str
    number: int
    slot: Slot | None


def begin_version(
    gateway: Gateway, model: str, *, seed: int, options: Mapping[str, Any]
) -> Version:
    """Take the next version number and the free slot of a model."""
    row = gateway.run(
        catalogue()["writeback/begin_version"], model=model, seed=seed, options=json.dumps(options)
    )[0]
    return Version(model, row["version"], row["slot"])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A version that some refresh has begun.

    Attributes:
        model: name of the model.
        number: its version.
        started_at: when, in words.
        recent: within the hours asked for, so that its refresh may still be running.
    """

    model: str
    number: int
    started_at: str
    recent: bool


def unfinished_versions(gateway: Gateway, *, hours: int) -> list[Unfinished]:
    """Versions that were begun and are neither ready nor failed."""
    rows = gateway.run(catalogue()["writeback/building_versions"], hours=hours)
    return [
        Unfinished(row["model"], row["version"], str(row["started_at"]), row["recent"])
        for row in rows
    ]


def mark_failed(gateway: Gateway, versions: Iterable[Version | Unfinished], reason: str) -> int:
    """Mark those of the versions that are unfinished as failed; return how many."""
    return gateway.run(
        catalogue()["writeback/fail_versions"],
        versions=[{"model": v.model, "version": v.number} for v in versions],
        reason=reason,
    )[0]["failed"]


def write_vectors(
    gateway: Gateway,
    version: Version,
    table: EmbeddingTable,
    progress: Progress = lambda _what, _done, _total: None,
) -> int:
    """Write one vector per node into the version's slot.

    Args:
        gateway: the graph.
        version: whose slot.
        table: `User` or `Item` vectors.
        progress: told what is done.

    Returns:
        Nodes written; one that was deleted meanwhile is passed over.

    Raises:
        ValueError: a vector holds NaN or an infinity.
        Neo4jError: the graph cannot be written.
    """
    if not np.isfinite(table.vectors).all():
        raise ValueError(f"{version.model} {version.number}: a {table.label} vector is not finite")
    label = table.label.lower()
    query = catalogue()[f"writeback/{label}_vectors[{version.model},{version.slot}]"]
    written = 0
    for start in range(0, len(table.ids), _VECTORS_PER_TRANSACTION):
        stop = min(start + _VECTORS_PER_TRANSACTION, len(table.ids))
        vectors = table.vectors[start:stop].tolist()
        rows = [{"id": i, "vector": v} for i, v in zip(table.ids[start:stop], vectors, strict=True)]
        written += gateway.run(query, rows=rows)[0]["written"]
        progress(f"{version.model} {label} vectors", stop, len(table.ids))
    gateway.run(catalogue()[f"writeback/{label}_vector_index[{version.model},{version.slot}]"])
    return written


def write_snapshot(gateway: Gateway, version: int, content: bytes) -> int:
    """Store the arrays of one version of the blend as parts of at most 4 MiB; return how many."""
    query = catalogue()["writeback/snapshot_part"]
    starts = range(0, len(content), _PART_BYTES)
    for number, start in enumerate(starts):
        part = content[start : start + _PART_BYTES]
        gateway.run(query, version=version, number=number, content=part)
    return len(starts)


def mark_ready(gateway: Gateway, version: Version, **properties: Any) -> None:
    """Record what a finished version holds: plain values; mappings are stored as JSON text.

    Raises:
        Neo4jError: the version is not being built any more: another refresh took over.
    """
    plain = {
        name: json.dumps(value) if isinstance(value, Mapping) else value
        for name, value in properties.items()
    }
    row = gateway.run(
        catalogue()["writeback/version_ready"],
        model=version.model,
        version=version.number,
        properties=plain,
    )[0]
    if row["marked"] != 1:
        raise QueryError(
            f"{version.model} {version.number} is no longer being built: another refresh took "
            "over, so nothing was activated"
        )


def activate(gateway: Gateway, versions: Iterable[Version]) -> None:
    """Make all of `versions` active in one transaction, or none.

    Raises:
        ValueError: one of them is not ready.
    """
    wanted = [{"model": v.model, "version": v.number} for v in versions]

    def flip(transaction: Transaction) -> None:
        row = transaction.run(catalogue()["writeback/activate"], versions=wanted)[0]
        if row["activated"] != len(wanted):
            raise ValueError(f"of {wanted} only {row['activated']} are ready: none was activated")

    gateway.write(flip)
    gateway.run(catalogue()["writeback/drop_parts"], keep=_SNAPSHOTS_KEPT)


def write_similar(
    gateway: Gateway,
    model: str,
    items: IdMap,
    neighbours: Int64[NDArray[np.int64], "items k"],
    scores: Float32[NDArray[np.float32], "items k"],
    progress: Progress = lambda _what, _done, _total: None,
) -> int:
    """Replace the SIMILAR relationships of a model; return how many were written.

    Args:
        gateway: the graph.
        model: name of the model.
        items: rows.
        neighbours: nearest items of each, best first; -1 ends a shorter list.
        scores: their similarity.
        progress: told what is done.
    """
    query = catalogue()["writeback/similar"]
    written = 0
    for start in range(0, len(items), _ITEMS_PER_TRANSACTION):
        stop = min(start + _ITEMS_PER_TRANSACTION, len(items))
        rows = [
            _similar_row(items, row, neighbours[row], scores[row]) for row in range(start, stop)
        ]
        written += gateway.run(query, model=model, rows=rows)[0]["written"]
        progress(f"{model} neighbours", stop, len(items))
    return written


def _similar_row(
    items: IdMap, row: int, neighbours: NDArray[np.int64], scores: NDArray[np.float32]
) -> dict[str, Sequence[Any] | str]:
    kept = neighbours >= 0
    return {
        "item_id": items[row],
        "neighbours": [items[n] for n in neighbours[kept].tolist()],
        "scores": scores[kept].tolist(),
    }
