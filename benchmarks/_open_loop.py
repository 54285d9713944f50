"""Requests at a steady rate, whether the answers before them have come or not.

A loop that waits for each answer sends less while the service is slow, and so does not see how long
people would have waited. Here a request counts from when it was due.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LONGEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Steady:
    """What one run at a steady rate found.

    Attributes:
        rate: requests a second that were due.
        p50, p99: milliseconds from when a request was due to its answer.
        failed: requests without an answer in time, or with another status than 200.
    """

    rate: float
    p50: float
    p99: float
    failed: int


def steady_load(host: str, port: int, paths: Sequence[str], rate: float, seconds: float) -> Steady:
    """Ask for the paths in turn, at a rate."""
    return asyncio.run(_run(host, port, paths, rate, seconds))


async def _run(host: str, port: int, paths: Sequence[str], rate: float, seconds: float) -> Steady:
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    times: list[float] = []
    failed = 0

    async def one(path: str, due: float) -> None:
        nonlocal failed
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                while idle and idle[-1][0].at_eof():  # the service closes what was idle for long
                    idle.pop()
                streams = idle.pop() if idle else await asyncio.open_connection(host, port)
                status = await _get(*streams, path)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            failed += 1
            return
        idle.append(streams)
        failed += status != 200
        times.append(1000.0 * (time.perf_counter() - due))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(paths[number % len(paths)], due))
    for _, writer in idle:
        writer.close()
    p50, p99 = np.percentile(times, [50, 99]) if times else (np.inf, np.inf)
    return Steady(rate, float(p50), float(p99), failed)


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> int:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])
