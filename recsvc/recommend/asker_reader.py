"""What the graph knows of those who ask, and of what they name."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from loaders.errors import Neo4jAwayError
from recsvc.evidence import Evidence
from recsvc.graph.rows import StoredUser
from recsvc.graph.store import Store
from recsvc.outcomes.fatigue import Shown, shown_items
from recsvc.outcomes.outcome import SHOWN
from recsvc.recommend.fresh_rows import by_anybody, read_live_rows, with_live_rows
from recsvc.recommend.query import MOST_UNKNOWN, Asker, EvidenceKey, stored_asker
from recsvc.settings import EventSettings, OutcomeSettings
from recsvc.snapshot.arrays import Snapshot


class AskerReader:
    """Reads who asks.

    Args:
        store: the graph.
        events: settings by kind of event.
        outcomes: settings of what items lose by being shown.
        max_evidence: most items that count as evidence, the newest.
    """

    def __init__(
        self,
        store: Store,
        events: Mapping[str, EventSettings],
        outcomes: OutcomeSettings,
        max_evidence: int,
    ) -> None:
        self._store = store
        self._events = events
        self._outcomes = outcomes
        self._limit = max_evidence

    async def evidence(self, user_id: str) -> tuple[Asker, StoredUser]:
        """What counts as evidence of a user, and what the graph holds of them.

        Raises:
            NotFoundError: there is no such user.
            Neo4jError: the graph cannot be read in time.
        """
        stored = await self._store.user(user_id, limit=self._limit)
        return stored_asker(user_id, stored, self._events, limit=self._limit), stored

    async def before(self, user_id: str, moment: datetime) -> Asker:
        """What counts as evidence of a user by what they did before a moment, or at no known time.

        What they did before it and again since counts from the first time, by all of its weight:
        the graph does not say how much of that is of then.

        Raises:
            NotFoundError: there is no such user.
            Neo4jError: the graph cannot be read in time.
        """
        stored, again = await asyncio.gather(
            self._store.user(user_id, limit=self._limit), self._store.done_again(user_id, moment)
        )
        stored = replace(stored, interactions=_done_before(stored, again, moment.timestamp()))
        return stored_asker(user_id, stored, self._events, limit=self._limit)

    async def asker(
        self, user_id: str, snapshot: Snapshot, added: Sequence[tuple[str, str]] = ()
    ) -> tuple[Asker, Snapshot]:
        """What is known about a user now, and the arrays with what those they follow did.

        Without Neo4j nothing is known about them.

        Args:
            user_id: the user.
            snapshot: what an answer is made from.
            added: (item_id, event) of what they are taken to do now besides.

        Raises:
            NotFoundError: there is no such user.
        """
        try:
            stored, shown = await asyncio.gather(
                self._store.user(user_id, limit=self._limit), self._shown(user_id)
            )
        except Neo4jAwayError:
            return Asker(user_id, Evidence(), degraded=("evidence",)), snapshot
        counts = {other: count for other, _, count in stored.follows}
        if added:
            now = [(item_id, event, 1.0, time.time()) for item_id, event in added]
            stored = replace(stored, interactions=[*now, *stored.interactions])
        asker = stored_asker(user_id, stored, self._events, limit=self._limit)
        asker = replace(asker, shown=shown) if shown else asker
        try:
            rows = await read_live_rows(self._store, snapshot, counts, asker.evidence)
        except Neo4jAwayError:
            return replace(asker, degraded=("live evidence",)), snapshot
        live = with_live_rows(snapshot, asker.evidence, rows)
        source = asker.source and replace(asker.source, anybody=by_anybody(snapshot, live))
        return replace(asker, source=source, live=rows), live

    async def unknown(self, named: Sequence[EvidenceKey], snapshot: Snapshot) -> tuple[str, ...]:
        """What a request names and is nowhere, as far as the graph can be asked."""
        ids = {"item": snapshot.items, "category": snapshot.categories}
        new: list[EvidenceKey] = [
            (k, each) for k, each in dict.fromkeys(named) if k == "user" or each not in ids[k]
        ]
        if not new:
            return ()
        try:
            there = await self._store.known(new)
        except Neo4jAwayError:
            return ()
        missing = [f"{kind}:{each}" for kind, each in new if (kind, each) not in there]
        return tuple(missing[:MOST_UNKNOWN])

    async def _shown(self, user_id: str) -> dict[str, Shown]:
        """How items were shown to a user lately; nothing is read where that does not matter."""
        fatigue, days = self._outcomes.fatigue, self._outcomes.fatigue_half_life_days
        if not fatigue:
            return {}
        rows = await self._store.shown(user_id, SHOWN, timedelta(days=days))
        return shown_items(rows, fatigue)


def _done_before(
    stored: StoredUser, again: Mapping[tuple[str, str], float], at: float
) -> list[tuple[str, str, float, float | None]]:
    """The interactions from before a time, newest first, given the first time of those after it."""
    rows = [
        (item_id, event, weight, when if when is None or when < at else again[item_id, event])
        for item_id, event, weight, when in stored.interactions
        if when is None or when < at or (item_id, event) in again
    ]
    return sorted(rows, key=lambda row: (-(row[3] or 0.0), -row[2], row[0], row[1]))
