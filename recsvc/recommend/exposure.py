"""How the places of answers are spread over items: of a sample of users, as they would be now."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recsvc.answer import Answer
from recsvc.evaluation.exposure import Exposure, Share, exposure, shares
from recsvc.graph.store import Store
from recsvc.recommend.query import RecommendationQuery
from recsvc.snapshot.arrays import Snapshot

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_MOST_VALUES: Final = 100


@dataclass(frozen=True, slots=True)
class MeasuredExposure:
    """How some places are spread.

    Attributes:
        versions: by model, of what is served.
        exposure: over the items of the active version that were available at its refresh.
        by_value: by value of a property, the one with the most items first; empty where none was
            asked about.
    """

    versions: Mapping[str, int]
    exposure: Exposure
    by_value: Mapping[str, Share]


async def exposure_of_answers(
    engine: "Engine", store: Store, users: int, k: int, item_property: str | None
) -> tuple[int, MeasuredExposure]:
    """How the places of lists of some users are spread, as they would be answered now.

    Args:
        engine: makes the lists.
        store: the graph.
        users: of how many, drawn anew.
        k: length of each list.
        item_property: of items, whose values are told apart; None for none.

    Returns:
        The number of lists, and the measures.

    Raises:
        SnapshotError: nothing has been refreshed yet.
        Neo4jError: the graph cannot be read in time.
        TooMuchError: all answers together take too long.
        BusyError: they are large, and as much as can be done is in hand.
    """
    query = RecommendationQuery(k=k, explain="none", in_experiments=False)
    lists, _ = await engine.recommend_many(await store.sample_users(users), query, _item_ids)
    places = Counter(item_id for items in lists for item_id in items)
    return len(lists), await _measured(store, engine.snapshot, places, item_property)


async def exposure_of_impressions(
    store: Store, snapshot: Snapshot, days: int, item_property: str | None
) -> MeasuredExposure:
    """How the impressions of the last days are spread over items.

    Args:
        store: the graph.
        snapshot: whose items count.
        days: how many.
        item_property: of items, whose values are told apart; None for none.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    places = await store.shown_places(datetime.now(UTC) - timedelta(days=days))
    return await _measured(store, snapshot, places, item_property)


async def _measured(
    store: Store, snapshot: Snapshot, places: Mapping[str, int], item_property: str | None
) -> MeasuredExposure:
    rows = snapshot.items.rows(list(places))
    known = rows >= 0
    of_item = np.zeros(len(snapshot.items), np.int64)
    of_item[rows[known]] = np.fromiter(places.values(), np.int64)[known]
    counted = snapshot.available | (of_item > 0)
    measured = exposure(of_item[counted], snapshot.item_people[counted])
    if item_property is None:
        return MeasuredExposure(snapshot.versions, measured, {})
    found = await store.places_by_value(item_property, places, _MOST_VALUES)
    of_group = shares([row["items"] for row in found], [row["places"] for row in found])
    names = (row["value"] for row in found)
    return MeasuredExposure(snapshot.versions, measured, dict(zip(names, of_group, strict=True)))


def _item_ids(answer: Answer) -> list[str]:
    return [item.item_id for item in answer.items]


def exposure_document(
    lists: int, answers: MeasuredExposure, shown: MeasuredExposure
) -> dict[str, Any]:
    """Both as JSON-ready values."""
    return {
        "versions": dict(answers.versions),
        "answers": {"lists": lists, **_spread(answers)},
        "shown": _spread(shown),
    }


def _spread(found: MeasuredExposure) -> dict[str, Any]:
    by_value = {value: asdict(share) for value, share in found.by_value.items()}
    return {**asdict(found.exposure), "by_value": by_value}
