"""Arrays → graph: vectors, versions, their activation, and what analysts read of them.

A version is written into the slot its model's active version does not use and becomes visible by
one transaction that flips the status of all versions of a refresh, so no reader mixes two.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.errors import QueryError
from loaders.gateway import Gateway, Transaction
from loaders.parts import Part, in_portions
from loaders.schema import make_vector_index
from loaders.stored_json import json_object
from loaders.types import EmbeddingTable, IdMap

Slot = Literal["a", "b"]

_VECTORS_PER_TRANSACTION = 1_000
_ITEMS_PER_TRANSACTION = 500
_SNAPSHOTS_KEPT = 2
_VERSIONS_KEPT = 20
"""Of each model, the newest, besides those that hold something."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model while it is written.

    Attributes:
        model: name of the model.
        number: its version.
        slot: where its vectors go; None for the blend, which has none.
        status: `building`; `ready` or `active` if an earlier attempt of the same run got so far.
    """

    model: str
    number: int
    slot: Slot | None
    status: str = "building"


def begin_version(
    gateway: Gateway, model: str, *, run: str, seed: int, options: Mapping[str, Any]
) -> Version:
    """The version of a model that a run makes: the one it has begun, else a new one.

    A new one has the next number, and the slot that the active one does not use; the version that
    had this slot loses it.
    """

    def begin(transaction: Transaction) -> Version:
        rows = transaction.run(catalogue()["writeback/version_of_run"], model=model, run=run)
        row = (rows or transaction.run(query, **new))[0]
        return Version(model, row["version"], row["slot"], row["status"])

    query = catalogue()["writeback/begin_version"]
    new = {"model": model, "run": run, "seed": seed, "options": json.dumps(options)}
    return gateway.write(begin)


def unfinished_runs(gateway: Gateway) -> frozenset[str]:
    """Runs that may be resumed: what they wrote has not failed and not been replaced."""
    return frozenset(gateway.run(catalogue()["writeback/unfinished_runs"])[0]["runs"])


def fail_run(gateway: Gateway, run: str, reason: str) -> int:
    """Mark what a run has begun and not activated as failed; return how many versions."""
    return gateway.run(catalogue()["writeback/fail_versions"], run=run, reason=reason)[0]["failed"]


def drop_unfinished(gateway: Gateway, run: str, reason: str) -> int:
    """Mark what other runs have not activated as failed, and remove what failed versions hold.

    Of versions that hold neither arrays nor vectors the newest of each model are kept, without what
    was measured for each validation user.

    Args:
        gateway: the graph.
        run: the run that is at work; what it has begun stays.
        reason: why the others failed.

    Returns:
        How many versions became failed.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    query = catalogue()["writeback/fail_unfinished"]
    failed = gateway.run(query, run=run, reason=reason)[0]["failed"]
    gateway.run(catalogue()["delete/drop_failed_parts"])
    for row in gateway.run(catalogue()["writeback/failed_slots"]):
        model, slot = row["model"], row["slot"]
        for label in ("User", "Item"):
            clear = catalogue()[f"writeback/clear_vectors[{label},{model},{slot}]"]
            while gateway.run(clear, limit=_VECTORS_PER_TRANSACTION)[0]["cleared"]:
                pass
        gateway.run(catalogue()["writeback/leave_slot"], model=model, slot=slot)
    gateway.run(catalogue()["writeback/drop_validation"])
    gateway.run(catalogue()["writeback/drop_versions"], keep=_VERSIONS_KEPT)
    return failed


def write_vectors(
    gateway: Gateway,
    version: Version,
    table: EmbeddingTable,
    progress: Progress = lambda _what, _done, _total: None,
) -> int:
    """Write one vector per node into the version's slot.

    A node whose vector is 0 gets none: it has no direction, and a vector index refuses it. What the
    slot held of it is removed.

    Args:
        gateway: the graph.
        version: whose slot.
        table: `User` or `Item` vectors.
        progress: told what is done.

    Returns:
        Nodes written; one that was deleted meanwhile is passed over.

    Raises:
        ValueError: a vector holds NaN or an infinity.
        QueryError: an index of somebody else has the name or place of the vector index.
        Neo4jError: the graph cannot be written.
    """
    if not np.isfinite(table.vectors).all():
        raise ValueError(f"{version.model} {version.number}: a {table.label} vector is not finite")
    label = table.label.lower()
    query = catalogue()[f"writeback/{label}_vectors[{version.model},{version.slot}]"]
    written = 0
    for start in range(0, len(table.ids), _VECTORS_PER_TRANSACTION):
        stop = min(start + _VECTORS_PER_TRANSACTION, len(table.ids))
        vectors = [row.tolist() if row.any() else None for row in table.vectors[start:stop]]
        rows = [{"id": i, "vector": v} for i, v in zip(table.ids[start:stop], vectors, strict=True)]
        written += gateway.run(query, rows=rows)[0]["written"]
        progress(f"{version.model} {label} vectors", stop, len(table.ids))
    index = catalogue()[f"writeback/{label}_vector_index[{version.model},{version.slot}]"]
    make_vector_index(gateway, index)
    return written


def write_snapshot(
    gateway: Gateway,
    version: int,
    content: Iterable[Part],
    told: Callable[[int], None] = lambda _done: None,
) -> int:
    """Store the arrays of one version of the blend, some parts at a time; return how many.

    What an earlier attempt has stored of them is removed first.

    Args:
        gateway: the graph.
        version: its number.
        content: the parts.
        told: how many are stored.
    """
    gateway.run(catalogue()["writeback/clear_parts"], version=version)
    written = 0
    for parts in in_portions(content):
        rows = [asdict(part.name) | {"content": part.content} for part in parts]
        gateway.run(catalogue()["writeback/snapshot_parts"], version=version, parts=rows)
        written += len(parts)
        told(written)
    return written


def mark_ready(gateway: Gateway, versions: Sequence[tuple[Version, Mapping[str, Any]]]) -> None:
    """Record what the finished versions hold, in one transaction: all are ready, or none.

    Args:
        gateway: the graph.
        versions: each with its properties: plain values; mappings are stored as JSON text.

    Raises:
        QueryError: one is not being built any more.
    """
    rows = [
        {"model": version.model, "version": version.number, "properties": _plain(properties)}
        for version, properties in versions
    ]

    def mark(transaction: Transaction) -> None:
        row = transaction.run(catalogue()["writeback/versions_ready"], versions=rows)[0]
        if row["marked"] != len(rows):
            raise QueryError(
                f"of {[(v.model, v.number) for v, _ in versions]} only {row['marked']} are being "
                "built: nothing was activated; refresh again"
            )

    gateway.write(mark)


def _plain(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(value, Mapping) else value
        for name, value in properties.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """How good a version of the blend was for each of its validation users.

    Attributes:
        version: its number.
        run: the refresh that made it.
        sha256: of its arrays.
        users: a number for each.
        ndcg: NDCG@20 of each.
        asked: a number for what was held out from each.
    """

    version: int
    run: str
    sha256: str
    users: Int64[NDArray[np.int64], " users"]
    ndcg: Float64[NDArray[np.float64], " users"]
    asked: Int64[NDArray[np.int64], " users"]


def active_validation(gateway: Gateway) -> Validation | None:
    """That of the active version; None where none is active, or it has none that can be read."""
    for row in gateway.run(catalogue()["writeback/active_validation"]):
        users, asked = np.array(row["users"], np.int64), np.array(row["asked"], np.int64)
        ndcg = np.array(row["ndcg"], np.float64)
        named = (row["version"], row["run"], row["sha256"])
        return Validation(*named, users, ndcg, asked)
    return None


@dataclass(frozen=True, slots=True, eq=False)
class ActiveBlend:
    """The active version of the blend.

    Attributes:
        version: its number.
        sha256: of its arrays.
        weights: λ by signal.
        metrics: by signal, with the blend as `hybrid`, and metric: `mean`, `low` and `high`.
        below_popularity: groups of users whom the popular list served significantly better.
    """

    version: int
    sha256: str
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    below_popularity: Sequence[str]


def active_blend(gateway: Gateway) -> ActiveBlend | None:
    """The active version of the blend; None where there is none."""
    for row in gateway.run(catalogue()["writeback/active_blend"]):
        weights, metrics = (json_object(row[name]) or {} for name in ("weights", "metrics"))
        below = row["below_popularity"]
        return ActiveBlend(row["version"], row["sha256"], weights, metrics, below)
    return None


def activate(
    gateway: Gateway, versions: Iterable[Version], *, overridden: Sequence[str] = ()
) -> None:
    """Make all of `versions` active in one transaction, or none; again, it changes nothing.

    Args:
        gateway: the graph.
        versions: what is ready, or active already.
        overridden: what spoke against it, to be recorded.

    Raises:
        QueryError: one of them is neither ready nor active.
    """
    wanted = [{"model": v.model, "version": v.number} for v in versions]

    def flip(transaction: Transaction) -> None:
        row = transaction.run(
            catalogue()["writeback/activate"],
            versions=wanted,
            statuses=["ready"],
            overridden=list(overridden) or None,
        )[0]
        if row["activated"] != len(wanted):
            raise QueryError(
                f"of {wanted} only {row['activated']} are ready: none was activated; refresh again"
            )

    gateway.write(flip)
    gateway.run(catalogue()["writeback/drop_parts"], keep=_SNAPSHOTS_KEPT)


def write_similar(
    gateway: Gateway,
    version: Version,
    items: IdMap,
    neighbours: Int64[NDArray[np.int64], "items k"],
    scores: Float32[NDArray[np.float32], "items k"],
    progress: Progress = lambda _what, _done, _total: None,
) -> int:
    """Replace the SIMILAR relationships of a model; return how many were written.

    Nothing more is written once another version of the model is active.

    Args:
        gateway: the graph.
        version: the active one.
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
        parameters = {"model": version.model, "version": version.number, "rows": rows}
        written += gateway.run(query, **parameters)[0]["written"]
        progress(f"{version.model} neighbours", stop, len(items))
    return written


def _similar_row(
    items: IdMap, row: int, neighbours: NDArray[np.int64], scores: NDArray[np.float32]
) -> dict[str, Sequence[Any] | str]:
    is_neighbour = neighbours >= 0
    return {
        "item_id": items[row],
        "neighbours": [items[n] for n in neighbours[is_neighbour].tolist()],
        "scores": scores[is_neighbour].tolist(),
    }
