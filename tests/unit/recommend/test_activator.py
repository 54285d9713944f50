"""SIMILAR relationships after an activation: behind it, of the newest version, until it is done."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from loaders.errors import Neo4jUnavailableError
from recsvc.errors import SnapshotError
from recsvc.recommend import activator
from recsvc.recommend.activator import Activator
from tests.waiting import PATIENCE_SECONDS, until_then


class Written:
    """What stands in for the graph: writing stops at each item until `go_on`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.go_on = threading.Event()
        self.errors: list[Exception] = []

    def write(self, _gateway: Any, snapshot: Any, told: Callable[[str, int, int], None]) -> None:
        number = snapshot.versions["hybrid"]
        self.events.append(f"begin {number}")
        if self.errors:
            raise self.errors.pop()
        while not self.go_on.wait(0.01):
            told("", 0, 0)
        self.events.append(f"end {number}")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    written = Written()
    monkeypatch.setattr(activator, "Neo4jGateway", lambda *_, **__: nullcontext())
    monkeypatch.setattr(activator, "activate", lambda _, _model, version: {"hybrid": version})
    monkeypatch.setattr(activator, "write_neighbours", written.write)
    monkeypatch.setattr(activator, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(
        activator, "stored_snapshot", lambda _, v: SimpleNamespace(versions={"hybrid": v})
    )
    return written


@pytest.fixture
async def made(written: Written) -> AsyncIterator[Activator]:
    async def reload() -> None:
        pass

    served: Any = SimpleNamespace(reload=reload, snapshot=SimpleNamespace(versions={"hybrid": 1}))
    store: Any = SimpleNamespace(address="")
    made = Activator(store, served)
    yield made
    written.go_on.set()
    await made.stop()


async def test_nobody_waits_for_them(made: Activator, written: Written) -> None:
    assert await made.activate("hybrid", 1) == {"hybrid": 1}
    await until_then(lambda: written.events == ["begin 1"])
    written.go_on.set()
    await until_then(lambda: written.events == ["begin 1", "end 1"])


async def test_only_the_newest_of_those_that_wait_is_written(
    made: Activator, written: Written
) -> None:
    await made.activate("hybrid", 1)
    await until_then(lambda: written.events == ["begin 1"])
    made._want_neighbours(2)
    made._want_neighbours(3)
    await until_then(lambda: written.events == ["begin 1", "begin 3"])
    written.go_on.set()
    await until_then(lambda: written.events == ["begin 1", "begin 3", "end 3"])
    await made.activate("hybrid", 4)
    await until_then(lambda: written.events[-2:] == ["begin 4", "end 4"])


async def test_neo4j_that_is_away_is_tried_again(made: Activator, written: Written) -> None:
    written.go_on.set()
    written.errors = [Neo4jUnavailableError("away"), Neo4jUnavailableError("away")]
    await made.activate("hybrid", 1)
    await until_then(lambda: written.events == ["begin 1"] * 3 + ["end 1"])


async def test_arrays_that_are_gone_are_given_up(made: Activator, written: Written) -> None:
    written.go_on.set()
    written.errors = [SnapshotError("damaged")]
    await made.activate("hybrid", 1)
    await until_then(lambda: made._writer is not None and made._writer.done())
    assert written.events == ["begin 1"]


async def test_a_stop_does_not_wait_for_them(made: Activator, written: Written) -> None:
    await made.activate("hybrid", 1)
    await until_then(lambda: written.events == ["begin 1"])
    await asyncio.wait_for(made.stop(), PATIENCE_SECONDS)
    assert written.events == ["begin 1"]
