"""Fatigue: an item that was shown to a user and not acted on loses a part of its score.

    f_i = −fatigue · (1 − 2^(−n_i)) · (s₁ − s₁₀₀),    n_i = Σ_j 2^(−t_j / h)

n_i counts the times that the item was shown since the user last acted on it, j the times, t_j how
long ago; h is the half-life. s₁ and s₁₀₀ are the user's best and hundredth best score of all items
by the blend, with all of their evidence. Pure; reads nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FATIGUE: Final = "fatigue"
"""Name of the part of a score."""
SPREAD_ITEMS: Final = 100
"""Over how many of the best items the spread of a user's scores is measured."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How an item was shown to a user since they last acted on it.

    Attributes:
        count: how often.
        loss: what it loses, in units of the spread of the user's scores.
    """

    count: int
    loss: float


def shown_items(rows: Mapping[str, tuple[int, float]], fatigue: float) -> dict[str, Shown]:
    """What items lose.

    Args:
        rows: by item, how often it was shown, and n_i.
        fatigue: the setting.
    """
    return {
        item: Shown(count, fatigue * (1.0 - 2.0**-weight)) for item, (count, weight) in rows.items()
    }
