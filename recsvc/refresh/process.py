"""A refresh as a process of its own: what it takes is given back when it ends.

The processes that start one, a schedule and the service, never load what trains.
"""

import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from recsvc.refresh.run_journal import newest_manifests

REFUSED: Final = 3
"""Exit code of a refresh whose version the gate refused."""


def refresh_command(
    models: Sequence[str] = (),
    *,
    force: bool = False,
    from_scratch: bool = False,
    seed: int | None = None,
    device: str | None = None,
) -> list[str]:
    """The command line of a refresh; what is left out is as `recsvc refresh` has it."""
    command = [sys.executable, "-m", "recsvc", "refresh", "--json"]
    command += [word for model in models for word in ("--model", model)]
    command += ["--force"] if force else []
    command += ["--from-scratch"] if from_scratch else []
    command += ["--seed", str(seed)] if seed is not None else []
    command += ["--device", device] if device is not None else []
    return command


def known_holders(home: Path) -> frozenset[str]:
    """Who worked on some run so far; no two processes have the same name."""
    return frozenset(
        attempt["holder"] for manifest in newest_manifests(home) for attempt in manifest["attempts"]
    )


def begun_run(home: Path, process_id: int, before: Collection[str]) -> str | None:
    """The name of the run that a process of this machine works on.

    It may be an older run, which the process goes on with.

    Args:
        home: `RECSVC_HOME`.
        process_id: of the process.
        before: `known_holders` before it was started; the system gives the number of an ended
            process again.
    """
    who = [socket.gethostname(), str(process_id)]
    for manifest in newest_manifests(home):
        for attempt in manifest["attempts"][-1:]:
            if attempt["holder"].split()[:2] == who and attempt["holder"] not in before:
                return manifest["run"]
    return None
