"""The scorers whose lists explanations_compared.py explains, and what it asks of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsvc.blend.blend import LEAST_WEIGHT, Blend
from recsvc.blend.hold_out import all_evidence
from recsvc.blend.ranking import best_items
from recsvc.blend.reliance import effective_count
from recsvc.blend.scored_user import ScoredUser
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode
from recsvc.models import FitRun
from recsvc.models.hybrid import HybridModel
from recsvc.signals.embedding import EmbeddingSignal
from recsvc.signals.popularity import popularity_prior
from recsvc.training.experiment import TrialData
from recsvc.training.fit import fit_whole, model_options, train

LIST = 10
"""Length of the lists."""
_NOTHING = 1e-6

Masks = NDArray[np.float64]
"""Which pieces of evidence are there, 0 or 1, [masks, pieces]."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One item of one user's list.

    Attributes:
        evidence: what is known of the user.
        own: for each piece of evidence, the row of the item that it is; -1 for others.
        scored: the scores of all items.
        allowed: which items may be listed.
        listed: the list.
        place: where the item is in it, from 0.
    """

    evidence: Evidence
    own: NDArray[np.int64]
    scored: ScoredUser
    allowed: NDArray[np.bool_]
    listed: NDArray[np.int64]
    place: int

    @property
    def item(self) -> int:
        """Row of the item."""
        return int(self.listed[self.place])

    @property
    def pieces(self) -> int:
        """How many pieces of evidence there are."""
        return len(self.evidence.nodes)


class Scorer:
    """A blend, and the users of a data set.

    Attributes:
        blend: what scores.
        signal: LightGCN's, of which the blend is made; None where it is of several.
    """

    def __init__(self, blend: Blend, data: TrialData, signal: EmbeddingSignal | None) -> None:
        self.blend = blend
        self.signal = signal
        self._data = data
        self._ids = {s.kind: s.ids for s in blend.signals}
        known = all_evidence(data.graph, data.evidence)
        self._known: dict[EvidenceKind, sp.csr_matrix] = {k: known[k] for k in self._ids}

    @classmethod
    def lightgcn(cls, data: TrialData, seed: int) -> "Scorer":
        """LightGCN alone, linear in a user's items, with the least of popularity.

        It has default options, and as many epochs as a part of the training part says.
        """
        options = model_options("lightgcn", {})
        model = train("lightgcn", data.learned_from, options, FitRun(seed)).model
        signal = model.signal(data.graph.items)
        assert isinstance(signal, EmbeddingSignal)
        blend = Blend((signal,), (1.0,), popularity_prior(data.evidence), LEAST_WEIGHT)
        return cls(blend, data, signal)

    @classmethod
    def hybrid(cls, data: TrialData, seed: int) -> "Scorer":
        """The blend that a refresh of the training tables serves."""
        options = model_options("hybrid", {})
        model, _ = fit_whole("hybrid", data.learned_from, options, FitRun(seed))
        assert isinstance(model, HybridModel)
        return cls(model.blend, data, None)

    def pieces(self) -> NDArray[np.int64]:
        """How many pieces of evidence each user has."""
        return np.sum([np.diff(known.indptr) for known in self._known.values()], axis=0)

    def case(self, user: int, rng: np.random.Generator) -> Case:
        """An item of a user's list, drawn evenly."""
        nodes = tuple(
            EvidenceNode(kind, self._ids[kind][row], float(weight))
            for kind, known in self._known.items()
            for row, weight in zip(known[user].indices.tolist(), known[user].data, strict=True)
        )
        evidence = Evidence(nodes)
        allowed = self._data.available.copy()
        allowed[self._data.seen[user].indices] = False
        scored = self.blend.score(evidence)
        listed = best_items(scored.scores, allowed, LIST)
        items = self._data.graph.items
        own = [items.row(node.id) if node.kind == "item" else -1 for node in nodes]
        place = int(rng.integers(len(listed)))
        return Case(evidence, np.array(own, np.int64), scored, allowed, listed, place)

    def ranks(self, case: Case, removed: Sequence[Sequence[int]]) -> NDArray[np.int64]:
        """The item's rank without each of some sets of evidence, all items scored again.

        It goes another way than what explanations are made by: `Blend.batch_scores`.
        """
        kept = np.ones((len(removed), case.pieces), np.float32)
        for number, positions in enumerate(removed):
            kept[number, list(positions)] = 0.0
        given: dict[EvidenceKind, sp.csr_matrix] = {
            "user": sp.csr_matrix((len(removed), 1), dtype=np.float32)
        }
        for kind, ids in self._ids.items():
            rows = case.evidence.rows(kind, ids)
            dense = np.zeros((len(removed), len(ids)), np.float32)
            dense[:, rows.row] = kept[:, rows.position] * rows.weight.astype(np.float32)
            given[kind] = sp.csr_matrix(dense)
        scores = self.blend.batch_scores(given)
        own = scores[:, case.item, None]
        before = np.arange(scores.shape[1]) < case.item
        above = (scores > own) | ((scores == own) & before)
        return 1 + np.count_nonzero(above & case.allowed, axis=1)

    def terms(self, case: Case, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each piece of evidence adds to each of some items, [pieces, items]."""
        total = np.zeros((case.pieces, len(items)))
        for term in self.blend.terms(case.scored, items):
            total[term.position] += term.values
        return total

    def near(self, case: Case, count: int) -> NDArray[np.int64]:
        """The best items, those of the list first."""
        return best_items(case.scored.scores, case.allowed, count)

    def black_box(self, case: Case) -> Callable[[Masks], NDArray[np.float64]]:
        """The item's score by which pieces of evidence are there; exact, and as fast as can be.

            f(m) = Σ_s λ_s r_s(m) Σ_j m_j e_j K_s(j, i) / rms_s(m)  +  λ_base r_base(m) prior_i

        with rms_s(m)² = mᵀ G_s m / items, and G_s the inner products of what the pieces add to all
        items in signal s.
        """
        weight_of = {s.name: w for s, w in zip(self.blend.signals, self.blend.weights, strict=True)}
        parts = [
            (
                signal, weight_of[signal.name], rows.position,
                signal.terms(rows, np.array([case.item]))[:, 0],
                signal.inner_products(rows) / len(case.allowed),
            )
            for signal, _, rows in case.scored.spoken
        ]  # fmt: skip
        counted, relied = case.scored.counted.T, self.blend.reliance
        prior = self.blend.base_weight * float(self.blend.prior[case.item])

        def score(masks: Masks) -> NDArray[np.float64]:
            items, people = effective_count(masks @ counted, masks @ counted**2).T
            total = prior * relied.base(items)
            for signal, weight, position, terms, gram in parts:
                own = masks[:, position]
                rms = np.sqrt(np.maximum(np.vecdot(own @ gram, own), 0.0))
                raw = np.divide(own @ terms, rms, out=np.zeros(len(own)), where=rms > _NOTHING)
                total = (
                    total + weight * relied.signal(signal.name, signal.kind, items, people) * raw
                )
            return total

        return score
