"""What is known about one user, as weighted nodes of the graph."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Float64, Int, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap
from recsvc.event_kinds import NOTHING, EventSettings, find_kind

EvidenceKind = Literal["item", "user", "category"]
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = ("item", "user", "category")

EvidenceMatrices = Mapping[EvidenceKind | Literal["since"], sp.csr_matrix]
"""The evidence of many users: weights by kind, [users, evidence nodes of that kind], and beside the
items `since`: 1 + `EvidenceNode.since` of each of them, nothing where no time is known."""

Strengths = Mapping[str, tuple[Sequence[str], Sequence[float]]]
"""By evidence node: items, and the strength of each."""

_SECONDS_PER_DAY = 86_400.0
_MOST_HALF_LIVES = 40.0


@dataclass(frozen=True, slots=True)
class EvidenceNode:
    """One node that says something about a user's taste.

    Attributes:
        kind: an item they did something with, a user they follow, a category they prefer.
        id: its outer id.
        weight: how much it says; negative for a dislike.
        event: the strongest kind of event, for items.
        category_kind: for categories: genre, tag, brand, …
        since: for items, how many others the user did something with later; None where no time is
            known.
    """

    kind: EvidenceKind
    id: str
    weight: float
    event: str | None = None
    category_kind: str | None = None
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one user when an answer is made.

    Attributes:
        nodes: the evidence, at most one node for each kind and id.
        seen: ids of all items the user did anything with.
        hidden: of these, those that never come back: see `EventSettings.hides`.
    """

    nodes: tuple[EvidenceNode, ...] = ()
    seen: frozenset[str] = field(default=frozenset())
    hidden: frozenset[str] = field(default=frozenset())

    def rows(self, kind: EvidenceKind, ids: IdMap) -> "EvidenceRows":
        """The evidence of one kind that `ids` knows, as rows."""
        entries = [
            (position, row, node.weight, np.nan if node.since is None else node.since)
            for position, node in enumerate(self.nodes)
            if node.kind == kind and (row := ids.row(node.id)) >= 0
        ]
        position, row, weight, since = zip(*entries, strict=True) if entries else ((), (), (), ())
        return EvidenceRows(
            np.array(position, np.int64), np.array(row, np.int64), np.array(weight, np.float64),
            np.array(since, np.float64),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveRows:
    """The rows of some evidence as they are now.

    Attributes:
        followed: the users that the asker follows.
        changed: by kind, of which evidence rows were read.
        strengths: by signal, what was read.
    """

    followed: tuple[str, ...]
    changed: dict[EvidenceKind, list[str]]
    strengths: dict[str, Strengths]


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceRows:
    """Evidence of one kind as array rows.

    Attributes:
        position: index in `Evidence.nodes`.
        row: row of the node among the ids of its kind.
        weight: its weight.
        since: see `EvidenceNode`; NaN where no time is known. Without it none is.
        made: what signals made of it; they are of a snapshot, into which no request writes.
    """

    position: Int64[NDArray[np.int64], " evidence"]
    row: Int64[NDArray[np.int64], " evidence"]
    weight: Float64[NDArray[np.float64], " evidence"]
    since: Float64[NDArray[np.float64], " evidence"] | None = None
    made: dict[object, Any] = field(init=False, repr=False, default_factory=dict[object, Any])

    def __len__(self) -> int:
        return len(self.row)

    def latest(self, half_life: float) -> "EvidenceRows":
        """The evidence of which a time is known, each piece by how lately it was done.

        e_j · 2^(−min(s_j / h, 40)), where s_j is how many other items the user did something with
        later, and h the half-life. What s_j is does not depend on what else is left out.
        """
        if self.since is None:
            return self.take(np.zeros(0, np.int64))
        rows = self.take(np.flatnonzero(np.isfinite(self.since)))
        assert rows.since is not None
        return replace(rows, weight=rows.weight * _faded(rows.since / half_life))

    def take(self, some: Int64[NDArray[np.int64], " some"]) -> "EvidenceRows":
        """Some of the pieces."""
        since = None if self.since is None else self.since[some]
        return EvidenceRows(self.position[some], self.row[some], self.weight[some], since)


def of_users(
    given: EvidenceMatrices, users: slice | Int64[NDArray[np.int64], " n"]
) -> EvidenceMatrices:
    """The evidence of some of the users, by their rows."""
    return {kind: matrix[users] for kind, matrix in given.items()}


def latest_evidence(given: EvidenceMatrices, half_life: float) -> sp.csr_matrix:
    """`EvidenceRows.latest` of many users, [users, items].

    Args:
        given: their items, and `since` of them; without it no time is known.
        half_life: how many later items halve what an item says.
    """
    items, since = given["item"], given.get("since")
    if since is None:
        return sp.csr_matrix(items.shape, dtype=items.dtype)
    shares = sp.csr_matrix(
        (_faded((since.data - 1.0) / half_life).astype(np.float32), since.indices, since.indptr),
        shape=since.shape,
    )
    return sp.csr_matrix(items.multiply(shares), dtype=np.float32)


def _faded(
    half_lives: Float[NDArray[np.floating[Any]], " n"],
) -> Float64[NDArray[np.float64], " n"]:
    """2 to the power of minus these; nothing fades so far that 32 bits cannot tell it from 0."""
    return np.exp2(-np.minimum(np.asarray(half_lives, np.float64), _MOST_HALF_LIVES))


def interaction_weights(
    events: Sequence[EventSettings],
    event_index: Int[NDArray[np.signedinteger[Any]], " n"],
    weight: Float64[NDArray[np.float64], " n"],
    age_seconds: Float64[NDArray[np.float64], " n"],
    user_index: Int64[NDArray[np.int64], " n"],
) -> Float64[NDArray[np.float64], " n"]:
    """Evidence weights of `INTERACTED` relationships.

    e = w_event · sign · |strength|^exponent · 2^(−min(h − h_u, 40)), with h = age / half-life and
    h_u the least h of what counts of the same user. Only the ratios between the evidence of one
    user mean something: with h_u they are the same as without. Nothing is too old to be told from
    0 in 32 bits, nor its square; what is 40 half-lives older than the newest fades no further.

    `sign` is that of the strength; 1 where w_event is negative, since nobody un-returns something:
    a return of −2 pieces speaks against the item as one of 2 does.

    Args:
        events: settings of the kinds of events.
        event_index: which of them each relationship is.
        weight: stored strength; one that is no number counts nothing.
        age_seconds: time since the newest event; NaN when unknown, which counts as new, as does
            a time to come.
        user_index: whose it is.
    """
    factor, exponent, half_life_days = (
        np.array([getattr(event, name) or default for event in events], np.float64)[event_index]
        for name, default in (("weight", 0.0), ("exponent", 0.0), ("half_life_days", np.inf))
    )
    weight = np.where(np.isfinite(weight), weight, 0.0)
    sign = np.where(factor < 0.0, np.abs(np.sign(weight)), np.sign(weight))
    strength = factor * sign * np.abs(weight) ** exponent
    age_days = np.maximum(np.nan_to_num(age_seconds), 0.0) / _SECONDS_PER_DAY
    half_lives = age_days / half_life_days
    counts = strength != 0.0
    least = np.full(int(user_index.max(initial=-1)) + 1, np.inf)
    np.minimum.at(least, user_index[counts], half_lives[counts])
    since = np.where(counts, half_lives - least[user_index], 0.0)
    return strength * _faded(since)


def item_evidence(
    rows: Sequence[tuple[str, str, float, float | None]],
    events: Mapping[str, EventSettings],
    *,
    now: float,
) -> list[EvidenceNode]:
    """Sum what one user did with each item.

    Args:
        rows: (item_id, event, stored weight, Unix seconds of the newest event or None).
        events: settings by kind of event; a kind without any counts nothing.
        now: Unix seconds.

    Returns:
        One node per item, in the order the items first appear, with the kind of event that says
        most of what the node says, and with how many items came later.
    """
    if not rows:
        return []
    item_ids, kinds, weights, times = zip(*rows, strict=True)
    place = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    ages = now - np.array([np.nan if at is None else at for at in times])
    values = interaction_weights(
        settings_of(list(place), events), np.array([place[kind] for kind in kinds]),
        np.array(weights, np.float64), ages, np.zeros(len(rows), np.int64),
    )  # fmt: skip
    by_item: dict[str, list[tuple[float, str]]] = {}
    for item_id, event, value in zip(item_ids, kinds, values.tolist(), strict=True):
        by_item.setdefault(item_id, []).append((value, event))
    since = _since(item_ids, times)
    nodes: list[EvidenceNode] = []
    for item_id, did in by_item.items():
        value = sum(value for value, _ in did)
        if value != 0.0:
            event = (max if value > 0.0 else min)(did)[1]
            nodes.append(EvidenceNode("item", item_id, value, event, since=since.get(item_id)))
    return nodes


def _since(item_ids: Sequence[str], times: Sequence[float | None]) -> dict[str, int]:
    """How many of the items have a later time, by item; of an item its newest time counts."""
    newest: dict[str, float] = {}
    for item_id, at in zip(item_ids, times, strict=True):
        if at is not None:
            newest[item_id] = max(at, newest.get(item_id, at))
    ascending = np.sort(np.array(list(newest.values()), np.float64))
    later = len(ascending) - np.searchsorted(ascending, list(newest.values()), side="right")
    return dict(zip(newest, later.tolist(), strict=True))


def hidden_items(
    did: Collection[tuple[str, str]], events: Mapping[str, EventSettings]
) -> frozenset[str]:
    """Those of the items that a user did something with that are hidden from them.

    Args:
        did: (item_id, event).
        events: settings by kind of event.
    """
    kinds = {event for _, event in did}
    hiding = {event for event in kinds if (kind := find_kind(event, events)) and kind.hides}
    return (
        frozenset(item_id for item_id, event in did if event in hiding) if hiding else frozenset()
    )


def newest_time(graph: HeteroGraph) -> float:
    """Time of the newest interaction: half-lives count from there where no clock does.

    Returns:
        Seconds since 1970; 0 where no time is known, and the present where that is earlier.
    """
    times = graph.interactions.last_at
    return min(float(times[~np.isnan(times)].max(initial=0.0)), time.time())


def evidence_matrix(
    graph: HeteroGraph,
    events: Mapping[str, EventSettings],
    *,
    now: float,
    dislikes: bool = False,
) -> sp.csr_matrix:
    """The evidence weights of all users: what `item_evidence` gives for each, at once.

    Args:
        graph: where the interactions are.
        events: settings by kind of event; a kind without any counts nothing.
        now: Unix seconds.
        dislikes: keep what adds up to less than 0. Models learn from what people like only.

    Returns:
        float32 [users, items]; a pair whose events cancel out is left out.
    """
    did = graph.interactions
    weights = interaction_weights(
        settings_of(did.events, events), did.event_index, did.weight.astype(np.float64),
        now - did.last_at, did.user_index,
    )  # fmt: skip
    matrix = sp.coo_matrix(
        (weights, (did.user_index, did.item_index)),
        shape=(len(graph.users), len(graph.items)),
    ).tocsr().astype(np.float32)  # fmt: skip
    if not dislikes:
        matrix.data[matrix.data < 0.0] = 0.0
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def seen_matrix(graph: HeteroGraph) -> sp.csr_matrix:
    """Stored where a user did anything with an item, [users, items]."""
    did = graph.interactions
    return sp.csr_matrix(
        (np.ones(len(did), np.float32), (did.user_index, did.item_index)),
        shape=(len(graph.users), len(graph.items)),
    )


def pair_times(graph: HeteroGraph) -> sp.csr_matrix:
    """When each user did something with each item last, in Unix seconds, float64 [users, items].

    A pair of which no time is known is not stored.
    """
    did = graph.interactions
    is_timed = ~np.isnan(did.last_at)
    user, item, at = did.user_index[is_timed], did.item_index[is_timed], did.last_at[is_timed]
    # Interactions are sorted by user and item: those of one pair stand together.
    first = np.flatnonzero(
        np.r_[True, (user[1:] != user[:-1]) | (item[1:] != item[:-1])][: len(at)]
    )
    newest = np.maximum.reduceat(at, first) if len(at) else at
    shape = (len(graph.users), len(graph.items))
    return sp.csr_matrix((newest, (user[first], item[first])), shape=shape)


def has_order(graph: HeteroGraph) -> bool:
    """Whether somebody did something after something else."""
    did = graph.interactions
    is_timed = ~np.isnan(did.last_at)
    user, at = did.user_index[is_timed], did.last_at[is_timed]
    return bool(((user[1:] == user[:-1]) & (at[1:] != at[:-1])).any())


def since_matrix(graph: HeteroGraph) -> sp.csr_matrix:
    """`since` of `EvidenceMatrices`, of all users: what `item_evidence` gives for each, at once."""
    times = pair_times(graph)
    owner = np.repeat(np.arange(times.shape[0]), np.diff(times.indptr))
    order = np.lexsort((-times.data, owner))
    sorted_owner, sorted_time = owner[order], times.data[order]
    place = np.arange(len(order))
    first = np.r_[
        True, (sorted_owner[1:] != sorted_owner[:-1]) | (sorted_time[1:] != sorted_time[:-1])
    ]
    # Items of one time are as far from the newest as the first of them.
    place = np.maximum.accumulate(np.where(first[: len(order)], place, 0))
    later = np.empty(len(order), np.float32)
    later[order] = place - times.indptr[sorted_owner] + 1.0
    return sp.csr_matrix((later, times.indices, times.indptr), shape=times.shape)


def settings_of(names: Sequence[str], events: Mapping[str, EventSettings]) -> list[EventSettings]:
    """The settings of each kind of event; of a kind without any, those of what counts nothing."""
    return [find_kind(name, events) or NOTHING for name in names]
