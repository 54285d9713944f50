"""The passes over the scores of all items, made by several machines for their items each.

A score is the same wherever it is made: what its evidence comes to and n_s(u) are made once, by who
asks. The order of the best is by score and then by row, so the best of all are the best of what
shards name as their best, and a count is the sum of counts. Ranges begin with a whole block of
items (`recsvc.signals.embedding`), so float32 scores have the same bits as on one machine.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.scored_user import Ranked, ScoredUser
from recsvc.blend.shard_messages import Message
from recsvc.errors import ShardAwayError
from recsvc.evidence import EvidenceRows
from recsvc.signals.base import Signal
from recsvc.signals.embedding import ITEMS_IN_A_BLOCK

_ASKING: Final = ThreadPoolExecutor(64, thread_name_prefix="recsvc-shards")
"""Threads that wait for shards."""

_QuestionOf = Callable[[int, int], Message | None]
"""What is asked of who has the items from a row to before another; None for nothing."""
_Range = tuple[int, int]
_Answered = tuple[_Range, Message]
"""From where to where somebody has the items, and what they answer."""


def item_ranges(items: int, shards: int) -> list[tuple[int, int]]:
    """From where to where each shard has the items, as even as whole blocks allow."""
    blocks = -(-items // ITEMS_IN_A_BLOCK)
    ends = [min(items, blocks * n // shards * ITEMS_IN_A_BLOCK) for n in range(shards + 1)]
    return list(pairwise(ends))


class Shard(Protocol):
    """Who holds the items of one range."""

    def ask(self, version: str, operation: str, question: Message) -> Message:
        """See `recsvc.blend.item_range.ItemRange.answer`.

        Args:
            version: whose items.
            operation: the pass.
            question: who asks, and what.

        Raises:
            ShardAwayError: no answer came in time, or it does not have this version.
        """
        ...


class Shards:
    """Those that hold the items of a version together.

    Args:
        shards: in the order of their items.
        version: of which they hold them.
        ranges: from where to where each has them.

    Attributes:
        ranges: the same.
        away: numbers of those that did not answer; they are not asked again for the same list.
    """

    def __init__(
        self, shards: Sequence[Shard], version: str, ranges: Sequence[tuple[int, int]]
    ) -> None:
        self._shards, self._version, self.ranges = tuple(shards), version, tuple(ranges)
        self.away: set[int] = set()

    def of_one_list(self) -> "Shards":
        """The same, to be asked for one list."""
        return Shards(self._shards, self._version, self.ranges)

    def ask(self, operation: str, question_of: _QuestionOf) -> list[_Answered]:
        """Ask all at once that have something to answer.

        Returns:
            The range of each one that answered, and its answer.
        """
        asked = [
            (number, own, question)
            for number, own in enumerate(self.ranges)
            if number not in self.away and (question := question_of(*own)) is not None
        ]
        answers = (
            map(self._ask_one(operation), asked)
            if len(asked) < 2
            else _ASKING.map(self._ask_one(operation), asked)
        )
        return [each for each in answers if each is not None]

    def _ask_one(self, operation: str) -> Callable[[tuple[int, _Range, Message]], _Answered | None]:
        def ask(asked: tuple[int, _Range, Message]) -> _Answered | None:
            number, own, question = asked
            try:
                return own, self._shards[number].ask(self._version, operation, question)
            except ShardAwayError:
                self.away.add(number)
                return None

        return ask


class _Evidence(NamedTuple):
    """What the evidence of one signal comes to: a profile, or the items that rows reach."""

    profile: Float64[NDArray[np.float64], " dim"] | None
    items: Int64[NDArray[np.int64], " n"]
    sums: Float64[NDArray[np.float64], " n"]

    @classmethod
    def of(cls, signal: Signal, rows: EvidenceRows) -> "_Evidence":
        profile = signal.profile(rows)
        if profile is not None:
            return cls(profile, np.zeros(0, np.int64), np.zeros(0))
        return cls(None, *signal.reached_sums(rows))

    def arrays(self, name: str, number: int, begin: int, end: int) -> dict[str, NDArray[Any]]:
        """The same for the items of a range, under the names that it has in a message."""
        if self.profile is not None:
            return {f"{name}profile{number}": self.profile}
        own = slice(*np.searchsorted(self.items, (begin, end)))
        items = (self.items[own] - begin).astype(np.int32)
        return {f"{name}items{number}": items, f"{name}sums{number}": self.sums[own]}


@dataclass(frozen=True, eq=False)
class ShardedUser(ScoredUser):
    """One user, whose scores shards make.

    What is of a few items is made here. Where a shard is away its items are as if they could not be
    listed, and are counted nowhere.
    """

    shards: Shards = field(kw_only=True)

    @cached_property
    def _evidence(self) -> list[_Evidence]:
        return [_Evidence.of(signal, rows) for signal, _, rows in self.spoken]

    def ranked(self, allowed: Bool[NDArray[np.bool_], " items"], count: int) -> Ranked:
        """See `ScoredUser.ranked`."""
        answers = self._asked("ranked", allowed, {"count": int(count)})
        rows = np.concatenate(
            [np.zeros(0, np.int64), *(begin + a.arrays["rows"] for (begin, _), a in answers)]
        )
        scores = np.concatenate([np.zeros(0), *(a.arrays["scores"] for _, a in answers)])
        order = np.lexsort((rows, -scores))[:count]
        return rows[order], scores[order]

    def at(self, items: Int64[NDArray[np.int64], " n"]) -> Float32[NDArray[np.float32], " n"]:
        """See `ScoredUser.at`; of a shard that is away the exact scores, which are made here."""

        def question(begin: int, end: int) -> Message | None:
            own = items[(items >= begin) & (items < end)] - begin
            return self._question(begin, end, {}, {"rows": own}) if len(own) else None

        scores = self.exact(items).astype(np.float32)
        for (begin, end), answer in self.shards.ask("at", question):
            scores[(items >= begin) & (items < end)] = answer.arrays["scores"]
        return scores

    def count_before(
        self,
        may: Bool[NDArray[np.bool_], " items"],
        score: float,
        row: int,
        after: Float64[NDArray[np.float64], " items"] | None = None,
    ) -> int:
        """See `ScoredUser.count_before`."""

        def own(begin: int, end: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
            facts = {"row": min(max(row - begin, 0), end - begin)}
            arrays: dict[str, NDArray[Any]] = {"score": np.array([score])}
            if after is not None:
                changed = np.flatnonzero(after[begin:end])
                arrays |= {"changed": changed, "after": after[begin:end][changed]}
            return facts, arrays

        answers = self._asked("count_before", may, {}, own)
        return sum(answer.facts["count"] for _, answer in answers)

    def ends(
        self, items: Bool[NDArray[np.bool_], " items"]
    ) -> Float64[NDArray[np.float64], "2 parts"]:
        """See `ScoredUser.ends`."""
        ends = np.full((2, len(self.spoken) + 2), [[-np.inf], [np.inf]])
        for _, answer in self._asked("ends", items):
            highest, lowest = answer.arrays["ends"]
            ends = np.stack([np.maximum(ends[0], highest), np.minimum(ends[1], lowest)])
        return ends

    def most_without(
        self,
        items: Bool[NDArray[np.bool_], " items"],
        base: float,
        factors: Float64[NDArray[np.float64], " signals"],
        gone: Sequence[EvidenceRows],
    ) -> float:
        """See `ScoredUser.most_without`."""
        left_out = [
            _Evidence.of(signal, rows)
            for (signal, _, _), rows in zip(self.spoken, gone, strict=True)
        ]

        def own(begin: int, end: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
            arrays: dict[str, NDArray[Any]] = {"factors_then": np.array([base, *factors])}
            for number, each in enumerate(left_out):
                arrays |= each.arrays("gone_", number, begin, end)
            return {}, arrays

        answers = self._asked("most_without", items, {}, own)
        return max((float(answer.arrays["most"][0]) for _, answer in answers), default=-np.inf)

    def _asked(
        self,
        operation: str,
        items: Bool[NDArray[np.bool_], " items"],
        facts: Mapping[str, Any] = {},
        own: Callable[[int, int], tuple[dict[str, Any], dict[str, NDArray[Any]]]] | None = None,
    ) -> list[_Answered]:
        """The answers about some items, of the shards that have any of them.

        Args:
            operation: the pass.
            items: those.
            facts: what else is asked of all alike.
            own: what else is asked of who has the items from a row to before another.
        """

        def question(begin: int, end: int) -> Message | None:
            some = items[begin:end]
            if not some.any():
                return None
            more, arrays = own(begin, end) if own is not None else ({}, {})
            arrays = {"items": np.packbits(some), **arrays}
            return self._question(begin, end, {**facts, **more}, arrays)

        return self.shards.ask(operation, question)

    def _question(
        self, begin: int, end: int, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Message:
        factors = np.array([self.base, *(factor for _, factor, _ in self.spoken)], np.float64)
        evidence: dict[str, NDArray[Any]] = {"factors": factors}
        for number, each in enumerate(self._evidence):
            evidence |= each.arrays("", number, begin, end)
        names = [signal.name for signal, _, _ in self.spoken]
        return Message({"signals": names, **facts}, {**evidence, **arrays})
