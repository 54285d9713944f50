"""What the graph says of items, for the rules of a scenario, as arrays."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.graph.rows import LiveItem
from recsvc.scenarios.placing import Counted
from recsvc.scenarios.plan import Plan

Rows = Int64[NDArray[np.int64], " n"]


class Facts:
    """What is known of some items.

    Args:
        plan: what is asked of them.
        size: how many items there may be.

    Attributes:
        passes: whether each meets all filters.
        deep: whether categories are above one of them that are not looked at.
    """

    def __init__(self, plan: Plan, size: int) -> None:
        self._plan = plan
        self._size = size
        self._met = np.zeros((len(plan.conditions), size), bool)
        self._raised = np.zeros(size)
        self._values: list[dict[int, tuple[str, ...]]] = [{} for _ in plan.groups]
        self.passes = np.zeros(size, bool)
        self.deep = False

    def grow(self, more: int) -> int:
        """Make room for so many more items; the row of the first of them."""
        first, self._size = self._size, self._size + more
        self._met = np.pad(self._met, ((0, 0), (0, more)))
        self._raised = np.pad(self._raised, (0, more))
        self.passes = np.pad(self.passes, (0, more))
        return first

    def take(self, rows: Sequence[int], items: Sequence[LiveItem | None]) -> None:
        """Take in what some items are; what does not exist meets nothing."""
        plan = self._plan
        for row, item in zip(rows, items, strict=True):
            if item is None:
                self._met[:, row] = self.passes[row] = False
                continue
            self.deep = self.deep or item.deep
            met = plan.matches(list(item.matches), list(item.times))
            self._met[:, row] = met
            self.passes[row] = all(met[each] for each in plan.filters)
            if plan.adjusts:
                self._raised[row] = plan.raised(met, list(item.times))
            for values, own in zip(self._values, item.groups, strict=True):
                values[row] = own

    def raised(self, rows: Rows) -> Float64[NDArray[np.float64], " n"]:
        """What each of some items gains by rules and freshness."""
        return self._raised[rows]

    def counted(self, rows: Rows) -> list[Counted]:
        """What each quota counts among some items."""
        return [
            Counted(quota, None, [self._values[quota.group].get(row, ()) for row in rows.tolist()])
            if quota.where is None
            else Counted(quota, self.meets(quota.where, rows))
            for quota in self._plan.quotas
        ]

    def meets(self, where: Sequence[int], rows: Rows) -> Bool[NDArray[np.bool_], " n"]:
        """Which of some items meet all of some conditions."""
        return np.asarray(self._met[list(where)][:, rows].all(axis=0))

    def refused(self, rows: Rows) -> list[int]:
        """How many of some items each filter refuses."""
        return [int((~self._met[each, rows]).sum()) for each in self._plan.filters]
