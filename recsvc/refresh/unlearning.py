"""Stored versions without what was learned from users and events that are gone, and no refresh.

A deletion takes the node's own rows and columns out of the arrays (`recsvc.snapshot.deletion`).
What others' rows learned from it, or from an event that was taken back, is still in them. Here all
that is in closed form is made again from the graph as it is: the rows of PageRank, of meta-paths
and of models without vectors, the prior, and how many people had each item. It is made by the code,
with the options, the weights of events and the seed of the refresh that made the version, so it is
what that refresh would make now. λ stays, and so do vectors.

The arrays get no id that they do not have: what came since the refresh stays out. So a deletion at
work finds its node in the arrays that it reads, or in those that take their place, and no
interleaving leaves it there.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from loaders.catalogue import catalogue
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.errors import ForeignGraphError
from loaders.extract import ItemDetails, extract_graph
from loaders.foreign_graph import require_form
from loaders.gateway import Gateway, Row
from loaders.part_swap import claimed, drop_left_parts
from loaders.parts import stored_names, stored_parts
from loaders.types import HeteroGraph
from recsvc.blend.fit import Journal, with_shares
from recsvc.errors import RefreshError, SnapshotError
from recsvc.event_kinds import speaking_kinds
from recsvc.evidence import EvidenceKind, evidence_matrix
from recsvc.models import MODELS, FitRun, TrainingData
from recsvc.models.parts import as_part
from recsvc.refresh.candidate import snapshot_of
from recsvc.refresh.fine_tuning_state import forget_digests
from recsvc.refresh.lease import LEASE_SECONDS, Lease, held_lease
from recsvc.refresh.metapath_queries import Neo4jPaths
from recsvc.refresh.options import RefreshOptions, wanted_properties
from recsvc.refresh.parts import Progress
from recsvc.refresh.run_journal import read_manifest
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import EventSettings
from recsvc.signals import RowSignal, Signal
from recsvc.signals.metapath import all_rows, evidence_ids, usable_metapaths
from recsvc.signals.pagerank import PAGERANK, pagerank_rows
from recsvc.signals.popularity import popularity_prior
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.deletion import forget_on_disk

_PATIENCE_SECONDS = 600.0
"""How long to go on while deletions rewrite the same version."""


@dataclass(frozen=True, slots=True)
class UnlearnedVersion:
    """What became of one stored version of the blend.

    Attributes:
        version: its number.
        anew: the signals that were made again.
        trained: those that stay as they are until the next refresh.
        removed: why its arrays were removed instead; "" where they were not.
    """

    version: int
    anew: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    removed: str = ""


def unlearn(
    gateway: Gateway,
    *,
    home: Path,
    lease_seconds: float = LEASE_SECONDS,
    progress: Progress = lambda _what, _done, _total: None,
) -> list[UnlearnedVersion]:
    """Make again what is in closed form in every stored version of the blend, the active one first.

    Each gets its new arrays in one transaction and keeps its number, as in a deletion. An older
    version loses its arrays where they are damaged, or this machine does not know how it was
    fitted, so that no rollback brings back what was learned from somebody who is gone.

    Args:
        gateway: the graph.
        home: `RECSVC_HOME`, which tells how each version was fitted.
        lease_seconds: after how long without a sign of life a refresh takes over.
        progress: told what is done.

    Returns:
        One for each version.

    Raises:
        RefreshError: a refresh is running, no version is active, the active one's arrays are
            damaged, or it is not known here how it was fitted.
        ForeignGraphError: the graph is neither in our form nor as it is mapped, or its versions are
            kept on a disk.
        LeaseLostError: a refresh took over; versions that were not told of are as they were.
        SnapshotError: stored arrays keep changing.
        OSError: what the refresh left on this machine cannot be written.
        Neo4jError: the graph cannot be read or written.
    """
    require_form(gateway)
    if gateway.graph is not None and gateway.graph.writes == "none":
        raise ForeignGraphError(
            'with [graph] writes = "none" versions are on this disk, where nothing is made again: '
            "run `recsvc refresh --from-scratch`"
        )
    with held_lease(gateway, seconds=lease_seconds, force=False, progress=progress) as lease:
        stored = lease.gateway.run(catalogue()["delete/versions_to_unlearn"])
        if not stored or not stored[0]["active"]:
            raise RefreshError("no version is active: run `recsvc refresh`")
        told = _Steps(lease, progress)
        versions = [_unlearned(lease.gateway, row, home, told) for row in stored]
        drop_left_parts(lease.gateway)
    forget_on_disk(gateway, home / "snapshots")
    return versions


class _DamagedError(Exception):
    """Nobody can read the stored arrays of a version; never leaves this module."""


class _Steps(Journal):
    """Reports progress, and ends the work once a refresh has taken over."""

    __slots__ = ("_lease", "_progress")

    def __init__(self, lease: Lease, progress: Progress) -> None:
        self._lease = lease
        self._progress = progress

    def told(self, what: str, done: int, total: int) -> None:
        """See `Journal.told`.

        Raises:
            LeaseLostError: a refresh took over.
        """
        self._lease.require()
        self._progress(what, done, total)


def _unlearned(gateway: Gateway, row: Row, home: Path, told: _Steps) -> UnlearnedVersion:
    version = row["version"]
    manifest = read_manifest(home, row["run"])
    if manifest is None or manifest.model_options is None:
        unknown = f"how hybrid {version} was fitted is not known on this machine"
        cure = "run this where it was refreshed, or `recsvc refresh --from-scratch`"
        return _given_up(gateway, version, unknown, cure)
    forget_digests(home, manifest.run)
    anew = _Anew.of(gateway, manifest, row["at_milliseconds"] / 1000.0, told)
    told.told(f"write hybrid {version}", 0, 1)
    try:
        signals = _replaced(gateway, version, anew)
    except _DamagedError:
        damaged = f"the stored arrays of hybrid {version} are damaged"
        return _given_up(gateway, version, damaged, "run `recsvc refresh --from-scratch`")
    made = tuple(signal.name for signal in signals if signal.name in anew.rows)
    left = tuple(signal.name for signal in signals if signal.name not in anew.rows)
    return UnlearnedVersion(version, made, left)


def _given_up(gateway: Gateway, version: int, why: str, cure: str) -> UnlearnedVersion:
    """Take the arrays from a version that cannot be made again.

    Raises:
        RefreshError: it is active, or became so meanwhile.
    """
    if not gateway.run(catalogue()["delete/give_up_parts"], version=version)[0]["given_up"]:
        raise RefreshError(f"{why}: {cure}")
    return UnlearnedVersion(version, removed=why)


@dataclass(frozen=True, slots=True, eq=False)
class _Anew:
    """All of a version that is in closed form.

    Attributes:
        manifest: of the refresh that made it.
        graph: as it is now.
        evidence: of all users, [users, items], with the ages of that refresh.
        kinds: of events, those that speak for an item.
        rows: the signals in closed form, by name.
    """

    manifest: RunManifest
    graph: HeteroGraph
    evidence: sp.csr_matrix
    kinds: tuple[str, ...]
    rows: Mapping[str, Signal]

    @classmethod
    def of(cls, gateway: Gateway, manifest: RunManifest, at: float, told: _Steps) -> "_Anew":
        """As the refresh of a manifest would make it from the graph as it is.

        Args:
            gateway: the graph.
            manifest: of the refresh.
            at: when that read the graph, in Unix seconds.
            told: told what is done.
        """
        identity = manifest.identity
        events = {name: EventSettings(**own) for name, own in identity.events.items()}
        options = RefreshOptions(**identity.options)
        graph = extract_graph(gateway, told.told, properties=wanted_properties(options))
        evidence = evidence_matrix(graph, events, now=at)
        kinds = speaking_kinds(graph.interactions.events, events)
        rows = {
            **_model_rows(manifest, options, TrainingData(graph, evidence), told),
            PAGERANK: _pagerank(options, graph, evidence, told),
            **_path_rows(gateway, options, graph, kinds, told),
        }
        return cls(manifest, graph, evidence, kinds, rows)

    def in_place_of(self, before: Snapshot) -> Snapshot:
        """The snapshot with these rows, for the nodes of the graph that it has."""
        graph, ids = self.graph, evidence_ids(self.graph)
        items = before.items.rows(graph.items)
        signals: tuple[Signal, ...] = tuple(
            self.rows[signal.name]
            if signal.name in self.rows
            else signal.reindexed(ids[signal.kind], signal.ids.rows(ids[signal.kind]), items)
            for signal in before.blend.signals
        )
        people = self.evidence.getnnz(axis=0).astype(np.int64)
        given = self.manifest.weights or {}
        shared, _ = with_shares(signals, given, self.manifest.for_new, people)
        blend = replace(
            before.blend, signals=shared, prior=popularity_prior(self.evidence), bounds=None
        )
        details = ItemDetails(
            tuple(before.titles[row] if row >= 0 else "" for row in items.tolist()),
            tuple(bool(before.available[row]) for row in items.tolist()),
            (),
        )
        whole = snapshot_of(graph, details, self.evidence, blend, before.versions, self.kinds)
        came: dict[EvidenceKind, set[str]] = {
            kind: set(now).difference(before.ids[kind]) for kind, now in ids.items()
        }
        return whole.without(came)


def _model_rows(
    manifest: RunManifest, options: RefreshOptions, data: TrainingData, told: _Steps
) -> dict[str, Signal]:
    """The rows of each model without vectors; none are left where nobody did anything."""
    rows: dict[str, Signal] = {}
    items = data.graph.items
    for name, own in (manifest.model_options or {}).items():
        if name in EMBEDDING_MODELS:
            continue
        spec = MODELS[name]
        chosen = spec.options_of(own)
        if not data.evidence.nnz or not spec.speaks(data):
            empty = sp.csr_matrix((len(items), len(items))).astype(np.float32)
            rows[name] = RowSignal(
                name, "item", items, empty, half_life=getattr(chosen, "half_life", None)
            )
            continue
        run = FitRun(options.seed, told=partial(told.told, f"fit {name}"))
        part = as_part(*spec.fit(data, chosen, run), items, options.kernel_size, told)
        rows[name] = part.signal(name, items)
    return rows


def _pagerank(
    options: RefreshOptions, graph: HeteroGraph, evidence: sp.csr_matrix, told: _Steps
) -> RowSignal:
    rows, _, _ = pagerank_rows(
        graph, evidence, damping=options.damping, epsilon=options.pagerank_epsilon,
        size=options.row_size, progress=partial(told.told, PAGERANK),
    )  # fmt: skip
    return RowSignal(PAGERANK, "item", graph.items, rows, options.damping)


def _path_rows(
    gateway: Gateway,
    options: RefreshOptions,
    graph: HeteroGraph,
    kinds: tuple[str, ...],
    told: _Steps,
) -> dict[str, Signal]:
    """The rows of each meta-path there is a file of."""
    queries, ids = Neo4jPaths(gateway), evidence_ids(graph)
    return {
        name: RowSignal(
            name, kind, ids[kind],
            all_rows(queries, name, graph, kinds, options.row_size, told.told),
        )
        for name, kind in usable_metapaths(queries).items()
    }  # fmt: skip


def _replaced(gateway: Gateway, version: int, anew: _Anew) -> tuple[Signal, ...]:
    """Store a version's new arrays; again where a deletion rewrote the old ones meanwhile.

    Returns:
        Its signals.

    Raises:
        _DamagedError: nobody can read the old ones.
        SnapshotError: deletions kept rewriting them.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        sha256 = _stored_sha256(gateway, version)
        if sha256 is None:
            raise _DamagedError
        names = stored_names(gateway, version)
        try:
            before = snapshots.read(stored_parts(gateway, version), sha256)
        except SnapshotError:
            if _stored_sha256(gateway, version) == sha256:
                raise _DamagedError from None
            continue
        content, _ = snapshots.pack(anew.in_place_of(before))
        with claimed(gateway, version, sha256, deadline=deadline) as swap:
            if swap is not None and swap.replace(names, content) is not None:
                return before.blend.signals
    raise SnapshotError(
        f"deletions kept rewriting hybrid {version} for {_PATIENCE_SECONDS:g} s: try again"
    )


def _stored_sha256(gateway: Gateway, version: int) -> str | None:
    stored = gateway.run(catalogue()["delete/stored_snapshots"])
    return {row["version"]: row["sha256"] for row in stored}.get(version)
