"""Of how many users of a log the lists are made."""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from recsvc.errors import NotFoundError
from recsvc.graph.outcome_store import LoggedPlace
from recsvc.graph.store import Store
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.estimates import MOST_USERS, compared, estimate, of_some_users
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.snapshot.arrays import Snapshot

AT = datetime(2026, 11, 1, tzinfo=UTC)


def places(users: int) -> list[LoggedPlace]:
    """Two of each user."""
    return [
        LoggedPlace(f"{number}", f"u{number % users}", "g", 1, 1.0, AT, 0.0)
        for number in range(2 * users)
    ]


def test_of_many_users_the_same_2000_are_looked_at_in_whatever_order() -> None:
    log = places(2_100)
    some = of_some_users(log)
    users = {place.user_id for place in some}
    assert (len(users), len(some)) == (2_000, 4_000)
    assert {place.user_id for place in of_some_users(log[::-1])} == users


@pytest.mark.parametrize(
    ("shown", "listed", "said"),
    [
        (["g", "h"] * 300, "g", []),
        (["g", "h"] * 299, "g", ["299 places count, 300 are needed"]),
        (["g", "h"] * 300, "i", ["the mean weight of a place is 0.00", "0 places count"]),
    ],
)
def test_what_the_log_says_too_little_of_is_told(
    shown: list[str], listed: str, said: list[str]
) -> None:
    log = [LoggedPlace(f"{n}", f"u{n}", g, 1, 0.5, AT, 1.0) for n, g in enumerate(shown)]
    lists = {place.user_id: [listed] for place in log}
    doubts = compared(log, lists, lists).first.doubts
    assert [doubt.startswith(start) for doubt, start in zip(doubts, said, strict=True)] == [
        True for _ in said
    ]


class Gone:
    """A graph with a log of many users, all of whom were deleted meanwhile."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def logged_places(self, *_: Any) -> list[LoggedPlace]:
        return places(MOST_USERS + 100)

    def one_request(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def before(self, user_id: str, _moment: datetime) -> Any:
        self.asked.append(user_id)
        raise NotFoundError(f"no user {user_id!r} in the graph")


async def test_no_further_user_is_asked_about_and_the_caller_hears_how_far_it_is() -> None:
    gone, heard = Gone(), list[tuple[int, int]]()
    with pytest.raises(NotFoundError, match="nothing to estimate from"):
        await estimate(
            cast(Snapshot, None), ResolvedQuery(RecommendationQuery()), None, "click", 30,
            store=cast(Store, gone), askers=cast(AskerReader, gone), answers=cast(Answers, None),
            progress=lambda _what, done, total: heard.append((done, total)),
        )  # fmt: skip
    assert len(set(gone.asked)) == len(gone.asked) == MOST_USERS
    assert heard == [(done, MOST_USERS) for done in range(1, MOST_USERS + 1)]
