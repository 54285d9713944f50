"""What followed users did since the refresh, in the place of the rows that were stored then."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.signals import RowSignal, Signal
from recsvc.snapshot import Snapshot
from recsvc.store import Store

_MOST_CHANGED = 100
"""Followed users whose rows are read for one answer; the others count as at the refresh."""

Strengths = Mapping[str, tuple[Sequence[str], Sequence[float]]]
"""By evidence node: items, and the strength of each."""


async def with_live_rows(store: Store, snapshot: Snapshot, counts: Mapping[str, int]) -> Snapshot:
    """The snapshot with the followed users' rows as they are now.

    The meta-paths are run again for those whose number of interactions is another one than at the
    refresh, or who were not there then.

    Args:
        store: the graph.
        snapshot: as at the refresh.
        counts: interactions of each followed user now.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    changed = [user for user, count in counts.items() if snapshot.count_of(user) != count]
    changed = changed[:_MOST_CHANGED]
    paths = [
        signal
        for signal in snapshot.blend.signals
        if isinstance(signal, RowSignal)
        and signal.kind == "user"
        and store.has_metapath(signal.name)
    ]
    if not changed or not paths:
        return snapshot
    found = await asyncio.gather(*(store.metapath(path.name, changed) for path in paths))
    live: dict[str, Signal] = {
        path.name: _with_rows(path, snapshot.items, list(counts), set(changed), strengths)
        for path, strengths in zip(paths, found, strict=True)
    }
    signals = tuple(live.get(signal.name, signal) for signal in snapshot.blend.signals)
    return replace(snapshot, blend=replace(snapshot.blend, signals=signals))


def _with_rows(
    signal: RowSignal,
    items: IdMap,
    users: Sequence[str],
    changed: set[str],
    strengths: Strengths,
) -> RowSignal:
    """A signal with the rows of some users alone: stored ones, and live ones of the changed."""
    kept = [user for user in users if user not in changed and signal.ids.row(user) >= 0]
    stored = signal.rows[signal.ids.rows(kept)]
    read = sorted(changed)
    entries = [
        (row, item, strength)
        for row, user in enumerate(read)
        for item_id, strength in zip(*strengths.get(user, ((), ())), strict=True)
        if (item := items.row(item_id)) >= 0
    ]
    row, item, strength = zip(*entries, strict=True) if entries else ((), (), ())
    live = sp.csr_matrix(
        (np.array(strength, np.float32), (row, item)), shape=(len(read), len(items))
    )
    rows = sp.csr_matrix(sp.vstack([stored, live], format="csr", dtype=np.float32))
    both = [*kept, *read]
    ids = IdMap.from_unsorted(both)
    return replace(signal, ids=ids, rows=rows[np.argsort(ids.rows(both))])
