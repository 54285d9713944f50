"""The processes of `serve --workers`: one that ends or hangs is replaced, and the log says why."""

import signal
from typing import Final

import structlog
from uvicorn.supervisors.multiprocess import Multiprocess, Process

HANGING_SECONDS: Final = 30
"""How long a process may leave the first one without an answer: a slow machine is no dead one, and
what a process is answering ends with it."""

_ASK_SECONDS: Final = 0.5

_log = structlog.get_logger()


class Workers(Multiprocess):
    """uvicorn's, which tells of each process that it replaces.

    It asks in short steps, so that a signal, or the end of the process, is not waited out.
    """

    def keep_subprocess_alive(self) -> None:
        """Replace each process that ended, and end and replace each that hangs."""
        before = list(self.processes)
        hung = [each for each in before if self._hangs(each)]
        for each in hung:
            each.process.kill()
            each.process.join()
        if self.signal_queue:
            return
        super().keep_subprocess_alive()
        for old, new in zip(before, self.processes, strict=False):
            if old is not new:
                reason = why_replaced(old.exitcode, hung=old in hung)
                _log.warning("a process was replaced", pid=old.pid, reason=reason, by=new.pid)

    def _hangs(self, process: Process) -> bool:
        """Whether a process that is there gives no answer, and no signal came meanwhile."""
        for _ in range(int(HANGING_SECONDS / _ASK_SECONDS)):
            if self.signal_queue or not process.process.is_alive() or process.ping(_ASK_SECONDS):
                return False
        return True


def why_replaced(exitcode: int | None, *, hung: bool) -> str:
    """Why there is another process in the place of one.

    Args:
        exitcode: of the process; the negative number of the signal that ended it.
        hung: whether it gave no answer, so that it was killed.
    """
    if hung:
        return f"it gave no answer for {HANGING_SECONDS} seconds"
    if exitcode is not None and exitcode < 0:
        return f"it was ended by {signal.Signals(-exitcode).name}"
    return f"it ended with exit code {exitcode}"
