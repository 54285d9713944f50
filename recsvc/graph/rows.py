"""What `recsvc.graph.store` reads, as values of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from loaders.gateway import Row
from loaders.stored_json import json_object

Unread = tuple[str, str]
"""What cannot be read: of which kind, and what the database calls it inside."""
State = frozenset[str]
"""Bookmarks that Neo4j gave at the end of a read: they name the newest commit of the graph.

Of two reads with the same bookmarks the later one met no commit that the earlier one had not met.
"""
UNKNOWN: Final = State()
"""Of a read that gave no bookmark."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """What the graph knows about one user.

    Attributes:
        interactions: (item_id, event, stored weight, Unix seconds or None), newest first.
        follows: (user_id, name or None, number of their interactions or -2 where they took some
            back).
        prefers: (category_id, weight, name or None, kind or None).
        titles: of the items of these interactions that have one, but for the oldest.
        unread: what cannot be read and is left out.
        state: of the graph when it had been read.
    """

    interactions: list[tuple[str, str, float, float | None]]
    follows: list[tuple[str, str | None, int]]
    prefers: list[tuple[str, float, str | None, str | None]]
    titles: Mapping[str, str] = field(default_factory=dict[str, str])
    unread: Sequence[Unread] = ()
    state: State = UNKNOWN


@dataclass(frozen=True, slots=True)
class LiveItem:
    """An item that exists, as it is at the time of an answer.

    Attributes:
        title: None where it has none.
        available: whether it may be listed.
        inside: whether it is in one of the categories that were asked about.
        matches: which conditions of a scenario it meets, where these were asked about.
        groups: the values it has of each thing that items may share.
        times: some of its times, in Unix seconds; None where it has none.
        deep: whether categories are above it that are not looked at.
    """

    title: str | None
    available: bool
    inside: bool = False
    matches: tuple[bool, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    times: tuple[float | None, ...] = ()
    deep: bool = False


@dataclass(frozen=True, slots=True)
class CategoryScope:
    """What a filter by categories means at the time of an answer.

    Attributes:
        categories: ids of those named and of all below them.
        items: ids of the items that are in one of these; None where there are too many to read.
    """

    categories: tuple[str, ...]
    items: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class ActiveVersion:
    """The active version of one model.

    Attributes:
        model: name of the model.
        version: its number.
        slot: where its vectors are.
        sha256: of the blend's arrays.
        activated_at: since when.
        metrics: on the validation users.
        seconds: that the refresh took to make it.
    """

    model: str
    version: int
    slot: str | None
    sha256: str | None
    activated_at: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class FoundPath:
    """A path behind a meta-path's strength, from the user over the evidence to the item.

    For someone the graph does not know it starts at the evidence.

    Attributes:
        evidence_id: the evidence node.
        item_id: the item.
        strength: what this path adds to the kernel.
        nodes: (kind, id, name or title), in order, each once. A node that is none of ours has its
            label as its kind, and no id.
        steps: (type, place of its start among the nodes, place of its end).
    """

    evidence_id: str
    item_id: str
    strength: float
    nodes: list[tuple[str, Any, Any]]
    steps: list[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class StoredNode:
    """What its owner knows about a user, item or category.

    Attributes:
        properties: as JSON-ready values; embeddings are left out.
        links: (category id, weight): an item's categories, what a user prefers, a category's
            parents; strongest first, at most `MAX_LINKS`.
    """

    properties: Mapping[str, Any]
    links: Sequence[tuple[str, float]]


def found_path(
    evidence_id: str, item_id: str, strength: float, parts: Sequence[tuple[list[Any], list[Any]]]
) -> FoundPath:
    """A path, from what `cypher/serve/paths.cypher` collects of it."""
    place: dict[tuple[str, Any], int] = {}
    nodes: list[tuple[str, Any, Any]] = []
    steps: list[tuple[str, int, int]] = []
    for part, relationships in parts:
        places: list[int] = []
        for kind, node_id, name in part:
            if node_id is None or (kind, node_id) not in place:
                place[kind, node_id] = len(nodes)
                nodes.append((kind, node_id, name))
            places.append(place[kind, node_id])
        for (name, forwards), (here, next_) in zip(relationships, pairwise(places), strict=True):
            steps.append((name, here, next_) if forwards else (name, next_, here))
    return FoundPath(evidence_id, item_id, strength, nodes, steps)


def stored_user(row: Row, limit: int, state: State) -> StoredUser:
    """A user, from a row of `cypher/serve/user_evidence.cypher`, with so many links of a kind."""
    did, follows, prefers = row["interactions"], row["follows"], row["prefers"]
    unread = [
        *(("INTERACTED", inside) for *_, inside in did if inside is not None),
        *(("User.user_id", inside) for *_, inside in follows if inside is not None),
        *(("PREFERS", inside) for *_, inside in prefers if inside is not None),
    ]
    return StoredUser(
        [(item, event, weight, at) for item, event, weight, at, *_ in did if weight is not None],
        [(other, name, count) for other, name, count, inside in follows if inside is None][:limit],
        [
            (category, weight, name, kind)
            for category, weight, name, kind, _ in prefers
            if weight is not None
        ][:limit],
        {
            item: title
            for item, _, weight, _, title, _ in did[:limit]
            if title and weight is not None
        },
        unread,
        state,
    )


def live_items(rows: Sequence[Sequence[Any]]) -> dict[str, LiveItem]:
    """Items by id, from what `cypher/serve/live_items.cypher` collects of them."""
    return {
        item_id: LiveItem(title or None, available, inside)
        for item_id, title, available, inside in rows
        if item_id is not None  # it was deleted meanwhile
    }


def scenario_items(rows: Sequence[Sequence[Any]]) -> dict[str, LiveItem]:
    """Items by id, from what `cypher/serve/scenario_items.cypher` collects of them."""
    return {
        item_id: LiveItem(
            title or None, available, inside, tuple(matches),
            tuple(_shared(values) for values in groups),
            tuple(times), deep,
        )
        for item_id, title, available, inside, matches, groups, times, deep in rows
        if item_id is not None  # it was deleted meanwhile
    }  # fmt: skip


def _shared(values: Sequence[Any]) -> tuple[str, ...]:
    """What an item may share with others, each once: one text for what is equal in Cypher.

    There 4 is 4.0, and is neither '4' nor true.
    """
    return tuple(dict.fromkeys(_text_of(value) for value in values if value is not None))


def _text_of(value: str | float) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if float(value).is_integer() else str(value)


def active_version(row: Mapping[str, Any]) -> ActiveVersion:
    """The active version of a model, from a row of `cypher/serve/active_versions.cypher`."""
    activated_at, metrics = row["activated_at"], json_object(row["metrics"]) or {}
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    return ActiveVersion(
        row["model"], row["version"], row["slot"], row["sha256"],
        activated_at.to_native() if activated_at else None, numbers, row["seconds"],
    )  # fmt: skip


def event_row(row: Mapping[str, Any]) -> Row:
    """An event as `cypher/ingest/events.cypher` takes it: its time in whole numbers."""
    seconds, micros = divmod((row["timestamp"] - _EPOCH) // timedelta(microseconds=1), 1_000_000)
    fields = {name: value for name, value in row.items() if name != "timestamp"}
    return {**fields, "at": [seconds, micros * 1_000]}


@dataclass(frozen=True, slots=True)
class PendingDeletions:
    """Deletions that are not finished in all stored snapshots.

    Attributes:
        count: how many.
        since: when the oldest was asked for.
        reason: what stopped one the last time; None where they wait for a refresh that is at work,
            or are being worked on.
    """

    count: int
    since: datetime | None = None
    reason: str | None = None


def pending_of(notes: Sequence[Row]) -> PendingDeletions:
    """What notes of deletions tell."""
    since = [note["at"].to_native() for note in notes if note["at"] is not None]
    reasons = [note["reason"] for note in notes if note["reason"] is not None]
    return PendingDeletions(len(notes), min(since, default=None), next(iter(reasons), None))
