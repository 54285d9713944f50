"""What the parts of a blend count for with little known, learned on users with part of it."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.blend.cut_users import USUAL, USUAL_BASE, CutUsers, cut_users, learned_reliance
from recsvc.blend.reliance import ALIKE, Reliance, effective_count, effective_counts
from recsvc.blend.weights import Candidates
from recsvc.evidence import EvidenceKind
from recsvc.signals import RowSignal

ITEMS = 40
KINDS: dict[str, EvidenceKind] = {
    "one": "item", "follows": "user", "prefers": "category", "other": "item",
}  # fmt: skip


def made_users(each: int, truth: Reliance, base: float) -> CutUsers:
    """As many users with 1, 3, 10 and 30 items; relevant is what comes first by these numbers."""
    rng = np.random.default_rng(3)
    counts = np.repeat([1, 3, 10, 30], each)
    features = rng.random((len(KINDS) + 1, len(counts), ITEMS)).astype(np.float32)
    features[2] = 0.0  # nobody prefers a category
    counts_and_days = np.stack([counts, rng.integers(0, 9, len(counts))]).astype(np.float64)
    factors = [truth.signal(*signal, *counts_and_days) for signal in KINDS.items()]
    factors.append(base * truth.base(counts_and_days[0]))
    values = sum(factor[:, None] * own for factor, own in zip(factors, features, strict=True))
    relevant = values >= np.sort(values, axis=1)[:, -5:-4]
    candidates = Candidates(
        features, relevant, np.ones_like(relevant), relevant.sum(axis=1).astype(np.int64)
    )
    weighed = ("one", "other")
    return CutUsers(candidates, KINDS, weighed, counts_and_days, counts, np.arange(len(counts)))


def ndcg(users: CutUsers, base: float, reliance: Reliance) -> float:
    return float(users.ndcg(users.values(users.factors(base, reliance))).mean())


@pytest.mark.parametrize(
    "truth",
    [
        ALIKE,
        Reliance(2.0, 1.0, 1.0),
        Reliance(1.0, 0.0, 0.5),
        Reliance(1.5, 0.5, 0.25, {"one": 1.0}),
        Reliance(1.0, 0.5, 0.25, {"one": 0.5, "other": -0.5}),
    ],
)
def test_planted_exponents_are_found(truth: Reliance) -> None:
    users = made_users(60, truth, 0.2)
    assert ndcg(users, 0.2, truth) == pytest.approx(1.0)
    usual = ndcg(users, USUAL_BASE, USUAL)
    assert ndcg(users, *learned_reliance(users, 0.002)) >= max(0.98, usual + 0.01)


def test_popularity_may_count_for_more_with_more_known() -> None:
    base, found = learned_reliance(made_users(60, Reliance(-1.0, 0.5, 0.25), 2.0), 0.002)
    assert found.prior < 0.0
    assert base > 0.5


def test_what_is_usual_stays_where_groups_have_too_few_users() -> None:
    users = made_users(19, Reliance(0.0, 2.0, 0.0), 5.0)
    assert learned_reliance(users, 0.002) == (USUAL_BASE, USUAL)
    assert learned_reliance(users, 0.7) == (0.7, USUAL)


def test_what_gains_no_more_than_its_error_is_not_taken() -> None:
    """Follows say the same of all items, but for one user who gains by them."""
    users = made_users(25, Reliance(1.5, 0.0, 0.0), 0.2)
    users.candidates.features[1] = 0.0
    users.candidates.features[1, 0] = users.candidates.relevant[0]
    _, found = learned_reliance(users, 0.002)
    assert (found.follows, found.people) == (USUAL.follows, USUAL.people)


def test_a_signal_of_which_one_item_says_more_counts_for_more_with_few() -> None:
    _, found = learned_reliance(made_users(60, Reliance(1.5, 0.5, 0.25, {"one": 1.0}), 0.2), 0.2)
    assert found.items.keys() <= {"one", "other"}
    assert all(found.items.values())
    assert found.items.get("one", 0.0) > found.items.get("other", 0.0)


def test_users_are_asked_with_part_of_their_items_for_what_was_held_out() -> None:
    """What is cut away is not looked for, and nothing but items is cut."""
    rng = np.random.default_rng(0)
    ids = IdMap([f"{n:02}" for n in range(ITEMS)])
    kept = np.zeros((30, ITEMS), np.float32)
    for user, items in enumerate(rng.integers(2, 13, 30)):
        kept[user, rng.permutation(ITEMS - 5)[:items]] = 1.0
    held_out = np.zeros_like(kept)
    held_out[:, -5:] = rng.random((30, 5)) < 0.5
    follows = sp.csr_matrix((rng.random((30, 4)) < 0.3).astype(np.float32))
    given = {
        "item": sp.csr_matrix(kept), "user": follows, "category": sp.csr_matrix((30, 1)),
    }  # fmt: skip
    rows = sp.csr_matrix(rng.random((ITEMS, ITEMS)).astype(np.float32))
    signal = RowSignal("one", "item", ids, rows)
    prior = np.linspace(0.1, 2.0, ITEMS).astype(np.float32)
    users = cut_users([signal], {"one": 0.5}, prior, given, sp.csr_matrix(held_out))
    count = (kept > 0).sum(axis=1)
    following = follows.getnnz(axis=1) > 0
    for left in (0, 1, 2, 3, 5, 10):
        own = users.user[users.items == left]
        expected = (count > left) & (following if left == 0 else True) | (count == left)
        assert sorted(own) == np.flatnonzero(expected).tolist()
    assert (users.candidates.present.sum(axis=1) == ITEMS - count[users.user]).all()
    assert (users.candidates.relevant.sum(axis=1) == held_out[users.user].sum(axis=1)).all()
    np.testing.assert_array_equal(users.counts[1], follows.getnnz(axis=1)[users.user])
    whole = users.candidates.features[0, :30]
    raw = kept @ rows.toarray()
    for user in range(30):
        expected = 0.5 * raw[user] / np.sqrt(np.mean(raw[user] ** 2))
        found = whole[user][users.candidates.present[user]]
        np.testing.assert_allclose(found, expected[kept[user] == 0.0], rtol=1e-5)


def test_many_small_weights_beside_a_large_one_count_hardly_more_than_it() -> None:
    weights = np.array([[1.0] * 5 + [0.0] * 5, [1.0] + [0.01] * 9, [0.0] * 10, [-1.0] + [2.0] * 9])
    counts = effective_counts({"item": sp.csr_matrix(weights), "user": sp.csr_matrix((4, 3))})
    assert counts[0].tolist() == pytest.approx([5.0, 1.09**2 / 1.0009, 0.0, 9.0])
    assert counts[1].tolist() == [0.0] * 4
    assert effective_count(np.array([3.0]), np.array([3.0])).tolist() == [3.0]


def test_the_less_is_known_the_more_popularity_counts() -> None:
    relied = Reliance(prior=1.5, follows=0.5, people=0.25, items={"one": 0.5})
    items = np.array([0.0, 1.0, 5.0, 20.0, 80.0])
    base = relied.base(items)
    assert base.tolist() == pytest.approx([20**1.5, 20**1.5, 8.0, 1.0, 0.125])
    assert relied.signal("prefers", "category", items, items).tolist() == base.tolist()
    assert relied.signal("other", "item", items, items).tolist() == [1.0] * 5
    one = relied.signal("one", "item", items, items)
    assert one.tolist() == pytest.approx([20**0.5, 20**0.5, 2.0, 1.0, 1.0])
    follows = relied.signal("follows", "user", items, np.full(5, 16.0))
    assert follows.tolist() == pytest.approx([2 * 20**0.5, 2 * 20**0.5, 4.0, 2.0, 1.0])
