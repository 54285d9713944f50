# pyright: basic
# APScheduler 3 has no types.
"""Refreshes by the clock, each in a process of its own."""

import logging
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from tzlocal import get_localzone

from recsvc.refresh.process import REFUSED

_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PART: Final = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9]\d*))?", re.ASCII)
_EXPECTED: Final = "expected 0 to 7, or a name such as mon"
_LOOK_SECONDS = 30.0
"""How often the clock is looked at: a wait does not notice that the machine slept meanwhile."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_LAST_WORDS_SECONDS = 60.0
"""How long a refresh that is asked to end may take."""

_log = structlog.get_logger()


def zone(name: str | None) -> tzinfo:
    """A time zone by name; without one, that of this machine.

    Raises:
        ValueError: there is no such zone.
    """
    if name is None:
        with warnings.catch_warnings():  # where a machine has none it is UTC, as elsewhere
            warnings.simplefilter("ignore")
            return get_localzone()
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"no time zone {name!r}: expected one such as Europe/Oslo") from None


def cron_trigger(text: str, timezone: tzinfo) -> BaseTrigger:
    """When a crontab line is due: minute, hour, day of month, month, day of week.

    As in POSIX's crontab, 0 and 7 are Sunday, and where both days are restricted one of them
    suffices. APScheduler's own reading has Monday as 0, and wants both.

    Raises:
        ValueError: it is no such line, or is never due.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"{text!r} has {len(fields)} fields: expected 5, such as '0 3 * * *'")
    minute, hour, day, month, weekday = fields
    try:
        both = not day.startswith("*") and not weekday.startswith("*")
        weekday = _weekdays(weekday)
        days = [(day, "*"), ("*", weekday)] if both else [(day, weekday)]
        triggers = [
            CronTrigger.from_crontab(f"{minute} {hour} {one} {month} {other}", timezone)
            for one, other in days
        ]
    except ValueError as error:
        raise ValueError(f"{text!r} is no crontab line: {error}") from None
    trigger = triggers[0] if len(triggers) == 1 else OrTrigger(triggers)
    if trigger.get_next_fire_time(None, datetime.now(timezone)) is None:
        raise ValueError(f"{text!r} is never due")
    return trigger


def _weekdays(field: str) -> str:
    """A day of the week field with the names of its days, as both readings have them."""
    if field == "*":
        return field
    return ",".join(dict.fromkeys(_DAYS[day] for part in field.split(",") for day in _days(part)))


def _days(part: str) -> range:
    """The numbers of one part, 0 to 7: a day, a range, or either with a step."""
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no day of the week: {_EXPECTED}")
    every, one, last, step = found.groups()
    first = 0 if every else _day(one)
    end = 6 if every or step else first
    if last is not None:
        end = _day(last) or 7  # Sunday, as the end of a range
    days = range(first, end + 1, int(step or 1))
    if not days:
        raise ValueError(f"{part!r} ends before it begins")
    return days


def _day(text: str) -> int:
    names = _DAYS[:7]
    number = names.index(text.lower()) if text.lower() in names else text
    if str(number) not in "01234567":
        raise ValueError(f"{text!r} is no day of the week: {_EXPECTED}")
    return int(number)


class Schedule:
    """Runs a command whenever it is due, until it is stopped.

    A run that becomes due while one is under way is left out, and of those that were missed
    because the machine slept, one is made up for.
    """

    def __init__(self, command: Sequence[str], trigger: BaseTrigger) -> None:
        self._command = list(command)
        self._trigger = trigger
        self._changing = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopping = False
        # It warns of what is logged here.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BlockingScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._run, trigger, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._scheduler.add_listener(self._left_out, EVENT_JOB_MAX_INSTANCES)

    def run_until_stopped(self) -> None:
        """Work until SIGINT or SIGTERM; then end the run that is under way, and return."""
        # Also where a shell that started this in the background had SIGINT ignored.
        for number in _ENDING:
            signal.signal(number, signal.default_int_handler)
        try:
            self._tell_next()
            threading.Thread(target=self._look_at_the_clock, daemon=True).start()
            self._scheduler.start()
        except KeyboardInterrupt:
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)
            self._stop()
        _log.info("schedule ended")

    def _look_at_the_clock(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            self._scheduler.wakeup()

    def _tell_next(self) -> None:
        due: Any = self._trigger.get_next_fire_time(None, datetime.now().astimezone())
        _log.info("refresh scheduled", at=due.isoformat() if due else None)

    def _left_out(self, _event: object) -> None:
        _log.warning("refresh left out", reason="the one before is under way")

    def _run(self) -> None:
        """One run; whatever comes of it, the schedule goes on."""
        began = time.monotonic()
        with self._changing:
            if self._stopping:
                return
            try:
                child = self._child = self._start()
            except OSError as error:
                _log.warning("refresh process not begun", reason=str(error))
                return
        _log.info("refresh process begun", process_id=child.pid)
        last = self._passed_on(child)
        code = child.wait()
        seconds = round(time.monotonic() - began, 3)
        if code == 0 or self._stopping:
            _log.info("refresh process ended", exit_code=code, seconds=seconds)
        elif code == REFUSED:
            _log.warning("refresh refused", exit_code=code, seconds=seconds, reason=last)
        else:
            reason = last if code > 0 else f"ended by {signal.Signals(-code).name}"
            _log.error("refresh process failed", exit_code=code, seconds=seconds, reason=reason)
        if not self._stopping:
            self._tell_next()

    def _start(self) -> subprocess.Popen[str]:
        """The child; Ctrl-C at a terminal reaches it only by way of this process."""
        return subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip

    def _passed_on(self, child: "subprocess.Popen[str]") -> str:
        """Pass on what the child says, as it comes; the last of it that is no line of its log."""
        last = ""
        for line in child.stderr or ():
            sys.stderr.write(line)
            sys.stderr.flush()
            if not line.startswith("{"):
                last = line.strip() or last
        return last

    def _stop(self) -> None:
        """End the run that is under way, which can be gone on with, and the scheduler."""
        with self._changing:
            self._stopping, child = True, self._child
        if child is not None and child.poll() is None:
            _log.info("refresh process interrupted", process_id=child.pid)
            child.send_signal(signal.SIGINT)
            try:
                child.wait(_LAST_WORDS_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
        if self._scheduler.running:
            self._scheduler.shutdown()
