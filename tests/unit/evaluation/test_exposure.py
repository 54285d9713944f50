import numpy as np
import pytest

from recsvc.evaluation.exposure import (
    Evenness,
    Share,
    coverage,
    evenness,
    exposure,
    gini,
    places_of,
    shares,
)


def test_places_are_counted_by_item_and_gaps_are_none() -> None:
    assert places_of(np.array([[0, 2], [2, -1]]), 4).tolist() == [1, 0, 2, 0]


def test_gini_is_zero_where_all_have_the_same_and_all_but_one_share_where_one_has_all() -> None:
    assert gini(np.array([3, 3, 3, 3])) == 0.0
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4)
    assert gini(np.zeros(5, int)) == gini(np.zeros(0, int)) == 0.0


def test_shares_by_popularity() -> None:
    places = np.zeros(20, int)
    places[[0, 1, 19]] = [6, 2, 2]
    people = np.arange(20)[::-1]  # row 0 is what most people have
    found = exposure(places, people)
    assert found.places == 10
    assert found.coverage == coverage(places) == 3 / 20
    assert [share.places for share in found.deciles] == [0.8, *[0.0] * 8, 0.2]
    assert all(share == Share(2, share.places, 0.1) for share in found.deciles)


def test_shares_of_groups() -> None:
    assert shares([15, 5], [8, 2]) == (Share(15, 0.8, 0.75), Share(5, 0.2, 0.25))
    assert shares([], []) == ()


def test_without_a_place_or_an_item_everything_is_zero() -> None:
    for items in (0, 3):
        found = exposure(np.zeros(items, int), np.zeros(items, int))
        assert (found.places, found.gini, found.coverage) == (0, 0.0, 0.0)
        assert sum(share.items for share in found.deciles) == items
        assert {share.places for share in found.deciles} == {0.0}


def test_items_without_a_place_count_in_how_even_it_is() -> None:
    assert evenness([9], 4) == Evenness(9, pytest.approx(3 / 4), 1 / 4)
    assert evenness([3, 3, 3, 3], 3) == Evenness(12, 0.0, 1.0)
    assert evenness([], 3) == Evenness(0, 0.0, 0.0)
