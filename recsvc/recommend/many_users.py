"""Answers to many users who ask for the same."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from recsvc.answer import Answer
from recsvc.errors import NotFoundError
from recsvc.graph.store import Store
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.live_truth import live_scope
from recsvc.recommend.query import Asker, check_work
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.recommend.workshop import WORKSHOP
from recsvc.snapshot.arrays import Snapshot

_T = TypeVar("_T")
_USERS_AT_ONCE = 8


async def answer_each(
    user_ids: Sequence[str],
    chosen: Snapshot,
    asked: ResolvedQuery,
    take: Callable[[Answer], _T],
    *,
    store: Store,
    askers: AskerReader,
    answers: Answers,
) -> dict[str, _T]:
    """What is kept of the answer of each of some users, by user; without those who are unknown.

    Args:
        user_ids: the users; somebody who is named several times is answered once.
        chosen: what answers are made from.
        asked: what is asked for, the same for all.
        take: what is kept of each answer, which may be large.
        store: the graph.
        askers: reads who asks.
        answers: makes answers.

    Raises:
        NotFoundError: there is no such category.
        TooMuchError: all answers together take too long.
        BusyError: they are large, and as much as can be done is in hand.
    """
    at_once, query = asyncio.Semaphore(_USERS_AT_ONCE), asked.query
    known: dict[str, tuple[Asker, Snapshot]] = {}
    taken: dict[str, _T] = {}

    async def ask(user_id: str) -> None:
        async with at_once:
            with store.one_request(), suppress(NotFoundError):
                known[user_id] = await askers.asker(user_id, chosen)

    async def answer(user_id: str) -> None:
        async with at_once:
            started = time.perf_counter()
            asker, snapshot = known.pop(user_id)
            with store.one_request():
                listing = await asked.listing(snapshot, asker, scope)
                made = (await answers.of(listing, started)).with_unknown(nowhere)
            taken[user_id] = await WORKSHOP.do(asker.is_large(query), take, made)

    users = list(dict.fromkeys(user_ids))
    with store.one_request():
        scope, nowhere = await asyncio.gather(
            live_scope(store, chosen, query), askers.unknown(query.named(), chosen)
        )
    await asyncio.gather(*map(ask, users))
    pieces = [len(asker.evidence.nodes) for asker, _ in known.values()]
    work = check_work(query, pieces, sum(user_id in known for user_id in user_ids))
    with WORKSHOP.room(work):
        await asyncio.gather(*map(answer, [user_id for user_id in users if user_id in known]))
    return taken
