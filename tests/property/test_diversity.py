"""Maximal marginal relevance, against its definition."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsvc.blend.ranking import maximal_marginal_relevance


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 12))
    vectors = rng.normal(size=(n, 3)) * (rng.random((n, 1)) < 0.9)
    return rng.integers(-3, 4, size=n).astype(float), vectors


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(0.0, float(a @ b) / lengths) if lengths else 0.0


@given(cases(), st.integers(1, 15), st.sampled_from([0.0, 0.5, 3.0, 100.0]))
def test_each_item_is_the_best_one_left(
    case: tuple[np.ndarray, np.ndarray], k: int, weight: float
) -> None:
    scores, vectors = case
    order, alike = maximal_marginal_relevance(scores, vectors, k, weight)
    assert len(order) == len(set(order.tolist())) == min(k, len(scores))
    values: list[float] = []
    for place, chosen in enumerate(order.tolist()):
        before = order[:place].tolist()

        def value(i: int, before: list[int] = before) -> float:
            most = max((cosine(vectors[i], vectors[j]) for j in before), default=0.0)
            return float(scores[i]) - weight * most

        left = [i for i in range(len(scores)) if i not in before]
        assert value(chosen) >= max(map(value, left)) - 1e-9 * (1 + weight)
        assert np.isclose(value(chosen), scores[chosen] - weight * alike[place])
        values.append(value(chosen))
    assert all(a >= b - 1e-9 * (1 + weight) for a, b in pairwise(values))


def test_without_weight_it_is_the_order_of_the_scores_and_ties_go_to_the_first() -> None:
    order, _ = maximal_marginal_relevance(np.array([1.0, 2.0, 2.0, 3.0]), np.eye(4), 3, 0.0)
    assert order.tolist() == [3, 1, 2]


def test_two_that_are_alike_do_not_follow_each_other() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    order, alike = maximal_marginal_relevance(np.array([3.0, 2.9, 1.0]), vectors, 3, 2.0)
    assert order.tolist() == [0, 2, 1]
    assert alike.tolist() == [0.0, 0.0, 1.0]
