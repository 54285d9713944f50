"""kill -9 of a refresh, and of Neo4j while a refresh writes back and activates, under requests.

Each round starts a refresh that makes a new version, kills it or its Neo4j at a random moment, and
refreshes again: as often the same, which goes on, as another, which clears away. Requests for
recommendations keep coming. Each answer is made again here from the stored arrays of the version
that it names; its scores have to be those. After each round the graph may hold no vectors and no
arrays that belong to no version.

    python benchmarks/refresh_faults.py --kills 100 --restarts 20
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from _environment import describe

from benchmarks._service import service, users_with_interactions
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import LocalNeo4j, scratch_server
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables
from recsvc.settings import load_settings
from tests.faults.answer_oracle import AnswerOracle, Findings, wanted_of
from tests.faults.steady_load import SteadyLoad
from tests.forked_refresh import VERSIONS, Forks, forks, make_graph, orphans

_USERS = 60
_WHOLE_SECONDS = 60.0
_LONGEST_DELAY = 0.05
"""Between a boundary of a refresh and the end of Neo4j: about one transaction."""


def main() -> int:
    """Run the rounds; returns 1 if something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="of the refresh")
    parser.add_argument("--restarts", type=int, default=20, help="of Neo4j")
    parser.add_argument("--tables", type=Path, help="a folder of tables; else a graph is made")
    parser.add_argument("--per-second", type=float, default=15.0, help="requests")
    parser.add_argument("--workers", type=int, default=2, help="processes that answer")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe())
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path.cwd()) / ".recsvc")))
    with tempfile.TemporaryDirectory() as name, scratch_server(home) as server:
        folder = Path(name)
        with Neo4jGateway(server.address()) as gateway:
            fill(gateway, options.tables, folder)
            users = users_with_interactions(gateway)
        address = server.address()
        environment = {
            "RECSVC_HOME": str(folder / "home"), "RECSVC_NEO4J_URI": address.uri,
            "RECSVC_NEO4J_USER": address.user, "RECSVC_NEO4J_PASSWORD": address.password,
        }  # fmt: skip
        with forks(address) as forked:
            forked.home = folder / "home"
            first = undisturbed(forked)
            chosen = random.Random(options.seed).sample(users, min(_USERS, len(users)))
            with service(environment, "--workers", str(options.workers)) as served:
                rounds = Rounds(server, forked, str(served.client.base_url), chosen, options.seed)
                rounds.per_second = options.per_second
                return asyncio.run(rounds.all(options.kills, options.restarts, first))


def fill(gateway: Neo4jGateway, tables: Path | None, folder: Path) -> None:
    """Load the tables given, or a made graph."""
    if tables is None:
        make_graph(gateway, folder / "tables", users=240)
    else:
        ingest(gateway, FolderTables(tables), rejects=folder / "rejects.csv")


@dataclass(frozen=True)
class Undisturbed:
    """How long a refresh takes, and the boundaries that it comes by."""

    seconds: float
    boundaries: list[str]

    @property
    def writing(self) -> list[str]:
        """Those of write-back and activation: from the first vectors to the end."""
        first = next(n for n, name in enumerate(self.boundaries) if "user_vectors" in name)
        return self.boundaries[first:]


def undisturbed(forked: Forks) -> Undisturbed:
    """The refresh that makes the second version: for the first one Neo4j plans every query."""
    assert forked.refresh(seed=0, force=True)["status"] == 0
    began = time.perf_counter()
    told = forked.refresh(seed=0, force=True)
    assert told["status"] == 0, told
    found = Undisturbed(time.perf_counter() - began, told["boundaries"])
    print(f"undisturbed: {found.seconds:.1f} s, {len(found.writing)} moments from its first write")
    return found


@dataclass
class Rounds:
    """Refreshes of one graph, each disturbed and then made again.

    Attributes:
        server: the Neo4j.
        forked: refreshes.
        url: of the service.
        users: who is asked for.
        seed: of the moments.
        per_second: requests.
        wrong: what was wrong besides answers, in words.
    """

    server: LocalNeo4j
    forked: Forks
    url: str
    users: list[str]
    seed: int
    per_second: float = 15.0
    wrong: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._version_seed, self._hits, self._seconds = 0, 0, 0.0
        with self._gateway() as gateway:
            self._oracle = AnswerOracle(gateway, self.users, load_settings().events)
            self._active = self._oracle.look(gateway)

    async def all(self, kills: int, restarts: int, first: Undisturbed) -> int:
        """All rounds of both kinds; 1 if something was wrong."""
        if kills:
            self._seconds = first.seconds
            found = await self._rounds(self._until_killed(kills))
            print(f"{kills} kills of the refresh, {found}")
        if restarts:
            writing = first.writing
            chosen = self._chance.sample(writing * (1 + restarts // len(writing)), restarts)
            found = await self._rounds([lambda at=at: self._kill_neo4j(at) for at in chosen])
            print(f"{restarts} kills of Neo4j, {found}")
        for each in self.wrong:
            print(f"WRONG: {each[:2000]}")
        print(f"{len(self.wrong)} things wrong")
        return 1 if self.wrong else 0

    def _until_killed(self, kills: int) -> Iterator[Callable[[], Awaitable[str]]]:
        """Rounds until so many refreshes were killed: one may end before its moment comes."""
        while self._hits < kills:
            yield self._kill_refresh

    async def _rounds(self, rounds: Iterable[Callable[[], Awaitable[str]]]) -> Findings:
        found = Findings()
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            for number, one in enumerate(rounds, start=1):
                wanted = wanted_of(self._chance.sample(self.users, len(self.users)))
                async with SteadyLoad(client, self.per_second, wanted=wanted) as load:
                    said = await one()
                    seconds = await self._until_served(client)
                    await asyncio.sleep(0.2)
                self._oracle.judge(load.answers, found)
                self._oracle.forget_before(self._active - 2)
                print(f"{number:3d}  {said}; served after {seconds:.1f} s")
        self.wrong += found.examples
        return found

    async def _kill_refresh(self) -> str:
        self._version_seed += 1
        moment, began = self._chance.uniform(0.0, self._seconds), time.monotonic()
        told = await self._refresh(kill_after=moment)
        hit = told["status"] == -signal.SIGKILL
        self._hits += hit
        if not hit:
            self._seconds = time.monotonic() - began
        return f"refresh {'killed' if hit else 'over'} after {moment:5.2f} s; {await self._next()}"

    async def _kill_neo4j(self, boundary: str) -> str:
        self._version_seed += 1
        pid = self.forked.start(seed=self._version_seed, force=True, stop_at=boundary)
        told = await asyncio.to_thread(self.forked.answer)
        moment = self._chance.uniform(0.0, _LONGEST_DELAY)
        if told.get("stopped"):
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(moment)
        server = self.server.status().pid
        assert server is not None, "the server is a process of this machine"
        os.kill(server, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(server)])
        await asyncio.to_thread(self.server.up)
        if told.get("stopped"):
            told = await asyncio.to_thread(self.forked.answer)
        ended = "went on by itself" if told["status"] == 0 else "ended"
        self._look()
        where = f"Neo4j killed {1000 * moment:2.0f} ms past {boundary!r}, the refresh {ended}"
        return f"{where}; {await self._next()}"

    async def _next(self) -> str:
        """The next refresh: the same, or one of something else."""
        same = self._chance.random() < 0.5
        self._version_seed += not same
        told = await self._refresh()
        if told["status"] != 0:
            self.wrong.append(f"the next refresh failed: {told}")
        with self._gateway() as gateway:
            self.wrong += [f"left over: {each}" for each in orphans(gateway)]
            runs = {v["run"] for v in gateway.run(VERSIONS) if v["status"] == "active"}
            unfinished = [v for v in gateway.run(VERSIONS) if v["status"] in ("building", "ready")]
        if len(runs) != 1 or unfinished:
            self.wrong.append(f"active are versions of {runs}, unfinished are {unfinished}")
        return f"the next was {'the same' if same else 'another'}"

    async def _refresh(self, **request: Any) -> dict[str, Any]:
        told = await asyncio.to_thread(
            lambda: self.forked.refresh(seed=self._version_seed, force=True, **request)
        )
        self._look()
        return told

    def _look(self) -> None:
        """Read what is stored now: the next refresh removes the oldest of it."""
        with self._gateway() as gateway:
            self._active = self._oracle.look(gateway)

    async def _until_served(self, client: httpx.AsyncClient) -> float:
        """Seconds until an answer is whole and names the active version."""
        began = time.monotonic()
        while time.monotonic() < began + _WHOLE_SECONDS:
            answer = (await client.get(f"/v1/users/{self.users[0]}/recommendations")).json()
            if answer["versions"]["hybrid"] == self._active and not answer["degraded"]:
                return time.monotonic() - began
            await asyncio.sleep(0.05)
        self.wrong.append(f"version {self._active} was not served within {_WHOLE_SECONDS:g} s")
        return _WHOLE_SECONDS

    def _gateway(self) -> Neo4jGateway:
        return Neo4jGateway(self.server.address())


if __name__ == "__main__":
    sys.exit(main())
