"""A scenario made ready for one moment: what is asked of each item, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from recsvc.blend.fairness import least_items
from recsvc.scenarios.document import (
    AtLeast,
    AtLeastShare,
    AtMost,
    Boost,
    Bury,
    Condition,
    Freshness,
    Pin,
    Same,
    Scenario,
    text_time,
)

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Quota:
    """One rule about how many items of a kind there may be.

    Attributes:
        at_least: else at most.
        count: how many.
        within: among the first so many places; None: in the whole list.
        where: places of its conditions in `Plan.asked`; None where it counts what is shared.
        group: place in `Plan.groups` of what is shared.
        said: the rule in words.
        lifts: whether the items that it counts gain what brings as many as it wants forward.
    """

    at_least: bool
    count: int
    within: int | None
    where: tuple[int, ...] | None
    group: int
    said: str
    lifts: bool = False


@dataclass(frozen=True)  # without slots, which leave no room for what is made once
class Plan:
    """What a scenario does at one moment.

    Attributes:
        name: of the scenario; None for one that is only tried.
        revision: of it.
        document: what it was made from.
        now: the moment, in Unix seconds.
        until: when the next rule begins or ends to count, in Unix seconds; None where none does.
        conditions: what is asked of each item, each once.
        filters: places of the filters among these.
        raises: (places of conditions, amount): what meets them all gains it.
        freshness: see `Freshness`.
        pins: (item id, place), by place.
        quotas: in the order of the document.
        groups: what items may share.
        depth: how many items had to be asked last, by anybody: [1].
    """

    name: str | None
    revision: int | None
    document: Scenario
    now: float
    until: float | None
    conditions: tuple[Condition, ...]
    filters: tuple[int, ...]
    raises: tuple[tuple[tuple[int, ...], float], ...]
    freshness: Freshness | None
    pins: tuple[tuple[str, int], ...]
    quotas: tuple[Quota, ...]
    groups: tuple[Same, ...]
    depth: list[int] = field(default_factory=lambda: [0])

    @cached_property
    def times(self) -> tuple[str, ...]:
        """The properties that are read as times."""
        newer = [c.property for c in self.conditions if c.newer_than_days is not None]
        fresh = [self.freshness.property] if self.freshness is not None else []
        return tuple(dict.fromkeys(name for name in (*newer, *fresh) if name))

    @cached_property
    def most_raised(self) -> float:
        """The most that an item can gain."""
        gained = sum(amount for _, amount in self.raises if amount > 0.0)
        return gained + (self.freshness.amount if self.freshness is not None else 0.0)

    @cached_property
    def key(self) -> str:
        """The same for what asks the same of items."""
        return repr(self.parameters)

    @cached_property
    def lifts(self) -> tuple[Quota, ...]:
        """The quotas whose items gain what brings them forward."""
        return tuple(quota for quota in self.quotas if quota.lifts)

    @property
    def adjusts(self) -> bool:
        """Whether it changes scores after the blend."""
        return bool(self.raises) or self.freshness is not None

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """What `cypher/serve/scenario_items.cypher` is asked."""
        kinds = any(each.category_kind is not None for each in self.groups)
        return {
            "conditions": [_asked(each) for each in self.conditions],
            "groups": [{"name": g.property, "kind": g.category_kind} for g in self.groups],
            "times": list(self.times),
            "above": any(each.category is not None for each in self.conditions),
            "kinds": kinds,
        }

    def matches(self, asked: list[bool], times: list[float | None]) -> list[bool]:
        """Which conditions an item meets, by what the graph says of it."""
        met = list(asked)
        for number, condition in enumerate(self.conditions):
            if condition.newer_than_days is not None:
                at = times[self.times.index(condition.property or "")]
                since = self.now - condition.newer_than_days * _DAY_SECONDS
                met[number] = (at is not None and at >= since) != condition.negated
        return met

    def raised(self, met: list[bool], times: list[float | None]) -> float:
        """What an item gains, below 0 where it loses."""
        value = sum(amount for where, amount in self.raises if all(met[c] for c in where))
        if self.freshness is not None:
            at = times[self.times.index(self.freshness.property)]
            if at is not None:
                days = max(0.0, self.now - at) / _DAY_SECONDS
                value += self.freshness.amount * 2.0 ** (-days / self.freshness.half_life_days)
        return value


def plan_of(
    scenario: Scenario,
    now: datetime,
    *,
    name: str | None = None,
    revision: int | None = None,
    depth: list[int] | None = None,
) -> Plan:
    """What a scenario does at a moment.

    Args:
        scenario: the document.
        now: the moment.
        name: of the scenario.
        revision: of it.
        depth: see `Plan.depth`.
    """
    asked = _Asked()
    filters = asked.places(scenario.filters)
    rules = [rule for rule in scenario.rules if rule.counts_at(now)]
    pins = [(rule.item_id, rule.place) for rule in rules if isinstance(rule, Pin)]
    raises = tuple(asked.raised(rule) for rule in rules if isinstance(rule, Boost | Bury))
    quotas = tuple(asked.quota(rule) for rule in rules if not isinstance(rule, Pin | Boost | Bury))
    return Plan(
        name, revision, scenario, now.timestamp(), scenario.next_boundary(now),
        tuple(asked.conditions), filters, raises, scenario.freshness, _by_place(pins),
        quotas, tuple(asked.groups), [0] if depth is None else depth,
    )  # fmt: skip


class _Asked:
    """What is asked of each item, each once.

    Attributes:
        conditions: by their places.
        groups: what items may share, by its place.
    """

    def __init__(self) -> None:
        self.conditions: list[Condition] = []
        self.groups: list[Same] = []
        self._places: dict[str, int] = {}

    def places(self, where: list[Condition]) -> tuple[int, ...]:
        """Places of some conditions."""
        return tuple(map(self._place, where))

    def _place(self, condition: Condition) -> int:
        place = self._places.setdefault(condition.model_dump_json(), len(self.conditions))
        if place == len(self.conditions):
            self.conditions.append(condition)
        return place

    def _group(self, same: Same) -> int:
        if same not in self.groups:
            self.groups.append(same)
        return self.groups.index(same)

    def raised(self, rule: Boost | Bury) -> tuple[tuple[int, ...], float]:
        """An entry of `Plan.raises`."""
        return self.places(rule.where), rule.amount if isinstance(rule, Boost) else -rule.amount

    def quota(self, rule: AtMost | AtLeast | AtLeastShare) -> Quota:
        """An entry of `Plan.quotas`."""
        where = None if rule.where is None else self.places(rule.where)
        same = rule.same if isinstance(rule, AtMost) else None
        lifts = isinstance(rule, AtLeastShare)
        return Quota(
            at_least=not isinstance(rule, AtMost),
            count=least_items(rule.share, rule.within) if lifts else rule.count,
            within=rule.within,
            where=where,
            group=-1 if same is None else self._group(same),
            said=_said(rule),
            lifts=lifts,
        )


def _by_place(pins: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Each item once and each place once: where one is taken, the next free one."""
    taken: dict[int, str] = {}
    for item_id, place in pins:
        if item_id in taken.values():
            continue
        while place in taken:
            place += 1
        taken[place] = item_id
    return tuple((taken[place], place) for place in sorted(taken))


def _said(rule: AtMost | AtLeast | AtLeastShare) -> str:
    same = rule.same if isinstance(rule, AtMost) else None
    if isinstance(rule, AtLeastShare):
        many = f"at least {100 * rule.share:g}%"
    else:
        many = f"{'at least' if isinstance(rule, AtLeast) else 'at most'} {rule.count}"
    if rule.where is not None:
        what = f"with {' and '.join(each.said() for each in rule.where)}"
    else:
        what = f"of the same {(same and (same.property or same.category_kind)) or ''}"
    return f"{many} {what}{f' in the first {rule.within}' if rule.within else ''}"


def _asked(condition: Condition) -> dict[str, Any]:
    """A condition as the query takes it."""
    asked: dict[str, Any] = {
        "name": condition.property, "op": "none", "values": [], "low": None, "high": None,
        "low_at": None, "high_at": None, "negated": condition.negated,
    }  # fmt: skip
    if condition.category is not None:
        asked |= {"op": "category", "values": condition.category}
    elif condition.exists is not None:
        asked |= {"op": "exists", "negated": condition.negated == condition.exists}
    elif condition.range is not None:
        low, high = condition.range.min, condition.range.max
        asked |= {"op": "range", "low": low, "high": high}
        asked |= {"low_at": text_time(low), "high_at": text_time(high)}
    elif condition.newer_than_days is None:
        values = [condition.equals] if condition.in_ is None else condition.in_
        times = [at for at in map(text_time, values) if at is not None]
        asked |= {"op": "in", "values": [*values, *times]}
    return asked
