"""Large work holds nobody up, and does not pile up."""

import asyncio
import threading

import pytest

from recsvc.errors import BusyError, TooMuchError
from recsvc.recommend.query import LARGE_WORK, MOST_WORK, RecommendationQuery, check_work, work_of
from recsvc.recommend.workshop import Workshop
from tests.waiting import PATIENCE_SECONDS


async def test_small_work_is_done_where_it_is_asked_for() -> None:
    assert await Workshop().do(False, threading.get_ident) == threading.get_ident()


async def test_large_work_leaves_the_loop_free() -> None:
    workshop, beaten = Workshop(), threading.Event()
    work = asyncio.create_task(workshop.do(True, beaten.wait, PATIENCE_SECONDS))
    for _ in range(5):
        await asyncio.sleep(0.01)
    beaten.set()
    assert await work
    assert await workshop.do(True, threading.get_ident) != threading.get_ident()


def test_only_so_much_large_work_is_in_hand() -> None:
    workshop = Workshop()
    with workshop.room(MOST_WORK - 1), workshop.room(10 * MOST_WORK):
        with pytest.raises(BusyError, match="ask again"), workshop.room(LARGE_WORK + 1):
            pytest.fail("there was room")
        with workshop.room(LARGE_WORK):
            pass
    with workshop.room(LARGE_WORK + 1):
        pass


def test_what_goes_wrong_leaves_its_room() -> None:
    workshop = Workshop()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), workshop.room(MOST_WORK):
            divmod(1, 0)


async def test_what_goes_wrong_there_is_seen_here() -> None:
    workshop = Workshop()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await workshop.do(True, divmod, 1, 0)


def test_what_is_usual_is_small_and_what_takes_long_is_not() -> None:
    assert RecommendationQuery().work(50) < LARGE_WORK
    assert RecommendationQuery(explain="full").work(10) < LARGE_WORK
    assert RecommendationQuery(k=500).work(50) > LARGE_WORK
    assert RecommendationQuery(explain="full").work(1000) > LARGE_WORK


def check(query: RecommendationQuery, pieces: list[int], answers: int) -> None:
    check_work(work_of(query, pieces, answers), answers)


def test_a_batch_has_a_budget_and_an_answer_alone_has_none() -> None:
    dearest = RecommendationQuery(k=500, explain="full")
    assert work_of(dearest, [30_000], 1) == dearest.work(30_000) > MOST_WORK
    check(dearest, [30_000], 1)
    check(dearest, [1000], 8)
    check(RecommendationQuery(k=20), [1000] * 100, 100)
    check(RecommendationQuery(), [50] * 100, 100)
    with pytest.raises(TooMuchError) as refused:
        check(dearest, [1000] * 100, 100)
    assert f"{MOST_WORK:,}" in str(refused.value)
    assert "explain=full" in str(refused.value)


def test_who_is_named_again_costs_what_is_sent() -> None:
    dearest = RecommendationQuery(k=500, explain="full")
    with pytest.raises(TooMuchError):
        check(dearest, [10], 100)
    check(RecommendationQuery(), [1000], 100)
