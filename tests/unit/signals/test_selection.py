"""The n-th largest value, and the order of values, are numpy's."""

import numpy as np
import pytest

from recsvc.signals._selection import ascending, nth_largest


@pytest.mark.parametrize("different", [1, 3, 1000])
def test_it_is_the_one_that_sorting_finds(different: int) -> None:
    rng = np.random.default_rng(different)
    for size in (1, 2, 3, 10, 257):
        values = rng.integers(different, size=size).astype(np.float32)
        for given in (values, np.sort(values), -np.sort(-values)):
            before = given.copy()
            found = [nth_largest(given, n) for n in range(1, size + 1)]
            assert found == sorted(values, reverse=True)
            assert (given == before).all()


def test_the_order_is_that_of_sorting() -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 3, 10, 257):
        values = rng.permutation(1000)[:size].astype(np.int32)
        for given in (values, np.sort(values), -np.sort(-values)):
            np.testing.assert_array_equal(ascending(given), np.argsort(given))
    ties = np.array([2, 7, 2, 1, 7])
    assert ties[ascending(ties)].tolist() == [1, 2, 2, 7, 7]
