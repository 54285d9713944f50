import numpy as np
import pytest

from loaders.numbers import as_numbers, numbers_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [3.0]), (-2.5, [-2.5]), (True, [1.0]), (False, [0.0]), ("9.99", [9.99]),
        ("TRUE", [1.0]),
        ("-1e3", [-1000.0]), ([1, 2.5], [1.0, 2.5]), ([0.5] * 5000, [0.5] * 4096),
        (None, []), ("", []), ("nan", []), ("1_000", []), ("٣", []), (" 3", []), ("1e300", []),
        (float("nan"), []), (float("inf"), []), (1e10, []), ([1, None], []), ([True], []), ({}, []),
        ([], []), (["1"], []),
    ],
)  # fmt: skip
def test_what_is_a_number(value: object, expected: list[float]) -> None:
    assert numbers_of(value) == expected


def test_lists_have_the_most_frequent_length() -> None:
    found = as_numbers(4, np.array([3, 0, 2, -1]), [[1, 2], [3, 4], [5], [6, 7]])
    np.testing.assert_array_equal(found, [[3, 4], [np.nan] * 2, [np.nan] * 2, [1, 2]])
    assert np.isnan(as_numbers(2, np.array([0, 1]), [[], []])).all()
    assert as_numbers(0, np.empty(0, np.int64), []).shape == (0, 1)


def test_lists_have_the_most_frequent_length_and_others_are_missing() -> None:
    lists = [[1.0, 2.0], [1.0], [3.0, 4.0], [5.0, 6.0, 7.0], []]
    numbers = as_numbers(6, np.array([0, 1, 2, 3, 4]), lists)
    nothing = [np.nan, np.nan]
    expected = [[1, 2], nothing, [3, 4], nothing, nothing, nothing]
    np.testing.assert_array_equal(numbers, np.array(expected, np.float32))
