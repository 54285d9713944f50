"""Items that came since the refresh, in a list under a scenario.

They have no score by the blend: what rules add, and what they lose by having been shown, is all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.graph.rows import LiveItem
from recsvc.scenarios.facts import Facts


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An item that came since the refresh, and may be listed.

    Attributes:
        item_id: its id.
        title: its title.
        row: in the facts of the list.
    """

    item_id: str
    title: str | None
    row: int


class Newcomers:
    """Those that were looked for.

    Args:
        facts: what is known of the items of the list.
        fades: what an item loses by having been shown, by its id.

    Attributes:
        listed: those that may be listed, by id.
        looked_at: the row in the facts of each that is there, by id.
    """

    def __init__(self, facts: Facts, fades: Callable[[str], float]) -> None:
        self._facts, self._fades = facts, fades
        self._aside: list[Newcomer] = []
        self.listed: list[Newcomer] = []
        self.looked_at: dict[str, int] = {}

    def take(self, items: Mapping[str, LiveItem]) -> None:
        """Take in what some are now, by id."""
        first = self._facts.grow(len(items))
        for row, (item_id, item) in enumerate(sorted(items.items()), start=first):
            self._facts.take([row], [item])
            if not item.available or item_id in self.looked_at:
                continue
            self.looked_at[item_id] = row
            if self._facts.passes[row]:
                self.listed.append(Newcomer(item_id, item.title, row))
        self.listed.sort(key=lambda each: each.item_id)

    def look_at(self, item_id: str, item: LiveItem) -> Newcomer:
        """Take in one that may not be listed."""
        row = self._facts.grow(1)
        self._facts.take([row], [item])
        self._aside.append(Newcomer(item_id, item.title, row))
        return self._aside[-1]

    def find(self, item_id: str) -> Newcomer | None:
        """One that may be listed, by its id; None where it is none."""
        return next((each for each in self.listed if each.item_id == item_id), None)

    @property
    def rows(self) -> Int64[NDArray[np.int64], " m"]:
        """The rows of those that may be listed."""
        return np.array([each.row for each in self.listed], np.int64)

    @property
    def ids(self) -> dict[int, str]:
        """The ids of those that may be listed, by row."""
        return {each.row: each.item_id for each in self.listed}

    def scores(self) -> Float64[NDArray[np.float64], " m"]:
        """The scores of those that may be listed: what rules add, and how they fade."""
        return self._scores_of(self.listed)

    def score_at(self, row: int) -> float:
        """The score of one, whether it may be listed or not, by its row."""
        (newcomer,) = (each for each in (*self.listed, *self._aside) if each.row == row)
        return float(self._scores_of([newcomer])[0])

    def _scores_of(self, some: Sequence[Newcomer]) -> Float64[NDArray[np.float64], " m"]:
        faded = np.array([self._fades(each.item_id) for each in some], np.float64)
        return self._facts.raised(np.array([each.row for each in some], np.int64)) + faded
