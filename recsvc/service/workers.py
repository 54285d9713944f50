"""The processes of `serve --workers`: one that ends or hangs is replaced, and the log says why."""

import signal
from typing import Final

import structlog
from uvicorn.supervisors import Multiprocess

HANGING_SECONDS: Final = 30
"""How long a process may leave the first one without an answer: a slow machine is no dead one, and
what a process is answering ends with it."""

_log = structlog.get_logger()


class Workers(Multiprocess):
    """uvicorn's, which tells of each process that it replaces."""

    def keep_subprocess_alive(self) -> None:
        """Replace each process that ended, and end and replace each that hangs."""
        before = [(each, each.process.is_alive()) for each in self.processes]
        super().keep_subprocess_alive()
        for (old, was_alive), new in zip(before, self.processes, strict=False):
            if old is not new:
                reason = why_replaced(old.exitcode, was_alive=was_alive)
                _log.warning("a process was replaced", pid=old.pid, reason=reason, by=new.pid)


def why_replaced(exitcode: int | None, *, was_alive: bool) -> str:
    """Why there is another process in the place of one.

    Args:
        exitcode: of the process; the negative number of the signal that ended it.
        was_alive: whether it was there when it was looked at; one that hangs is killed then.
    """
    if was_alive and exitcode == -signal.SIGKILL:
        return f"it gave no answer for {HANGING_SECONDS} seconds"
    if exitcode is not None and exitcode < 0:
        return f"it was ended by {signal.Signals(-exitcode).name}"
    return f"it ended with exit code {exitcode}"
