"""What a refresh changes for a sample of users: their lists by the active version and by the new.

Both are scored here, by what `recsvc batch-recommend` lists with, from the same evidence: that of
the graph the new version was learned from. What no longer exists or is not available is on neither.
"""

import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from loaders.errors import LoaderError
from loaders.gateway import Gateway
from loaders.parts import stored_parts
from loaders.types import Edges, HeteroGraph
from loaders.writeback import ActiveBlend
from recsvc.errors import RecsvcError
from recsvc.evaluation.metrics import bootstrap
from recsvc.evaluation.splits import id_numbers
from recsvc.recommend.batch import batch_evidence, recommend_all
from recsvc.refresh.options import HYBRID
from recsvc.refresh.parts import Run
from recsvc.refresh.sampled_lists import (
    ListedItem,
    SampledLists,
    UserLists,
    drop_lists,
    lists_locked,
    write_lists,
)
from recsvc.settings import EventSettings
from recsvc.snapshot.arrays import Snapshot, load
from recsvc.snapshot.deletion import existing
from recsvc.snapshot.folders import unpack

SAMPLED_USERS: Final = 20
LISTED_ITEMS: Final = 10

_RESAMPLES = 2_000


def note_lists(
    run: Run,
    active: ActiveBlend | None,
    new: Snapshot,
    graph: HeteroGraph,
    at: float,
    known: Snapshot | None = None,
) -> None:
    """Keep with the run what it changes for a sample of users.

    What goes wrong is noted and no more: it is for the page of the run alone.

    Args:
        run: the refresh.
        active: the version that was active when the gate began; None where there was none.
        new: what is about to be served.
        graph: what it was learned from.
        at: when that was read, in Unix seconds.
        known: a version whose arrays are in memory: that is read from Neo4j only if it is not the
            active one.

    Raises:
        LeaseLostError: another refresh took over.
        OSError: the folder of the run cannot be written.
    """
    folder = run.record.folder
    drop_lists(folder)
    if active is None:
        return
    with run.step("lists"):
        try:
            with _arrays_of(run.gateway, active, folder, known) as before:
                lists = changed_lists(active.version, before, new, graph, run.events, at)
            _keep(run.gateway, folder, lists, graph)
        except Exception as error:  # whatever it is, the versions are as good without the page
            run.record.note(lists_error=reason_of(error))


def changed_lists(
    version: int,
    before: Snapshot,
    now: Snapshot,
    graph: HeteroGraph,
    events: Mapping[str, EventSettings],
    at: float,
) -> SampledLists:
    """The first items of the sampled users by two versions, without those they know.

    Args:
        version: number of the earlier version of the blend.
        before: its arrays.
        now: the arrays of the later one, whose items are those of the graph.
        graph: what the users did.
        events: settings by kind of event.
        at: until when the weight of an event fades, in Unix seconds.

    Raises:
        ValueError: nobody did anything.
    """
    sample = sampled_users(graph)
    user_ids = [graph.users[row] for row in sample.tolist()]
    part = _doings_of(graph, sample)
    evidence = batch_evidence(part, now, events, at=at)
    old = replace(before, available=_available(before, now))
    old_lists = recommend_all(old, batch_evidence(part, old, events, at=at), user_ids, LISTED_ITEMS)
    new_lists = recommend_all(now, evidence, user_ids, LISTED_ITEMS)
    hashes = id_numbers(user_ids).tolist()
    users: list[UserLists] = []
    for theirs, ours, row, hashed in zip(old_lists, new_lists, sample, hashes, strict=True):
        ids = [old.items[item] for item in theirs.items.tolist()]
        new_ids = [now.items[item] for item in ours.items.tolist()]
        item_count = int(evidence.seen[row].nnz)
        lists = (_listed(ids, now), _listed(new_ids, now))
        users.append(UserLists(len(users) + 1, hashed, item_count, *lists))
    overlap = np.array([user.overlap for user in users])
    mean_overlap = bootstrap({"overlap": overlap}, _RESAMPLES, 0)["overlap"]
    return SampledLists(
        version, (mean_overlap.mean, mean_overlap.low, mean_overlap.high), tuple(users)
    )


def sampled_users(graph: HeteroGraph) -> Int64[NDArray[np.int64], " sampled"]:
    """Rows of at most 20 users who did something: those whose ids have the lowest hashes.

    So they are mostly the same when the graph has grown.
    """
    active = np.unique(graph.interactions.user_index)
    hashes = id_numbers(graph.users[row] for row in active.tolist()).view(np.uint64)
    return active[np.argsort(hashes, kind="stable")[:SAMPLED_USERS]]


def reason_of(error: Exception) -> str:
    """Why, without what a text that is not ours may tell of users."""
    ours = isinstance(error, LoaderError | RecsvcError | OSError)
    return f"{type(error).__name__}: {error}"[:500] if ours else type(error).__name__


def _doings_of(graph: HeteroGraph, users: Int64[NDArray[np.int64], " sampled"]) -> HeteroGraph:
    """The graph with the doings of some users alone; all nodes keep their rows."""

    def own(edges: Edges) -> Edges:
        mask = np.isin(edges.source, users)
        return Edges(edges.source[mask], edges.target[mask], edges.weight[mask])

    mask = np.isin(graph.interactions.user_index, users)
    return replace(
        graph, interactions=graph.interactions.take(mask), follows=own(graph.follows),
        prefers=own(graph.prefers),
    )  # fmt: skip


def _available(before: Snapshot, now: Snapshot) -> Bool[NDArray[np.bool_], " items"]:
    """Which items of the earlier version are there and available now."""
    row = now.items.rows(list(before.items))
    return (row >= 0) & np.asarray(now.available)[row]


def _listed(item_ids: Sequence[str], now: Snapshot) -> tuple[ListedItem, ...]:
    return tuple(ListedItem(item_id, now.titles[now.items.row(item_id)]) for item_id in item_ids)


@contextmanager
def _arrays_of(
    gateway: Gateway, active: ActiveBlend, folder: Path, in_memory: Snapshot | None
) -> Generator[Snapshot]:
    """The arrays of the active version, mapped from files: of most of them little is read."""
    if in_memory is not None and in_memory.versions[HYBRID] == active.version:
        yield in_memory
        return
    place = folder / "active"
    shutil.rmtree(place, ignore_errors=True)
    try:
        unpack(stored_parts(gateway, active.version), active.sha256, place)
        yield load(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _keep(gateway: Gateway, folder: Path, lists: SampledLists, graph: HeteroGraph) -> None:
    """Write the lists of which everything still exists: see `recsvc.refresh.sampled_lists`."""
    sample = [graph.users[row] for row in sampled_users(graph).tolist()]
    listed = {item_id for user in lists.users for item_id in user.item_ids}
    with lists_locked(folder.parents[1]):
        users, items = existing(gateway, sample, listed)
        there = set(id_numbers(users).tolist())
        users_left = tuple(u for u in lists.users if u.user in there and u.item_ids <= items)
        write_lists(folder, replace(lists, users=users_left))
