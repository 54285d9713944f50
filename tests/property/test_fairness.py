"""A group's least share of the first places, against all choices that give it."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsvc.blend.fairness import fairness_parts, least_items
from recsvc.blend.ranking import sort_by_score


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 9))
    scores = rng.integers(-3, 4, size=n) + rng.normal(size=n) * draw(st.sampled_from([0, 1e-7, 1]))
    scores *= draw(st.sampled_from([1e-6, 1.0, 1e6]))
    share, places = draw(st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0])), draw(st.integers(1, 7))
    return scores, rng.random(n) < 0.4, least_items(share, places), places


@given(cases())
def test_the_group_has_its_share_at_the_least_cost(
    case: tuple[np.ndarray, np.ndarray, int, int],
) -> None:
    scores, group, least, places = case
    parts = fairness_parts(scores, group, least, places)
    assert not parts[~group].any()
    first = sort_by_score(np.arange(len(scores)), scores + parts)[:places]
    wanted = min(least, int(group.sum()))
    assert group[first].sum() >= wanted
    best = max(
        scores[list(chosen)].sum()
        for chosen in combinations(range(len(scores)), len(first))
        if group[list(chosen)].sum() >= wanted
    )
    size = np.abs(scores).max()
    assert np.isclose(scores[first].sum(), best, rtol=0, atol=1e-8 * size)
    # With less it would not have it.
    if size and parts.max() > 0.01 * size:
        less = scores + parts * (1 - 1e-6)
        fewer = sort_by_score(np.arange(len(scores)), less)[:places]
        assert group[fewer].sum() < wanted


def test_who_has_the_share_already_gets_nothing_added() -> None:
    scores, group = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 0, 1, 1], bool)
    assert not fairness_parts(scores, group, 1, 2).any()
    assert not fairness_parts(scores, group, 2, 4).any()
    parts = fairness_parts(scores, group, 2, 3)  # 2.0 has to come before 3.0, not before 4.0
    np.testing.assert_allclose(parts, [1.0, 0.0, 0.0, 1.0, 0.0], rtol=1e-6)


def test_of_many_alike_only_as_many_as_needed_come_forward() -> None:
    scores, group = np.array([3.0, 1.0, 0.0, 0.0, 0.0, -3.0, -3.0, -3.0]), np.arange(8) >= 6
    first = sort_by_score(np.arange(8), scores + fairness_parts(scores, group, 1, 4))[:4]
    assert group[first].sum() == 1


def test_a_share_is_rounded_up_as_the_decimal_it_is_written_as() -> None:
    assert [least_items(share, 10) for share in (0.1, 0.3, 0.31, 1.0)] == [1, 3, 4, 10]
