"""kill -9 of the refresh at random moments: a bounded form of benchmarks/refresh_faults.py."""

import asyncio
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from loaders.gateway import Neo4jGateway
from recsvc.settings import load_settings
from tests.conftest import running_service
from tests.faults.answer_oracle import AnswerOracle, Findings, wanted_of
from tests.faults.steady_load import Answered, SteadyLoad
from tests.forked_refresh import VERSIONS, Forks, make_graph, orphans, served_arrays
from tests.waiting import PATIENCE_SECONDS, until_then

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

KILLS = 4
QUICK = ["fastrp", "walk3"]


def test_the_same_command_again_makes_what_nobody_disturbed_makes(
    gateway: Neo4jGateway, forking: Forks, tmp_path: Path
) -> None:
    make_graph(gateway, tmp_path / "tables", users=60)
    chance, forked = random.Random(4), replace(forking, home=tmp_path / "home")
    began = time.monotonic()
    first = forked.refresh()
    seconds = time.monotonic() - began
    assert first["status"] == 0, first
    expected = served_arrays(gateway)
    assert len(expected) > 10
    killed = 0
    for _ in range(KILLS):
        moment = chance.uniform(0.0, seconds)
        told = forked.refresh(kill_after=moment, force=True, from_scratch=True)
        killed += told["status"] == -signal.SIGKILL
        active = [v for v in gateway.run(VERSIONS) if v["status"] == "active"]
        assert [v["model"] for v in active] == ["fastrp", "hybrid", "lightgcn"]
        assert len({v["run"] for v in active}) == 1
        assert served_arrays(gateway) == expected
    last = forked.refresh(force=True, from_scratch=True)
    assert last["status"] == 0, last
    assert killed > 0
    assert served_arrays(gateway) == expected
    assert orphans(gateway) == []
    assert not [v for v in gateway.run(VERSIONS) if v["status"] == "building"]


def version_named(answered: Answered) -> int | None:
    return answered.body.get("versions", {}).get("hybrid")


@pytest.mark.parametrize("kills", [1, KILLS])
async def test_no_request_fails_and_no_answer_mixes_versions(
    gateway: Neo4jGateway,
    forking: Forks,
    environment: dict[str, str],
    tmp_path: Path,
    kills: int,
) -> None:
    make_graph(gateway, tmp_path / "tables", users=60)
    users, chance, findings = [f"u{n:03}" for n in range(0, 60, 3)], random.Random(1), Findings()
    forked = replace(forking, home=tmp_path / "home")
    began = time.monotonic()
    assert forked.refresh(models=QUICK)["status"] == 0
    seconds = time.monotonic() - began
    oracle = AnswerOracle(gateway, users, load_settings().events)
    oracle.look(gateway)
    with running_service(environment, tmp_path / "serve.log") as service:
        async with (
            httpx.AsyncClient(base_url=service.client.base_url, timeout=PATIENCE_SECONDS) as client,
            SteadyLoad(client, per_second=5.0, wanted=wanted_of(users)) as load,
        ):
            for number in range(kills):
                seed = 10 + 2 * number
                await asyncio.to_thread(
                    forked.refresh, models=QUICK, seed=seed, force=True,
                    kill_after=chance.uniform(0.0, seconds),
                )  # fmt: skip
                told = await asyncio.to_thread(
                    forked.refresh, models=QUICK, seed=seed + number % 2, force=True
                )
                assert told["status"] == 0, told
                assert orphans(gateway) == []
                active = oracle.look(gateway)
            await until_then(lambda: version_named(load.answers[-1]) == active)
    oracle.judge(load.answers, findings)
    assert (findings.failed, findings.mixed, findings.degraded) == (0, 0, 0), findings.examples
    assert findings.told_apart > findings.answers / 2
    named = {version_named(each) for each in load.answers}
    assert len(named) > kills / 2
