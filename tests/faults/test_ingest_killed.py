"""kill -9 in the middle of a load: a bounded form of benchmarks/ingest_faults.py.

A load that an error ends in the middle is in `tests/integration/test_ingest.py`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from loaders.shared_files import checkout_root


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.long
def test_the_same_command_again_completes_the_graph() -> None:
    script = Path(checkout_root() or ".", "benchmarks", "ingest_faults.py")
    arguments = ["--rounds", "2", "--rows", "12000", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 rounds gave the same graph" in done.stdout
