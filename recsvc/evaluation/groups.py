"""Groups by count: of users by how much is known of them, of items by how many have them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CountGroups:
    """Ranges of counts, one after the other.

    Attributes:
        least: the least count of each group, ascending from 0; the last has no upper border.
    """

    least: tuple[int, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What each group is called: `1`, `4 to 6`, `40 and more`."""
        ranges = zip(self.least, self.least[1:], strict=False)
        inner = (f"{a}" if a + 1 == b else f"{a} to {b - 1}" for a, b in ranges)
        return (*inner, f"{self.least[-1]} and more")

    def of(self, counts: NDArray[np.integer]) -> Int64[NDArray[np.int64], " n"]:
        """The group of each of n counts, as its index in `labels`."""
        return np.searchsorted(self.least, counts, side="right") - 1


BY_ITEMS_KNOWN = CountGroups((0, 1, 2, 3, 4, 7, 15, 40))
"""Of users, by how many items are known of them."""

BY_PEOPLE = CountGroups((0, 1, 2, 5, 10, 30))
"""Of items, by how many people have them."""
