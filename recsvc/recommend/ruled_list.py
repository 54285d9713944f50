"""The list for one request under a scenario. Reads nothing.

Which items meet the conditions of a scenario is asked of the graph, for the best items by the blend
first. No item can gain more than all boosts together. So once every place is filled by an item
with a score above

    max blend score of what was not asked + Σ boosts,

no other item belongs into the list, and what was not asked need not be. Where a quota cannot be
kept, or too few items are left, all have been asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.fairness import FAIRNESS
from recsvc.blend.ranking import best_items, sort_by_score
from recsvc.blend.scored_user import ScoredUser
from recsvc.explain.contributions import ExactScores
from recsvc.graph.rows import CategoryScope, LiveItem
from recsvc.outcomes.fatigue import FATIGUE
from recsvc.recommend.candidates import Candidates, Ruled
from recsvc.recommend.exploring import EXPLORATION, NEXT, Explorer, Exploring
from recsvc.recommend.group_shares import lifted
from recsvc.recommend.newcomers import Newcomer, Newcomers
from recsvc.recommend.pins import Pins
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing, reach
from recsvc.recommend.tried_out import Tried, try_out
from recsvc.scenarios.facts import Facts
from recsvc.scenarios.plan import Plan
from recsvc.snapshot.arrays import Snapshot

RULE = "rule"
"""Name of the part of a score that rules and freshness add."""

_ROUNDING = 1e-5
"""Scores that are nearer than this share of theirs may be ordered otherwise in float32."""
_MOST_AT_ONCE = 20_000
_MOST_DEPTH = 5_000


class RuledListing(Listing):
    """The list for one request under a scenario.

    Attributes:
        plan: what the scenario does now.
        explorer: what may be tried out; None where nothing may.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        asker: Asker,
        query: RecommendationQuery,
        scope: CategoryScope | None,
        plan: Plan,
        exploring: Exploring | None = None,
    ) -> None:
        super().__init__(snapshot, asker, query, scope)
        self.plan = plan
        self.explorer = None if exploring is None else Explorer(snapshot, asker, exploring)
        self._facts = Facts(plan, len(snapshot.items))
        self._floor = np.inf
        self._in_order = 0
        self._ruled: Ruled | None = None
        self._new = Newcomers(self._facts, self.fades)
        self._pins = Pins(plan, snapshot)

    def without_rules(self) -> Listing:
        """The list without the scenario, where nobody can tell what its conditions ask."""
        asker = replace(self.asker, degraded=(*self.asker.degraded, "scenario"))
        return Listing(self.snapshot, asker, self.query, self.scope)

    def of_length(self, k: int) -> "RuledListing":
        """The list of another length, not settled, without what is tried out."""
        query = replace(self.query, k=k)
        return RuledListing(self.snapshot, self.asker, query, self.scope, self.plan)

    def named_newcomers(self) -> list[str]:
        """Items that the snapshot lacks and that are pinned or may be tried out."""
        left_out, items = self.left_out_ids(), self.snapshot.items
        tried = self.explorer.newcomers if self.explorer is not None else ()
        named = dict.fromkeys((*(item_id for item_id, _ in self.plan.pins), *tried))
        return [i for i in named if items.row(i) < 0 and i not in left_out]

    def unsure(self) -> Int64[NDArray[np.int64], " n"]:
        """Items that have to be asked about before the list is certain; none where it is."""
        asked = self._first_asked() if not self._in_order else np.zeros(0, np.int64)
        while not len(asked):
            self._ruled = self._rule(self.scored, self._may_come_now())
            if self._is_certain(self._ruled):
                self.plan.depth[0] = min(self._in_order, _MOST_DEPTH)
                break
            rows = self._reach_further()
            asked = np.sort(rows[~self._asked[rows]])
        return asked

    def _first_asked(self) -> Int64[NDArray[np.int64], " n"]:
        pins = [row for row, _ in self._pins.rows if row >= 0 and self._wanted[row]]
        more = [self._reach_further(), np.array(pins, np.int64)]
        if self.explorer is not None:
            pool = np.append(self.explorer.cold, self._near(self.scored, self._wanted))
            more.append(pool[self._wanted[pool]])
        if self.query.explain == "full":
            # Without all of their evidence somebody gets what is popular: removals have to know.
            likely = self._wanted & self._there
            more.append(best_items(self.snapshot.blend.prior, likely, self._pool))
        return np.unique(np.concatenate(more))

    def _reach_further(self) -> Int64[NDArray[np.int64], " n"]:
        """The best of what was not reached yet in the order of the scores."""
        left = self._wanted & ~self._assumed
        count = self._step(left)
        rows = self.scored.best(left, count)
        self._assumed[rows] = True
        self._in_order += max(1, len(rows))
        whole = len(rows) < count or len(rows) == int(left.sum())  # fewer: others are on no shard
        self._floor = -np.inf if whole else float(self.scored.exact(rows[-1:])[0])
        return rows

    def _step(self, left: Bool[NDArray[np.bool_], " items"]) -> int:
        """How many more items are asked about."""
        if not self._in_order:  # removals have to know what comes in after the list
            spare = self._spare if self.query.explain == "full" else 0
            return max(self._pool + spare, self.plan.depth[0])
        step, ruled = 3 * self._in_order, self._ruled
        if ruled is None or self.scored.bounds is not None or not ruled.enough:
            return step
        least = ruled.deepest - self.plan.most_raised
        floor = float(np.float32(least - self._tie(least)))
        near = self.scored.count_before(left, floor, len(left))
        return min(near + 1, _MOST_AT_ONCE)

    def _is_certain(self, ruled: Ruled) -> bool:
        if self._floor == -np.inf:
            return True
        most = self._floor + self.plan.most_raised
        return ruled.enough and not ruled.placed.relaxed and ruled.deepest > most + self._tie(most)

    @staticmethod
    def _tie(score: float) -> float:
        return _ROUNDING * max(1e-3, abs(score)) if np.isfinite(score) else 0.0

    def settle(self, rows: Int64[NDArray[np.int64], " n"], live: Sequence[LiveItem | None]) -> bool:
        """Take in what some items are now."""
        self._facts.take(rows.tolist(), live)
        if self.plan.pins:
            ids = [self.snapshot.items[row] for row in rows.tolist()]
            self._pins.take({i: item for i, item in zip(ids, live, strict=True) if item})
        return super().settle(rows, live)

    def add_newcomers(self, items: dict[str, LiveItem]) -> None:
        """Take in items that came since the refresh."""
        self._pins.take(items)
        self._new.take(items)
        self._ruled = self._rule(self.scored, self._may_come_now())

    def wants_newcomers(self, exact: ExactScores) -> bool:
        """Whether items that came since the refresh may belong into this list."""
        if self.newcomers is not None or self._ruled is None:
            return False
        if self.query.explain == "full":
            return True  # without some evidence one may come in
        short = not self._ruled.enough or bool(self._ruled.placed.relaxed)
        return short or self._ruled.deepest <= self.plan.most_raised

    def exact(self) -> ExactScores:
        """The items of the list that have a score, in its order, taken apart."""
        assert self._ruled is not None
        return self._told(self._ruled.exact)

    def exact_of(self, row: int) -> ExactScores:
        """One item with what rules add, its score taken apart; with all parts where it is listed.

        An item that is not listed has to be settled.
        """
        assert self._ruled is not None
        listed = np.flatnonzero(self._ruled.exact.items == row)
        if len(listed):
            return self._told(self._ruled.exact.take(listed))
        exact = self._taken_apart(self.scored, np.array([row]))
        if self.plan.adjusts:
            exact = exact.adjusted(RULE, self._facts.raised(exact.items))
        return self._told(exact)

    def listed_at(self, item_id: str) -> int | None:
        """The place of an item, from 1; None where it is not listed."""
        ids = self._listed_ids()
        return ids.index(item_id) + 1 if item_id in ids else None

    def _listed_ids(self) -> list[str]:
        assert self._ruled is not None
        items, listed = self.snapshot.items, self._ruled.exact.items
        return [
            each.item_id if isinstance(each, Newcomer) else items[int(listed[each])]
            for each in self.layout
        ]

    def newcomer(self, item_id: str) -> Newcomer | None:
        """An item that came since the refresh and may be listed; None where it is none."""
        return self._new.find(item_id)

    def look_at(self, item_id: str, live: LiveItem) -> Newcomer:
        """Take in an item that came since the refresh and may not be listed."""
        return self._new.look_at(item_id, live)

    def place(self, row: int) -> int:
        """The rank by score of an item that is not listed, by its row in the facts.

        See `Listing.place`; what nobody was asked about counts by the blend.
        """
        every = np.arange(len(self.snapshot.items))
        new = dict(zip(self._new.ids, self._new.scores(), strict=True))
        after = self._facts.raised(every)
        if self.faded is not None:
            after = after + self.faded
        if row < len(every):
            own = float(self.scored.at(np.array([row]))[0] + after[row])
        else:
            own = self._new.score_at(row)
        may = self._wanted & self._there & (self._facts.passes[: len(every)] | ~self._asked)
        before = self.scored.count_before(may, own, row, after)
        return before + int(sum(score > own for score in new.values())) + 1

    def refusals(self, row: int) -> tuple[str, ...]:
        """Which filters an item does not meet, by its row in the facts."""
        refused = self._facts.refused(np.array([row]))
        said = (self.plan.conditions[each].said() for each in self.plan.filters)
        return tuple(
            f"filter {each}: leaves out this item"
            for each, number in zip(said, refused, strict=True)
            if number
        )

    @property
    def layout(self) -> tuple[int | Newcomer, ...]:
        """What stands at each place: a column of `exact`, or a newcomer."""
        assert self._ruled is not None
        return tuple(
            each if each >= 0 else self._new.listed[-1 - each] for each in self._ruled.order
        )

    def placed_by(self, place: int) -> str | None:
        """Why an item stands at a place, from 0; None where its score is the reason."""
        assert self._ruled is not None
        return self._ruled.placed.reasons.get(place)

    def parts_of(self, newcomer: Newcomer, place: int) -> dict[str, float]:
        """What rules add to a newcomer at a place, from 0, by the name of the part."""
        assert self._ruled is not None
        parts: dict[str, float] = {}
        if self.plan.adjusts:
            parts[RULE] = float(self._facts.raised(np.array([newcomer.row]))[0])
        if newcomer.item_id in self.asker.shown:
            parts[FATIGUE] = self.fades(newcomer.item_id)
        if self.plan.lifts and newcomer in self._new.listed:
            parts[FAIRNESS] = self._ruled.of_new[self._new.listed.index(newcomer)]
        if self._ruled.tried is not None:
            parts[EXPLORATION] = self._ruled.tried.gains.get(place, 0.0)
        return parts

    @property
    def tried(self) -> Tried | None:
        """What the list tries out; None where nothing may be."""
        return None if self._ruled is None else self._ruled.tried

    def notes(self) -> tuple[str, ...]:
        """What somebody who wrote the scenario wants to know of this list."""
        assert self._ruled is not None
        notes = [f"not kept: {each}" for each in self._ruled.placed.unkept]
        if self.plan.pins:
            notes += self._pins.left_out(self._listed_ids(), self)
        if len(self._ruled.order) < self.query.k and self.plan.filters:
            rows = np.flatnonzero(self._asked & self._wanted & self._there)
            rows = np.append(rows, [*self._new.looked_at.values()]).astype(np.int64)
            notes += self._left_by_filters(rows)
        signals = {signal.name for signal in self.snapshot.blend.signals} | {"base"}
        unknown = sorted(self.plan.document.weights.keys() - signals)
        if self._facts.deep:
            notes.append("categories: more than 10 levels are above some items, 10 are looked at")
        return (*notes, *(f"weights: no signal {name!r} in this version" for name in unknown))

    def _left_by_filters(self, rows: Int64[NDArray[np.int64], " n"]) -> list[str]:
        """How many of some items each filter leaves, and all of them together."""
        filters, every = self.plan.filters, len(rows)
        said = [
            f"filter {self.plan.conditions[each].said()}: leaves {every - refused} of {every} items"
            for each, refused in zip(filters, self._facts.refused(rows), strict=True)
        ]
        if len(said) > 1:
            left = int(self._facts.passes[rows].sum())
            said.append(f"filters together: leave {left} of {every} items")
        return said

    @property
    def _plain(self) -> bool:
        return False

    def _may_come_now(self) -> Bool[NDArray[np.bool_], " items"]:
        return self._wanted & self._asked & self._there & self._facts.passes[: len(self._there)]

    @property
    def _allowed(self) -> Bool[NDArray[np.bool_], " items"]:
        passes = self._facts.passes[: len(self._there)]
        return self._wanted & ((self._there & passes) | ~self._asked)

    def _ranked(
        self, scored: ScoredUser, allowed: Bool[NDArray[np.bool_], " items"]
    ) -> ExactScores:
        """The list by other scores; last an item that may be in it and was not asked about."""
        ruled = self._rule(scored, allowed & self._asked, self.tried)
        unasked = scored.best(allowed & ~self._asked, 1)
        if len(unasked):
            most = float(scored.exact(unasked)[0]) + self.plan.most_raised
            certain = ruled.enough and not ruled.placed.relaxed
            if not certain or ruled.deepest <= most + self._tie(most):
                items = np.append(ruled.exact.items, unasked)
                return self._taken_apart(scored, items)
        return ruled.exact

    def _fixed(
        self, rows: Int64[NDArray[np.int64], " m"], drawn: Tried | None
    ) -> Mapping[int, int] | None:
        """Which of some items are tried out, by place, where that was drawn before."""
        assert self.explorer is not None
        again, number = self.explorer.again, {row: n for n, row in enumerate(rows.tolist())}
        if drawn is not None:
            before = drawn.rows
        elif again is not None:
            new, items = self._new.ids, self.snapshot.items
            before = again.rows({row: new[row] if row in new else items[row] for row in number})
        else:
            return None
        return {place: number[row] for place, row in before.items() if row in number}

    def _rule(
        self,
        scored: ScoredUser,
        may: Bool[NDArray[np.bool_], " items"],
        drawn: Tried | None = None,
    ) -> Ruled:
        """Fill the places from the items that may come, and the newcomers.

        Args:
            scored: the scores.
            may: which items may come.
            drawn: what is tried out; None where that is not drawn yet.
        """
        explorer, k = self.explorer, self.query.k
        filled = k if explorer is None else max(k, explorer.document.within)
        made_of, least = self._candidates(scored, may)
        placed, tried = made_of.fill(filled, made_of.pins), None
        deepest = min(placed.lowest, least)
        enough = len(placed.order) == filled and least > -np.inf
        if self.query.diversity:
            best = made_of.scores[: reach(filled)]
            enough = enough and len(best) == reach(filled)
            deepest = min([deepest, *best[-1:].tolist()])
        if explorer is not None:
            if k < filled:  # what is said of quotas is about the list that is shown
                placed = replace(placed, unkept=made_of.fill(k, made_of.pins).unkept)
            near = self._near(scored, self._wanted & ~(self._may_come_now() & ~may))
            placed, tried = try_out(
                explorer, made_of, placed, near, self._new_to_try(), k,
                partial(self._fixed, drawn=drawn),
            )  # fmt: skip
        alike = bool(self.query.diversity)
        return made_of.laid_out(placed, deepest, tried, enough=enough, alike=alike)

    def _candidates(
        self, scored: ScoredUser, may: Bool[NDArray[np.bool_], " items"]
    ) -> tuple[Candidates, float]:
        """What places are filled from, and the lowest score that shares of groups depend on."""
        known, new, pinned = np.flatnonzero(may), self._new.rows, self._pinned_rows()
        exact = self._taken_apart(scored, known)
        if self.plan.adjusts:
            exact = exact.adjusted(RULE, self._facts.raised(known))
        scores, rows = np.append(exact.scores, self._new.scores()), np.append(known, new)
        gained, least = lifted(self.plan, self._facts, rows, scores, dict(pinned))
        if self.plan.lifts:
            exact, scores = exact.adjusted(FAIRNESS, gained[: len(known)]), scores + gained
        order = sort_by_score(np.arange(len(scores)), scores)
        rows, scores = rows[order], scores[order]
        position_of = {row: n for n, row in enumerate(rows.tolist())}
        pins = {place: position_of[row] for row, place in pinned if row in position_of}
        weight, vectors = 0.0, None
        if self.query.diversity:
            weight, vectors = self._diversity(known, len(new), scores, order)
        counted, of_new = self._facts.counted(rows), tuple(gained[len(known) :].tolist())
        made_of = Candidates(rows, scores, order, exact, pins, counted, weight, vectors, of_new)
        return made_of, least

    def _new_to_try(self) -> Int64[NDArray[np.int64], " n"]:
        """The items that came since the refresh and may be tried out."""
        assert self.explorer is not None
        named = frozenset(self.explorer.newcomers)
        return np.array([r for r, item_id in self._new.ids.items() if item_id in named], np.int64)

    def _near(
        self, scored: ScoredUser, wanted: Bool[NDArray[np.bool_], " items"]
    ) -> Int64[NDArray[np.int64], " m"]:
        """The best items by the blend: the places where something may be tried out, and more."""
        assert self.explorer is not None
        return scored.best(wanted, self.explorer.document.within + NEXT)

    def _pinned_rows(self) -> list[tuple[int, int]]:
        rows = {item_id: row for row, item_id in self._new.ids.items()}
        return [
            (row if row >= 0 else rows.get(item_id, -1), place)
            for (item_id, _), (row, place) in zip(self.plan.pins, self._pins.rows, strict=True)
        ]

    def _diversity(
        self,
        rows: Int64[NDArray[np.int64], " n"],
        newcomers: int,
        scores: Float64[NDArray[np.float64], " m"],
        order: Int64[NDArray[np.int64], " m"],
    ) -> tuple[float, Any]:
        """What an item loses that is just like one above it, and what tells how alike they are."""
        near = scores[: reach(0)]
        weight = self.query.diversity * float(np.ptp(near)) if len(near) else 0.0
        vectors = self._vectors(rows)
        vectors = np.pad(vectors, ((0, newcomers), (0, 0)))
        return weight, vectors[order]
