"""Outcomes in Neo4j: stored for a request, pruned and deleted part by part."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from loaders.catalogue import Query, catalogue
from loaders.gateway import Gateway, taken
from loaders.stored_json import json_object
from recsvc.graph.transport import Transport

_PER_TRANSACTION: Final = 5_000
_MOST_ROWS: Final = 200
MOST_PLACES: Final = 200_000
"""Most items whose impressions are counted."""
MAX_SHOWN: Final = 1_000
"""Most outcomes of a user that are looked at for what was shown to them, the newest."""
HALF_LIVES: Final = 5
"""What is older than so many half-lives is not looked at."""


@dataclass(frozen=True, slots=True)
class LoggedPlace:
    """A place of an answer that was shown to a user.

    Attributes:
        recommendation: names the answer.
        user_id: who saw it.
        item_id: what was there.
        position: the place, from 1.
        propensity: the chance with which the item was there.
        answered_at: when the answer was sent.
        reward: 1 where the kind of outcome followed that was asked about, else 0.
    """

    recommendation: str
    user_id: str
    item_id: str
    position: int
    propensity: float
    answered_at: datetime
    reward: float


class OutcomeStore(Transport):
    """What a request reads and writes of outcomes."""

    def check_takes_outcomes(self) -> None:
        """See that outcomes can be stored here, before they wait with what others write.

        Raises:
            ForeignGraphError: the graph is somebody else's.
        """
        self.address.statement(catalogue()["write/outcomes"])

    async def add_outcomes(self, rows: Sequence[Mapping[str, Any]]) -> tuple[set[str], set[str]]:
        """Store outcomes; they are committed when this returns.

        Returns:
            The ids of those whose user and item are there, and of those that are new.

        Raises:
            Neo4jError: the graph cannot be written in time.
        """
        (answer,) = await self._write([outcomes_step(rows)])
        return set(answer[0]["known"]), set(answer[0]["made"])

    async def shown(
        self, user_id: str, kinds: Sequence[str], half_life: timedelta
    ) -> dict[str, tuple[int, float]]:
        """Items that were shown to a user lately and not acted on since.

        Args:
            user_id: who.
            kinds: of outcomes that count as being shown.
            half_life: after how long one counts half.

        Returns:
            By item, how often, and how often by these weights.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        now, half = time.time() * 1000, half_life / timedelta(milliseconds=1)
        rows = await self._run(
            catalogue()["serve/shown"], user_id=user_id, shown=list(kinds), now=int(now),
            since=int(now - HALF_LIVES * half), half_life=half, limit=MAX_SHOWN,
        )  # fmt: skip
        return {row["item_id"]: (row["count"], row["weight"]) for row in rows}

    async def shown_places(self, since: datetime) -> dict[str, int]:
        """How often each item was shown from a time on; of very many items those shown most.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        query = catalogue()["serve/shown_places"]
        rows = await self._run(query, since=since, limit=MOST_PLACES)
        return {row["item_id"]: row["places"] for row in rows}

    async def shown_by_day(self, since: datetime, limit: int) -> dict[str, list[int]]:
        """See `cypher/serve/shown_by_day.cypher`: by day, the numbers of its items."""
        rows = await self._run(catalogue()["serve/shown_by_day"], since=since, limit=limit)
        return {row["day"]: row["counts"] for row in rows}

    async def shown_by_group(
        self, user_property: str, since: datetime, limit: int
    ) -> dict[str, list[int]]:
        """See `cypher/serve/shown_by_group.cypher`: by value, the numbers of its items."""
        query = catalogue()["serve/shown_by_group"]
        rows = await self._run(query, property=user_property, since=since, limit=limit)
        return {row["value"]: row["counts"] for row in rows}

    async def item_outcomes(self, item_id: str, since: datetime) -> dict[str, int]:
        """How many outcomes of each kind an item has from a time on.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        query = catalogue()["serve/item_outcomes"]
        rows = await self._run(query, item_id=item_id, since=since, limit=_MOST_ROWS)
        return {row["kind"]: row["number"] for row in rows}

    async def logged_places(
        self, scenario: str | None, kind: str, since: datetime, limit: int
    ) -> list[LoggedPlace]:
        """What users were shown from a time on, the newest, and what followed.

        Args:
            scenario: of the lists; None: those under none.
            kind: of the outcome that counts.
            since: the time.
            limit: how many outcomes are looked at.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(
            catalogue()["serve/logged_places"], scenario=scenario or "", kind=kind, since=since,
            limit=limit,
        )  # fmt: skip
        times = "answered_at"
        return [LoggedPlace(**row | {times: row[times].to_native()}) for row in rows]

    async def tried_out(
        self, scenario: str, kind: str, limit: int
    ) -> list[tuple[Mapping[str, float], float]]:
        """What was tried out under a scenario.

        Args:
            scenario: its name.
            kind: of the outcome that counts.
            limit: at how many outcomes to look, the newest of all.

        Returns:
            What was known of each item, and 1 where the outcome followed, else 0.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        query = catalogue()["serve/tried_out"]
        rows = await self._run(query, scenario=scenario, kind=kind, limit=limit)
        known = [(json_object(row["tried"]), row["reward"]) for row in rows]
        return [
            ({name: value for name, value in each.items() if isinstance(value, float)}, reward)
            for each, reward in known
            if each is not None
        ]


def outcomes_step(rows: Sequence[Mapping[str, Any]]) -> tuple[Query, dict[str, Any]]:
    """The query that stores outcomes, and its parameters: of several of one id the first."""
    first = {row["outcome_id"]: row for row in reversed(rows)}
    # In one order: transactions that wait for each other's index entries never wait in a ring.
    ordered = [first[each] for each in sorted(first)]
    return catalogue()["write/outcomes"], {"rows": ordered}


def prune_outcomes(gateway: Gateway, before: datetime) -> int:
    """Delete the outcomes from before a time, part by part. Returns how many.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    query = catalogue()["delete/prune_outcomes"]
    return _until_none(gateway, query, before=int(before.timestamp() * 1000))


def outcome_statistics(gateway: Gateway, kind: str, days: int) -> dict[str, list[dict[str, Any]]]:
    """How many outcomes there are by kind, and how often an item that was shown was acted on.

    Args:
        gateway: the graph.
        kind: of outcomes that count as acted on.
        days: of how many last days the rates are.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    asked = {"kind": kind, "days": days, "limit": _MOST_ROWS}
    named = {
        "kinds": "outcome_kinds", "by_position": "rates_by_position",
        "by_version": "rates_by_version",
    }  # fmt: skip
    queries = {name: catalogue()[f"analyst/{query}"] for name, query in named.items()}
    return {
        name: [
            {column: _plain(value) for column, value in row.items()}
            for row in gateway.run(query, **taken(query, asked))
        ]
        for name, query in queries.items()
    }


def _plain(value: Any) -> Any:
    return value.iso_format() if hasattr(value, "iso_format") else value


def drop_outcomes(gateway: Gateway, key: str, node_id: str) -> int:
    """Delete the outcomes of a user (`user_id`) or item (`item_id`), part by part.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    return _until_none(gateway, catalogue()[f"delete/drop_outcomes[{key}]"], id=node_id)


def _until_none(gateway: Gateway, query: Query, **parameters: Any) -> int:
    dropped = 0
    while count := gateway.run(query, limit=_PER_TRANSACTION, **parameters)[0]["dropped"]:
        dropped += count
    return dropped
