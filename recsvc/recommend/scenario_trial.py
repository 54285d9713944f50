"""What a scenario would change for a user: both lists, and why items move."""

import asyncio
from typing import Any

from recsvc.answer import Answer, RankedItem
from recsvc.blend.fairness import FAIRNESS
from recsvc.errors import NotFoundError
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.ruled_list import RULE
from recsvc.scenarios.document import Scenario

_LEAST = 1e-9


async def try_scenario(
    engine: Engine, name: str, scenario: Scenario, user_id: str
) -> tuple[Answer, Answer, list[dict[str, Any]]]:
    """Two lists for a user, and what differs.

    Args:
        engine: makes them.
        name: of the stored scenario that the first list is made by; without one where there is no
            such.
        scenario: what the second list is made by.
        user_id: the user.

    Raises:
        NotFoundError: there is no such user.
        SnapshotError: nothing has been refreshed yet.
    """
    stored: str | None = name
    try:
        engine.scenarios.find(name)
    except NotFoundError:
        stored = None
    before, after = await asyncio.gather(
        engine.recommend(user_id, RecommendationQuery(scenario=stored, in_experiments=False)),
        engine.recommend(user_id, RecommendationQuery(in_experiments=False), scenario=scenario),
    )
    return before, after, moves(before, after)


def moves(before: Answer, after: Answer) -> list[dict[str, Any]]:
    """The items whose rank, or whether they are listed, differs, and why; new ranks first."""
    old = {item.item_id: item for item in before.items}
    new = {item.item_id: item for item in after.items}
    return [
        {
            "item_id": item_id,
            "title": (new.get(item_id) or old[item_id]).title,
            "before": _rank(old.get(item_id)),
            "after": _rank(new.get(item_id)),
            "why": _why(old.get(item_id), new.get(item_id)),
        }
        for item_id in dict.fromkeys((*new, *old))
        if _rank(old.get(item_id)) != _rank(new.get(item_id))
    ]


def _rank(item: RankedItem | None) -> int | None:
    return None if item is None else item.rank


def _why(old: RankedItem | None, new: RankedItem | None) -> str:
    if new is None:
        return "it is filtered out, loses score or makes room for others"
    if new.placed_by is not None:
        return new.placed_by
    parts = old.signals if old is not None else {}
    if old is None:
        raised = {name: new.signals.get(name, 0.0) for name in (RULE, FAIRNESS)}
        said = [f"{name} {value:+.3g}" for name, value in raised.items() if value]
        return ", ".join(said) or "others make room for it"
    changed = {
        name: new.signals.get(name, 0.0) - parts.get(name, 0.0)
        for name in dict.fromkeys((*new.signals, *parts))
    }
    name = max(changed, key=lambda each: abs(changed[each]))
    if abs(changed[name]) <= _LEAST:
        return "others move"
    return f"{name} {changed[name]:+.3g}"
