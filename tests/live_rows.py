"""The rows of the evidence as they are now, read and laid over a snapshot."""

from collections.abc import Mapping

from recsvc.evidence import Evidence
from recsvc.graph.store import Store
from recsvc.recommend import fresh_rows
from recsvc.snapshot.arrays import Snapshot


async def with_live_rows(
    store: Store, snapshot: Snapshot, counts: Mapping[str, int], evidence: Evidence
) -> Snapshot:
    rows = await fresh_rows.read_live_rows(store, snapshot, counts, evidence)
    return fresh_rows.with_live_rows(snapshot, evidence, rows)
