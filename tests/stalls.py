"""How long a service leaves others waiting while it works."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def longest_stall(base_url: httpx.URL) -> Iterator[list[float]]:
    """The longest time that /health/live took within the block, in seconds."""
    ended, longest = threading.Event(), [0.0]

    def ask() -> None:
        with httpx.Client(base_url=base_url, timeout=600) as client:
            while not ended.is_set():
                began = time.perf_counter()
                client.get("/health/live")
                longest[0] = max(longest[0], time.perf_counter() - began)
                time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield longest
    finally:
        ended.set()
        thread.join()
