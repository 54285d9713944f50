"""Work that goes on until the process is told to end."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

_GRACE_SECONDS: Final = 15.0
"""How long what is in hand may take once the end is asked for."""
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 10.0


async def until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Do some work until SIGTERM or SIGINT; then let it end what is in hand, and return.

    Args:
        work: ends soon after its event is set.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stop.set)
    working = asyncio.create_task(work(stop))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.wait((working,), timeout=_GRACE_SECONDS)
        if working.done():
            await working
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
        for number in _ENDING:
            loop.remove_signal_handler(number)


def longer(seconds: float) -> float:
    """The pause after one that was in vain: twice as long, up to a bound."""
    return min(2 * seconds, _LONGEST_PAUSE_SECONDS)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for some time, or until the end is asked for."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
