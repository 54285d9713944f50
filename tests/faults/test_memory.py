"""Memory under mixed load: a bounded form of benchmarks/steady_memory.py."""

import pytest

from tests.benchmark_runs import printed

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]


def test_it_does_not_grow() -> None:
    assert "growth" in printed("steady_memory.py", "--minutes", "2")
