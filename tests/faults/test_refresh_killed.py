"""kill -9 of the refresh at random moments: a bounded form of what benchmarks do at length."""

import random
import signal
import time
from pathlib import Path

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from tests.forked_refresh import VERSIONS, forks, make_graph, orphans, served_arrays

KILLS = 4


@pytest.mark.neo4j
@pytest.mark.slow
def test_the_same_command_again_makes_what_nobody_disturbed_makes(
    gateway: Neo4jGateway, neo4j_address: Neo4jAddress, tmp_path: Path
) -> None:
    make_graph(gateway, tmp_path / "tables", users=60)
    chance = random.Random(4)
    with forks(neo4j_address) as forked:
        forked.home = tmp_path / "home"
        began = time.monotonic()
        first = forked.refresh()
        seconds = time.monotonic() - began
        assert first["status"] == 0, first
        expected = served_arrays(gateway)
        assert len(expected) > 10
        killed = 0
        for _ in range(KILLS):
            told = forked.refresh(kill_after=chance.uniform(0.0, seconds), force=True)
            killed += told["status"] == -signal.SIGKILL
            active = [v for v in gateway.run(VERSIONS) if v["status"] == "active"]
            assert [v["model"] for v in active] == ["fastrp", "hybrid", "lightgcn"]
            assert len({v["run"] for v in active}) == 1
            assert served_arrays(gateway) == expected
        last = forked.refresh(force=True)
    assert last["status"] == 0, last
    assert killed > 0
    assert served_arrays(gateway) == expected
    assert orphans(gateway) == []
    assert not [v for v in gateway.run(VERSIONS) if v["status"] == "building"]
