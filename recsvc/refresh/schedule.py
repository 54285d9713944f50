"""Refreshes by the clock, each in a process of its own."""

import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from cronsim import CronSim, CronSimError
from tzlocal import get_localzone

from recsvc.refresh.process import REFUSED

NextDue = Callable[[datetime], datetime]
"""The first time that is due after another."""
_LOOK_SECONDS = 30.0
"""How often the clock is looked at: a wait does not notice that the machine slept meanwhile."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_LAST_WORDS_SECONDS = 60.0
"""How long a refresh that is asked to end may take."""
_UP_TO_SUNDAY: Final = re.compile(r"-(?:0|sun)(?=[,/]|$)", re.IGNORECASE)

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


def crontab(text: str, timezone: tzinfo) -> NextDue:
    """When a crontab line is due: minute, hour, day of month, month, day of week.

    As in POSIX's crontab, 0 and 7 are Sunday, and where both days are restricted one of them
    suffices.

    Raises:
        ValueError: it is no such line, or is never due.
    """
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"{text!r} has {len(fields)} fields: expected 5, such as '0 3 * * *'")
    line = " ".join([*fields[:4], _UP_TO_SUNDAY.sub("-7", fields[4])])

    def next_due(after: datetime) -> datetime:
        return next(CronSim(line, after.astimezone(timezone)))

    try:
        next_due(datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no crontab line: {error}") from None
    except StopIteration:
        raise ValueError(f"{text!r} is never due") from None
    return next_due


class Schedule:
    """Runs a command whenever it is due, until it is stopped.

    A run that becomes due while one is under way is left out, and of those that were missed
    because the machine slept, one is made up for.
    """

    def __init__(self, command: Sequence[str], next_due: NextDue) -> None:
        self._command = list(command)
        self._next_due = next_due
        self._changing = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopping = False

    def run_until_stopped(self) -> None:
        """Work until SIGINT or SIGTERM; then end the run that is under way, and return."""
        # Also where a shell that started this in the background had SIGINT ignored.
        for number in _ENDING:
            signal.signal(number, signal.default_int_handler)
        run = threading.Thread(target=self._run)
        try:
            while True:
                self._wait()
                if run.is_alive():
                    _log.warning("refresh left out", reason="the one before is under way")
                else:
                    run = threading.Thread(target=self._run)
                    run.start()
        except KeyboardInterrupt:
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)
            self._stop()
        if run.is_alive():
            run.join()
        _log.info("schedule ended")

    def _wait(self) -> None:
        """Wait until the next one is due; those missed before now are left behind."""
        due = self._next_due(datetime.now(UTC))
        _log.info("refresh scheduled", at=due.isoformat())
        while (left := (due - datetime.now(UTC)).total_seconds()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))

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
        with child:
            last = self._passed_on(child)
        code = child.returncode
        seconds = round(time.monotonic() - began, 3)
        if code == 0 or self._stopping:
            _log.info("refresh process ended", exit_code=code, seconds=seconds)
        elif code == REFUSED:
            _log.warning("refresh refused", exit_code=code, seconds=seconds, reason=last)
        else:
            reason = last if code > 0 else f"ended by {signal.Signals(-code).name}"
            _log.error("refresh process failed", exit_code=code, seconds=seconds, reason=reason)

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
        """End the run that is under way, which the next one resumes."""
        with self._changing:
            self._stopping, child = True, self._child
        if child is not None and child.poll() is None:
            _log.info("refresh process interrupted", process_id=child.pid)
            child.send_signal(signal.SIGINT)
            try:
                child.wait(_LAST_WORDS_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
