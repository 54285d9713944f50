"""What the service writes: events, users, items, categories, follows, retractions, deletions.

Each kind of write has a queue of its own and goes into few transactions
(`recsvc.graph.group_commit`). Every transaction takes the lock of all writers, so the queues,
services beside this one and loads wait for each other instead of dead-locking.
"""

import contextlib
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from recsvc.errors import NotFoundError
from recsvc.event_kinds import shown_kind
from recsvc.evidence import EvidenceKind
from recsvc.graph.group_commit import GroupCommit
from recsvc.graph.store import Step, Store
from recsvc.outcomes.outcome import count_told
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.deletion_queue import Deleter
from recsvc.recommend.write_counters import WriteCounters

Outcome = Literal["made", "kept", "removed", "missing"]
"""What became of a change: `kept` where the node or follow was there, `missing` where something
that has to be there is not, as an interaction that is to be taken back."""


@dataclass(frozen=True, slots=True)
class PutNode:
    """Make a user, item or category, or replace its properties.

    Attributes:
        kind: which of them.
        id: its outer id.
        properties: all it is to have.
        links: (category id, weight): of an item its categories, of a user what they prefer, of a
            category its parents; None leaves those there are.
    """

    kind: EvidenceKind
    id: str
    properties: Mapping[str, Any]
    links: tuple[tuple[str, float], ...] | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What the feed of changes is told."""
        return {"change": "put", "kind": self.kind, f"{self.kind}_id": self.id}


@dataclass(frozen=True, slots=True)
class PutFollow:
    """Make a user follow another; both exist, or it is `missing`."""

    user_id: str
    other_id: str
    since: datetime | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What the feed of changes is told."""
        return {"change": "follow", "user_id": self.user_id, "other_id": self.other_id}


@dataclass(frozen=True, slots=True)
class DropFollow:
    """End that a user follows another."""

    user_id: str
    other_id: str

    @property
    def told(self) -> dict[str, Any]:
        """What the feed of changes is told."""
        return {"change": "unfollow", "user_id": self.user_id, "other_id": self.other_id}


@dataclass(frozen=True, slots=True)
class Retract:
    """Take back what a user did with an item: of one kind of event, or of all where it is None."""

    user_id: str
    item_id: str
    event: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What the feed of changes is told."""
        return {"change": "retraction", **asdict(self)}


Change = PutNode | PutFollow | DropFollow | Retract


def nothing_to_take_back(user_id: str, item_id: str, event: str | None) -> NotFoundError:
    """What is said where a retraction is `missing`."""
    did = "did nothing" if event is None else f"has no {shown_kind(event)}"
    return NotFoundError(f"user {user_id!r} {did} with item {item_id!r}")


@dataclass(frozen=True, slots=True)
class _NewEvents:
    """Events of one request, and the outcomes that some of them are.

    Attributes:
        rows: as `cypher/ingest/events.cypher` takes them.
        outcomes: as `cypher/write/outcomes.cypher` takes them.
    """

    rows: Sequence[Mapping[str, Any]]
    outcomes: Sequence[Mapping[str, Any]] = ()


class GraphWriter:
    """The queues of one service, and the writing of what they hold.

    Args:
        store: where it is written.
        serving: what a deletion has loaded again.
        write_counters: where writes are noted; nowhere where nothing keeps answers.
        fades: whether what was shown changes the answers of its users.

    Attributes:
        deletions: the queue of deletions.
    """

    def __init__(
        self,
        store: Store,
        serving: ActiveSnapshot,
        write_counters: WriteCounters | None = None,
        *,
        fades: bool = False,
    ) -> None:
        self._fades = fades
        self._store = store
        self._serving = serving
        self._write_counters = write_counters
        seconds = store.write_timeout_seconds
        self._events = GroupCommit(self._commit_events, timeout_seconds=seconds)
        self._outcomes = GroupCommit(self._commit_outcomes, timeout_seconds=seconds)
        self._changes = GroupCommit(self._commit_changes, timeout_seconds=seconds)
        self.deletions = Deleter(store, serving, lambda: self._noted(anybody=True))

    def start(self) -> None:
        """Finish deletions that were left unfinished."""
        self.deletions.start()

    async def stop(self) -> None:
        """Take no more writes, and commit those that wait."""
        for queue in (self._events, self._outcomes, self._changes):
            await queue.close()
        await self.deletions.stop()

    def note_scenario(self) -> None:
        """Note that answers under a scenario may be others than before."""
        with self._noted(anybody=True):
            pass

    async def add_events(
        self, rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """See `Engine.add_events`."""
        if outcomes:
            self._store.check_takes_outcomes()
        events = _NewEvents(rows, outcomes)
        return await self._events.submit(events, rows=len(events.rows) + len(events.outcomes))

    async def add_outcomes(self, rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """See `Engine.add_outcomes`."""
        self._store.check_takes_outcomes()
        return await self._outcomes.submit(rows, rows=len(rows))

    async def change(self, change: Change) -> Outcome:
        """See `Engine.change`."""
        rows = 1 + len(change.links or ()) if isinstance(change, PutNode) else 1
        return await self._changes.submit(change, rows=rows)

    async def drop_preference(self, user_id: str, category_id: str) -> bool:
        """End that a user prefers a category; it is committed when this returns.

        Returns:
            Whether they did.

        Raises:
            Neo4jError: it could not be committed in time.
        """
        ids = {"user_id": user_id, "category_id": category_id}
        with self._noted({user_id}):
            (rows,) = await self._store.write(
                [("write/drop_preference", ids)],
                lambda answers: [{"change": "retraction", **ids}] if answers[0] else [],
            )
        return bool(rows)

    async def _commit_events(self, requests: Sequence[_NewEvents]) -> list[int]:
        rows = [row for request in requests for row in request.rows]
        outcomes = [row for request in requests for row in request.outcomes]
        with self._noted({row["user_id"] for row in rows}):
            counted = await self._store.add_events(rows, outcomes)
        return count_new([request.rows for request in requests], counted)

    async def _commit_outcomes(
        self, requests: Sequence[Sequence[Mapping[str, Any]]]
    ) -> list[tuple[int, int]]:
        rows = [row for request in requests for row in request]
        users = {row["user_id"] for row in rows if self._fades and row["user_id"] is not None}
        with self._noted(users) if users else contextlib.nullcontext():
            known, made = await self._store.add_outcomes(rows)
        return count_told(requests, known, made)

    async def _commit_changes(self, changes: Sequence[Change]) -> list[Outcome]:
        users = changed_users(changes)
        with self._noted(users, anybody=any(map(concerns_anybody, changes))):
            answers = await self._store.write(steps(changes), partial(told_changes, changes))
        return outcomes(changes, answers)

    @contextlib.contextmanager
    def _noted(self, users: Iterable[str] = (), *, anybody: bool = False) -> Generator[None]:
        """Note a write when it is over: one that failed may have been committed too."""
        try:
            yield
        finally:
            if self._write_counters is not None:
                self._write_counters.note_write(users, anybody=anybody)


def count_new(requests: Sequence[Sequence[Mapping[str, Any]]], counted: Iterable[str]) -> list[int]:
    """How many events of each request were counted, given the ids of all that were.

    Where an id came several times, the first one was counted.
    """
    left = set(counted)
    answers: list[int] = []
    for rows in requests:
        mine = {row["event_id"] for row in rows} & left
        left -= mine
        answers.append(len(mine))
    return answers


def changed_users(changes: Iterable[Change]) -> set[str]:
    """The users whose evidence, or whose name, changes."""
    return {
        change.id if isinstance(change, PutNode) else change.user_id
        for change in changes
        if not concerns_anybody(change)
    }


def concerns_anybody(change: Change) -> bool:
    """Whether a change may alter anybody's recommendations: any list may hold an item."""
    return isinstance(change, PutNode) and change.kind != "user"


def steps(changes: Sequence[Change]) -> list[Step]:
    """The queries that make changes, in one transaction and in the end as if one by one."""
    puts = _puts(changes)
    moved = [row["id"] for row in puts.get("category", ()) if row["links"]]
    retracted = [asdict(change) for change in changes if isinstance(change, Retract)]
    return [
        *([("write/retract", {"rows": retracted})] if retracted else ()),
        ("write/nodes", _nodes(changes)),
        *((f"write/put_{kind}", {"rows": rows}) for kind, rows in puts.items()),
        *([("write/own_ancestors", {"category_ids": moved})] if moved else ()),
        ("write/follows", {"rows": _follows(changes)}),
    ]


def outcomes(
    changes: Sequence[Change], answers: Sequence[Sequence[Mapping[str, Any]]]
) -> list[Outcome]:
    """What became of each change, given what the queries of `steps` returned."""
    retracts = any(isinstance(change, Retract) for change in changes)
    nodes, follows = answers[int(retracts)], answers[-1]
    done = _retracted(answers[0]) if retracts else {}
    users_there = {row["id"] for row in nodes if row["kind"] == "user"}
    made = {(row["kind"], row["id"]) for row in nodes if row["made"]}
    following = {(row["user_id"], row["other_id"]): row["existed"] for row in follows}
    outcome_of_change: list[Outcome] = []
    for change in changes:
        if isinstance(change, PutNode):
            node = (change.kind, change.id)
            outcome_of_change.append("made" if node in made else "kept")
            made.discard(node)
        elif isinstance(change, Retract):
            outcome_of_change.append("removed" if done.pop(change, None) else "missing")
        else:
            outcome_of_change.append(_follow_outcome(change, users_there, following))
    return outcome_of_change


def told_changes(
    changes: Sequence[Change], answers: Sequence[Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The changes for the feed: those that found the nodes that they name."""
    came_to = zip(changes, outcomes(changes, answers), strict=True)
    return [change.told for change, outcome in came_to if outcome != "missing"]


def _retracted(rows: Sequence[Mapping[str, Any]]) -> dict[Retract, bool]:
    """Whether each retraction took something back: all of a batch meet what was there before it."""
    taken: set[tuple[str, str, str]] = set()
    took_back: dict[Retract, bool] = {}
    for row in rows:
        new = {(row["user_id"], row["item_id"], event) for event in row["events"]} - taken
        taken |= new
        took_back[Retract(row["user_id"], row["item_id"], row["kind"])] = bool(new)
    return took_back


def _follow_outcome(
    change: PutFollow | DropFollow, known: set[str], following: dict[tuple[str, str], bool]
) -> Outcome:
    pair = (change.user_id, change.other_id)
    if not known.issuperset(pair):
        return "missing"
    before = following[pair]
    following[pair] = isinstance(change, PutFollow)
    if isinstance(change, PutFollow):
        return "kept" if before else "made"
    return "removed" if before else "missing"


def _nodes(changes: Sequence[Change]) -> dict[str, list[dict[str, Any]]]:
    """The nodes that changes touch, by kind, and whether they may be made."""
    make: dict[EvidenceKind, dict[str, bool]] = {"user": {}, "item": {}, "category": {}}
    for change in changes:
        if isinstance(change, PutNode):
            make[change.kind][change.id] = True
            for category_id, _ in change.links or ():
                make["category"][category_id] = True
        elif not isinstance(change, Retract):
            for user_id in (change.user_id, change.other_id):
                make["user"].setdefault(user_id, False)
    names = {"user": "users", "item": "items", "category": "categories"}
    return {
        names[kind]: [{"id": node_id, "make": ids[node_id]} for node_id in sorted(ids)]
        for kind, ids in make.items()
    }


def _puts(changes: Sequence[Change]) -> dict[EvidenceKind, list[dict[str, Any]]]:
    """One row for each node: of several changes the last properties, and the last links given."""
    rows: defaultdict[EvidenceKind, dict[str, dict[str, Any]]] = defaultdict(dict)
    for change in changes:
        if isinstance(change, PutNode):
            before = rows[change.kind].get(change.id, {"links": None})
            links = before["links"] if change.links is None else _links(change.links)
            row = {"id": change.id, "properties": dict(change.properties), "links": links}
            rows[change.kind][change.id] = row
    return {kind: list(by_id.values()) for kind, by_id in rows.items()}


def _links(links: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"category_id": each, "weight": weight} for each, weight in dict(links).items()]


def _follows(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """One row for each pair: what its changes come to."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for change in changes:
        if not isinstance(change, PutFollow | DropFollow):
            continue
        row = rows.setdefault(
            (change.user_id, change.other_id),
            {"user_id": change.user_id, "other_id": change.other_id, "since": None, "anew": False},
        )
        row["follow"] = isinstance(change, PutFollow)
        if isinstance(change, PutFollow):
            row["since"] = change.since or row["since"]
        else:
            row["since"], row["anew"] = None, True
    return list(rows.values())
