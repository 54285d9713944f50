"""Lists under scenarios, against scoring every item and filling the places one by one."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend.fairness import fairness_parts
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.explain.contributions import take_apart
from recsvc.graph.rows import LiveItem
from recsvc.recommend.exploring import Exploring
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ruled_list import Newcomer, RuledListing
from recsvc.scenarios.document import Condition, Scenario
from recsvc.scenarios.plan import Plan, Quota, plan_of
from recsvc.snapshot.arrays import Snapshot
from tests.property.made_blends import IDS, made_blend

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = 86_400.0
N_ITEMS = 60
ITEMS = IdMap([f"i{n:02}" for n in range(N_ITEMS)])
COLORS = ["red", "green", "blue"]


@dataclass(frozen=True)
class Shop:
    """Items with a color, a price and an age; those after the first came since the refresh."""

    colors: list[str]
    prices: list[float]
    days: list[float | None]
    available: list[bool]
    seed: int


@st.composite
def shops(draw: st.DrawFn, new: int = 3) -> Shop:
    rng = np.random.default_rng(seed := draw(st.integers(0, 2**32 - 1)))
    n = N_ITEMS + new
    days = [float(d) if d < 90 else None for d in rng.integers(0, 100, n)]
    available = rng.random(n) < draw(st.sampled_from([0.2, 0.9]))
    return Shop(
        rng.choice(COLORS, n).tolist(), rng.integers(1, 10, n).astype(float).tolist(), days,
        available.tolist(), seed,
    )  # fmt: skip


COLOR = st.sampled_from(COLORS)
CONDITION = st.one_of(
    COLOR.map(lambda c: {"property": "color", "equals": c}),
    COLOR.map(lambda c: {"property": "color", "equals": c, "not": True}),
    st.integers(1, 9).map(lambda p: {"property": "price", "range": {"max": p}}),
    st.sampled_from([5, 40]).map(lambda d: {"property": "created_at", "newer_than_days": d}),
)
WHERE = st.lists(CONDITION, min_size=1, max_size=2)
PLACE = st.integers(1, 8)
AMOUNT = st.sampled_from([0.25, 1.0, 8.0])
RULE = st.one_of(
    st.builds(lambda i, p: {"kind": "pin", "item_id": f"i{i:02}", "place": p},
              st.integers(0, N_ITEMS + 3), PLACE),
    st.builds(lambda k, w, a: {"kind": k, "where": w, "amount": a},
              st.sampled_from(["boost", "bury"]), WHERE, AMOUNT),
    st.builds(lambda n, m: {"kind": "at_most", "count": n, "within": m,
                            "same": {"property": "color"}},
              st.integers(0, 3), st.none() | PLACE),
    st.builds(lambda n, w, m: {"kind": "at_most", "count": n, "within": m, "where": w},
              st.integers(0, 3), WHERE, st.none() | PLACE),
    st.builds(lambda n, w, m: {"kind": "at_least", "count": min(n, m), "within": m, "where": w},
              st.integers(1, 3), WHERE, PLACE),
    SHARE := st.builds(
        lambda s, w, m: {"kind": "at_least_share", "share": s, "within": m, "where": w},
        st.sampled_from([0.1, 0.5, 1.0]), WHERE, PLACE,
    ),
)  # fmt: skip
SCENARIO = st.fixed_dictionaries({
    "filters": st.lists(CONDITION, max_size=1),
    "rules": st.lists(RULE, max_size=4),
    "freshness": st.none() | st.just({"amount": 0.5, "half_life_days": 10}),
})  # fmt: skip


def meets(condition: Condition, shop: Shop, row: int) -> bool:
    days = shop.days[row]
    if condition.newer_than_days is not None:
        met = days is not None and days <= condition.newer_than_days
    elif condition.range is not None:
        met = shop.prices[row] <= float(condition.range.max or 0)
    else:
        met = shop.colors[row] == condition.equals
    return met != condition.negated


def live_item(shop: Shop, plan: Plan, row: int) -> LiveItem:
    days = shop.days[row]
    at = None if days is None else NOW.timestamp() - days * DAY
    told = [c.newer_than_days is None and meets(c, shop, row) for c in plan.conditions]
    return LiveItem(
        None, shop.available[row], False, tuple(told),
        tuple((shop.colors[row],) for _ in plan.groups), tuple(at for _ in plan.times),
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """An item of a list."""

    item_id: str
    score: float
    why: str | None


class Asked:
    """A list under a scenario, asked of a shop as the service does."""

    def __init__(
        self,
        shop: Shop,
        scenario: Scenario,
        query: RecommendationQuery,
        exploring: Exploring | None = None,
    ) -> None:
        nodes = tuple(EvidenceNode("item", each, 1.0) for each in list(IDS["item"])[:4])
        ids = {**IDS, "item": ITEMS}
        blend = made_blend(np.random.default_rng(shop.seed), ids)
        self.snapshot = Snapshot(
            {}, ITEMS, IDS["category"], IDS["user"], np.zeros(4, np.int64),
            np.ones(N_ITEMS, np.int64), ("",) * N_ITEMS, np.ones(N_ITEMS, bool),
            sp.csr_matrix((N_ITEMS, 3), dtype=bool), blend,
        )  # fmt: skip
        seen = frozenset(list(ITEMS)[:2])
        self.asker = Asker("u", Evidence(nodes, seen))
        self.plan = plan_of(scenario, NOW)
        self.shop, self.query = shop, query
        self.listing = RuledListing(self.snapshot, self.asker, query, None, self.plan, exploring)
        self.asked = 0
        listing = self.listing
        pinned = [i for i in listing.named_newcomers() if int(i[1:]) < len(shop.colors)]
        listing.add_newcomers({i: self.live(int(i[1:])) for i in pinned})
        while len(rows := listing.unsure()):
            self.asked += len(rows)
            listing.settle(rows, [self.live(row) for row in rows.tolist()])
        if listing.wants_newcomers(listing.exact()):
            new = range(N_ITEMS, len(shop.colors))
            listing.add_newcomers({f"i{n}": self.live(n) for n in new if shop.available[n]})
        self.exact = listing.exact()
        self.shown = [self._shown(place, each) for place, each in enumerate(listing.layout)]

    def live(self, row: int) -> LiveItem:
        return live_item(self.shop, self.plan, row)

    def _shown(self, place: int, each: int | Newcomer) -> Shown:
        why = self.listing.placed_by(place)
        if isinstance(each, Newcomer):
            return Shown(each.item_id, sum(self.listing.parts_of(each, place).values()), why)
        row = int(self.exact.items[each])
        return Shown(ITEMS[row], float(self.exact.scores[each]), why)

    def ids(self) -> list[str]:
        return [each.item_id for each in self.shown]


def raised(plan: Plan, shop: Shop, row: int) -> float:
    met = [meets(c, shop, row) for c in plan.conditions]
    value = sum(amount for where, amount in plan.raises if all(met[c] for c in where))
    days = shop.days[row]
    if plan.freshness is not None and days is not None:
        value += 0.5 * 2.0 ** (-days / 10)
    return value


def eligible(asked: Asked) -> dict[int, float]:
    """The score of every item that may be listed, by its number."""
    shop, plan, query = asked.shop, asked.plan, asked.query
    scored = asked.snapshot.blend.score(asked.asker.evidence)
    blended = take_apart(asked.snapshot.blend, scored, np.arange(N_ITEMS)).scores
    rows = [
        row
        for row in range(N_ITEMS + 3)
        if shop.available[row]
        and (not query.exclude_seen or f"i{row:02}" not in asked.asker.evidence.seen)
        and all(meets(plan.conditions[c], shop, row) for c in plan.filters)
    ]
    scores = {
        row: (float(blended[row]) if row < N_ITEMS else 0.0) + raised(plan, shop, row)
        for row in rows
    }
    pins = {int(i[1:]): place for i, place in plan.pins if int(i[1:]) in scores}
    free = [row for row in rows if row not in pins]
    for quota in plan.lifts:
        met = {row: all(meets(plan.conditions[c], shop, row) for c in quota.where or ())
               for row in rows}  # fmt: skip
        within = quota.within or 0
        pinned = [met[row] for row, place in pins.items() if place <= within]
        parts = fairness_parts(
            np.array([scores[row] for row in free]), np.array([met[row] for row in free], bool),
            quota.count - sum(pinned), within - len(pinned),
        )  # fmt: skip
        scores |= {row: scores[row] + part for row, part in zip(free, parts.tolist(), strict=True)}
    return scores


class Naive:
    """Fills each place after a look at every item."""

    def __init__(self, asked: Asked) -> None:
        self.shop, self.plan = asked.shop, asked.plan
        scores = eligible(asked)
        self.pins = {p: int(i[1:]) for i, p in asked.plan.pins if int(i[1:]) in scores}
        order = sorted(scores, key=lambda row: (-scores[row], row))
        self.free = [row for row in order if row not in self.pins.values()]
        self.at = {row: place for place, row in self.pins.items()}
        self.ids = [self.item(place) for place in range(1, min(asked.query.k, len(order)) + 1)]

    def item(self, place: int) -> int:
        if place in self.pins:
            return self.pins.pop(place)
        if not self.free:
            return self.pins.pop(min(self.pins))
        now = [q for q in self.plan.quotas if q.within is None or place <= q.within]
        due, some = self.due(place, now), self.free
        for quota in now:
            if not quota.at_least or quota in due[:1]:
                some = [row for row in some if self.allowed(quota, row, due)] or some
        chosen = some[0]
        self.free.remove(chosen)
        self.at[chosen] = place
        return chosen

    def due(self, place: int, now: list[Quota]) -> list[Quota]:
        due: list[Quota] = []
        missing = 0
        waiting = [q for q in now if q.at_least and q.count > self.used(q)["it"]]
        for quota in sorted(waiting, key=lambda q: q.within or 0):
            missing += quota.count - self.used(quota)["it"]
            due.append(quota)
            within = quota.within or 0
            if missing >= within - place + 1 - sum(place <= p <= within for p in self.pins):
                return due
        return []

    def allowed(self, quota: Quota, row: int, due: list[Quota]) -> bool:
        if quota.at_least:
            return any(self.counts(each, row) for each in due)
        return all(self.used(quota)[value] < quota.count for value in self.counts(quota, row))

    def used(self, quota: Quota) -> Counter[str]:
        within = quota.within or 10**6
        rows = [row for row, place in self.at.items() if place <= within]
        return Counter(value for row in rows for value in self.counts(quota, row))

    def counts(self, quota: Quota, row: int) -> set[str]:
        if quota.where is None:
            return {self.shop.colors[row]}
        met = all(meets(self.plan.conditions[c], self.shop, row) for c in quota.where)
        return {"it"} if met else set()


SHARES = st.fixed_dictionaries({"rules": st.lists(SHARE, min_size=1, max_size=2)})


def kept(asked: Asked, quota: Quota) -> bool:
    """Whether the list has as many items as a quota says."""
    naive = Naive(asked)
    naive.at = {int(i[1:]): place for place, i in enumerate(asked.ids(), start=1)}
    if quota.at_least:
        return naive.used(quota)["it"] >= quota.count
    return max(naive.used(quota).values(), default=0) <= quota.count


@settings(max_examples=150, deadline=None)
@given(shops(), SCENARIO | SHARES, st.integers(1, 12), st.booleans())
def test_a_list_is_that_of_looking_at_every_item(
    shop: Shop, document: dict[str, Any], k: int, exclude_seen: bool
) -> None:
    scenario = Scenario.model_validate(document)
    asked = Asked(shop, scenario, RecommendationQuery(k=k, exclude_seen=exclude_seen))
    assert [int(i[1:]) for i in asked.ids()] == Naive(asked).ids
    scores = eligible(asked)
    assert len(asked.shown) == min(k, len(scores))
    for each in asked.shown:
        assert each.score == pytest.approx(scores[int(each.item_id[1:])], abs=1e-9)
    told = {note.partition(":")[2].partition(":")[0].strip() for note in asked.listing.notes()}
    for quota in asked.plan.quotas:
        assert (quota.said in told) is not kept(asked, quota)
    by_score = [each.score for each in asked.shown if each.why is None]
    assert by_score == sorted(by_score, reverse=True)
    naive = Naive(asked)
    alone = len([quota for quota in asked.plan.quotas if quota.at_least]) == 1
    for quota in asked.plan.lifts if alone else ():  # of several all need not be possible
        rows = [int(each) for each in naive.ids[: quota.within]]
        had = sum(bool(naive.counts(quota, row)) for row in rows)
        there = sum(bool(naive.counts(quota, row)) for row in scores)
        pins = [int(i[1:]) for i, place in asked.plan.pins if place <= (quota.within or 0)]
        room = len(rows) - sum(not naive.counts(quota, row) for row in pins if row in scores)
        whole = len(rows) == quota.within and not asked.listing.notes()
        assert not whole or had >= min(quota.count, there, room)
    for column in range(len(asked.exact.items)):
        parts = asked.exact.signals(column)
        assert sum(parts.values()) == pytest.approx(asked.exact.scores[column], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(shops(), SCENARIO, st.integers(1, 12), st.sampled_from([0.0, 0.6]))
def test_a_list_is_the_beginning_of_a_longer_one(
    shop: Shop, document: dict[str, Any], k: int, diversity: float
) -> None:
    scenario = Scenario.model_validate(document)
    short, long = (
        Asked(shop, scenario, RecommendationQuery(k=each, diversity=diversity)).ids()
        for each in (k, 12)
    )
    assert short == long[:k]
    assert len(set(long)) == len(long)


def test_few_items_are_asked_where_boosts_are_small() -> None:
    shop = Shop(["red"] * 63, [1.0] * 63, [None] * 63, [True] * 63, 3)
    rules = [{"kind": "bury", "where": [{"property": "color", "equals": "blue"}], "amount": 1.0}]
    asked = Asked(shop, Scenario.model_validate({"rules": rules}), RecommendationQuery(k=3))
    assert asked.asked <= 20


@settings(max_examples=30, deadline=None)
@given(shops(), SCENARIO | SHARES, st.integers(1, 5))
def test_counterfactuals_hold_under_the_same_scenario(
    shop: Shop, document: dict[str, Any], k: int
) -> None:
    scenario = Scenario.model_validate(document)
    query = RecommendationQuery(k=k, explain="full")
    asked = Asked(shop, scenario, query)
    for row, removal in zip(
        asked.exact.items.tolist(), asked.listing.removals(asked.exact), strict=True
    ):
        if removal is None:
            continue
        nodes = [asked.asker.evidence.nodes[p] for p in removal.positions]
        without = tuple((node.kind, node.id) for node in nodes)
        again = Asked(shop, scenario, RecommendationQuery(k=k, without=without)).ids()
        assert ITEMS[row] not in again
        assert ITEMS[removal.replaced_by] in again
