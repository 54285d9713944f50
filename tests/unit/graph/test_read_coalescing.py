"""Reads of many requests that are asked together."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from recsvc.graph import read_coalescing
from recsvc.graph.read_coalescing import CoalescedReads
from tests.waiting import PATIENCE_SECONDS, until_then


class Read:
    """Doubles what it is asked for, when it is let; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.let = asyncio.Event()

    async def __call__(self, keys: Sequence[int]) -> list[int]:
        self.asked.append(list(keys))
        await self.let.wait()
        if 0 in keys:
            raise OSError("0 cannot be read")
        return [2 * key for key in keys]


@pytest.fixture
def read() -> Read:
    return Read()


async def test_one_alone_waits_for_nobody(read: Read) -> None:
    read.let.set()
    reads = CoalescedReads(read)
    assert [await reads.ask(key) for key in (1, 2, 1)] == [2, 4, 2]
    assert read.asked == [[1], [2], [1]]


async def test_those_who_come_meanwhile_share_the_next_read(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_coalescing, "_LONGEST_WAIT_SECONDS", 600.0)
    reads = CoalescedReads(read)
    first = asyncio.create_task(reads.ask(1))
    await until_asked(read, 1)
    # The one under way began before they asked: 1 is read again.
    others = [asyncio.create_task(reads.ask(key)) for key in (1, 2, 3, 2)]
    for _ in range(5):  # turns of the loop, in which they could be read
        await asyncio.sleep(0)
    assert read.asked == [[1]]
    read.let.set()
    assert [await first, *[await other for other in others]] == [2, 2, 4, 6, 4]
    assert read.asked == [[1], [1, 2, 3]]


async def test_nobody_waits_long_for_a_read_that_does_not_end(read: Read) -> None:
    reads = CoalescedReads(read)
    tasks = []
    for key in (1, 2, 3):
        tasks.append(asyncio.create_task(reads.ask(key)))
        await until_asked(read, key)
    assert read.asked == [[1], [2], [3]]
    read.let.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_all_who_wait_hear_of_an_error_and_the_next_is_read(read: Read) -> None:
    reads = CoalescedReads(read)
    first = asyncio.create_task(reads.ask(1))
    await until_asked(read, 1)
    others = [asyncio.create_task(reads.ask(key)) for key in (2, 0)]
    await asyncio.sleep(0)
    read.let.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert [found[0], *map(str, found[1:])] == [2, "0 cannot be read", "0 cannot be read"]
    assert await reads.ask(5) == 10


async def test_a_read_that_leaves_one_out_is_an_error_for_all() -> None:
    async def read(keys: Sequence[int]) -> list[int]:
        return list(keys)[1:]

    reads = CoalescedReads(read)
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await asyncio.gather(reads.ask(1), reads.ask(2), return_exceptions=True)
    assert [type(each) for each in found] == [ValueError, ValueError]


async def test_one_who_gives_up_takes_nothing_from_the_others(read: Read) -> None:
    reads = CoalescedReads(read)
    patient, hasty = (asyncio.create_task(reads.ask(key)) for key in (1, 1))
    await until_asked(read, 1)
    hasty.cancel()
    await asyncio.sleep(0)
    read.let.set()
    assert await patient == 2
    assert hasty.cancelled()


async def test_the_deadline_of_one_request_is_not_that_of_those_who_share_its_read() -> None:
    began: ContextVar[float | None] = ContextVar("began", default=None)

    async def read(keys: Sequence[int]) -> list[float | None]:
        return [began.get() for _ in keys]

    began.set(1.0)
    assert await CoalescedReads(read).ask(1) is None


async def until_asked(read: Read, times: int) -> None:
    await until_then(lambda: len(read.asked) >= times)
