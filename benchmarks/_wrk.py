"""wrk, a load generator: as many requests as a number of connections can have answered."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LATENCY = re.compile(r"(50|99)%\s+([\d.]+)(us|ms|s)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk found.

    Attributes:
        rate: requests a second.
        p50, p99: milliseconds.
        count: requests that were answered.
        failed: requests without an answer, or with another status than 200.
    """

    rate: float
    p50: float
    p99: float
    count: int
    failed: int


def require_wrk() -> None:
    """Say so where wrk is missing.

    Raises:
        SystemExit: it is.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: install it, such as apt-get install wrk")


def wrk(url: str, paths: Sequence[str], connections: int, seconds: float) -> Load:
    """Ask for the paths in turn, each connection as soon as it has its answer."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "paths.lua"
        listed = ", ".join(f'"{path}"' for path in paths)
        script.write_text(
            f"local paths = {{{listed}}}\nlocal next = 0\n"
            "request = function() next = next % #paths + 1\n"
            'return wrk.format("GET", paths[next]) end\n'
        )
        report = subprocess.run(
            ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", "--latency",
             "-s", str(script), url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    times = {p: float(t) * _MILLISECONDS[unit] for p, t, unit in _LATENCY.findall(report)}
    failed = _number(r"Non-2xx or 3xx responses: (\d+)", report) + sum(
        int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", report)
    )
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", report)[0])
    return Load(rate, times["50"], times["99"], _number(r"(\d+) requests in", report), failed)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0
