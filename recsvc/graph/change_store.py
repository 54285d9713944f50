"""The feed of changes in Neo4j: written with what changes, read by position.

Positions are dense: 1, 2, 3 … in the order of commits (`cypher/write/changes.cypher`). A reader
takes what comes next and stops where a number is missing, which is a change whose commit is not to
be seen yet; so nobody ever reads past one. What is deleted keeps its position and says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from loaders.catalogue import Query, catalogue
from loaders.gateway import Gateway, Row, Transaction
from recsvc.errors import ChangesGoneError
from recsvc.graph.json_values import json_value
from recsvc.graph.sessions import LastStep
from recsvc.graph.transport import Transport

MAX_CHANGES: Final = 1_000
"""Most changes that are read at a time."""
_PER_TRANSACTION: Final = 5_000
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("user_id", "other_id"),
    "item": ("item_id",),
    "category": ("category_id",),
}
"""Where a change names a node, by its kind."""


@dataclass(frozen=True, slots=True)
class Changes:
    """A part of the feed.

    Attributes:
        changes: in their order.
        next: the position of the last of them: what comes next is after this one.
        last: the last position that was given.
    """

    changes: Sequence[Mapping[str, Any]]
    next: int
    last: int


class ChangeStore(Transport):
    """What is written to and read from the feed.

    Attributes:
        keeps_changes: whether changes are written to it.
    """

    keeps_changes: bool = False

    def _feeding(self, told: Callable[[list[list[Row]]], list[Row]]) -> LastStep | None:
        """Writes to the feed what a transaction has changed.

        Args:
            told: the changes, given the rows of the queries.
        """
        if not self.keeps_changes:
            return None

        def last_step(answers: list[list[Row]]) -> tuple[Query, Mapping[str, Any]] | None:
            rows = told(answers)
            return changes_step(rows) if rows else None

        return last_step

    async def changes(self, after: int, limit: int) -> Changes:
        """What the feed has after a position.

        Args:
            after: a position, or 0 for the beginning.
            limit: how many changes at most.

        Raises:
            ChangesGoneError: some of that is not kept any more.
            Neo4jError: the graph cannot be read in time.
        """
        query = catalogue()["serve/changes"]
        (row,) = await self._run(query, after=after, limit=limit)
        if after < row["pruned"]:
            raise ChangesGoneError(after, row["pruned"])
        changes: list[Mapping[str, Any]] = []
        for place, each in enumerate(row["changes"], 1):
            if each["position"] != after + place:
                break
            changes.append({name: json_value(value) for name, value in sorted(each.items())})
        return Changes(changes, after + len(changes), row["last"])

    async def published(self, name: str) -> int:
        """The position up to which changes were published under a name; 0 where none were.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()["serve/published"], name=name)
        return rows[0]["position"] or 0

    async def note_published(self, name: str, position: int) -> None:
        """Note up to which position changes were published under a name.

        Raises:
            Neo4jError: the graph cannot be written in time.
        """
        query = catalogue()["write/published"]
        await self._write([(query, {"name": name, "position": position})])


def changes_step(rows: Sequence[Mapping[str, Any]]) -> tuple[Query, Mapping[str, Any]]:
    """The query that puts changes at the end of the feed, and its parameters."""
    return catalogue()["write/changes"], {"rows": [*rows]}


def event_changes(rows: Sequence[Mapping[str, Any]], answer: Sequence[Row]) -> list[Row]:
    """The changes for the feed: those of the events that the query found to be new."""
    left = set(answer[0]["event_ids"]) if answer else set[str]()
    changes: list[Row] = []
    for row in rows:
        if row["event_id"] in left:
            left.remove(row["event_id"])
            changes.append({**row, "change": "event", "timestamp": row["timestamp"].isoformat()})
    return changes


def redact_changes(gateway: Gateway, kind: str, node_id: str) -> None:
    """Take out of the feed what it says of a node, part by part.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    for key in _KEYS[kind]:
        query = catalogue()[f"delete/redact_changes[{key}]"]
        while gateway.run(query, id=node_id, limit=_PER_TRANSACTION)[0]["dropped"]:
            pass


def redact_newest_changes(transaction: Transaction, kind: str, node_id: str) -> None:
    """The same of what came since, in the transaction that deletes the node."""
    for key in _KEYS[kind]:
        query = catalogue()[f"delete/redact_changes[{key}]"]
        transaction.run(query, id=node_id, limit=_PER_TRANSACTION)


def prune_changes(gateway: Gateway, before: datetime) -> int:
    """Delete the changes from before a time, part by part. Returns how many.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    pruned, query = 0, catalogue()["delete/prune_changes"]
    while True:
        rows: list[Row] = gateway.run(query, before=before, limit=_PER_TRANSACTION)
        dropped = rows[0]["dropped"] if rows else 0
        if not dropped:
            return pruned
        pruned += dropped


def take_back(
    gateway: Gateway,
    user_id: str,
    item_id: str,
    event: str | None = None,
    *,
    keeps_changes: bool = False,
) -> list[str]:
    """Take back what a user did with an item, for a command.

    Args:
        gateway: the graph.
        user_id: who did it.
        item_id: with what.
        event: the kind of event; all kinds where it is None.
        keeps_changes: whether the feed of changes is told.

    Returns:
        The kinds that were taken back, as the graph spells them.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    row = {"user_id": user_id, "item_id": item_id, "event": event}

    def work(transaction: Transaction) -> list[str]:
        taken: list[Row] = transaction.run(catalogue()["write/retract"], rows=[row])
        kinds = sorted(kind for each in taken for kind in each["events"])
        if kinds and keeps_changes:
            query, given = changes_step([{**row, "change": "retraction"}])
            transaction.run(query, **given)
        return kinds

    return gateway.write(work)
