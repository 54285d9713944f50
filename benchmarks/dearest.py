"""How long the dearest allowed requests take, how long they hold others up, and what memory stays.

    python benchmarks/dearest.py USER

It needs a Neo4j with a graph that is loaded and refreshed, and a user with much evidence in it. It
only reads, and starts a service of its own. The stall is the longest time that `/health/live` took
meanwhile: the median and the largest of `TIMES` times, each request made twice before, so that
Neo4j has planned and compiled its queries.
"""

import argparse
import time
from statistics import median
from typing import Any

import psutil
from _environment import describe
from rich.console import Console
from rich.table import Table

from benchmarks._service import Service, recommendations_path, service
from tests.stalls import longest_stall

UNHURRIED = {"RECSVC_ANSWER_CACHE_SECONDS": "0", "RECSVC_REQUEST_TIMEOUT_SECONDS": "60"}
DEAREST = {"k": 500, "explain": "full"}
BATCH = "/v1/recommendations/batch"
MEGABYTE = 2**20
TIMES = 5


def main() -> None:
    """Print one line for each request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("user", help="who is asked about")
    user: str = parser.parse_args().user
    console = Console()
    console.print(describe())
    table = Table("request", "status", "s", "MB", "longest stall, ms", "memory, MB")
    with service(UNHURRIED) as running:
        process = psutil.Process(running.pid)
        for name, method, path, options in requests(running, user):
            for _ in range(2):
                running.client.request(method, path, timeout=600, **options)
            seconds: list[float] = []
            stalls: list[float] = []
            for _ in range(TIMES):
                with longest_stall(running.client.base_url) as stall:
                    began = time.perf_counter()
                    answer = running.client.request(method, path, timeout=600, **options)
                    seconds.append(time.perf_counter() - began)
                stalls.append(stall[0] * 1000)
            table.add_row(
                name, str(answer.status_code), f"{median(seconds):.2f}",
                f"{len(answer.content) / 1e6:.2f}", f"{median(stalls):.0f} ({max(stalls):.0f})",
                f"{process.memory_info().rss / MEGABYTE:.0f}",
            )  # fmt: skip
    console.print(table)


def requests(running: Service, user: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Name, method, path and options of each."""
    known = running.client.get(f"/v1/users/{user}/evidence").json()["evidence"]
    evidence = [{"item_id": each["id"]} for each in known if each["kind"] == "item"]
    own = recommendations_path(user)
    return [
        ("ten items", "GET", own, {}),
        ("k=500", "GET", own, {"params": {"k": 500}}),
        ("full", "GET", own, {"params": {"explain": "full"}}),
        ("k=500, full", "GET", own, {"params": DEAREST}),
        ("k=500, full, diverse", "GET", own, {"params": DEAREST | {"diversity": 0.5}}),
        (
            "session, k=500, full",
            "POST",
            "/v1/recommendations",
            {"json": {"evidence": evidence, **DEAREST}},
        ),
        *(
            (
                f"{times} times, k=500, full",
                "POST",
                BATCH,
                {"json": {"user_ids": [user] * times} | DEAREST},
            )
            for times in (2, 8, 100)
        ),
    ]


if __name__ == "__main__":
    main()
