"""What happened since the refresh, in the place of the rows that were stored then.

Followed users did more, and some of the items and categories that are evidence came later.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceKind
from recsvc.signals import RowSignal, Signal
from recsvc.snapshot import Snapshot
from recsvc.store import Store

_MOST_CHANGED = 100
"""Nodes of a kind whose rows are read for one answer; the others count as at the refresh."""

Strengths = Mapping[str, tuple[Sequence[str], Sequence[float]]]
"""By evidence node: items, and the strength of each."""


async def with_live_rows(
    store: Store, snapshot: Snapshot, counts: Mapping[str, int], evidence: Evidence
) -> Snapshot:
    """The snapshot with the rows of the evidence as they are now.

    The meta-paths are run again for followed users whose number of interactions is another one
    than at the refresh, and for all evidence that was not there then.

    Args:
        store: the graph.
        snapshot: as at the refresh.
        counts: interactions of each followed user now.
        evidence: of the user who asks.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    own: dict[EvidenceKind, list[str]] = {
        k: [n.id for n in evidence.nodes if n.kind == k] for k in EVIDENCE_KINDS
    }
    own["user"] = list(counts)
    changed = _changed(snapshot, own, counts)
    paths = [
        signal
        for signal in snapshot.blend.signals
        if isinstance(signal, RowSignal)
        and changed[signal.kind]
        and (signal.damping is not None or store.has_metapath(signal.name))
    ]
    if not paths:
        return snapshot
    found = await asyncio.gather(*(_strengths(store, path, changed[path.kind]) for path in paths))
    live: dict[str, Signal] = {
        path.name: _with_rows(
            path, snapshot.items, own[path.kind], set(changed[path.kind]), strengths
        )
        for path, strengths in zip(paths, found, strict=True)
    }
    signals = tuple(live.get(signal.name, signal) for signal in snapshot.blend.signals)
    return replace(snapshot, blend=replace(snapshot.blend, signals=signals))


def _changed(
    snapshot: Snapshot, own: Mapping[EvidenceKind, Sequence[str]], counts: Mapping[str, int]
) -> dict[EvidenceKind, list[str]]:
    """The evidence whose rows are read again."""
    changed: dict[EvidenceKind, list[str]] = {
        "user": [user for user, count in counts.items() if snapshot.count_of(user) != count],
        "item": [item for item in own["item"] if item not in snapshot.items],
        "category": [each for each in own["category"] if each not in snapshot.categories],
    }
    return {kind: ids[:_MOST_CHANGED] for kind, ids in changed.items()}


async def _strengths(store: Store, signal: RowSignal, evidence: Sequence[str]) -> Strengths:
    if signal.damping is None:
        return await store.metapath(signal.name, evidence)
    return await store.two_steps(evidence)


def _with_rows(
    signal: RowSignal,
    items: IdMap,
    evidence: Sequence[str],
    changed: set[str],
    strengths: Strengths,
) -> RowSignal:
    """A signal with the rows of some evidence alone: stored ones, and live ones of the changed."""
    kept = [node for node in evidence if node not in changed and signal.ids.row(node) >= 0]
    stored = signal.rows[signal.ids.rows(kept)]
    read = sorted(changed)
    entries = [
        (row, item, strength)
        for row, node in enumerate(read)
        for item_id, strength in zip(*strengths.get(node, ((), ())), strict=True)
        if (item := items.row(item_id)) >= 0
    ]
    row, item, strength = zip(*entries, strict=True) if entries else ((), (), ())
    live = sp.csr_matrix(
        (np.array(strength, np.float32), (row, item)), shape=(len(read), len(items))
    )
    if signal.damping is not None:
        live = _after_two_steps(live, signal.rows, signal.damping)
    rows = sp.csr_matrix(sp.vstack([stored, live], format="csr", dtype=np.float32))
    both = [*kept, *read]
    ids = IdMap.from_unsorted(both)
    return replace(signal, ids=ids, rows=rows[np.argsort(ids.rows(both))])


def _after_two_steps(shares: sp.csr_matrix, rows: sp.csr_matrix, damping: float) -> sp.csr_matrix:
    """PageRank of new items from the rows of the items that are two steps away.

    A vector is (1 - d) of its own restart and d of the mean of its neighbours' vectors (Jeh & Widom
    2003, theorem 2). Two times that is d² of the mean of those after two steps. What leads over
    followed users is left out.
    """
    return sp.csr_matrix(damping**2 * (shares @ rows + (1.0 - damping) * shares))
