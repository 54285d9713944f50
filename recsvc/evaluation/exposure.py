"""How the places of lists are spread over items: by item, popularity, property and group."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

DECILES = 10

Places = Int64[NDArray[np.int64], " items"]
"""How many places of lists each item has, or how often it was shown."""


@dataclass(frozen=True, slots=True)
class Share:
    """What some of the items have.

    Attributes:
        items: how many they are.
        places: share of all places that they have; 0 where there is no place.
        catalogue: their share of all items.
    """

    items: int
    places: float
    catalogue: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the places of some lists are spread.

    Attributes:
        places: how many they are.
        gini: of the places of items: 0 where all have the same, towards 1 where one has all.
        coverage: share of all items that have a place.
        deciles: the places of the tenth of the items that most people have, of the next tenth, ….
    """

    places: int
    gini: float
    coverage: float
    deciles: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Evenness:
    """How even some places are; see `Exposure`."""

    places: int
    gini: float
    coverage: float


def evenness(counts: Sequence[int], item_count: int) -> Evenness:
    """Measure the places of some of the lists.

    Args:
        counts: places of each item that has some.
        item_count: of all items; those without a place count too.
    """
    places = np.zeros(max(item_count, len(counts)), np.int64)
    places[len(places) - len(counts) :] = np.sort(np.asarray(counts, np.int64))
    return Evenness(int(places.sum()), gini(places), coverage(places))


def exposure(places: Places, popularity: NDArray[np.number]) -> Exposure:
    """Measure the places of some lists.

    Args:
        places: see `Places`.
        popularity: of each item, which orders deciles; ties go to the smaller row.
    """
    order = np.lexsort((np.arange(len(places)), -popularity.astype(np.float64)))
    decile = np.empty(len(places), np.int64)
    decile[order] = np.arange(len(places)) * DECILES // max(1, len(places))
    items = np.bincount(decile, minlength=DECILES)
    held = np.bincount(decile, places, minlength=DECILES)
    return Exposure(
        places=int(places.sum()),
        gini=gini(np.sort(places)),
        coverage=coverage(places),
        deciles=shares(items.tolist(), held.tolist()),
    )


def shares(items: Sequence[int], places: Sequence[float]) -> tuple[Share, ...]:
    """What groups of items have, that together are all items.

    Args:
        items: how many each group has.
        places: how many places these have.
    """
    held, every = max(1.0, sum(places)), max(1, sum(items))
    return tuple(
        Share(count, own / held, count / every) for count, own in zip(items, places, strict=True)
    )


def places_of(items: Int64[NDArray[np.int64], "users k"], item_count: int) -> Places:
    """How many places each item has in lists; -1 is no item."""
    return np.bincount(items[items >= 0], minlength=item_count)


def coverage(places: Places) -> float:
    """Share of the items that have a place at all."""
    return float(np.count_nonzero(places)) / max(1, len(places))


def gini(ascending: Int64[NDArray[np.int64], " n"]) -> float:
    """Σᵢ (2i − n − 1)·xᵢ / (n·Σᵢ xᵢ), i from 1; 0 where every number is 0.

    Args:
        ascending: numbers that are 0 or more, the smallest first.
    """
    count, total = len(ascending), float(ascending.sum())
    if total == 0.0:
        return 0.0
    factor = 2.0 * np.arange(1, count + 1) - count - 1
    return float(factor @ ascending) / (count * total)
