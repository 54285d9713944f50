"""`recsvc schedule`: when it is due, one run at a time, and a clean stop of a real process."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
import structlog
from typer.testing import CliRunner

from loaders.shared_files import checkout_root
from recsvc.cli import app
from recsvc.json_log import configure_json_log
from recsvc.refresh.process import REFUSED
from recsvc.refresh.schedule import Schedule, crontab, zone
from tests.waiting import PATIENCE_SECONDS, until

ROOT = checkout_root()
assert ROOT is not None
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def days_due(line: str, days: int = 35) -> list[datetime]:
    next_due, found = crontab(line, UTC), []
    due = MONDAY - timedelta(seconds=1)
    while (due := next_due(due)) < MONDAY + timedelta(days=days):
        found.append(due)
    return found


WEEKDAYS = {
    "0": "Sun", "7": "Sun", "sun": "Sun", "1": "Mon", "MON": "Mon", "6": "Sat",
    "1-5": "Mon Tue Wed Thu Fri", "mon-fri": "Mon Tue Wed Thu Fri", "5-7": "Fri Sat Sun",
    "5-0": "Fri Sat Sun", "fri-sun": "Fri Sat Sun", "0-6": "Mon Tue Wed Thu Fri Sat Sun",
    "0-1": "Mon Sun",
    "*/2": "Tue Thu Sat Sun", "1-5/2": "Mon Wed Fri", "2,4": "Tue Thu", "4/2": "Thu Sat",
    "*": "Mon Tue Wed Thu Fri Sat Sun",
}  # fmt: skip


@pytest.mark.parametrize("field", WEEKDAYS)
def test_days_of_the_week_are_those_of_crontab(field: str) -> None:
    assert [f"{due:%a}" for due in days_due(f"0 3 * * {field}", 7)] == WEEKDAYS[field].split()


def test_times_are_those_of_the_line() -> None:
    assert [f"{due:%a %H:%M}" for due in days_due("30 */12 * * 2", 7)] == ["Tue 00:30", "Tue 12:30"]


def test_of_two_restricted_days_one_suffices() -> None:
    due = [each.date() for each in days_due("0 0 1 * 1", 30)]
    assert {each.weekday() == 0 or each.day == 1 for each in due} == {True}
    assert len(due) == 6  # five Mondays, and the first of December, a Tuesday


def test_a_step_over_all_days_is_no_restriction() -> None:
    due = days_due("0 0 */2 * 1", 30)
    assert all(each.weekday() == 0 and each.day % 2 for each in due)


def test_the_time_zone_is_that_of_the_line() -> None:
    due = crontab("0 3 * * *", zone("Europe/Oslo"))(datetime(2026, 7, 1, tzinfo=UTC))
    assert due == datetime(2026, 7, 1, 3, tzinfo=ZoneInfo("Europe/Oslo"))
    assert due.astimezone(UTC).hour == 1


@pytest.mark.parametrize(
    "line",
    ["", "0 3 * *", "0 3 * * * *", "0 25 * * *", "x 3 * * *", "0 3 * * 8", "0 3 * * sunday",
     "0 3 * * 5-2", "0 3 * * 1/0", "0 3 31 2 *", "@nightly"],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_wrong_usage(line: str) -> None:
    result = CliRunner().invoke(app, ["schedule", "--cron", line])
    assert result.exit_code == 2, result.output
    with pytest.raises(ValueError, match=r"."):
        crontab(line, UTC)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc/passwd", ""])
def test_an_unknown_time_zone_is_wrong_usage(name: str) -> None:
    result = CliRunner().invoke(app, ["schedule", "--cron", "0 3 * * *", "--timezone", name])
    assert result.exit_code == 2, result.output
    assert "expected one such as" in " ".join(result.output.split())


# --- runs -------------------------------------------------------------------------------------

WORKER = """
import os, sys, time
try:
    with open(sys.argv[1], "a") as file:
        file.write(f"begin {os.getpid()} {time.time()}\\n")
    print("at work", file=sys.stderr, flush=True)
    time.sleep(float(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    time.sleep(0.3)
    with open(sys.argv[1], "a") as file:
        file.write(f"interrupted {os.getpid()} {time.time()}\\n")
    sys.exit(1)
with open(sys.argv[1], "a") as file:
    file.write(f"end {os.getpid()} {time.time()}\\n")
print("no luck", file=sys.stderr)
sys.exit(int(sys.argv[3]))
"""

PROCESS = """
import json, sys
from datetime import timedelta
from recsvc.json_log import configure_json_log
from recsvc.refresh.schedule import Schedule
configure_json_log()
every = timedelta(seconds=float(sys.argv[2]))
Schedule(json.loads(sys.argv[1]), lambda now: now + every).run_until_stopped()
assert "torch" not in sys.modules
"""


def worker(notes: Path, seconds: float, code: int = 0) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", WORKER, str(notes), str(seconds), str(code)]


def noted(notes: Path) -> list[tuple[str, int, float]]:
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [(what, int(pid), float(at)) for what, pid, at in map(str.split, lines)]


@contextmanager
def scheduled(command: list[str], every: float) -> Iterator[subprocess.Popen[str]]:
    """A schedule as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, json.dumps(command), str(every)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(notes: Path, what: str, times: int = 1) -> None:
    until(lambda: [each for each, _, _ in noted(notes)].count(what) >= times)


def ended(process: subprocess.Popen[str], number: signal.Signals) -> list[dict[str, Any]]:
    """The log of a schedule that is told to end."""
    process.send_signal(number)
    _, text = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, text
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_runs_never_overlap_and_one_that_fails_does_not_end_it(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with scheduled(worker(notes, 0.7, code=4), every=0.3) as process:
        wait_for(notes, "end", 3)
        log = ended(process, signal.SIGTERM)
    whole = noted(notes)[:6]
    assert [what for what, _, _ in whole] == ["begin", "end"] * 3
    assert all(one[1] == other[1] for one, other in zip(whole[::2], whole[1::2], strict=True))
    assert "refresh left out" in {line["event"] for line in log}
    failed = [line for line in log if line["event"] == "refresh process failed"]
    assert failed[0]["exit_code"] == 4
    assert failed[0]["reason"] == "no luck"
    assert failed[0]["seconds"] > 0.5
    order = [line["event"] for line in log]
    assert order[0] == "refresh scheduled"
    assert order[-1] == "schedule ended"
    assert all(line["timestamp"].endswith("Z") for line in log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_the_run_that_is_under_way_and_then_itself(
    tmp_path: Path, number: signal.Signals
) -> None:
    notes = tmp_path / "notes"
    with scheduled(worker(notes, 60), every=0.2) as process:
        wait_for(notes, "begin")
        log = ended(process, number)
    (_, child, _), (what, same, _) = noted(notes)
    assert (what, same) == ("interrupted", child)
    assert not psutil.pid_exists(child)
    assert "error" not in {line["level"] for line in log}
    interrupted = next(line for line in log if line["event"] == "refresh process interrupted")
    assert interrupted["process_id"] == child


def test_a_refused_version_is_no_failure_of_the_process(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with scheduled(worker(notes, 0, code=REFUSED), every=0.3) as process:
        wait_for(notes, "end", 2)
        log = ended(process, signal.SIGTERM)
    refused = next(line for line in log if line["event"] == "refresh refused")
    assert (refused["level"], refused["reason"]) == ("warning", "no luck")


def test_a_line_of_the_log_is_no_reason(tmp_path: Path) -> None:
    """A process that is killed says nothing: its last line of JSON tells of a step."""
    code = 'import os, sys; print(\'{"event": "step begun"}\', file=sys.stderr, flush=True); '
    command = [sys.executable, "-I", "-S", "-c", f"{code}os.kill(os.getpid(), 9)"]
    with scheduled(command, every=0.2) as process:
        assert process.stderr
        lines = (json.loads(line) for line in process.stderr)
        failed = next(line for line in lines if line["event"] == "refresh process failed")
        ended(process, signal.SIGTERM)
    assert failed["reason"] == "ended by SIGKILL"


def test_it_ends_while_it_waits(tmp_path: Path) -> None:
    with scheduled(worker(tmp_path / "notes", 0), every=3600) as process:
        assert process.stderr
        first = json.loads(process.stderr.readline())
        assert first["event"] == "refresh scheduled"
        assert datetime.fromisoformat(first["at"]) > datetime.now(UTC)
        ended(process, signal.SIGTERM)
    assert noted(tmp_path / "notes") == []


def test_one_run_makes_up_for_all_that_were_missed(tmp_path: Path) -> None:
    """The clock is a day ahead after it slept: of a thousand that were due, one runs."""
    configure_json_log()
    notes = tmp_path / "notes"

    asked: list[datetime] = []

    def next_due(after: datetime) -> datetime:
        """Every minute; the first was due a day ago."""
        asked.append(after if asked else after - timedelta(days=1))
        return asked[-1] + timedelta(minutes=1)

    schedule = Schedule(worker(notes, 0), next_due)

    def stop() -> None:
        wait_for(notes, "end")
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    number, other = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop, daemon=True).start()
    try:
        schedule.run_until_stopped()
    finally:
        signal.signal(signal.SIGINT, number)
        signal.signal(signal.SIGTERM, other)
        structlog.reset_defaults()
    assert [what for what, _, _ in noted(notes)] == ["begin", "end"]


def test_every_line_of_the_log_is_documented() -> None:
    page = (ROOT / "docs" / "schedule.md").read_text()
    for module in ("schedule", "run_journal", "pipeline"):
        source = (ROOT / "recsvc" / "refresh" / f"{module}.py").read_text()
        events = re.findall(r"(?:_log\.\w+|\.tell)\(\s*\"([^\"]+)\"", source)
        assert events
        for event in events:
            assert f"| `{event}` |" in page, event
