"""From an asker's evidence to the list: what may be in it, in which order, and why. Reads nothing.

The same steps make the list again without some evidence, so that a counterfactual is what asking
again would show.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from recsvc.asking import Asker, RecommendationQuery
from recsvc.counterfactual import Removal, find_removals
from recsvc.evidence import Evidence
from recsvc.explanation import ExactScores, take_apart
from recsvc.fusion import ScoredUser
from recsvc.left_out import EvidenceLeftOut, Listed
from recsvc.ranking import best_items, diversify, sort_by_score
from recsvc.signals import EmbeddingSignal
from recsvc.snapshot import Snapshot

_SPARE = 5
_SPARE_FOR_REMOVALS = 100
_RANKED_AGAIN = 64
"""How often a counterfactual of a list of a usual length may rank all items again."""
_FEW_ITEMS = 100
_DIVERSE_POOL = 100
_DIVERSE_FACTOR = 5


class Listing:
    """The list for one request.

    Attributes:
        snapshot: what it is made from.
        asker: for whom, without what the query leaves out.
        query: what is asked for.
        scored: the scores of all items.
        newcomers: (id, title) of items that may be listed and have no score before the next
            refresh; None where nobody has looked for them.
    """

    def __init__(self, snapshot: Snapshot, asker: Asker, query: RecommendationQuery) -> None:
        self.snapshot = snapshot
        self.asker = asker.without(query.without)
        self.query = query
        self.scored = snapshot.blend.score(self.asker.evidence)
        self._pool = (
            max(_DIVERSE_POOL, _DIVERSE_FACTOR * query.k) if query.diversity else query.k + _SPARE
        )
        self.newcomers: tuple[tuple[str, str | None], ...] | None = None
        self._wanted = self._may_be_listed()
        self._there = np.array(snapshot.available)
        self._assumed = np.zeros(len(self._there), bool)
        self._asked = self._assumed.copy()

    def assume(self) -> Int64[NDArray[np.int64], " n"]:
        """Take enough of the best items to be there if they were when they were last seen.

        Returns:
            Those that were not taken to be there or not before: to be asked about.
        """
        spare = _SPARE_FOR_REMOVALS if self.query.explain == "full" else _SPARE
        new: list[Int64[NDArray[np.int64], " n"]] = []
        if self.query.explain == "full" and not self._asked.any():
            # Without all of their evidence somebody gets what is popular: removals have to know.
            new.append(best_items(self.snapshot.blend.prior, self._wanted, self._pool))
            self._asked[new[0]] = True
        while (missing := self._pool - int((self._allowed & self._assumed).sum())) > 0:
            wanted = self._wanted & ~self._assumed
            rows = best_items(self.scored.scores, wanted, missing + spare)
            if not len(rows):
                break
            self._assumed[rows] = self._asked[rows] = True
            new.append(rows)
        return np.unique(np.concatenate([np.zeros(0, np.int64), *new]))

    def settle(
        self, rows: Int64[NDArray[np.int64], " n"], there: Bool[NDArray[np.bool_], " n"]
    ) -> bool:
        """Take in which of some items exist and are available; whether that was assumed."""
        right = bool((self._there[rows] == there).all())
        self._there[rows] = there
        return right

    @property
    def short(self) -> bool:
        """Whether more is asked for than there is, as far as anybody has looked."""
        return self.newcomers is None and (self._allowed & self._assumed).sum() < self.query.k

    def decided(self) -> list[str]:
        """Ids of the items of the filter at the refresh, and of those that are left out."""
        inside = np.flatnonzero(self._in_categories())
        return [*(self.snapshot.items[row] for row in inside.tolist()), *self._left_out()]

    def add(self, items: Sequence[tuple[str, str | None]]) -> bool:
        """Take in items that match the filter now; whether the snapshot has scores of some."""
        rows = self.snapshot.items.rows([item_id for item_id, _ in items])
        self.newcomers = tuple(item for item, row in zip(items, rows, strict=True) if row < 0)
        self._wanted[rows[rows >= 0]] = True
        return len(self.newcomers) < len(items)

    def exact(self) -> ExactScores:
        """The list, best first, its scores taken apart."""
        return self._ranked(self.scored, self._allowed & self._assumed)

    @property
    def _allowed(self) -> Bool[NDArray[np.bool_], " items"]:
        """What may be listed, as far as that is known or assumed."""
        # What was unavailable when it was last seen may be back: what exists now decides.
        return self._wanted & (self._there | ~self._asked)

    def place(self, row: int) -> int:
        """The rank of an item by its score, whether it may be listed or not."""
        scores = self.scored.scores
        before = scores > scores[row]
        before[:row] |= scores[:row] == scores[row]
        return int((before & self._allowed).sum()) + 1

    def left_out(self, items: Int64[NDArray[np.int64], " k"]) -> tuple[Listed, EvidenceLeftOut]:
        """Some items as the list, and the scores near it when some of the evidence is left out."""
        nodes, rows = self.asker.evidence.nodes, self.snapshot.items
        own = [rows.row(node.id) if node.kind == "item" else -1 for node in nodes]
        known = self._asked | ~self._wanted
        listed = Listed(items, self._allowed, known, np.array(own, np.int64))
        blend, evidence = self.snapshot.blend, self.asker.evidence
        return listed, EvidenceLeftOut(blend, evidence, self.scored, listed)

    def removals(self, exact: ExactScores) -> tuple[Removal | None, ...]:
        """For each item of the list, without which evidence it would not be in it."""
        listed, left_out = self.left_out(exact.items)
        blend, evidence = self.snapshot.blend, self.asker.evidence

        def rank_again(positions: Int64[NDArray[np.int64], " n"]) -> Int64[NDArray[np.int64], " k"]:
            allowed = listed.allowed.copy()
            gone = listed.own[positions]
            allowed[gone[gone >= 0]] = False
            left = np.delete(np.arange(len(evidence.nodes)), positions).tolist()
            scored = blend.score(Evidence(tuple(evidence.nodes[p] for p in left), evidence.seen))
            return self._ranked(scored, allowed).items

        budget = _RANKED_AGAIN if len(exact.items) <= _FEW_ITEMS else _RANKED_AGAIN // 4
        plain = not self.query.diversity
        return find_removals(left_out, listed, rank_again, plain=plain, budget=budget)

    def _may_be_listed(self) -> Bool[NDArray[np.bool_], " items"]:
        allowed = self._in_categories()
        rows = self.snapshot.items.rows(self._left_out())
        allowed[rows[rows >= 0]] = False
        return allowed

    def _left_out(self) -> list[str]:
        query = self.query
        return [
            *query.exclude,
            *(node_id for kind, node_id in query.without if kind == "item"),
            *(self.asker.evidence.seen if query.exclude_seen else ()),
        ]

    def _in_categories(self) -> Bool[NDArray[np.bool_], " items"]:
        snapshot = self.snapshot
        if not self.query.categories:
            return np.ones(len(snapshot.items), bool)
        wanted = snapshot.categories.rows(self.query.categories)
        return np.asarray(snapshot.in_category[:, wanted[wanted >= 0]].getnnz(axis=1) > 0)

    def _ranked(
        self, scored: ScoredUser, allowed: Bool[NDArray[np.bool_], " items"]
    ) -> ExactScores:
        rows = np.sort(best_items(scored.scores, allowed, self._pool))
        exact = take_apart(self.snapshot.blend, scored, rows)
        if not self.query.diversity:
            return exact.take(sort_by_score(rows, exact.scores)[: self.query.k])
        scores = exact.scores
        weight = self.query.diversity * float(np.ptp(scores)) if len(scores) else 0.0
        order, likeness = diversify(scores, self._vectors(rows), self.query.k, weight)
        return replace(exact.take(order), diversity=-weight * likeness)

    def _vectors(self, rows: Int64[NDArray[np.int64], " n"]) -> NDArray[np.float64]:
        """What tells how alike items are: an embedding, or where there is none their categories."""
        for signal in self.snapshot.blend.signals:
            if isinstance(signal, EmbeddingSignal):
                return signal.target[rows].astype(np.float64)
        return self.snapshot.in_category[rows].toarray().astype(np.float64)
