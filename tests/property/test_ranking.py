import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsvc.blend.ranking import best_items, sort_by_score

# Few values, so that ties are the rule.
SCORED = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.booleans()), max_size=30)


@given(SCORED, st.integers(1, 40))
def test_best_items_are_those_of_a_naive_sort(scored: list[tuple[float, bool]], count: int) -> None:
    scores = np.array([score for score, _ in scored], np.float32)
    allowed = np.array([may for _, may in scored], bool)
    naive = sorted(np.flatnonzero(allowed).tolist(), key=lambda row: (-scores[row], row))
    assert best_items(scores, allowed, count).tolist() == naive[:count]


@given(st.integers(0, 2**32 - 1), st.integers(60, 700), st.integers(1, 12), st.integers(1, 200))
def test_best_of_many_items_are_those_of_a_naive_sort(
    seed: int, size: int, count: int, values: int
) -> None:
    """Long enough for the threshold that is found among the largest of each stack."""
    rng = np.random.default_rng(seed)
    scores = rng.choice(np.append(rng.normal(size=values), -np.inf), size).astype(np.float32)
    allowed = rng.random(size) < rng.choice([0.02, 0.5, 1.0])
    naive = sorted(np.flatnonzero(allowed).tolist(), key=lambda row: (-scores[row], row))
    assert best_items(scores, allowed, count).tolist() == naive[:count]


@given(SCORED, st.randoms(use_true_random=False))
def test_sort_by_score_breaks_ties_by_row(scored: list[tuple[float, bool]], random) -> None:
    items = list(range(len(scored)))
    random.shuffle(items)
    scores = np.array([scored[item][0] for item in items])
    order = sort_by_score(np.array(items, np.int64), scores)
    naive = sorted(range(len(items)), key=lambda position: (-scores[position], items[position]))
    assert order.tolist() == naive
