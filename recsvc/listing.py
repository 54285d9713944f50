"""From an asker's evidence to the list: what may be in it, in which order, and why. Reads nothing.

The same steps make the list again without some evidence, so that a counterfactual is what asking
again would show.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from recsvc.asking import Asker, RecommendationQuery
from recsvc.counterfactual import EvidenceLeftOut, Listed, Removal, find_removals
from recsvc.evidence import Evidence
from recsvc.explanation import ExactScores, take_apart
from recsvc.fusion import ScoredUser
from recsvc.ranking import best_items, diversify, sort_by_score
from recsvc.signals import EmbeddingSignal
from recsvc.snapshot import Snapshot

_SPARE = 5
_DIVERSE_POOL = 100
_DIVERSE_FACTOR = 5


class Listing:
    """The list for one request.

    Attributes:
        snapshot: what it is made from.
        asker: for whom, without what the query leaves out.
        query: what is asked for.
        scored: the scores of all items.
        pool: how many of the best available items the list is made of.
    """

    def __init__(self, snapshot: Snapshot, asker: Asker, query: RecommendationQuery) -> None:
        self.snapshot = snapshot
        self.asker = asker.without(query.without)
        self.query = query
        self.scored = snapshot.blend.score(self.asker.evidence)
        self.pool = (
            max(_DIVERSE_POOL, _DIVERSE_FACTOR * query.k) if query.diversity else query.k + _SPARE
        )
        self._allowed = self._may_be_listed()
        self._known = ~self._allowed

    def best(self, count: int) -> Int64[NDArray[np.int64], " n"]:
        """The best items that are not known to exist yet, best first."""
        return best_items(self.scored.scores, self._allowed & ~self._known, count)

    def found(
        self, rows: Int64[NDArray[np.int64], " n"], exist: Bool[NDArray[np.bool_], " n"]
    ) -> None:
        """Take in which of some items exist and are available."""
        self._allowed[rows[~exist]] = False
        self._known[rows] = True

    def exact(self) -> ExactScores:
        """The list, best first, its scores taken apart."""
        return self._ranked(self.scored, self._allowed & self._known)

    def place(self, row: int) -> int:
        """The rank of an item by its score, whether it may be listed or not."""
        scores = self.scored.scores
        before = scores > scores[row]
        before[:row] |= scores[:row] == scores[row]
        return int((before & self._allowed).sum()) + 1

    def removals(self, exact: ExactScores) -> tuple[Removal | None, ...]:
        """For each item of the list, without which evidence it would not be in it."""
        nodes = self.asker.evidence.nodes
        items = self.snapshot.items
        own = [items.row(node.id) if node.kind == "item" else -1 for node in nodes]
        listed = Listed(exact.items, self._allowed, self._known, np.array(own, np.int64))
        blend, evidence = self.snapshot.blend, self.asker.evidence
        left_out = EvidenceLeftOut(blend, evidence, self.scored, listed)

        def rank_again(positions: Int64[NDArray[np.int64], " n"]) -> Int64[NDArray[np.int64], " k"]:
            allowed = self._allowed.copy()
            gone = listed.own[positions]
            allowed[gone[gone >= 0]] = False
            left = np.delete(np.arange(len(nodes)), positions).tolist()
            scored = blend.score(Evidence(tuple(nodes[p] for p in left), evidence.seen))
            return self._ranked(scored, allowed).items

        return find_removals(left_out, listed, rank_again, plain=not self.query.diversity)

    def _may_be_listed(self) -> Bool[NDArray[np.bool_], " items"]:
        # What was unavailable at the refresh may be back: what exists now has the last word.
        snapshot, query = self.snapshot, self.query
        allowed = np.ones(len(snapshot.items), bool)
        left_out = [
            *query.exclude,
            *(node_id for kind, node_id in query.without if kind == "item"),
            *(self.asker.evidence.seen if query.exclude_seen else ()),
        ]
        rows = snapshot.items.rows(left_out)
        allowed[rows[rows >= 0]] = False
        if query.categories:
            wanted = snapshot.categories.rows(query.categories)
            allowed &= snapshot.in_category[:, wanted[wanted >= 0]].getnnz(axis=1) > 0
        return allowed

    def _ranked(
        self, scored: ScoredUser, allowed: Bool[NDArray[np.bool_], " items"]
    ) -> ExactScores:
        rows = np.sort(best_items(scored.scores, allowed, self.pool))
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
