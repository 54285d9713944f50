"""kill -9 of Neo4j under writes over HTTP: a bounded form of benchmarks/killed_writes.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from loaders.shared_files import checkout_root


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.long
def test_no_acknowledged_write_is_lost_and_none_counts_twice() -> None:
    script = Path(checkout_root() or ".", "benchmarks", "killed_writes.py")
    done = subprocess.run(
        [sys.executable, str(script), "--rounds", "2", "--seed", "1"],
        capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 rounds without a lost or doubled write" in done.stdout
    assert " 0 sent again" not in done.stdout.splitlines()[-2]
