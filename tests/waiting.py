"""Waiting for what comes by itself."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 120.0
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
