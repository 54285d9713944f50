"""A refresh as a process of its own: what it takes is given back when it ends.

The processes that start one, a schedule and the service, never load what trains.
"""

import socket
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from recsvc.refresh_run import newest_manifests


def refresh_command(
    models: Sequence[str] = (),
    *,
    force: bool = False,
    seed: int | None = None,
    device: str | None = None,
) -> list[str]:
    """The command line of a refresh; what is left out is as `recsvc refresh` has it."""
    command = [sys.executable, "-m", "recsvc", "refresh", "--json"]
    command += [word for model in models for word in ("--model", model)]
    command += ["--force"] if force else []
    command += ["--seed", str(seed)] if seed is not None else []
    command += ["--device", device] if device is not None else []
    return command


def begun_run(home: Path, process_id: int, since: datetime) -> str | None:
    """The name of the run that a process of this machine works on since then.

    It may be an older run, which the process goes on with.

    Args:
        home: `RECSVC_HOME`.
        process_id: of the process.
        since: before it was started; the system gives the number of an ended process again.
    """
    who = [socket.gethostname(), str(process_id)]
    for manifest in newest_manifests(home):
        for attempt in manifest["attempts"][-1:]:
            begun = datetime.fromisoformat(attempt["at"])
            if attempt["holder"].split()[:2] == who and begun >= since.replace(microsecond=0):
                return manifest["run"]
    return None
