"""An outcome: what followed an answer for one of its items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from recsvc.errors import RecommendationIdError
from recsvc.outcomes.recommendation_id import Recommendation, RecommendationIds

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How much earlier than its answer an outcome may be: clocks differ."""
IMPRESSION: Final = "impression"
SHOWN: Final = (IMPRESSION, "dismissal")
"""Kinds after which an item fades; every other is an action."""
KINDS: Final = (IMPRESSION, "click", "view", "cart", "purchase", "like", "dismissal")
"""Kinds that metrics count by name; every other text is a kind too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What followed.

    Attributes:
        outcome_id: counts once.
        item_id: of which item.
        kind: what it was.
        at: when.
        position: the place of the item in the answer, from 1.
        answer: the answer.
        event_id: of the event that it is; None for one that is none.
    """

    outcome_id: str
    item_id: str
    kind: str
    at: datetime
    position: int
    answer: Recommendation
    event_id: str | None = None

    def row(self) -> dict[str, Any]:
        """The outcome as `cypher/write/outcomes.cypher` takes it."""
        origin = self.answer.origin
        properties = {
            "kind": self.kind,
            "position": self.position,
            "recommendation": self.answer.name,
            "version": origin.version,
            "scenario": origin.scenario,
            "revision": origin.revision,
            "experiment": origin.experiment,
            "experiment_revision": origin.experiment_revision,
            "variant": origin.variant,
            "propensity": origin.propensities.get(self.position, 1.0) or None,
        }
        if tried := origin.tried.get(self.position):
            properties["tried"] = orjson.dumps(tried).decode()
        return {
            "outcome_id": self.outcome_id,
            "user_id": origin.user_id,
            "item_id": self.item_id,
            "event_id": self.event_id,
            "at": int(self.at.timestamp() * 1000),
            "answered_at": self.answer.at * 1000,
            "properties": {name: value for name, value in properties.items() if value is not None},
        }


class OutcomeReader:
    """Makes outcomes of what callers tell; each answer is read once.

    Args:
        ids: read the ids of answers.
        keep_days: how long outcomes are kept. Of answers that are older nothing is taken any more:
            what was told and is gone would count again.
        received: the time of those that have none.
    """

    def __init__(self, ids: RecommendationIds, *, keep_days: int, received: datetime) -> None:
        self._ids = ids
        self._keep_days = keep_days
        self._received = received
        self._read: dict[str, Recommendation] = {}

    def outcome(
        self,
        recommendation_id: str,
        item_id: str,
        kind: str,
        *,
        position: int | None = None,
        at: datetime | None = None,
        outcome_id: str | None = None,
        user_id: str | None = None,
        event_id: str | None = None,
    ) -> Outcome:
        """An outcome.

        Args:
            recommendation_id: of the answer.
            item_id: of which of its items.
            kind: what followed.
            position: the place the item is said to have had; None where nobody says.
            at: when; where nobody says now, and not before the answer.
            outcome_id: its id. Without one, the same item and kind of one answer count once.
            user_id: who is said to have been answered, where somebody says.
            event_id: of the event that it is, where it is one.

        Raises:
            RecommendationIdError: that cannot be, and which field is at fault.
        """
        answer = self._answer(recommendation_id)
        if user_id is not None and answer.origin.user_id not in (None, user_id):
            raise RecommendationIdError(
                f"expected the user of the answer, {answer.origin.user_id!r}", "user_id"
            )
        place = self._ids.place(answer, item_id, position)
        when = at or max(self._received, _time_of(answer))
        if when < _time_of(answer) - CLOCK_SKEW:
            raise RecommendationIdError(
                f"expected a time after the answer, which is of {_time_of(answer).isoformat()}",
                "at",
            )
        own = outcome_id or f"{answer.name}:{_without_colon(kind)}:{item_id}"
        return Outcome(own, item_id, kind, when, place, answer, event_id)

    def _answer(self, recommendation_id: str) -> Recommendation:
        if recommendation_id not in self._read:
            answer = self._ids.read(recommendation_id)
            if _time_of(answer) < self._received - timedelta(days=self._keep_days):
                raise RecommendationIdError(
                    f"expected an answer of the last {self._keep_days} days, for which outcomes "
                    f"are kept: this is of {_time_of(answer):%Y-%m-%d}"
                )
            self._read[recommendation_id] = answer
        return self._read[recommendation_id]


def metric_kind(kind: str) -> str:
    """A kind as metrics name it: they hold no text of callers."""
    return kind if kind in KINDS else "other"


def count_told(
    rows: Sequence[Sequence[Mapping[str, Any]]], known: set[str], made: set[str]
) -> list[tuple[int, int]]:
    """How many outcomes of each request are new, and how many were dropped.

    Where an id came several times, the first one was stored.

    Args:
        rows: of each request.
        known: ids of those whose user and item are there.
        made: ids of those that were stored.
    """
    left = set(made)
    told: list[tuple[int, int]] = []
    for each in rows:
        ids = [row["outcome_id"] for row in each]
        mine = set(ids) & left
        left -= mine
        told.append((len(mine), sum(one not in known for one in ids)))
    return told


def _time_of(answer: Recommendation) -> datetime:
    return datetime.fromtimestamp(answer.at, UTC)


def _without_colon(kind: str) -> str:
    """A kind, told from what comes after it: an item's id may have a colon too."""
    return kind.replace("%", "%25").replace(":", "%3A")
