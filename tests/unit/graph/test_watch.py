"""A watch ends between two looks, and a look that fails is taken again."""

import asyncio

import pytest

from loaders.errors import Neo4jUnavailableError
from recsvc.graph import watch
from recsvc.graph.watch import Watch
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "WATCH_SECONDS", 0.001)


async def test_a_look_that_is_under_way_ends_and_is_the_last() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    looks: list[str] = []

    async def look() -> None:
        looks.append("begun")
        begun.set()
        await go_on.wait()
        looks.append("ended")

    watching = Watch(look)
    watching.start()
    await begun.wait()
    stopping = asyncio.create_task(watching.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    assert looks == ["begun", "ended"]
    await asyncio.sleep(0.01)
    assert looks == ["begun", "ended"]


async def test_a_look_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_CLOSING_SECONDS", 0.01)
    begun, cut_off = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.set()
            raise

    watching = Watch(look)
    watching.start()
    await begun.wait()
    await watching.stop()
    assert cut_off.is_set()


@pytest.mark.parametrize("error", [Neo4jUnavailableError("away"), OverflowError("a stored date")])
async def test_a_look_that_fails_is_taken_again(error: Exception) -> None:
    looks = 0
    again = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            again.set()
        raise error

    watching = Watch(look)
    await watching.stop()
    watching.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await again.wait()
    await watching.stop()
