"""What another version of the blend, or another scenario, would have earned: from the log.

The log is what was shown to users and what followed, each place with its propensity. What the other
would have shown is made from what was known of a user before their first answer of the log, so
that nothing that followed an answer speaks for what was in it.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.errors import NotFoundError
from recsvc.evaluation.splits import id_numbers
from recsvc.experiments.off_policy import (
    LEAST_PLACES,
    LEAST_WEIGHT,
    LoggedPlaces,
    PolicyValue,
    doubly_robust,
    doubly_robust_difference,
    inverse_propensity,
    predicted_rewards,
    self_normalized,
    self_normalized_difference,
)
from recsvc.graph.outcome_store import LoggedPlace
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import MAX_PLACES
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.snapshot.arrays import Snapshot

MOST_LOGGED: Final = 100_000
"""Places of the log that are read, the newest."""
MOST_USERS: Final = 2_000
"""Users whose lists are made, so that it takes no longer however long the log is."""
_USERS_AT_ONCE = 4

Progress = Callable[[str, int, int], None]
"""Told of what, how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What lists would have earned, as a mean over answers.

    Attributes:
        answers: of the log.
        places: that were shown in them.
        logged: what the lists that were shown did earn.
        inverse_propensity: see the function of this name, as the two below.
        self_normalized: the same.
        doubly_robust: the same.
        weight: the mean weight of a place. It is about 1 where the log shows all that the other
            would; where it is much less, the log says little of it.
    """

    answers: int
    places: int
    logged: PolicyValue
    inverse_propensity: PolicyValue
    self_normalized: PolicyValue
    doubly_robust: PolicyValue
    weight: float

    @property
    def doubts(self) -> list[str]:
        """Why the intervals may leave the truth out; none where the log says enough."""
        doubts: list[str] = []
        if self.weight < LEAST_WEIGHT:
            doubts.append(
                f"the mean weight of a place is {self.weight:.2f}, expected about 1: much of these "
                "lists was never shown, and counts as if it earned nothing"
            )
        if (count := self.self_normalized.effective_places) < LEAST_PLACES:
            doubts.append(
                f"{count:.0f} places count, {LEAST_PLACES:.0f} are needed: the intervals are not "
                "to be relied on"
            )
        return doubts


@dataclass(frozen=True, slots=True)
class FromLog:
    """What lists would have earned for users of a log, or for some of them.

    Attributes:
        users: whose lists were made: `MOST_USERS` at most.
        all_users: of the log.
        estimates: from the places that these users were shown.
    """

    users: int
    all_users: int
    estimates: Estimates


async def estimate(
    snapshot: Snapshot,
    asked: ResolvedQuery,
    logged: str | None,
    kind: str,
    days: int,
    *,
    store: Store,
    askers: AskerReader,
    answers: Answers,
    progress: Progress,
) -> FromLog:
    """What lists would have earned for the users who were shown others.

    Args:
        snapshot: what the lists are made from.
        asked: how: its scenario counts.
        logged: the scenario of the lists that were shown; None: under none.
        kind: of the outcome that counts.
        days: of how many last days.
        store: the graph.
        askers: reads who asks.
        answers: makes answers.
        progress: told of the lists.

    Raises:
        NotFoundError: nothing was logged.
        Neo4jError: the graph cannot be read in time.
    """
    log = await store.logged_places(logged, kind, since_days(days), MOST_LOGGED)
    lists = await other_lists(
        of_some_users(log), snapshot, asked,
        store=store, askers=askers, answers=answers, progress=progress,
    )  # fmt: skip
    all_users = len({place.user_id for place in log})
    return FromLog(len(lists), all_users, estimates(log, lists))


def of_some_users(log: Sequence[LoggedPlace]) -> list[LoggedPlace]:
    """The places of `MOST_USERS` users at most: those whose ids have the lowest hashes."""
    users = sorted({place.user_id for place in log})
    hashes = id_numbers(users).view("u8").tolist()
    some = {user for _, user in sorted(zip(hashes, users, strict=True))[:MOST_USERS]}
    return [place for place in log if place.user_id in some]


@dataclass(frozen=True, slots=True)
class Compared:
    """What some lists and others would have earned, by the same log.

    Attributes:
        users: of the log.
        first: what the ones would have earned.
        second: what the others would have.
        self_normalized: by how much the first earn more, as a mean over answers, by SNIPS.
        doubly_robust: the same by DR.
    """

    users: int
    first: Estimates
    second: Estimates
    self_normalized: PolicyValue
    doubly_robust: PolicyValue


async def other_lists(
    log: Sequence[LoggedPlace],
    snapshot: Snapshot,
    asked: ResolvedQuery,
    *,
    store: Store,
    askers: AskerReader,
    answers: Answers,
    progress: Progress = lambda _what, _done, _total: None,
) -> dict[str, tuple[str, ...]]:
    """The list of each user of a log by what is asked about; none is explored.

    Who was deleted has none, and neither has somebody whose list Neo4j could not tell in time.

    Args:
        log: what was shown.
        snapshot: what the lists are made from.
        asked: how.
        store: the graph.
        askers: reads who asks.
        answers: makes answers.
        progress: told how many users are done.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    first: dict[str, datetime] = {}
    for each in log:
        first[each.user_id] = min(each.answered_at, first.get(each.user_id, each.answered_at))
    length = min(MAX_PLACES, max((each.position for each in log), default=1))
    query = replace(asked.query, k=length, explain="none", recommendation_id=None)
    asked = replace(asked, query=query, exploring=None)
    at_once, lists = asyncio.Semaphore(_USERS_AT_ONCE), dict[str, tuple[str, ...]]()
    done = itertools.count(1)

    async def make(user_id: str, before: datetime) -> None:
        async with at_once:
            with store.one_request():
                try:
                    asker = await askers.before(user_id, before)
                except NotFoundError:
                    return
                answer = await answers.of(await asked.listing(snapshot, asker), 0.0)
        if answer.degraded:
            return  # it is not what the other would have shown
        lists[user_id] = tuple(item.item_id for item in answer.items)

    async def told(user_id: str, before: datetime) -> None:
        await make(user_id, before)
        progress("lists of the users of the log", next(done), len(first))

    await asyncio.gather(*(told(user_id, at) for user_id, at in first.items()))
    return lists


def estimates(log: Sequence[LoggedPlace], lists: Mapping[str, Sequence[str]]) -> Estimates:
    """What some lists would have earned where others were shown.

    Args:
        log: what was shown.
        lists: of each user; places of users who have none are left out.

    Raises:
        NotFoundError: nothing of these users was logged.
    """
    return _estimates(_shown(log, lists))


def compared(
    log: Sequence[LoggedPlace],
    lists: Mapping[str, Sequence[str]],
    others: Mapping[str, Sequence[str]],
) -> Compared:
    """What some lists and others would have earned where third ones were shown.

    Args:
        log: what was shown.
        lists: of each user.
        others: of each user; places of users who lack either are left out.

    Raises:
        NotFoundError: nothing of these users was logged.
    """
    log = [each for each in log if each.user_id in lists and each.user_id in others]
    first, second = _shown(log, lists), _shown(log, others)
    other = second.places.target
    return Compared(
        len({each.user_id for each in log}),
        _estimates(first),
        _estimates(second),
        self_normalized_difference(first.places, other),
        doubly_robust_difference(
            first.places, other, first.predicted, first.of_target, second.of_target
        ),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What was shown, with what some lists have at each place, and what a model says of both."""

    places: LoggedPlaces
    predicted: Float64[NDArray[np.float64], " n"]
    of_target: Float64[NDArray[np.float64], " n"]


def _shown(log: Sequence[LoggedPlace], lists: Mapping[str, Sequence[str]]) -> _Shown:
    log = [each for each in log if each.user_id in lists]
    if not log:
        raise NotFoundError(
            "no outcome of the kind `impression` is kept of these lists: there is nothing to "
            "estimate from"
        )
    there = [_at(lists[each.user_id], each.position) for each in log]
    numbers = _numbers([*(each.item_id for each in log), *(item or "" for item in there)])
    item, target_item = numbers[: len(log)], numbers[len(log) :]
    same = np.array([each.item_id == other for each, other in zip(log, there, strict=True)])
    places = LoggedPlaces(
        user=_numbers([each.user_id for each in log]),
        answer=_numbers([each.recommendation for each in log]),
        place=np.array([each.position - 1 for each in log], np.int64),
        reward=np.array([each.reward for each in log], np.float64),
        propensity=np.array([each.propensity for each in log], np.float64),
        target=same.astype(np.float64),
    )
    listed = np.array([each is not None for each in there])
    predicted, of_target = predicted_rewards(places, item, target_item)
    return _Shown(places, predicted, of_target * listed)


def _estimates(shown: _Shown) -> Estimates:
    places = shown.places
    return Estimates(
        int(places.answer.max()) + 1,
        len(places.user),
        inverse_propensity(replace(places, target=places.propensity)),
        inverse_propensity(places),
        self_normalized(places),
        doubly_robust(places, shown.predicted, shown.of_target),
        float(places.weight.mean()),
    )


def since_days(days: int) -> datetime:
    """The time so many days ago."""
    return datetime.now(UTC) - timedelta(days=days)


def _at(items: Sequence[str], position: int) -> str | None:
    return items[position - 1] if position <= len(items) else None


def _numbers(names: Sequence[str]) -> Int64[NDArray[np.int64], " n"]:
    """A number for each name, from 0 without a gap."""
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] for name in names], np.int64)
