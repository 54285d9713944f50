"""How the places of answers are spread over items: of a sample of users, as they would be now."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recsvc.answer import Answer
from recsvc.evaluation.exposure import Evenness, Exposure, Share, evenness, exposure, shares
from recsvc.graph.store import Store
from recsvc.recommend.many_users import answer_some
from recsvc.recommend.query import RecommendationQuery
from recsvc.snapshot.arrays import Snapshot

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_MOST_VALUES: Final = 100
_SECONDS: Final = 4.0
"""For the lists of all who are drawn. It is less than a service that is stopped waits for its
requests."""


@dataclass(frozen=True, slots=True)
class MeasuredExposure:
    """How some places are spread.

    Attributes:
        versions: by model, of what is served.
        exposure: over the items of the active version that were available at its refresh.
        by_value: by value of a property, the one with the most items first; empty where none was
            asked about.
        by_group: of the lists of users with each value of a property, the one with the most places
            first; empty where none was asked about.
        by_day: of each day (UTC), the newest first; empty where all is of one moment.
    """

    versions: Mapping[str, int]
    exposure: Exposure
    by_value: Mapping[str, Share]
    by_group: Mapping[str, Evenness] = field(default_factory=dict[str, Evenness])
    by_day: Mapping[str, Evenness] = field(default_factory=dict[str, Evenness])


async def exposure_of_answers(
    engine: "Engine", store: Store, users: int, k: int, item_property: str | None, group: str | None
) -> tuple[int, MeasuredExposure]:
    """How the places of lists of some users are spread, as they would be answered now.

    Args:
        engine: makes the lists.
        store: the graph.
        users: of how many, drawn anew; of fewer where that would take too long.
        k: length of each list.
        item_property: of items, whose values are told apart; None for none.
        group: a property of users, whose values are told apart; None for none.

    Returns:
        The number of lists, and the measures.

    Raises:
        SnapshotError: nothing has been refreshed yet.
        Neo4jError: the graph cannot be read in time.
        BusyError: answers are large, and as much as can be done is in hand.
    """
    query = RecommendationQuery(k=k, explain="none", in_experiments=False)
    drawn = await store.sample_users(users)
    lists = await answer_some(engine, drawn, query, _item_ids, _SECONDS)
    places = Counter(item_id for _, items in lists for item_id in items)
    measured = await _measured(store, engine.snapshot, places, item_property)
    if group is None:
        return len(lists), measured
    values = await store.users_by_value(group, [user_id for user_id, _ in lists])
    by_value: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for user_id, items in lists:
        by_value[values.get(user_id, "")].update(items)
    most = sorted(by_value.items(), key=lambda each: (-each[1].total(), each[0]))[:_MOST_VALUES]
    counts = {value: [*counter.values()] for value, counter in most}
    return len(lists), replace(measured, by_group=_even(counts, engine.snapshot))


async def exposure_of_impressions(
    store: Store, snapshot: Snapshot, days: int, item_property: str | None, group: str | None
) -> MeasuredExposure:
    """How the impressions of the last days are spread over items.

    Args:
        store: the graph.
        snapshot: whose items count.
        days: how many.
        item_property: of items, whose values are told apart; None for none.
        group: a property of users, whose values are told apart; None for none.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    since = datetime.now(UTC) - timedelta(days=days)
    measured = await _measured(store, snapshot, await store.shown_places(since), item_property)
    by_day = await store.shown_by_day(since, days + 1)
    by_group = {} if group is None else await store.shown_by_group(group, since, _MOST_VALUES)
    return replace(measured, by_day=_even(by_day, snapshot), by_group=_even(by_group, snapshot))


async def _measured(
    store: Store, snapshot: Snapshot, places: Mapping[str, int], item_property: str | None
) -> MeasuredExposure:
    rows = snapshot.items.rows(list(places))
    has_row = rows >= 0
    of_item = np.zeros(len(snapshot.items), np.int64)
    of_item[rows[has_row]] = np.fromiter(places.values(), np.int64)[has_row]
    counted = snapshot.available | (of_item > 0)
    measured = exposure(of_item[counted], snapshot.item_people[counted])
    if item_property is None:
        return MeasuredExposure(snapshot.versions, measured, {})
    rows_of_value = await store.places_by_value(item_property, places, _MOST_VALUES)
    of_group = shares(
        [row["items"] for row in rows_of_value], [row["places"] for row in rows_of_value]
    )
    names = (row["value"] for row in rows_of_value)
    return MeasuredExposure(snapshot.versions, measured, dict(zip(names, of_group, strict=True)))


def _item_ids(answer: Answer) -> tuple[str, list[str]]:
    return answer.user_id or "", [item.item_id for item in answer.items]


def _even(counts: Mapping[str, Sequence[int]], snapshot: Snapshot) -> dict[str, Evenness]:
    """How even places are, by value, from the numbers of places of items."""
    items = int(snapshot.available.sum())
    return {value: evenness(some, items) for value, some in counts.items()}


def exposure_document(
    lists: int, answers: MeasuredExposure, shown: MeasuredExposure
) -> dict[str, Any]:
    """Both as JSON-ready values."""
    return {
        "versions": dict(answers.versions),
        "answers": {"lists": lists, **_spread(answers)},
        "shown": {**_spread(shown), "by_day": {d: asdict(e) for d, e in shown.by_day.items()}},
    }


def _spread(measured: MeasuredExposure) -> dict[str, Any]:
    by_value = {value: asdict(share) for value, share in measured.by_value.items()}
    by_group = {value: asdict(even) for value, even in measured.by_group.items()}
    return {**asdict(measured.exposure), "by_value": by_value, "by_group": by_group}
