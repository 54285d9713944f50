from typing import Any

import numpy as np
import pytest

from recsvc.scenarios.placing import Counted, Placed, placed
from recsvc.scenarios.plan import Quota


def _least(count: int, within: int, *items: int) -> Counted:
    return Counted(Quota(True, count, within, (0,), -1, "least"), _matches(items))


def _most(count: int, *items: int, within: int | None = None) -> Counted:
    return Counted(Quota(False, count, within, (0,), -1, "most"), _matches(items))


def _same(count: int, *values: tuple[str, ...]) -> Counted:
    return Counted(Quota(False, count, None, None, 0, "same"), None, values)


def _matches(items: tuple[int, ...]) -> Any:
    matches = np.zeros(6, bool)
    matches[list(items)] = True
    return matches


def _placed(k: int, *quotas: Counted, pins: dict[int, int] | None = None) -> Placed:
    return placed(np.arange(6.0, 0.0, -1.0), k, pins or {}, quotas)


@pytest.mark.parametrize(
    ("k", "quotas", "pins", "told"),
    [
        (4, [_least(2, 2, 4, 5)], {1: 0}, ["least: 1 of 2, pinned items have its places"]),
        (4, [_least(2, 4, 5)], {}, ["least: 1 of 2, 1 such item may be listed"]),
        (3, [_least(1, 5, 5)], {}, ["least: 0 of 1, the list ends at place 3"]),
        (4, [_least(1, 1, 3), _least(1, 1, 4)], {},
         ["least: 0 of 1, other rules have its places"]),
        (4, [_least(1, 1, 3), _least(2, 2, 4, 5)], {},
         ["least: 1 of 2, other rules have its places"]),
        (3, [_most(1, 4, 5)], {1: 4, 3: 5}, ["most: 2, by pinned items"]),
        (6, [_most(3, 0, 1, 2, 3, 4)], {}, ["most: 5, no other item was left there"]),
        (6, [_same(2, ("'a'",), ("'b'",), ("'a'",), ("'a'",), ("'b'",), ())], {},
         ["same: 3 with 'a', no other item was left there"]),
        (3, [_most(1, 4, 5)], {1: 4, 5: 5}, []),
        (4, [_least(1, 4, 5), _most(1, 0, 1)], {2: 5}, []),
    ],
)  # fmt: skip
def test_each_quota_that_is_not_kept_is_told_with_the_reason(
    k: int, quotas: list[Counted], pins: dict[int, int], told: list[str]
) -> None:
    assert list(_placed(k, *quotas, pins=pins).unkept) == told
