"""Memory under mixed load: a bounded form of benchmarks/steady_memory.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from loaders.shared_files import checkout_root


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.long
def test_it_does_not_grow() -> None:
    script = Path(checkout_root() or ".", "benchmarks", "steady_memory.py")
    done = subprocess.run(
        [sys.executable, str(script), "--minutes", "2"],
        capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "growth" in done.stdout
