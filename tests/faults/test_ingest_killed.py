"""kill -9 in the middle of a load: a bounded form of benchmarks/ingest_faults.py.

A load that an error ends in the middle is in `tests/integration/test_ingest.py`.
"""

import pytest

from tests.benchmark_runs import printed

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


def test_the_same_command_again_completes_the_graph() -> None:
    arguments = ("--rounds", "2", "--rows", "12000", "--seed", "1")
    told = printed("ingest_faults.py", *arguments, timeout_seconds=1500.0)
    assert "2 of 2 rounds gave the same graph" in told
