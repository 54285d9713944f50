"""Totals of interactions into the graph: what is not there is added, what differs is merged.

Adding a relationship costs Neo4j half of what merging one does, since MERGE looks for it among
the relationships of its end nodes (benchmarks/loaders.py). So each transaction first reads which
of its interactions are there. Nothing comes in between: it holds the lock of all writers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

from loaders.catalogue import catalogue
from loaders.errors import SumBeyondError
from loaders.gateway import Gateway, Row, Transaction
from loaders.ingest._parameters import as_rows
from loaders.limits import MAX_AMOUNT
from loaders.tables import Reject, reject_sum

_PER_TRANSACTION = 4_000
"""More make a transaction's state slow to build, and other writers wait longer."""
_COLUMNS = ("item_id", "event", "count", "weight", "value")
_TIMES = ("first_at", "last_at")

_In = TypeVar("_In")
_Out = TypeVar("_Out")
_User = tuple[str, list[list[object]]]
"""A user's id and what they did, as `cypher/ingest/new_interactions.cypher` takes it."""
_Key = tuple[str, object, object]
"""user_id, item_id, event."""


def merge_totals(gateway: Gateway, totals: pl.DataFrame, reject: Reject) -> Iterator[int]:
    """Merge totals (`loaders.tables.InteractionTotals`) into the graph, in short transactions.

    Args:
        gateway: the graph; users and items exist.
        totals: one row per (user, item, event), sorted by user.
        reject: takes note of what would, with the events in the graph, be beyond the limit.

    Yields:
        How many rows each transaction made sure of.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    parts = list(totals.iter_slices(_PER_TRANSACTION))
    for part, users in zip(parts, _one_ahead(_by_user, parts), strict=True):

        def merge(transaction: Transaction, users: Sequence[_User] = users) -> list[Row]:
            before = _known(transaction, users)
            new, changed = _new_and_changed(users, before) if before else (users, [])
            if new:
                transaction.run(catalogue()["ingest/new_interactions"], rows=new)
            if not changed:
                return []
            query = catalogue()["ingest/interactions"]
            return transaction.run(query, rows=changed, limit=MAX_AMOUNT)

        beyond: list[Row] = gateway.write(merge)
        for row in beyond:
            reject_sum(row, reject)
        yield part.height - len(beyond)


def count_events(gateway: Gateway, rows: Sequence[Row], reject: Reject) -> int:
    """Count events once each; return how many had not been counted before.

    Args:
        gateway: the graph.
        rows: as `event_rows` makes them, as many as go into one transaction.
        reject: takes note of each that would take a sum beyond the limit.

    Raises:
        Neo4jError: the graph cannot be written.
    """

    def count(transaction: Transaction) -> int:
        query = catalogue()["ingest/events"]
        answers: list[Row] = transaction.run(query, rows=rows, limit=MAX_AMOUNT)
        for answer in answers:
            if answer["beyond"]:
                raise SumBeyondError(answer["beyond"])
        return sum(answer["counted"] for answer in answers)

    try:
        return gateway.write(count)
    except SumBeyondError as error:
        if len(rows) == 1:
            reject_sum({**rows[0], "count": 1, "weight": None}, reject)
            return 0
        fine = [row for row in rows if row["event_id"] not in error.event_ids]
        doubtful = [row for row in rows if row["event_id"] in error.event_ids]
    # Of those that are too much together, the first may be fine.
    middle = (len(doubtful) + 1) // 2
    parts = (fine, doubtful[:middle], doubtful[middle:])
    return sum(count_events(gateway, part, reject) for part in parts if part)


def _one_ahead(work: Callable[[_In], _Out], inputs: Iterable[_In]) -> Iterator[_Out]:
    """`map`, with the next result made while the caller waits for the database."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[_Out] | None = None
        for input_ in inputs:
            following = pool.submit(work, input_)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def event_rows(events: pl.DataFrame) -> list[Row]:
    """Rows of the `interactions` table as `cypher/ingest/events.cypher` takes them."""
    names = ("event_id", "user_id", "item_id", "event", "value")
    further = [n for n in events.columns if n not in (*names, "timestamp")]
    seconds, nanoseconds = _seconds_and_nanoseconds(events["timestamp"])
    rows = as_rows(events.select(names))
    for row, second, nanosecond, properties in zip(
        rows, seconds, nanoseconds, _properties(events, further), strict=True
    ):
        row["at"] = None if second is None else [second, nanosecond]
        row["properties"] = properties
    return rows


def _known(transaction: Transaction, users: Sequence[_User]) -> dict[_Key, list[object]]:
    """What tables said of these interactions before, where the graph has them."""
    ids = [user_id for user_id, _ in users]
    answer = transaction.run(catalogue()["ingest/users_with_interactions"], user_ids=ids)
    there = frozenset(answer[0]["user_ids"])
    if not there:
        return {}
    wanted = [[user, [entry[0] for entry in did]] for user, did in users if user in there]
    rows: list[Row] = transaction.run(catalogue()["ingest/known_interactions"], rows=wanted)
    return {(row["user_id"], entry[0], entry[1]): entry for row in rows for entry in row["known"]}


def _new_and_changed(
    users: Sequence[_User], in_graph: dict[_Key, list[object]]
) -> tuple[list[_User], list[_User]]:
    """What the graph does not have, and what it may have otherwise."""
    new: list[_User] = []
    changed: list[_User] = []
    for user_id, did in users:
        missing: list[list[object]] = []
        other: list[list[object]] = []
        for entry in did:
            stored = in_graph.get((user_id, entry[0], entry[1]))
            if stored is None:
                missing.append(entry)
            elif entry != [*stored, None]:
                other.append(entry)
        new += [(user_id, missing)] if missing else []
        changed += [(user_id, other)] if other else []
    return new, changed


def _by_user(totals: pl.DataFrame) -> list[_User]:
    further = [n for n in totals.columns if n not in ("user_id", *_COLUMNS, *_TIMES)]
    columns = [totals[name].to_list() for name in _COLUMNS]
    for name in _TIMES:
        columns += _seconds_and_nanoseconds(totals[name])
    columns.append(_properties(totals, further))
    users: list[_User] = []
    for user_id, *did in zip(totals["user_id"].to_list(), *columns, strict=True):
        if not users or users[-1][0] != user_id:
            users.append((user_id, []))
        users[-1][1].append(did)
    return users


def _seconds_and_nanoseconds(times: pl.Series) -> list[list[int | None]]:
    """Whole numbers, which the driver sends some forty times faster than times."""
    micros = times.dt.epoch("us")
    return [(micros // 1_000_000).to_list(), (micros % 1_000_000 * 1_000).to_list()]


def _properties(totals: pl.DataFrame, further: list[str]) -> list[Row | None]:
    if not further:
        return [None] * totals.height
    rows = as_rows(totals.select(further))
    return [{n: value for n, value in row.items() if value is not None} or None for row in rows]
