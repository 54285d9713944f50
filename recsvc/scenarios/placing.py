"""Which item comes to which place: pins and quotas on top of scores. Pure.

Places are filled one after the other, the first one first, and what stands at a place depends on
nothing that comes after it: a list for k is the beginning of the list for a larger k.

    place p:  the pinned item of p; else the best item that every quota allows

An *at most* quota allows an item while its count is not reached. An *at least* quota allows, from
where its missing items need all places that are left in its window, only an item that it counts.
Pinned items count from the beginning. Where no item is allowed, quotas are left aside for this
place: of the quotas in their order each is kept with which, and with those kept before it, some
item is allowed.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.scenarios.plan import Quota

PROMOTES: Final = ("pin: ", "quota: at least ")
"""How a reason begins that brings an item forward."""

Mask = Bool[NDArray[np.bool_], " n"]


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """A quota, and what it counts among some candidates.

    Attributes:
        quota: the rule.
        matches: the candidates it counts; None where it counts each shared value on its own.
        values: then the values of each candidate, each once.
    """

    quota: Quota
    matches: Mask | None
    values: Sequence[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A list.

    Attributes:
        order: places among the candidates, in the order of the list.
        reasons: by place in the list, from 0, why an item stands there, where that is not its
            score.
        similarity: how alike each one was to those before it.
        relaxed: whether quotas were left aside somewhere.
        unkept: the quotas that the list does not keep, each with what it has and why.
        lowest: the lowest score of what is not pinned; inf where there is none, and -inf where a
            pinned item stands at an earlier place since nothing else was left.
    """

    order: Int64[NDArray[np.int64], " k"]
    reasons: Mapping[int, str]
    similarity: Float64[NDArray[np.float64], " k"]
    relaxed: bool
    unkept: tuple[str, ...]
    lowest: float


def placed(
    scores: Float64[NDArray[np.float64], " n"],
    k: int,
    pins: Mapping[int, int],
    quotas: Sequence[Counted],
    *,
    vectors: Float64[NDArray[np.float64], "n dim"] | None = None,
    weight: float = 0.0,
    reach: Callable[[int], int] | None = None,
) -> Placed:
    """Fill k places.

    Args:
        scores: of the candidates, highest first; ties are broken already.
        k: how many.
        pins: the candidate of each pinned place, from 1.
        quotas: in their order.
        vectors: what tells how alike two candidates are, see `maximal_marginal_relevance`.
        weight: what a candidate loses that is just like one before it.
        reach: from how many of the first the n-th is chosen, where they lose by being alike.
    """
    return _Places(scores, pins, quotas, vectors, weight, reach).fill(k)


class _Places:
    def __init__(
        self,
        scores: Float64[NDArray[np.float64], " n"],
        pins: Mapping[int, int],
        quotas: Sequence[Counted],
        vectors: Float64[NDArray[np.float64], "n dim"] | None,
        weight: float,
        reach: Callable[[int], int] | None,
    ) -> None:
        self._scores, self._weight, self._reach = scores, weight, reach
        self._pinned, self._pins = dict(pins), dict(pins)
        self._quotas = quotas
        self._left = np.ones(len(scores), bool)
        self._left[list(pins.values())] = False
        self._counters = [_Counter(each, self._pins) for each in quotas]
        self._held: dict[int, str] = {}
        self._similarity = np.zeros(len(scores))
        self._unit = None if vectors is None else _unit(vectors)
        self._relaxed = False

    def fill(self, k: int) -> Placed:
        order: list[int] = []
        reasons: dict[int, str] = {}
        lowest = np.inf
        for place in range(1, min(k, len(self._scores)) + 1):
            pinned = self._pins.pop(place, None)
            if pinned is None and not self._left.any():
                pinned = self._pins.pop(min(self._pins))  # it moves up: nothing else is left
                lowest = -np.inf
            if pinned is not None:
                chosen, why = pinned, f"pin: place {place}"
            else:
                chosen, why = self._choose(place)
                lowest = min(lowest, float(self._scores[chosen]))
                for counter in self._counters:
                    counter.count(chosen, place)
            if why:
                reasons[place - 1] = why
            order.append(chosen)
            self._left[chosen] = False
            if self._unit is not None:
                alike = self._unit[self._left] @ self._unit[chosen]
                self._similarity[self._left] = np.maximum(self._similarity[self._left], alike)
        rows = np.array(order, np.int64)
        similarity = self._similarity[rows]
        unkept = tuple(
            f"{each.quota.said}: {why}"
            for each in self._quotas
            if (
                why := self._missed(each, rows, k)
                if each.quota.at_least
                else self._passed(each, rows)
            )
        )
        return Placed(rows, reasons, similarity, self._relaxed, unkept, lowest)

    def _missed(self, counted: Counted, rows: Int64[NDArray[np.int64], " k"], k: int) -> str | None:
        """Why a list has too few items that a quota counts; None where it has enough."""
        quota, matches = counted.quota, counted.matches
        assert matches is not None
        within = quota.within or k
        having = int(matches[rows[:within]].sum())
        if having >= quota.count:
            return None
        pinned = [item for place, item in self._pinned.items() if place <= within]
        every, all_known = int(matches.sum()), self._relaxed or len(rows) < k
        if within - len(pinned) + int(matches[pinned].sum()) < quota.count:
            why = "pinned items have its places"
        elif all_known and every < quota.count:
            why = f"{every} such {'item' if every == 1 else 'items'} may be listed"
        elif len(rows) < within:
            why = f"the list ends at place {len(rows)}"
        else:
            why = "other rules have its places"
        return f"{having} of {quota.count}, {why}"

    def _passed(self, counted: Counted, rows: Int64[NDArray[np.int64], " k"]) -> str | None:
        """Why a list has too many items that a quota counts; None where it has not."""
        quota = counted.quota
        window = rows[: quota.within].tolist()
        pinned = set(self._pinned.values())
        most, value = _most_shared(counted, window)
        if most <= quota.count:
            return None
        by_pins, _ = _most_shared(counted, [item for item in window if item in pinned])
        why = "by pinned items" if by_pins > quota.count else "no other item was left there"
        return f"{most}{value and f' with {value}'}, {why}"

    def _choose(self, place: int) -> tuple[int, str | None]:
        """The item of a place, and why it stands there where that is not its score."""
        most = [c for c in self._counters if not c.at_least and c.counts_at(place)]
        due = self._due(place)
        allowed, why = self._left, None
        for counter in most:
            allowed = allowed & counter.open
        if due:
            allowed = allowed & _any_of(due)
        if not allowed.any():
            allowed, why = self._relax(most, due)
        first, chosen = self._best(self._left, place), self._best(allowed, place)
        filled = [each.said for each in due if each.matches[chosen]]
        if why is None and first != chosen and filled:
            why = f"quota: {filled[0]}"
        elif first != chosen:
            self._hold(most, chosen)
        return chosen, why or self._held.get(chosen)

    def _hold(self, most: Sequence["_Counter"], chosen: int) -> None:
        """Note why what is better than the chosen item comes after it."""
        for counter in most:
            for item in np.flatnonzero((self._left & ~counter.open)[:chosen]).tolist():
                self._held.setdefault(item, f"quota: {counter.said}")

    def _due(self, place: int) -> list["_Counter"]:
        """The quotas one of which the item of this place has to fill."""
        missing, due = 0, list[_Counter]()
        least = [c for c in self._counters if c.at_least and c.counts_at(place) and c.missing > 0]
        for counter in sorted(least, key=lambda each: each.within):
            missing += counter.missing
            due.append(counter)
            free = counter.within - place + 1
            free -= sum(place <= pinned <= counter.within for pinned in self._pins)
            if missing >= free:
                return due
        return []

    def _relax(
        self, most: Sequence["_Counter"], due: Sequence["_Counter"]
    ) -> tuple[Mask, str | None]:
        """What is allowed where not all quotas can be kept, and which of them an item breaks."""
        allowed, broken = self._left, list[str]()
        for counter in self._counters:
            if counter not in most and counter not in due[:1]:
                continue
            narrower = allowed & (_any_of(due) if counter in due else counter.open)
            if narrower.any():
                allowed = narrower
            elif counter in due:
                self._relaxed = True
            else:
                broken.append(counter.said)
        self._relaxed = self._relaxed or bool(broken)
        return allowed, f"left aside: {'; '.join(broken)}" if broken else None

    def _best(self, allowed: Mask, place: int) -> int:
        if self._unit is None:
            return int(np.argmax(allowed))
        near = slice(self._reach(place) if self._reach is not None else None)
        if not allowed[near].any():
            near = slice(None)
        value = self._scores[near] - self._weight * self._similarity[near]
        return int(np.argmax(np.where(allowed[near], value, -np.inf)))


class _Counter:
    """What a quota has counted so far."""

    def __init__(self, counted: Counted, pins: Mapping[int, int]) -> None:
        quota, n = counted.quota, len(counted.values)
        self.at_least, self.said = quota.at_least, quota.said
        self._count, self._within = quota.count, quota.within
        matches = counted.matches
        self.matches: Mask = np.zeros(n, bool) if matches is None else matches
        self.open: Mask = np.ones(n if matches is None else len(matches), bool)
        self._values = counted.values
        self._having: dict[str, list[int]] = {}
        self._of_value: dict[str, int] = {}
        for item, values in enumerate(counted.values):
            for value in values:
                self._having.setdefault(value, []).append(item)
        self._counted = 0
        if matches is not None and not self._count and not self.at_least:
            self.open = ~matches
        elif matches is None and not self._count:
            self._close(np.array([bool(values) for values in counted.values], bool))
        for place, item in pins.items():
            self.count(item, place)

    @property
    def within(self) -> int:
        return self._within or 0

    @property
    def missing(self) -> int:
        return self._count - self._counted

    def counts_at(self, place: int) -> bool:
        return self._within is None or place <= self._within

    def count(self, item: int, place: int) -> None:
        """Take in that an item has a place."""
        if not self.counts_at(place):
            return
        if self._values:
            for value in self._values[item]:
                self._of_value[value] = self._of_value.get(value, 0) + 1
                if self._of_value[value] >= self._count:
                    self.open[self._having[value]] = False
        elif self.matches[item]:
            self._counted += 1
            if not self.at_least and self._counted >= self._count:
                self.open = ~self.matches

    def _close(self, items: Mask) -> None:
        self.open = self.open & ~items


def _most_shared(counted: Counted, items: Sequence[int]) -> tuple[int, str]:
    """How many of some items a quota counts together, and the value they share, if it is one."""
    if counted.matches is not None:
        return int(counted.matches[np.array(items, np.int64)].sum()), ""
    shared = Counter(value for item in items for value in counted.values[item])
    (value, most), *_ = shared.most_common(1) or [("", 0)]
    return most, value


def _any_of(counters: Sequence[_Counter]) -> Mask:
    """What one of some quotas counts."""
    return np.logical_or.reduce([each.matches for each in counters])


def _unit(vectors: Float64[NDArray[np.float64], "n dim"]) -> NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
