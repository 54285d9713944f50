"""Scripts of benchmarks/ that tests run in a bounded form."""

import subprocess
import sys
from pathlib import Path

from loaders.shared_files import checkout_root


def printed(script: str, *arguments: str, timeout_seconds: float = 800.0) -> str:
    """What a script prints, which has to end with 0.

    Args:
        script: its name in benchmarks/.
        arguments: of its command line.
        timeout_seconds: how long it may take.
    """
    path = Path(checkout_root() or ".", "benchmarks", script)
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True, text=True, timeout=timeout_seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
