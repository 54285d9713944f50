"""kill -9 of Neo4j under writes over HTTP: a bounded form of benchmarks/killed_writes.py."""

import pytest

from tests.benchmark_runs import printed

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


def test_no_acknowledged_write_is_lost_and_none_counts_twice() -> None:
    told = printed("killed_writes.py", "--rounds", "2", "--seed", "1")
    assert "2 of 2 rounds without a lost or doubled write" in told
    assert " 0 sent again" not in told.splitlines()[-2]
