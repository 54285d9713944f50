"""The smallest evidence to add, against trying every set and ranking everything again."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from unittest import mock

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.explain import added_scores
from recsvc.explain.added_scores import AddedScores
from recsvc.explain.recourse import Recourse, find_recourse
from recsvc.signals.base import Signal
from recsvc.signals.content import ContentSignal
from recsvc.signals.embedding import EmbeddingSignal
from recsvc.signals.rows import RowSignal
from tests.property.made_blends import N_ITEMS, blends, evidences, ids_of, made_blend


class Case:
    """Somebody, an item that is not in their list, and what may be added."""

    def __init__(
        self, blend: Blend, evidence: Evidence, k: int, weight: float, allowed: np.ndarray
    ) -> None:
        self.blend, self.evidence, self.k, self.weight = blend, evidence, k, weight
        self.items = blend.signals[0].ids
        self.allowed = allowed
        has = {node.id for node in evidence.nodes if node.kind == "item"}
        order = self.order(())
        self.item = int(order[-1])
        self.candidates = np.array(
            [row for row, each in enumerate(self.items) if each not in has and row != self.item]
        )

    def order(self, added: Sequence[int]) -> np.ndarray:
        """All allowed items, best first, with some added to the evidence."""
        nodes = [EvidenceNode("item", self.items[row], self.weight) for row in added]
        evidence = Evidence((*self.evidence.nodes, *nodes))
        rows, scored = np.flatnonzero(self.allowed), self.blend.score(evidence)
        scores = scored.exact(rows)
        order = rows[np.lexsort((rows, -scores))]
        return order[~np.isin(order, added)]

    def found(self, rivals: int = 64, budget: int = 10_000) -> Recourse:
        with mock.patch.object(added_scores, "_RIVALS", rivals):
            scores = self.scores()
        return find_recourse(scores, self.candidates, self.k, budget=budget)

    def scores(self) -> AddedScores:
        return AddedScores(
            self.blend, self.blend.signals, self.evidence, self.item, self.allowed, self.weight,
            self.k,
        )  # fmt: skip

    def sets_of(self, size: int) -> list[tuple[int, ...]]:
        """All sets of a size that do it."""
        every = combinations(self.candidates.tolist(), size)
        return [each for each in every if self.item in self.order(each)[: self.k]]


def content_of(signal: Signal) -> ContentSignal:
    """The same vectors, of which each item has a share."""
    assert isinstance(signal, EmbeddingSignal)
    whole = ContentSignal(signal.name, signal.ids, signal.source, signal.target)
    return whole.shared(np.linspace(0.1, 1.0, len(signal.target), dtype=np.float32))


def without_half_life(blend: Blend) -> Blend:
    """Added items say something in all its signals of items."""
    signals = [
        replace(each, half_life=None) if isinstance(each, RowSignal) else each
        for each in blend.signals
    ]
    return replace(blend, signals=tuple(signals))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    allowed = np.array(draw(st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS)))
    allowed[:3] = True
    blend = draw(blends())
    if draw(st.booleans()):
        blend = replace(blend, signals=(content_of(blend.signals[0]), *blend.signals[1:]))
    if draw(st.booleans()):
        blend = without_half_life(blend)
    return Case(
        blend, draw(evidences()), draw(st.integers(1, 3)),
        draw(st.sampled_from([0.25, 1.0, 4.0])), allowed,
    )  # fmt: skip


@given(cases(), st.sampled_from([0, 1, 64]))
def test_no_smaller_set_does_it_and_one_that_is_named_does(case: Case, rivals: int) -> None:
    recourse = case.found(rivals)
    assert recourse.certain or (recourse.added is not None and len(recourse.added) > 2)
    if recourse.added is not None:
        assert case.item in case.order(recourse.added)[: case.k]
        assert len(set(recourse.added)) == len(recourse.added)
    one, two = case.sets_of(1), case.sets_of(2)
    if one:
        assert recourse.added in one
    elif two:
        assert recourse.added in two
    else:
        assert recourse.added is None or len(recourse.added) > 2


@given(cases())
def test_scores_with_items_added_are_those_of_scoring_again(case: Case) -> None:
    scores = case.scores()
    for size in (1, 2, 3):
        sets = list(combinations(case.candidates.tolist(), size))[:40]
        if not sets:
            continue
        items = scores.added(case.candidates, together=True)
        made = scores.of_sets(items, np.searchsorted(case.candidates, np.array(sets)))
        for added, own in zip(sets, made, strict=True):
            nodes = [EvidenceNode("item", case.items[row], case.weight) for row in added]
            evidence = Evidence((*case.evidence.nodes, *nodes))
            again = case.blend.score(evidence).exact(scores.items)
            np.testing.assert_allclose(own, again, rtol=2e-4, atol=2e-4)
            assert scores.place(added) == case.order(added).tolist().index(case.item) + 1
    if len(case.candidates):
        items = scores.added(case.candidates, together=True)
        alone = scores.of_singles(items)
        every = np.arange(len(case.candidates))[:, None]
        np.testing.assert_allclose(alone, scores.of_sets(items, every), rtol=1e-9)
        few = scores.added(case.candidates, rivals=2)
        np.testing.assert_allclose(alone[:, :3], scores.of_singles(few), rtol=1e-9)
        np.testing.assert_array_equal(items.against(2).rival, few.rival)


def large(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    ids = ids_of(400)
    blend = made_blend(rng, ids)
    if seed % 2:
        blend = without_half_life(blend)
    nodes = [EvidenceNode("item", ids["item"][n], 1.0) for n in rng.permutation(400)[:12]]
    allowed = np.ones(400, bool)
    allowed[[ids["item"].row(node.id) for node in nodes]] = False
    return Case(blend, Evidence(tuple(nodes)), 5, 1.0, allowed)


def test_what_is_named_or_ruled_out_among_many_items_is_so() -> None:
    named = 0
    for seed in range(4):
        case = large(seed)
        found = case.found()
        if found.added is None or len(found.added) > 1:
            assert not case.sets_of(1)
        if found.added is not None:
            assert case.item in case.order(found.added)[: case.k]
            named += 1
    assert named


def test_where_two_are_too_few_a_set_grows_until_it_does() -> None:
    """The rival has 2.5 of what was done, and each of five items gives 1 to the item."""
    ids = IdMap([f"i{n}" for n in range(8)])
    rows = np.zeros((8, 8), np.float32)
    rows[2, 1], rows[3:, 0] = 2.5, 1.0
    signal = RowSignal("path", "item", ids, sp.csr_matrix(rows))
    blend = Blend((signal,), (1.0,), np.zeros(8, np.float32), 0.0)
    allowed = np.ones(8, bool)
    allowed[2] = False
    evidence = Evidence((EvidenceNode("item", "i2", 1.0),))
    scores = AddedScores(blend, (signal,), evidence, 0, allowed, 1.0, 1)
    found = find_recourse(scores, np.arange(3, 8), 1)
    assert (found.added is not None and len(found.added), found.certain) == (3, False)


def test_where_nobody_may_do_it_all_is_certain() -> None:
    case = large(1)
    assert find_recourse(case.scores(), case.candidates[:0], 5) == Recourse(None, certain=True)


def test_without_budget_nothing_is_certain_and_nothing_named() -> None:
    case = large(0)
    case.item = int(case.order(())[case.k])  # the first that is not in the list
    assert case.found(budget=0) == Recourse(None, certain=False)
    assert case.found().certain
