"""What happened since the refresh, in the place of the rows that were stored then.

Followed users did more, and some of the items and categories that are evidence came later.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind, LiveRows, Strengths
from recsvc.graph.store import Store
from recsvc.signals import Signal
from recsvc.snapshot.arrays import Snapshot

_MOST_CHANGED = 100
"""Nodes of a kind whose rows are read for one answer; the others count as at the refresh."""

_OF_ONE_USER = frozenset({"followed_user_item"})
"""Meta-paths whose rows nobody changes but the user they begin at."""


async def read_live_rows(
    store: Store, snapshot: Snapshot, counts: Mapping[str, int], evidence: Evidence
) -> LiveRows | None:
    """The rows of the evidence that are others by now; None where there are none.

    The meta-paths are run again for followed users whose number of interactions is another one
    than at the refresh, and for all evidence that was not there then, or that nobody had. Such an
    item has the vectors of its neighbourhood: of what the people who have it have besides.

    Args:
        store: the graph.
        snapshot: as at the refresh.
        counts: interactions of each followed user now.
        evidence: of the user who asks.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    own = _own(evidence, [*counts])
    changed = _changed(snapshot, own, counts)
    affected = [
        signal
        for signal in snapshot.blend.signals
        if changed[signal.kind] and (signal.by_two_steps or store.has_metapath(signal.name))
    ]
    if not affected:
        return None
    paths = [signal for signal in affected if not signal.by_two_steps]
    steps, *strengths = await asyncio.gather(
        _steps(store, snapshot, changed["item"] if len(paths) < len(affected) else []),
        *(store.metapath(path.name, changed[path.kind], snapshot.kinds) for path in paths),
    )
    of_path = {path.name: rows for path, rows in zip(paths, strengths, strict=True)}
    by_signal = {signal.name: of_path.get(signal.name, steps) for signal in affected}
    return LiveRows(tuple(counts), changed, by_signal)


def with_live_rows(snapshot: Snapshot, evidence: Evidence, live: LiveRows | None) -> Snapshot:
    """The snapshot with the rows of the evidence as they are now.

    Args:
        snapshot: as at the refresh.
        evidence: of the user who asks.
        live: see `read_live_rows`.
    """
    if live is None:
        return snapshot
    own = _own(evidence, live.followed)
    signals = tuple(
        _with_rows(
            signal, snapshot, own[signal.kind], set(live.changed[signal.kind]),
            live.strengths[signal.name],
        )
        if signal.name in live.strengths
        else signal
        for signal in snapshot.blend.signals
    )  # fmt: skip
    return replace(snapshot, blend=replace(snapshot.blend, signals=signals))


def _own(evidence: Evidence, followed: Sequence[str]) -> dict[EvidenceKind, Sequence[str]]:
    """The ids of the evidence by kind, of all users that are followed."""
    own: dict[EvidenceKind, Sequence[str]] = {
        k: [n.id for n in evidence.nodes if n.kind == k] for k in EVIDENCE_KINDS
    }
    return {**own, "user": followed}


def by_anybody(stored: Snapshot, live: Snapshot) -> bool:
    """Whether what anybody does may change the rows that are now in the place of stored ones."""
    return any(
        after is not before and after.name not in _OF_ONE_USER
        for before, after in zip(stored.blend.signals, live.blend.signals, strict=True)
    )


async def item_vector(
    store: Store,
    snapshot: Snapshot,
    signal: Signal,
    item_id: str,
) -> Float32[NDArray[np.float32], "1 dim"]:
    """The vector of an item, or of its neighbourhood where nobody had it at the refresh.

    Args:
        store: the graph.
        snapshot: the items at the refresh.
        signal: a model with vectors of these items.
        item_id: of the item.

    Returns:
        The vector; 0 where nobody who has it has another item that has one.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    row, vectors = snapshot.items.row(item_id), signal.item_vectors
    if vectors is not None and row >= 0 and vectors[row].any():
        return vectors[[row]]
    shares = _matrix([item_id], await _steps(store, snapshot, [item_id]), snapshot.items)
    return signal.new_item_vectors(shares, snapshot.item_people)


def _had(snapshot: Snapshot, items: Sequence[str]) -> list[bool]:
    """Whether anybody had each of some items at the refresh."""
    rows = snapshot.items.rows(items)
    return ((rows >= 0) & (snapshot.item_people[rows] > 0)).tolist() if len(rows) else []


async def _steps(store: Store, snapshot: Snapshot, items: Sequence[str]) -> Strengths:
    return await store.two_steps(items, snapshot.kinds) if items else {}


def _changed(
    snapshot: Snapshot, own: Mapping[EvidenceKind, Sequence[str]], counts: Mapping[str, int]
) -> dict[EvidenceKind, list[str]]:
    """The evidence whose rows are read again."""
    changed: dict[EvidenceKind, list[str]] = {
        "user": [user for user, count in counts.items() if snapshot.count_of(user) != count],
        "item": [
            item
            for item, had in zip(own["item"], _had(snapshot, own["item"]), strict=True)
            if not had
        ],
        "category": [each for each in own["category"] if each not in snapshot.categories],
    }
    return {kind: ids[:_MOST_CHANGED] for kind, ids in changed.items()}


def _with_rows(
    signal: Signal,
    snapshot: Snapshot,
    evidence: Sequence[str],
    changed: set[str],
    strengths: Strengths,
) -> Signal:
    """A signal with the rows of some evidence alone: stored ones, and live ones of the changed."""
    unchanged = [node for node in evidence if node not in changed and signal.ids.row(node) >= 0]
    ids = IdMap.from_unsorted([*unchanged, *changed])
    new = [node in changed for node in ids]
    fresh = _matrix([node for node in ids if node in changed], strengths, snapshot.items)
    stored = np.where(new, -1, signal.ids.rows(list(ids)))
    return signal.with_fresh_rows(ids, stored, fresh, snapshot.item_people)


def _matrix(nodes: Sequence[str], strengths: Strengths, items: IdMap) -> sp.csr_matrix:
    """Strengths as rows [nodes, items], of the items that the snapshot has."""
    entries = [
        (row, item, strength)
        for row, node in enumerate(nodes)
        for item_id, strength in zip(*strengths.get(node, ((), ())), strict=True)
        if (item := items.row(item_id)) >= 0
    ]
    row, item, strength = zip(*entries, strict=True) if entries else ((), (), ())
    shape = (len(nodes), len(items))
    return sp.csr_matrix((np.array(strength, np.float32), (row, item)), shape=shape)
