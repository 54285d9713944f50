"""From an asker's evidence to the list: what may be in it, in which order, and why. Reads nothing.

The same steps make the list again without some evidence, so that a counterfactual is what asking
again would show.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.ranking import best_items, maximal_marginal_relevance, sort_by_score
from recsvc.blend.scored_user import ScoredUser
from recsvc.evidence import Evidence
from recsvc.explain.contributions import DIVERSITY, ExactScores, take_apart
from recsvc.explain.counterfactual import Removal, find_removals
from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed
from recsvc.graph.rows import CategoryScope, LiveItem
from recsvc.outcomes.fatigue import FATIGUE, SPREAD_ITEMS
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.snapshot.arrays import Snapshot

_SPARE = 5
_SPARE_FOR_REMOVALS = 100
_RANKED_AGAIN = 64
"""How often a counterfactual of a list of a usual length may rank all items again."""
_FEW_ITEMS = 100
_DIVERSE_POOL = 100
_DIVERSE_FACTOR = 5
_MOST_BEFORE = 1_000
_ROUNDING = 1e-5
"""Scores that are nearer than this share of theirs may be ordered otherwise in float32."""
_FEW_MEMBERS = 2_000
_MANY_MEMBERS = 20_000
"""Items of a category that are read in any case, and where counterfactuals are wanted: these have
to know which items are in it."""


class Listing:
    """The list for one request.

    What changes at any time is asked of the graph for each answer: `assume` names items, `settle`
    is told what they are. What the snapshot holds of it is a guess that saves round trips.

    Attributes:
        snapshot: what it is made from.
        asker: for whom, without what the query leaves out.
        query: what is asked for.
        scope: what its categories mean now; None where it names none, or nobody could tell.
        scored: the scores of all items by the blend.
        faded: what each item loses by having been shown, at most 0; None where none does.
        newcomers: (id, title) of items that may be listed and have no score before the next
            refresh; None where nobody has looked for them.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        asker: Asker,
        query: RecommendationQuery,
        scope: CategoryScope | None = None,
    ) -> None:
        self.snapshot = snapshot = snapshot.for_one_list()
        self.asker = asker.without(query.without)
        self.query = query
        self.scope = scope
        self.scored = snapshot.blend.score(self.asker.evidence)
        self._pool = reach(query.k) if query.diversity else query.k + _SPARE
        self._whole_evidence = asker.evidence
        self.faded = self._what_fades()
        if self.faded is not None:  # of so many more by the blend the best of the list are sure
            self._pool += int(np.count_nonzero(self.faded))
        self._spare = _SPARE_FOR_REMOVALS if query.explain == "full" else _SPARE
        self.newcomers: tuple[tuple[str, str | None], ...] | None = None
        self.by_anybody = False
        self._titles: dict[int, str | None] = {}
        self._wanted = self._may_be_listed()
        self._there = np.array(snapshot.available)
        if self.asks_inside:
            self._there &= self._in_categories_at_refresh()
        self._assumed = np.zeros(len(self._there), bool)
        self._asked = self._assumed.copy()

    @property
    def lacks_shards(self) -> bool:
        """Whether a shard did not answer, so that its items are left out."""
        shards = self.snapshot.blend.shards
        return shards is not None and bool(shards.away)

    @property
    def asks_inside(self) -> bool:
        """Whether each item has to be asked if it is in the categories: they have too many."""
        return self.scope is not None and self.scope.items is None

    def assume(self) -> Int64[NDArray[np.int64], " n"]:
        """Take enough of the best items to be there if they were at the refresh.

        Returns:
            Those that have not been asked about before: to be asked about.
        """
        new: list[Int64[NDArray[np.int64], " n"]] = []
        if self.query.explain == "full" and not self._asked.any():
            # Without all of their evidence somebody gets what is popular: removals have to know.
            likely = self._wanted & self._there
            new.append(best_items(self.snapshot.blend.prior, likely, self._pool))
            self._asked[new[0]] = True
        step = self._spare
        while (missing := self._pool - int((self._allowed & self._assumed).sum())) > 0:
            wanted = self._wanted & ~self._assumed
            rows = self.scored.best(wanted, missing + step)
            if not len(rows):
                break
            self._assumed[rows] = self._asked[rows] = True
            new.append(rows)
            step *= 2
        self._spare *= 2  # the more often a guess was wrong, the more is asked at once
        return np.unique(np.concatenate([np.zeros(0, np.int64), *new]))

    def settle(self, rows: Int64[NDArray[np.int64], " n"], live: Sequence[LiveItem | None]) -> bool:
        """Take in what some items are now; whether that was assumed.

        Args:
            rows: of the items.
            live: each of them; None for one that does not exist.
        """
        there = np.array([self._may_come(item) for item in live], bool)
        right = bool((self._there[rows] == there).all())
        self._there[rows] = there
        self._asked[rows] = True
        self._titles |= {
            row: item.title for row, item in zip(rows.tolist(), live, strict=True) if item
        }
        return right

    def _may_come(self, item: LiveItem | None) -> bool:
        return item is not None and item.available and (item.inside or not self.asks_inside)

    def title(self, row: int) -> str | None:
        """The title of an item now; as at the refresh where nobody could tell."""
        return self._titles.get(row, self.snapshot.titles[row] or None)

    def wants_newcomers(self, exact: ExactScores) -> bool:
        """Whether items that came since the refresh belong into this list: nothing speaks for them.

        They do where it is too short without them, or has items that more speaks against than for.
        """
        few = len(exact.items) < self.query.k
        return self.newcomers is None and (few or bool((exact.undiversified < 0).any()))

    def seen_ids(self) -> frozenset[str]:
        """Ids of the items that are not to be listed because of what the user did with them."""
        evidence = self.asker.evidence
        return evidence.seen if self.query.exclude_seen else evidence.hidden

    def left_out_ids(self) -> frozenset[str]:
        """Ids of the items that are not to be listed: seen, or named by the query."""
        query = self.query
        named = (node_id for kind, node_id in query.without if kind == "item")
        return self.seen_ids().union(query.exclude, named)

    def exact(self) -> ExactScores:
        """The list, best first, its scores taken apart."""
        return self._told(self._ranked(self.scored, self._allowed & self._assumed))

    def passed_over(self, most: int) -> Int64[NDArray[np.int64], " n"] | None:
        """What is not to be listed, though it scores as high as what the list is chosen from.

        Args:
            most: how many items at most; None is returned where there are more.
        """
        pool = self.scored.best(self._allowed & self._assumed, self._pool)
        rows = self.scored.best(~self._allowed, most + 1)
        if len(pool) == self._pool:
            least = float(self.scored.at(pool).min())
            rows = rows[self.scored.at(rows) >= least - _ROUNDING * abs(least)]
        return rows if len(rows) <= most else None

    def exact_of(self, row: int) -> ExactScores:
        """One item, listed or not, its score taken apart."""
        return self._told(self._taken_apart(self.scored, np.array([row])))

    def _told(self, exact: ExactScores) -> ExactScores:
        """The same with what each piece of evidence adds, where that is explained."""
        if self.query.explain == "none":
            return exact
        return exact.with_terms(self.snapshot.blend, self.scored)

    @property
    def _allowed(self) -> Bool[NDArray[np.bool_], " items"]:
        """What may be listed, as far as that is known or assumed."""
        # What was unavailable when it was last seen may be back: what exists now decides.
        return self._wanted & (self._there | ~self._asked)

    @property
    def eligible(self) -> Bool[NDArray[np.bool_], " items"]:
        """What may be listed, as far as that is known."""
        return self._allowed & self._there

    def before(self, score: float) -> Int64[NDArray[np.int64], " n"]:
        """The best items that may come before one of this score: its place depends on them."""
        best = self.scored.best(self._wanted, _MOST_BEFORE)
        return best[self.scored.at(best) >= np.float32(score)]

    def before_row(self, row: int) -> Int64[NDArray[np.int64], " n"]:
        """The best items that may come before one item."""
        return self.before(self.score_of(row))

    def place(self, row: int) -> int:
        """The rank of an item by its score, whether it may be listed or not.

        It counts what is there, of what nobody was asked about what was there at the refresh.
        """
        may = self._wanted & self._there
        return self.scored.count_before(may, self.score_of(row), row, self.faded) + 1

    def place_of_newcomer(self, item_id: str, others: Iterable[str]) -> int:
        """The rank of an item that has no score yet, but for what it loses by having been shown.

        Args:
            item_id: the item.
            others: ids of other such items that may be listed.
        """
        own = self.fades(item_id)
        may, every = self._wanted & self._there, len(self._wanted)
        before = self.scored.count_before(may, own, every, self.faded)
        key = (-own, item_id)
        return before + sum((-self.fades(o), o) < key for o in others) + 1

    def fades(self, item_id: str) -> float:
        """What an item that came since the refresh loses by having been shown, at most 0."""
        shown = self.asker.shown.get(item_id)
        return 0.0 if shown is None else -self._spread_of_scores * shown.loss

    @property
    def most_newcomers(self) -> int:
        """So many of the newcomers, the first by their ids, are enough to fill the list."""
        items = self.snapshot.items
        return self.query.k + sum(items.row(item_id) < 0 for item_id in self.asker.shown)

    def leave_one_out(
        self, items: Int64[NDArray[np.int64], " k"]
    ) -> tuple[Listed, LeaveOneOutScores]:
        """Some items as the list, and the scores near it when some of the evidence is left out."""
        nodes, rows = self.asker.evidence.nodes, self.snapshot.items
        own = [rows.row(node.id) if node.kind == "item" else -1 for node in nodes]
        known = self._asked | ~self._wanted
        listed = Listed(items, self._allowed, known, np.array(own, np.int64), self.faded)
        blend, evidence = self.snapshot.blend, self.asker.evidence
        return listed, LeaveOneOutScores(blend, evidence, self.scored, listed)

    def removals(self, exact: ExactScores) -> tuple[Removal | None, ...]:
        """For each item of the list, without which evidence it would not be in it."""
        if not len(exact.items):
            return ()
        listed, leave_one_out = self.leave_one_out(exact.items)
        blend, evidence = self.snapshot.blend, self.asker.evidence

        def rank_again(positions: Int64[NDArray[np.int64], " n"]) -> Int64[NDArray[np.int64], " k"]:
            allowed = listed.allowed.copy()
            gone = listed.own[positions]
            allowed[gone[gone >= 0]] = False
            left = np.delete(np.arange(len(evidence.nodes)), positions).tolist()
            scored = blend.score(Evidence(tuple(evidence.nodes[p] for p in left), evidence.seen))
            return self._ranked(scored, allowed).items

        budget = _RANKED_AGAIN if len(exact.items) <= _FEW_ITEMS else _RANKED_AGAIN // 4
        return find_removals(leave_one_out, listed, rank_again, plain=self._plain, budget=budget)

    @property
    def _plain(self) -> bool:
        """Whether the list is in the order of the blend's scores."""
        return not self.query.diversity

    def _may_be_listed(self) -> Bool[NDArray[np.bool_], " items"]:
        allowed = self._in_categories()
        rows = self.snapshot.items.rows(sorted(self.left_out_ids()))
        allowed[rows[rows >= 0]] = False
        return allowed

    def _in_categories(self) -> Bool[NDArray[np.bool_], " items"]:
        """What may be in the categories of the query, which is all where each item is asked."""
        if not self.query.categories or self.asks_inside:
            return np.ones(len(self.snapshot.items), bool)
        if self.scope is None or self.scope.items is None:
            return self._in_categories_at_refresh()
        rows = self.snapshot.items.rows(sorted(self.scope.items))
        inside = np.zeros(len(self.snapshot.items), bool)
        inside[rows[rows >= 0]] = True
        return inside

    def _in_categories_at_refresh(self) -> Bool[NDArray[np.bool_], " items"]:
        snapshot = self.snapshot
        wanted = snapshot.categories.rows(self.query.categories)
        return np.asarray(snapshot.in_category[:, wanted[wanted >= 0]].getnnz(axis=1) > 0)

    def _ranked(
        self, scored: ScoredUser, allowed: Bool[NDArray[np.bool_], " items"]
    ) -> ExactScores:
        rows = np.sort(scored.best(allowed, self._pool))
        exact = self._taken_apart(scored, rows)
        if not self.query.diversity:
            return exact.take(sort_by_score(rows, exact.scores)[: self.query.k])
        exact = exact.take(sort_by_score(rows, exact.scores)[: reach(self.query.k)])
        scores = exact.scores
        near = scores[:_DIVERSE_POOL]
        weight = self.query.diversity * float(np.ptp(near)) if len(near) else 0.0
        vectors = self._vectors(exact.items)
        order, similarity = maximal_marginal_relevance(
            scores, vectors, self.query.k, weight, reach=reach
        )
        return exact.take(order).adjusted(DIVERSITY, -weight * similarity)

    def _taken_apart(self, scored: ScoredUser, rows: Int64[NDArray[np.int64], " n"]) -> ExactScores:
        """The scores of some items, with what they lose by having been shown."""
        exact = take_apart(self.snapshot.blend, scored, rows)
        return exact if self.faded is None else exact.adjusted(FATIGUE, self.faded[rows])

    def _what_fades(self) -> Float64[NDArray[np.float64], " items"] | None:
        """What each item loses by having been shown; None where none does."""
        shown = self.asker.shown
        rows = self.snapshot.items.rows([*shown])
        if not (rows >= 0).any():
            return None
        faded = np.zeros(len(self.snapshot.items))
        loss = np.array([each.loss for each in shown.values()])
        faded[rows[rows >= 0]] = -self._spread_of_scores * loss[rows >= 0]
        return faded

    @cached_property
    def _spread_of_scores(self) -> float:
        """The unit of what is lost by having been shown.

        Evidence that the query leaves out counts for it: so the same items lose as much when it is
        asked again without some.
        """
        scored = self.scored
        if self.query.without:
            scored = self.snapshot.blend.score(self._whole_evidence)
        best = scored.best(np.ones(len(self.snapshot.items), bool), SPREAD_ITEMS)
        if not len(best):  # no shard answers
            return 0.0
        first, last = scored.exact(best[[0, -1]]).tolist()
        return float(first - last)

    def score_of(self, row: int) -> float:
        """The score of an item, nearly."""
        score = self.scored.at(np.array([row]))[0]
        return float(score if self.faded is None else score + self.faded[row])

    def _vectors(self, rows: Int64[NDArray[np.int64], " n"]) -> NDArray[np.float64]:
        """What tells how alike items are: an embedding, or where there is none their categories."""
        for signal in self.snapshot.blend.signals:
            if signal.item_vectors is not None:
                return signal.item_vectors[rows].astype(np.float64)
        return self.snapshot.in_category[rows].toarray().astype(np.float64)


def reach(count: int) -> int:
    """From how many of the best items the `count`-th of a diverse list is chosen."""
    return max(_DIVERSE_POOL, _DIVERSE_FACTOR * count)


def members_limit(query: RecommendationQuery, items: int) -> int:
    """How many items of its categories a query reads at most; of more, each item is asked.

    To read m items costs as much as to ask m. Of n items in all, about k · n / m are asked until k
    are found that are inside. So reading costs less up to m = √(k · n).

    Args:
        query: what is asked for.
        items: n.
    """
    least = _MANY_MEMBERS if query.explain == "full" else _FEW_MEMBERS
    return max(least, math.isqrt((query.k + _SPARE) * items))
