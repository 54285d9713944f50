"""Running other programs: the one seam that unit tests replace by a recording."""

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import LocalNeo4jError

Progress = Callable[[str], None]

NOT_FOUND = 127
TIMED_OUT = 124
IMPORT_TIMEOUT_SECONDS = 86_400.0

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a program ended.

    Attributes:
        exit_code: its own, or `NOT_FOUND` or `TIMED_OUT`, as a shell has them.
        output: standard output and standard error, as they came.
    """

    exit_code: int
    output: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it ended with 0."""
        return self.exit_code == 0

    def last_lines(self, count: int = 15) -> str:
        """The end of its output, for an error message."""
        return tail(self.output, count)

    def require(self, what: str) -> None:
        """See that it did what it was for.

        Raises:
            LocalNeo4jError: it did not; the message has its last lines.
        """
        if not self.succeeded:
            raise LocalNeo4jError(
                f"neo4j-admin could not {what} (exit code {self.exit_code}); its last lines:\n"
                f"{self.last_lines()}"
            )


def run_command(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    kept_open: Sequence[int] = (),
) -> CommandResult:
    """Run one program to its end; never raises for how it ended.

    Args:
        command: the program and its arguments.
        timeout_seconds: how long it may take.
        environment: added to this process's own.
        folder: where it runs; in this process's folder by default.
        kept_open: open files that it inherits, and with them the locks on them.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            pass_fds=kept_open,
            timeout=timeout_seconds,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return CommandResult(TIMED_OUT, f"{command[0]} took longer than {timeout_seconds:g} s")
    except OSError as error:
        return CommandResult(NOT_FOUND, f"{command[0]}: {error.strerror}")
    return CommandResult(done.returncode, done.stdout)


Runner = Callable[..., CommandResult]
"""Takes what `run_command` takes; tests pass a recording."""


def tail(text: str, count: int) -> str:
    """The last `count` lines that say something, without colours; Java's stack frames do not."""
    lines = [line.rstrip() for line in _COLOUR.sub("", text).splitlines()]
    telling = [line for line in lines if line and not line.lstrip().startswith("at ")]
    return "\n".join(telling[-count:])
