"""`recsvc serve` in processes of their own; Python imports what it needs once for all of them.

`start` runs this file once; each service is a fork of it, which had everything imported before.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from loaders.shared_files import checkout_root
from recsvc import cli
from tests.patience import lengthen_constants


class ForkedProcess:
    """A service, with what is used here of `subprocess.Popen`.

    Args:
        forking: the process that forks.
        pid: of the service.
    """

    def __init__(self, forking: subprocess.Popen[str], pid: int) -> None:
        self._forking, self.pid = forking, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended; None where it has not."""
        if self.returncode is None:
            self.returncode = _asked(self._forking, ended=self.pid)["code"]
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """Wait until it has ended: how.

        Raises:
            TimeoutExpired: it has not ended within so many seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("recsvc serve", timeout)
            time.sleep(0.01)
        return code


def start(environment: Mapping[str, str], log_file: Path, *arguments: str) -> ForkedProcess:
    """Start a service where this process is now.

    Args:
        environment: all that is in its environment.
        log_file: for its log.
        arguments: of the command.
    """
    request = {"environment": {**environment}, "log": str(log_file), "arguments": arguments}
    return ForkedProcess(_forking(), _asked(_forking(), cwd=str(Path.cwd()), **request)["pid"])


@cache
def _forking() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.forked_service"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout_root(),
    )  # fmt: skip


def stop() -> None:
    """End the process that forks, if there is one."""
    if _forking.cache_info().currsize:
        _forking().communicate()
        _forking.cache_clear()


def _asked(forking: subprocess.Popen[str], **request: Any) -> dict[str, Any]:
    assert forking.stdin
    assert forking.stdout
    forking.stdin.write(json.dumps(request) + "\n")
    forking.stdin.flush()
    answer = forking.stdout.readline()
    assert answer, f"what forks services has ended: {forking.wait()}"
    return json.loads(answer)


def _become(request: dict[str, Any]) -> None:
    """Be the command, in the fork."""
    for descriptor, path in ((0, os.devnull), (1, os.devnull), (2, request["log"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    sys.argv = ["recsvc", "serve", *request["arguments"]]


def _forked() -> bool:
    """Fork for each line of JSON that wants a service; whether this is the fork."""
    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        elif pid := os.fork():
            answer = {"pid": pid}
        else:
            _become(request)
            return True
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return False


def main() -> None:
    """Import what a service does, make its routes, and fork."""
    for name in ("uvicorn", "recsvc.commands.serving", "recsvc.recommend.engine"):
        import_module(name)
    import_module("recsvc.service.app")._routes()
    lengthen_constants()
    if _forked():
        cli.main()


if __name__ == "__main__":
    main()
