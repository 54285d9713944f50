"""A refresh, or its page, by a process of its own: what it takes is given back when it ends.

The processes that start one, a schedule and the service, never load what trains or draws.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

REFUSED: Final = 3
"""Exit code of a refresh whose version the gate refused."""


def refresh_command(
    models: Sequence[str] = (),
    *,
    force: bool = False,
    from_scratch: bool = False,
    seed: int | None = None,
    device: str | None = None,
    run: str | None = None,
) -> list[str]:
    """The command line of a refresh; what is left out is as `recsvc refresh` has it.

    `run` is what it is to call its run, see `recsvc.refresh.run_journal.run_of`.
    """
    command = [sys.executable, "-m", "recsvc", "refresh", "--json"]
    command += [word for model in models for word in ("--model", model)]
    command += ["--force"] if force else []
    command += ["--from-scratch"] if from_scratch else []
    command += ["--seed", str(seed)] if seed is not None else []
    command += ["--device", device] if device is not None else []
    command += ["--run", run] if run is not None else []
    return command


def page_command(home: Path, run: str) -> list[str]:
    """The command line that writes the page of a run to stdout."""
    return [sys.executable, "-m", "recsvc.refresh.page", str(home), run]
