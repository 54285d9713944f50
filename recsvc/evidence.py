"""What is known about one user, as weighted nodes of the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.settings import EventSettings

EvidenceKind = Literal["item", "user", "category"]
EVIDENCE_KINDS: tuple[EvidenceKind, ...] = ("item", "user", "category")

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class EvidenceNode:
    """One node that says something about a user's taste.

    Attributes:
        kind: an item they did something with, a user they follow, a category they prefer.
        id: its outer id.
        weight: how much it says; negative for a dislike.
        event: the strongest kind of event, for items.
    """

    kind: EvidenceKind
    id: str
    weight: float
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known about one user when an answer is made.

    Attributes:
        nodes: the evidence, at most one node for each kind and id.
        seen: ids of all items the user did anything with.
    """

    nodes: tuple[EvidenceNode, ...] = ()
    seen: frozenset[str] = field(default=frozenset())

    def rows(self, kind: EvidenceKind, ids: IdMap) -> "EvidenceRows":
        """The evidence of one kind that `ids` knows, as rows."""
        known = [
            (position, row, node.weight)
            for position, node in enumerate(self.nodes)
            if node.kind == kind and (row := ids.row(node.id)) >= 0
        ]
        position, row, weight = zip(*known, strict=True) if known else ((), (), ())
        return EvidenceRows(
            np.array(position, np.int64), np.array(row, np.int64), np.array(weight, np.float64)
        )


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceRows:
    """Evidence of one kind as array rows.

    Attributes:
        position: index in `Evidence.nodes`.
        row: row of the node among the ids of its kind.
        weight: its weight.
    """

    position: Int64[NDArray[np.int64], " evidence"]
    row: Int64[NDArray[np.int64], " evidence"]
    weight: Float64[NDArray[np.float64], " evidence"]

    def __len__(self) -> int:
        return len(self.row)


def interaction_weight(event: EventSettings, weight: float, age_seconds: float | None) -> float:
    """Evidence weight of one `INTERACTED` relationship.

    e = w_event · strength^exponent · 2^(−age / half-life)

    Args:
        event: settings of its kind.
        weight: stored strength; the sign is kept.
        age_seconds: time since its newest event; None when unknown.
    """
    strength = float(np.copysign(abs(weight) ** event.exponent, weight)) if weight else 0.0
    if event.half_life_days is not None and age_seconds is not None:
        strength *= 2.0 ** (-max(age_seconds, 0.0) / _SECONDS_PER_DAY / event.half_life_days)
    return event.weight * strength


def item_evidence(
    rows: Sequence[tuple[str, str, float, float | None]],
    events: Mapping[str, EventSettings],
    *,
    now: float,
) -> list[EvidenceNode]:
    """Sum what one user did with each item.

    Args:
        rows: (item_id, event, stored weight, Unix seconds of the newest event or None).
        events: settings by kind of event; an unnamed kind counts as `interaction`.
        now: Unix seconds.

    Returns:
        One node per item, in the order the items first appear.
    """
    total: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    for item_id, event, weight, last_at in rows:
        settings = events.get(event) or events["interaction"]
        value = interaction_weight(settings, weight, None if last_at is None else now - last_at)
        total[item_id] = total.get(item_id, 0.0) + value
        strongest[item_id] = max(strongest.get(item_id, (-np.inf, event)), (value, event))
    return [
        EvidenceNode("item", item_id, value, strongest[item_id][1])
        for item_id, value in total.items()
        if value != 0.0
    ]


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
        events: settings by kind of event; an unnamed kind counts as `interaction`.
        now: Unix seconds.
        dislikes: keep what adds up to less than 0. Models learn from what people like only.

    Returns:
        float32 [users, items]; a pair whose events cancel out is left out.
    """
    weights = _edge_weights(graph.interactions, events, now=now)
    matrix = sp.coo_matrix(
        (weights, (graph.interactions.user_index, graph.interactions.item_index)),
        shape=(len(graph.users), len(graph.items)),
    ).tocsr()
    if not dislikes:
        matrix.data[matrix.data < 0.0] = 0.0
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix.astype(np.float32)


def seen_matrix(graph: HeteroGraph) -> sp.csr_matrix:
    """Stored where a user did anything with an item, [users, items]."""
    did = graph.interactions
    return sp.csr_matrix(
        (np.ones(len(did), np.float32), (did.user_index, did.item_index)),
        shape=(len(graph.users), len(graph.items)),
    )


def _edge_weights(
    interactions: Interactions, events: Mapping[str, EventSettings], *, now: float
) -> Float32[NDArray[np.float32], " edges"]:
    settings = [events.get(name) or events["interaction"] for name in interactions.events]
    if not settings:
        return np.empty(0, np.float32)
    per_event = interactions.event_index
    factor = np.array([s.weight for s in settings])[per_event]
    exponent = np.array([s.exponent for s in settings])[per_event]
    half_life = np.array([s.half_life_days or np.inf for s in settings])[per_event]
    age_days = np.nan_to_num((now - interactions.last_at) / _SECONDS_PER_DAY, nan=0.0)
    stored = interactions.weight.astype(np.float64)
    strength = np.where(stored == 0.0, 0.0, np.sign(stored) * np.abs(stored) ** exponent)
    decay = 2.0 ** (-np.maximum(age_days, 0.0) / half_life)
    return (factor * strength * decay).astype(np.float32)
