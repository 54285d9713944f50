"""What sizes past those that were measured take: time, memory, machines, machine hours, latency.

    python benchmarks/scale.py

It measures nothing. It reads `scale_points.json`, which holds what other benchmarks measured, and
which ones, and works out the rest:

    seconds of a step     t(n) = t(b) · (n / b)^g,  g = log(t(b) / t(a)) / log(b / a)
    memory of a refresh   m(n) = m(b) + (n - b) · (m(b) - m(a)) / (b - a), at least m(a)
    an answer             h + c · items

for the two largest sizes a < b that were measured, with the time h of an answer over HTTP and the
time c of scoring one item. Past b the time is a range: with g, and with g = 1. A step that grew
faster than the graph did so because its tables left the processor's cache, which happens once; one
that grew slower had a part that does not grow.

The graphs are those of `_made_graph.py`: n interactions, n / 50 users, n / 100 items. Machine hours
are those of the machine that was measured. The machines are as many of it as hold a refresh and end
it within a night, if the work divides evenly; whether it does, nobody has measured.

It prints the table of docs/scale.md.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = (100_000, 5_000_000, 50_000_000, 500_000_000, 5_000_000_000)
NIGHT_HOURS = 8.0
MACHINE_GIBIBYTES, LARGE_GIBIBYTES = 24.0, 256.0
ROOM = 0.8
"""Of the memory of a machine a refresh may take; the rest is Neo4j's and the system's."""
ITEMS_SHARE = 1 / 100
POINTS = Path(__file__).with_name("scale_points.json")


@dataclass(frozen=True)
class Point:
    """A bulk ingest and a refresh of one size as they were measured."""

    interactions: int
    gibibytes: float
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """What a size takes.

    Attributes:
        interactions: how many.
        measured: whether it is one of the sizes that were measured.
        hours: the least and the most, of the machine that was measured.
        gibibytes: the most that a refresh holds.
        milliseconds: the median of an answer.
    """

    interactions: int
    measured: bool
    hours: tuple[float, float]
    gibibytes: float
    milliseconds: float

    @property
    def machines(self) -> int:
        """Of the one that was measured, for a refresh within a night."""
        of_memory = self.gibibytes / (ROOM * MACHINE_GIBIBYTES)
        return math.ceil(max(of_memory, self.hours[0] / NIGHT_HOURS))

    @property
    def way(self) -> str:
        """Which way goes so far."""
        if self.machines == 1:
            return "one machine, 2 cores"
        if self.gibibytes <= ROOM * LARGE_GIBIBYTES:
            return "one larger machine"
        return "several, not built"


def main() -> None:
    """Print the table."""
    points = json.loads(POINTS.read_text())
    heads = ("interactions", "way", "GiB of a refresh", "time of 2 cores", "machines",
             "machine hours", "ms of an answer")  # fmt: skip
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows(points):
        print("| " + " | ".join(_cells(row)) + " |")
    print(f"\nMeasured on {points['machine']}:")
    for part in ("refresh", "scoring", "answer"):
        print(f"  {part}: {points[part]['source']}")


def _cells(row: Row) -> tuple[str, ...]:
    mark = "" if row.measured else "~"
    return (
        f"{row.interactions:,}", row.way, mark + _plain(row.gibibytes),
        mark + _range([_time(each) for each in row.hours]), f"{mark}{row.machines:,}",
        mark + _range([_plain(each) for each in row.hours]), f"~{_plain(row.milliseconds)}",
    )  # fmt: skip


def _range(ends: list[str]) -> str:
    return " to ".join(dict.fromkeys(ends))


def _plain(number: float) -> str:
    """Two digits that count."""
    digits = max(0, 1 - math.floor(math.log10(number)))
    return f"{round(number, 1 - math.floor(math.log10(number))):,.{digits}f}"


def _time(hours: float) -> str:
    for unit, in_hours in (("days", 24.0), ("h", 1.0), ("min", 1 / 60)):
        if hours >= 1.95 * in_hours:
            return f"{_plain(hours / in_hours)} {unit}"
    return f"{_plain(3600 * hours)} s"


def rows(points: Mapping[str, Any]) -> list[Row]:
    """What each size takes, by what was measured."""
    measured = {
        int(size): Point(int(size), each["gibibytes"], each["seconds"])
        for size, each in points["refresh"]["sizes"].items()
    }
    small, large = (measured[size] for size in sorted(measured)[-2:])
    found: list[Row] = []
    for size in SIZES:
        own = measured.get(size)
        ends = sorted(seconds(size, own or small, own or large, growth) for growth in (None, 1.0))
        memory = own.gibibytes if own else gibibytes(size, small, large)
        hours = ends[0] / 3600, ends[1] / 3600
        answer = milliseconds(size * ITEMS_SHARE, points)
        found.append(Row(size, own is not None, hours, memory, answer))
    return found


def seconds(size: int, small: Point, large: Point, growth: float | None = None) -> float:
    """Seconds of all steps; past the larger size with `growth`, where it is given."""
    found = 0.0
    for step, at_large in large.seconds.items():
        if size == large.interactions:
            power = 1.0
        elif growth is None or size < large.interactions:
            power = math.log(at_large / small.seconds[step]) / math.log(
                large.interactions / small.interactions
            )
        else:
            power = growth
        found += at_large * (size / large.interactions) ** power
    return found


def gibibytes(size: int, small: Point, large: Point) -> float:
    """The most that a refresh holds."""
    each = (large.gibibytes - small.gibibytes) / (large.interactions - small.interactions)
    return max(small.gibibytes, large.gibibytes + each * (size - large.interactions))


def milliseconds(items: float, points: Mapping[str, Any]) -> float:
    """The median of an answer over so many items, on a core of its own."""
    scoring, answer = points["scoring"], points["answer"]
    each = scoring["milliseconds"] / scoring["items"]
    return answer["milliseconds"] + each * (items - answer["items"])


if __name__ == "__main__":
    main()
