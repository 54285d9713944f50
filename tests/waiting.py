"""Waiting for what comes by itself."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
PATIENCE_SECONDS = 300.0
"""The machine may be busy."""


def until(reached: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """What it gives, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


async def until_then(reached: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """`until`, where the event loop goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return found


def jump_ahead(patch: pytest.MonkeyPatch) -> None:
    """Have the running event loop wait for nothing: its clock jumps to what is due next.

    What its timers do to each other then hangs on no machine.
    """
    loop: Any = asyncio.get_running_loop()
    selector, now = loop._selector, loop.time()
    select = selector.select

    def jump(seconds: float | None = None) -> Any:
        nonlocal now
        ready = select(seconds and 0)
        now += 0 if ready else seconds or 0
        return ready

    patch.setattr(selector, "select", jump)
    patch.setattr(loop, "time", lambda: now)
