"""Accuracy by how much is known: of users by their items, of items by the people who have them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.evaluation.metrics import Estimate, Ranking, bootstrap, is_held_out

K = 20
"""Length of the lists that are measured by group."""

METRICS = (f"ndcg@{K}", f"recall@{K}")
"""What is measured of groups of users."""

_RESAMPLES = 1000

PerUser = Mapping[str, Float64[NDArray[np.float64], " users"]]
"""One value per user, by `metric@k`."""


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

COLD_AND_WARM = CountGroups((0, 5))
"""Of users and of items: cold are those with fewer than 5 items, or people."""


@dataclass(frozen=True, slots=True)
class UserGroup:
    """How good the lists of some users are, as means over them with 95% bootstrap intervals.

    Attributes:
        group: how many items are known of each, as a label.
        users: how many they are.
        model: by metric.
        popularity: the same of the popular list.
        difference: by how much the model is above the popular list, of the same users.
        best_part: the signal of a blend that alone has the highest NDCG@20 for these very users;
            None where there are no parts.
        part: what it reaches.
    """

    group: str
    users: int
    model: Mapping[str, Estimate]
    popularity: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    best_part: str | None
    part: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Reach:
    """How a group of items fares in lists of 20.

    Attributes:
        recall: share of its pairs to be found that are found; None where there are none.
        places: share of all places of all lists that it has.
    """

    recall: float | None
    places: float


@dataclass(frozen=True, slots=True)
class ItemGroup:
    """How some items fare in the lists.

    Attributes:
        group: how many people have each, as a label.
        items: how many they are.
        pairs: how many pairs of a user and one of them are to be found.
        model: how they fare in its lists.
        popularity: how they fare in the popular list.
    """

    group: str
    items: int
    pairs: int
    model: Reach
    popularity: Reach


def by_items_known(
    known: NDArray[np.integer],
    model: PerUser,
    popularity: PerUser,
    parts: Mapping[str, PerUser],
    groups: CountGroups = BY_ITEMS_KNOWN,
) -> tuple[UserGroup, ...]:
    """Accuracy by how many items are known of a user; groups without a user are left out.

    Args:
        known: how many that is, [users].
        model: `METRICS` for each user.
        popularity: the same of the popular list.
        parts: the same of each part of a blend alone.
        groups: ranges of numbers of items.
    """
    group = groups.of(known)
    return tuple(
        _user_group(label, group == place, model, popularity, parts)
        for place, label in enumerate(groups.labels)
        if (group == place).any()
    )


def _user_group(
    label: str,
    own: NDArray[np.bool_],
    model: PerUser,
    popularity: PerUser,
    parts: Mapping[str, PerUser],
) -> UserGroup:
    best = max(parts, key=lambda name: parts[name][METRICS[0]][own].mean(), default=None)
    compared = {"model": model, "popularity": popularity} | ({"part": parts[best]} if best else {})
    values = {(who, m): per_user[m][own] for who, per_user in compared.items() for m in METRICS}
    values |= {("difference", m): values["model", m] - values["popularity", m] for m in METRICS}
    estimates = bootstrap(values, _RESAMPLES, seed=0)
    of = {
        who: {m: estimates[who, m] for m in METRICS if (who, m) in estimates}
        for who in ("model", "popularity", "difference", "part")
    }
    return UserGroup(label, int(own.sum()), best_part=best, **of)


def by_people(
    people: NDArray[np.integer],
    held_out: sp.csr_matrix,
    model: Ranking,
    popularity: Ranking,
    groups: CountGroups = BY_PEOPLE,
) -> tuple[ItemGroup, ...]:
    """How items fare by how many people have them; groups without an item are left out.

    Args:
        people: how many that is, [items].
        held_out: its stored entries are the answers, [users, items].
        model: lists of 20 items or more.
        popularity: the popular lists of the same users.
        groups: ranges of numbers of people.
    """
    group = groups.of(people)
    number = len(groups.labels)
    items = np.bincount(group, minlength=number)
    pairs = np.bincount(group[held_out[model.user_index].indices], minlength=number)
    of_model, of_popularity = (
        _reach(ranking, held_out, group, pairs) for ranking in (model, popularity)
    )
    return tuple(
        ItemGroup(label, int(items[at]), int(pairs[at]), of_model[at], of_popularity[at])
        for at, label in enumerate(groups.labels)
        if items[at]
    )


def _reach(
    ranking: Ranking,
    held_out: sp.csr_matrix,
    group: Int64[NDArray[np.int64], " items"],
    pairs: Int64[NDArray[np.int64], " groups"],
) -> list[Reach]:
    items = ranking.items[:, :K]
    hits = items[is_held_out(ranking.user_index, items, held_out)]
    hits_of_group, places = (
        np.bincount(group[listed], minlength=len(pairs)).tolist()
        for listed in (hits, items[items >= 0])
    )
    return [
        Reach(hits_of_group[at] / wanted if wanted else None, places[at] / max(1, sum(places)))
        for at, wanted in enumerate(pairs.tolist())
    ]
