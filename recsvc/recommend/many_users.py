"""Answers to many users, of whom all or many ask for the same."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from recsvc.answer import Answer
from recsvc.errors import NotFoundError, TooMuchError
from recsvc.graph.rows import CategoryScope
from recsvc.graph.store import Store
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.live_truth import live_scope
from recsvc.recommend.query import Asker, RecommendationQuery, check_work, work_of
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.recommend.workshop import WORKSHOP
from recsvc.snapshot.arrays import Snapshot

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

_T = TypeVar("_T")
_USERS_AT_ONCE = 8
_USERS_IN_TIME = 4
"""Few, since those that the end of the time meets are left out; and of some with very much evidence
the first group is one user, so that there is a list at all."""


@dataclass(frozen=True, slots=True)
class AskedAlike:
    """Users who ask for the same of the same arrays.

    Attributes:
        user_ids: the users; somebody who is named several times is answered once.
        chosen: what answers are made from.
        asked: what is asked for.
    """

    user_ids: Sequence[str]
    chosen: Snapshot
    asked: ResolvedQuery


@dataclass(frozen=True, slots=True)
class _Known:
    """Users who ask for the same, as they are known.

    Attributes:
        group: who they are and what they ask for.
        scope: the categories that are asked for.
        nowhere: what is named and is nowhere.
        askers: what is known of each who is in the graph.
    """

    group: AskedAlike
    scope: CategoryScope | None
    nowhere: tuple[str, ...]
    askers: dict[str, tuple[Asker, Snapshot]]

    @property
    def answers(self) -> int:
        """How many answers are given, those to somebody who is named again too."""
        return sum(user_id in self.askers for user_id in self.group.user_ids)

    @property
    def work(self) -> int:
        """How much they take, see `work_of`."""
        pieces = [len(asker.evidence.nodes) for asker, _ in self.askers.values()]
        return work_of(self.group.asked.query, pieces, self.answers)


async def answer_each(
    groups: Sequence[AskedAlike],
    take: Callable[[Answer], _T],
    *,
    store: Store,
    askers: AskerReader,
    answers: Answers,
) -> dict[str, _T]:
    """What is kept of the answer of each of some users, by user; without those who are unknown.

    Args:
        groups: the users, by what they ask for; nobody is in two.
        take: what is kept of each answer, which may be large.
        store: the graph.
        askers: reads who asks.
        answers: makes answers.

    Raises:
        NotFoundError: there is no such category.
        TooMuchError: all answers together take too long.
        BusyError: they are large, and as much as can be done is in hand.
    """
    at_once, taken = asyncio.Semaphore(_USERS_AT_ONCE), dict[str, _T]()

    async def answer(known: _Known, user_id: str) -> None:
        async with at_once:
            started, asked = time.perf_counter(), known.group.asked
            asker, snapshot = known.askers.pop(user_id)
            with store.one_request():
                listing = await asked.listing(snapshot, asker, known.scope)
                made = (await answers.of(listing, started)).with_unknown(known.nowhere)
            taken[user_id] = await WORKSHOP.do(asker.is_large(asked.query), take, made)

    groups_read = [await _read(group, store, askers, at_once) for group in groups]
    work = sum(known.work for known in groups_read)
    check_work(work, sum(known.answers for known in groups_read))
    with WORKSHOP.room(work):
        await asyncio.gather(
            *(answer(known, user_id) for known in groups_read for user_id in [*known.askers])
        )
    return taken


async def answer_some(
    engine: "Engine",
    user_ids: Sequence[str],
    query: RecommendationQuery,
    take: Callable[[Answer], _T],
    seconds: float,
) -> list[_T]:
    """What is kept of the answers to some users, in their order, as many as there is time for.

    They are asked in groups of one, two and then four; the group that the end of the time meets is
    left out. So is who was answered without their evidence, which could not be read in time: that
    is the list of somebody else.

    Args:
        engine: makes answers.
        user_ids: the users, each once.
        query: what is asked for.
        take: what is kept of each answer.
        seconds: the time.

    Raises:
        SnapshotError: nothing has been refreshed yet.
        BusyError: answers are large, and as much as can be done is in hand.
    """
    taken: list[_T] = []

    def keep(answer: Answer) -> list[_T]:
        return [] if "evidence" in answer.degraded else [take(answer)]

    left, size, most = deque(user_ids), 1, _USERS_IN_TIME
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left:
                group = [left.popleft() for _ in range(min(size, len(left)))]
                try:
                    kept, _ = await engine.recommend_many(group, query, keep)
                except TooMuchError:  # one alone never is
                    left.extendleft(reversed(group))
                    size = most = size // 2
                else:
                    taken += [each for one in kept for each in one]
                    size = min(2 * size, most)
    return taken


async def _read(
    group: AskedAlike, store: Store, askers: AskerReader, at_once: asyncio.Semaphore
) -> _Known:
    """Read who asks, and what they name."""
    chosen, query = group.chosen, group.asked.query
    with store.one_request():
        scope, nowhere = await asyncio.gather(
            live_scope(store, chosen, query), askers.unknown(query.named(), chosen)
        )
    asker_of_user: dict[str, tuple[Asker, Snapshot]] = {}

    async def read(user_id: str) -> None:
        async with at_once:
            with store.one_request(), suppress(NotFoundError):
                asker_of_user[user_id] = await askers.asker(user_id, chosen)

    await asyncio.gather(*map(read, dict.fromkeys(group.user_ids)))
    return _Known(group, scope, nowhere, asker_of_user)
