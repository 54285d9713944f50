"""Counterfactuals, against ranking everything again."""

from itertools import combinations
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items, sort_by_score
from recsvc.blend.reliance import Reliance
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.explain import leave_out_scores
from recsvc.explain.counterfactual import LARGEST_SET, Removal, find_removals
from recsvc.explain.leave_out_scores import LeaveOneOutScores, Listed
from recsvc.signals import EmbeddingSignal, RowSignal
from tests.property.made_blends import IDS, N_ITEMS, blends, evidences, ids_of, made_blend


def exact_scores(blend: Blend, evidence: Evidence) -> np.ndarray:
    items, scored = np.arange(N_ITEMS), blend.score(evidence)
    return blend.base(scored, items) + sum(
        (t.values.sum(axis=0) for t in blend.terms(scored, items)), np.zeros(N_ITEMS)
    )


def without(evidence: Evidence, positions: tuple[int, ...]) -> Evidence:
    left = [n for p, n in enumerate(evidence.nodes) if p not in positions]
    return Evidence(tuple(left), evidence.seen)


def ranked(scores: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    rows = np.flatnonzero(allowed)
    return rows[sort_by_score(rows, scores[rows])][:k]


class Case:
    """A list, all that is known about it, and the same without some evidence."""

    def __init__(
        self, blend: Blend, evidence: Evidence, k: int, allowed: np.ndarray, near: int
    ) -> None:
        self.blend, self.evidence, self.k, self.allowed = blend, evidence, k, allowed
        self.items = self.again(())
        own = [IDS["item"].row(n.id) if n.kind == "item" else -1 for n in evidence.nodes]
        self.listed = Listed(self.items, allowed, np.ones(N_ITEMS, bool), np.array(own, np.int64))
        with mock.patch.multiple(leave_out_scores, _MOST_ITEMS=near, _LEAST_ITEMS=near):
            self.leave_one_out = LeaveOneOutScores(
                blend, evidence, blend.score(evidence), self.listed
            )

    def again(self, positions) -> np.ndarray:
        positions = tuple(int(p) for p in positions)
        leaving = [
            IDS["item"].row(self.evidence.nodes[p].id)
            for p in positions
            if self.evidence.nodes[p].kind == "item"
        ]
        allowed = self.allowed.copy()
        allowed[[row for row in leaving if row >= 0]] = False
        return ranked(exact_scores(self.blend, without(self.evidence, positions)), allowed, self.k)

    def removals(self, budget: int = 64) -> tuple[Removal | None, ...]:
        return find_removals(self.leave_one_out, self.listed, self.again, plain=True, budget=budget)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    allowed = np.array(draw(st.lists(st.booleans(), min_size=N_ITEMS, max_size=N_ITEMS)))
    k, near = draw(st.integers(1, 5)), draw(st.integers(0, N_ITEMS))
    return Case(draw(blends()), draw(evidences()), k, allowed, near)


@given(cases(), st.data())
def test_scores_without_evidence_are_those_of_scoring_again(case: Case, data) -> None:
    pieces = len(case.evidence.nodes)
    for _ in range(2):  # what is kept of one call is not taken for what the next needs
        size = data.draw(st.integers(0, pieces))
        positions = tuple(data.draw(st.permutations(range(pieces)))[:size])
        (found,), (bound,) = case.leave_one_out.without(np.array([positions], np.int64))
        expected = exact_scores(case.blend, without(case.evidence, positions))
        if np.isfinite(bound) or bound < 0:
            told = np.isfinite(found)
            wanted = expected[case.leave_one_out.items]
            np.testing.assert_allclose(found[told], wanted[told], rtol=1e-4, atol=1e-4)
        assert_bound_holds(case, expected, bound)
        most = case.leave_one_out.most_of_others(np.array(positions, np.int64))
        assert_bound_holds(case, expected, most)


def assert_bound_holds(case: Case, expected: np.ndarray, bound: float) -> None:
    outside = case.allowed.copy()
    outside[case.leave_one_out.items] = False
    assert (expected[outside] <= bound + 1e-4 * (1.0 + np.abs(expected[outside]))).all()


def test_no_other_item_scores_above_the_bound_where_a_signal_comes_to_count_for_more() -> None:
    """An item nobody followed, high in a signal that one piece of evidence had kept small."""
    nodes = tuple(EvidenceNode("item", IDS["item"][row], 1.0) for row in range(3))
    rows = np.zeros((N_ITEMS, N_ITEMS), np.float32)
    rows[0, 1:5] = 100.0  # n_s is small as long as this is there
    rows[1, 5:7], rows[2, 7] = 1.0, 3.0
    signal = RowSignal("item_path", "item", IDS["item"], sp.csr_matrix(rows))
    blend = Blend((signal,), (1.0,), np.zeros(N_ITEMS, np.float32), 0.0)
    case = Case(blend, Evidence(nodes), 2, np.ones(N_ITEMS, bool), near=0)
    assert 7 not in case.leave_one_out.items
    (_, (bound,)) = case.leave_one_out.without(np.array([[0]], np.int64))
    expected = exact_scores(blend, without(case.evidence, (0,)))
    assert expected[7] == expected.max()
    assert_bound_holds(case, expected, bound)


def test_no_other_item_scores_above_the_bound_where_popularity_comes_to_count_for_more() -> None:
    """A popular item that nothing else speaks for: with one item less it comes first."""
    nodes = tuple(EvidenceNode("item", IDS["item"][row], 1.0) for row in range(2))
    rows = np.zeros((N_ITEMS, N_ITEMS), np.float32)
    rows[:2, 2:7] = 1.0
    prior = np.zeros(N_ITEMS, np.float32)
    prior[9] = 1.0
    signal = RowSignal("item_path", "item", IDS["item"], sp.csr_matrix(rows))
    blend = Blend((signal,), (1.0,), prior, 0.01, Reliance(prior=2.0))
    case = Case(blend, Evidence(nodes), 2, np.ones(N_ITEMS, bool), near=0)
    assert 9 not in case.leave_one_out.items
    (_, (bound,)) = case.leave_one_out.without(np.array([[0]], np.int64))
    expected = exact_scores(blend, without(case.evidence, (0,)))
    assert expected[9] == expected.max()
    assert_bound_holds(case, expected, bound)


def test_the_second_bound_holds_where_vectors_speak_against_items() -> None:
    """Without two of four pieces, whose vectors may take much from an item far from the list."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blend = made_blend(rng, IDS)
        rows = rng.permutation(N_ITEMS)[:4].tolist()
        nodes = tuple(EvidenceNode("item", IDS["item"][row], 1.0) for row in rows)
        case = Case(blend, Evidence(nodes), 1, np.ones(N_ITEMS, bool), near=0)
        most = case.leave_one_out.most_of_others(np.array([0, 1]))
        assert_bound_holds(case, exact_scores(blend, without(case.evidence, (0, 1))), most)


def test_nothing_is_certain_where_the_evidence_that_is_left_cancels() -> None:
    ids = IDS["item"]
    signal = made_blend(np.random.default_rng(0), IDS).signals[0]
    assert isinstance(signal, EmbeddingSignal)
    vectors = signal.source.copy()
    vectors[1] = vectors[2]
    signal = EmbeddingSignal("lightgcn", ids, vectors, signal.target)
    blend = Blend((signal,), (1.0,), np.zeros(N_ITEMS, np.float32), 0.0)
    nodes = [
        EvidenceNode("item", ids[row], weight) for row, weight in ((0, 1.0), (1, 1.0), (2, -1))
    ]
    case = Case(blend, Evidence(tuple(nodes)), 1, np.ones(N_ITEMS, bool), near=0)
    _, bounds = case.leave_one_out.without(np.array([[0], [1]], np.int64))
    assert bounds[0] == np.inf
    assert np.isfinite(bounds[1])


def positive(seed: int, pieces: int, k: int) -> Case:
    """A case all of whose items are followed."""
    evidence = tuple(EvidenceNode("item", IDS["item"][row], 1.0) for row in range(pieces))
    blend = made_blend(np.random.default_rng(seed), IDS)
    return Case(blend, Evidence(evidence), k, np.ones(N_ITEMS, bool), near=N_ITEMS)


def test_each_call_has_the_inner_products_of_its_own_sets() -> None:
    case = positive(seed=0, pieces=4, k=3)
    for positions in ((0, 1), (2, 3), (0, 3)):
        found, _ = case.leave_one_out.without(np.array([positions], np.int64))
        expected = exact_scores(case.blend, without(case.evidence, positions))
        told = np.isfinite(found[0])
        assert told.sum() == N_ITEMS - 2
        np.testing.assert_allclose(
            found[0, told], expected[case.leave_one_out.items][told], rtol=1e-4
        )


def test_a_list_all_of_whose_items_are_followed_is_never_ranked_again() -> None:
    sizes: list[int] = []
    for seed in range(10):
        case = positive(seed, pieces=6, k=4)
        removals = case.removals(budget=0)
        assert removals == case.removals()
        sizes += [len(removal.positions) for removal in removals if removal]
    assert {1, 2} <= set(sizes)


@given(cases())
def test_a_removal_holds_when_all_items_are_ranked_again(case: Case) -> None:
    for item, removal in zip(case.items, case.removals(), strict=True):
        if removal is None:
            continue
        again = case.again(removal.positions)
        assert item not in again
        assert removal.replaced_by in again
        assert removal.replaced_by not in case.items


def does(case: Case, positions: tuple[int, ...], item: int) -> bool:
    """Whether an item makes room for another without some evidence."""
    again = case.again(positions)
    return item not in again and not set(again) <= set(case.items)


@given(cases())
def test_no_smaller_set_does_what_a_removal_of_one_or_two_does(case: Case) -> None:
    """And where one piece does it, one is named. A pair may be missed: not all are ranked again."""
    pieces = range(len(case.evidence.nodes))
    for item, removal in zip(case.items, case.removals(budget=10_000), strict=True):
        least = next(
            (
                size
                for size in (1, 2)
                if any(does(case, chosen, item) for chosen in combinations(pieces, size))
            ),
            None,
        )
        size = len(removal.positions) if removal else None
        if least == 1:
            assert size == 1
        else:
            assert size is None or size >= (least or 3)


def test_nearly_all_that_any_set_can_do_is_found_and_by_a_set_as_small() -> None:
    """All sets of up to five of nine pieces, on lists that the scores near them tell about."""
    pieces, k = 9, 8
    least, named = [], []
    for seed in range(20):
        blend = made_blend(np.random.default_rng(seed), ids_of(40))
        nodes = tuple(EvidenceNode("item", ids_of(40)["item"][row], 1.0) for row in range(pieces))
        allowed = np.arange(40) >= pieces
        scored = blend.score(Evidence(nodes))
        items = best_items(scored.scores, allowed, k)
        listed = Listed(items, allowed, np.ones(40, bool), np.arange(pieces))
        leave_one_out = LeaveOneOutScores(blend, Evidence(nodes), scored, listed)
        removals = find_removals(leave_one_out, listed, mock.Mock(), plain=True, budget=0)
        named += [len(removal.positions) if removal else 0 for removal in removals]
        least += smallest(leave_one_out, items, pieces).tolist()
    there, found = np.array(least), np.array(named)
    np.testing.assert_array_equal(found[there <= 2], there[there <= 2])
    assert (found[there > 2] == there[there > 2]).mean() > 0.95
    assert (there > 2).sum() > 20


@pytest.mark.parametrize(("pieces", "named"), [(5, 5), (6, None)])
def test_a_set_has_at_most_five_pieces(pieces: int, named: int | None) -> None:
    """Each piece of evidence alone speaks as much for the first item as all of them do."""
    first, second = 8, 9
    rows, of_category = np.zeros((2, N_ITEMS, N_ITEMS), np.float32)
    rows[:pieces, first], of_category[0, second] = 1.0, 1.0
    signals = (
        RowSignal("item_path", "item", IDS["item"], sp.csr_matrix(rows)),
        RowSignal("category_path", "category", IDS["category"], sp.csr_matrix(of_category[:3])),
    )
    blend = Blend(signals, (1.0, 0.5), np.zeros(N_ITEMS, np.float32), 0.0)
    nodes = [EvidenceNode("item", IDS["item"][row], 1.0) for row in range(pieces)]
    evidence = Evidence((*nodes, EvidenceNode("category", "c0", 1.0)))
    case = Case(blend, evidence, 1, np.ones(N_ITEMS, bool), near=N_ITEMS)
    assert case.items.tolist() == [first]
    removal = Removal(tuple(range(named)), second) if named else None
    assert case.removals() == (removal,)


def smallest(leave_one_out: LeaveOneOutScores, items: np.ndarray, pieces: int) -> np.ndarray:
    """For each item, pieces of the smallest set of all that does it; 0 where none does."""
    least = np.zeros(len(items), int)
    own = np.searchsorted(leave_one_out.items, items)
    for size in range(LARGEST_SET, 0, -1):
        scores, _ = leave_one_out.without(np.array(list(combinations(range(pieces), size))))
        above = (scores[:, None] > scores[:, own, None]).sum(axis=2)
        least[(above >= len(items)).any(axis=0)] = size
    return least


def test_without_budget_a_pair_is_never_named_on_a_guess() -> None:
    """One piece of evidence decides everything; near the list that cannot be told."""
    rng = np.random.default_rng(0)
    ids = ids_of(3000)["item"]
    blend = made_blend(rng, ids_of(3000))
    nodes = tuple(EvidenceNode("item", ids[row], 1.0) for row in (5, 6))
    evidence = Evidence(nodes)
    scores = blend.score(evidence)
    allowed = np.ones(3000, bool)
    items = ranked(scores.scores.astype(float), allowed, 5)
    listed = Listed(items, allowed, allowed, np.array([5, 6]))
    leave_one_out = LeaveOneOutScores(blend, evidence, scores, listed)

    def never(_positions: np.ndarray) -> np.ndarray:
        raise AssertionError("nothing may be ranked again")

    assert find_removals(leave_one_out, listed, never, plain=False, budget=0) == (None,) * 5
