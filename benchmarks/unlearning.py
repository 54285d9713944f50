"""Rows without deleted users: made again by `recsvc unlearn`, and by refreshes; on Last.fm.

    python benchmarks/unlearning.py [--users 10] [--items 4000]

Last.fm is refreshed, some users are deleted, and what was learned from them is taken out of the
arrays: by `unlearn`, by a refresh that fine-tunes, and by one from scratch, one after the other, in
a Neo4j of their own. Besides, how many rows of each signal were others by more than 1e-6 of their
largest entry. Then EASE is fitted to the most popular items, and the same users are taken out of
the inverse matrix by the formula of Sherman and Morrison, and by inverting again.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from _environment import describe
from rich.console import Console
from rich.table import Table

from benchmarks._accuracy_data import DATA
from loaders.datasets import open_source
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import scratch_server
from loaders.shared_files import checkout_root
from recsvc.evidence import evidence_matrix
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.unlearning import unlearn
from recsvc.settings import load_settings
from recsvc.signals import RowSignal
from recsvc.snapshot.activation import stored_snapshot
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import DeletedNode, delete_nodes

L2 = 500.0


def main() -> None:
    """Print the seconds of each, the ratios, and the rows that changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=10, help="that are deleted")
    parser.add_argument("--items", type=int, default=4_000, help="of EASE's matrix")
    given = parser.parse_args()
    print(describe(), flush=True)
    installed = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path()) / ".recsvc")))
    with (
        tempfile.TemporaryDirectory() as folder,
        scratch_server(installed, heap_megabytes=2048) as server,
        Neo4jGateway(server.address()) as gateway,
    ):
        home = Path(folder)
        ingest(
            gateway, open_source("lastfm", DATA / "hetrec2011-lastfm-2k"), rejects=home / "rejects"
        )
        events = load_settings().events
        graph = extract_graph(gateway)
        evidence = evidence_matrix(graph, events, now=time.time())
        rows = np.sort(np.random.default_rng(0).permutation(len(graph.users))[: given.users])
        _ease(evidence, rows, given.items)

        def refreshed(**more: Any) -> Any:
            return refresh(gateway, RefreshOptions(), events, home=home, **more)

        _timed("first refresh", refreshed)
        delete_nodes(gateway, [DeletedNode("user", graph.users[row]) for row in rows.tolist()])
        before = stored_snapshot(gateway, 1)
        _, ours = _timed("unlearn", lambda: unlearn(gateway, home=home))
        print(f"made again: {', '.join(ours[0].anew)}; not: {', '.join(ours[0].trained)}")
        _print_changed(before, stored_snapshot(gateway, 1))
        _timed("refresh that fine-tunes", refreshed)
        _timed("refresh from scratch", lambda: refreshed(from_scratch=True))


def _timed(what: str, work: Callable[[], Any]) -> tuple[float, Any]:
    wall, processor = time.perf_counter(), time.process_time()
    made = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.2f} s, of this process's processor {processor:.2f} s", flush=True)
    return processor, made


def _print_changed(before: Snapshot, after: Snapshot) -> None:
    """The rows of each signal that are others by more than 1e-6 of their largest entry."""
    table = Table("signal", "rows", "others, %", "largest change")
    old = {signal.name: signal for signal in before.blend.signals}
    for signal in after.blend.signals:
        stale = old[signal.name]
        if isinstance(signal, RowSignal) and isinstance(stale, RowSignal):
            apart = abs(signal.rows - stale.rows).max(axis=1).toarray().ravel()
            largest = np.maximum(abs(stale.rows).max(axis=1).toarray().ravel(), 1e-30)
            changed = apart / largest > 1e-6
            table.add_row(
                signal.name, f"{len(changed):,}", f"{100 * changed.mean():.1f}",
                f"{(apart / largest).max():.3g}",
            )  # fmt: skip
    Console().print(table)


def _ease(evidence: sp.csr_matrix, rows: Any, items: int) -> None:
    """Take users out of P = (EᵀE + λI)^-1, one after the other, and by inverting again."""
    popular = np.argsort(-evidence.getnnz(axis=0), kind="stable")[:items]
    chosen = evidence[:, popular].astype(np.float64)
    inverse = _inverse(chosen)

    def down_dated() -> Any:
        left = inverse.copy()
        for row in rows.tolist():
            own = chosen[row].toarray().ravel()
            towards = left @ own
            left += np.outer(towards, towards) / (1.0 - own @ towards)
        return left

    stays = np.delete(np.arange(chosen.shape[0]), rows)
    quick, ours = _timed(f"EASE of {items:,} items, down-dated", down_dated)
    slow, theirs = _timed("EASE, inverted again", lambda: _inverse(chosen[stays]))
    print(f"ratio {slow / quick:.1f}, apart {np.abs(ours - theirs).max():.2g}", flush=True)


def _inverse(evidence: sp.csr_matrix) -> Any:
    gram = (evidence.T @ evidence).toarray()
    gram[np.diag_indices_from(gram)] += L2
    return np.linalg.inv(gram)


if __name__ == "__main__":
    main()
