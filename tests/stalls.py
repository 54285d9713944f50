"""How long a service leaves others waiting while it works."""

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx


@contextmanager
def longest_stall(base_url: httpx.URL) -> Iterator[list[float]]:
    """The longest time that /health/live took within the block, in seconds; there after its end.

    A process of its own asks: a large answer keeps the one that reads it busy. By how much it was
    woken late at most is what the machine did to everybody, and is taken off.
    """
    asking = subprocess.Popen(
        [sys.executable, __file__, str(base_url)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert asking.stdout is not None
    longest = [0.0]
    try:
        assert asking.stdout.readline() == "asking\n"
        yield longest
    finally:
        printed, _ = asking.communicate(timeout=600)
    assert asking.returncode == 0
    longest[0] = float(printed)


def _ask_until_told(base_url: str) -> None:
    """Asks again and again until the standard input ends, then prints the longest time."""
    longest, late, pause = 0.0, 0.0, 0.005
    with httpx.Client(base_url=base_url, timeout=600) as client:
        client.get("/health/live")
        sys.stdout.write("asking\n")
        sys.stdout.flush()
        slept = time.perf_counter()
        while not select.select([sys.stdin], [], [], pause)[0]:
            began = time.perf_counter()
            late = max(late, began - slept - pause)
            client.get("/health/live")
            slept = time.perf_counter()
            longest = max(longest, slept - began)
    sys.stdout.write(str(max(0.0, longest - late)))


if __name__ == "__main__":
    _ask_until_told(sys.argv[1])
