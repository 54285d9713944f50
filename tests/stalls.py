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

    A process of its own asks: a large answer keeps the one that reads it busy.
    """
    asking = subprocess.Popen(
        [sys.executable, __file__, str(base_url)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert asking.stdout is not None
    found = [0.0]
    try:
        assert asking.stdout.readline() == "asking\n"
        yield found
    finally:
        printed, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0
    found[0] = float(printed)


def _ask_until_told(base_url: str) -> None:
    """Asks again and again until the standard input ends, then prints the longest time."""
    longest = 0.0
    with httpx.Client(base_url=base_url, timeout=600) as client:
        client.get("/health/live")
        sys.stdout.write("asking\n")
        sys.stdout.flush()
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            began = time.perf_counter()
            client.get("/health/live")
            longest = max(longest, time.perf_counter() - began)
    sys.stdout.write(str(longest))


if __name__ == "__main__":
    _ask_until_told(sys.argv[1])
