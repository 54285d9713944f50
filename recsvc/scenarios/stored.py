"""The stored scenarios as one process knows them: read, watched, and written.

What a process writes it knows at once; what others wrote, at the next look of its watch. A stored
document that cannot be read is named and left aside: answers are made without it.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import ValidationError

from loaders.catalogue import catalogue
from loaders.errors import Neo4jError
from loaders.gateway import Gateway
from recsvc.errors import ActivationError, NotFoundError, TooMuchError
from recsvc.graph.scenario_store import (
    LONGEST_DOCUMENT,
    NEWEST,
    ScenarioStore,
    StoredRevision,
    revisions_of,
)
from recsvc.graph.watch import Watch
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.plan import Plan, plan_of

_NO_DOCUMENT = f"is no text of at most {LONGEST_DOCUMENT:,} characters"
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class CurrentScenario:
    """A stored scenario.

    Attributes:
        stored: as it is stored.
        scenario: its document; None where that cannot be read.
        trouble: then why.
        depth: see `Plan.depth`.
    """

    stored: StoredRevision
    scenario: Scenario | None
    trouble: str | None = None
    depth: list[int] = field(default_factory=lambda: [0])

    def plan(self, now: datetime) -> Plan | None:
        """What it does at a moment; None where it cannot be read."""
        if self.scenario is None:
            return None
        name, revision = self.stored.name, self.stored.revision
        return plan_of(self.scenario, now, name=name, revision=revision, depth=self.depth)


class StoredScenarios:
    """Keeps the stored scenarios at hand.

    Args:
        store: the graph.
        changed: told whenever answers under a scenario may be others than before.

    Attributes:
        known: whether they have been read.
    """

    def __init__(self, store: ScenarioStore, changed: Callable[[], None]) -> None:
        self._store = store
        self._changed = changed
        self._current: dict[str, CurrentScenario] = {}
        self._watch = Watch(self.reload)
        self._looking = asyncio.Lock()
        self.known = False

    async def start(self) -> None:
        """Read them, and watch for changes."""
        with contextlib.suppress(Neo4jError):
            await self.reload()
        self._watch.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._watch.stop()

    async def reload(self) -> None:
        """Take in what is stored now.

        Raises:
            Neo4jError: it cannot be read.
        """
        async with self._looking:  # what was read first never takes the place of what came later
            stored = {each.name: each for each in await self._store.scenarios()}
            same = {n: c for n, c in self._current.items() if stored.get(n) == c.stored}
            if len(same) < len(self._current) or len(same) < len(stored):
                new = {name: _read(each) for name, each in stored.items() if name not in same}
                self._current = same | new
                if self.known:
                    self._changed()
            self.known = True

    def current(self) -> list[CurrentScenario]:
        """All of them, by name."""
        return [self._current[name] for name in sorted(self._current)]

    def find(self, name: str) -> CurrentScenario | None:
        """A scenario; None where nothing is known of any.

        Raises:
            NotFoundError: there is no such.
        """
        if name in self._current:
            return self._current[name]
        if not self.known:
            return None
        raise NotFoundError(f"no scenario {name!r} is stored")

    async def revision(self, name: str, revision: int | None) -> tuple[CurrentScenario, list[int]]:
        """A kept revision of a scenario, the newest where None, and the numbers of all of them.

        Raises:
            NotFoundError: there is no such.
            Neo4jError: the graph cannot be read in time.
        """
        revisions = await self._store.scenario_revisions(name)
        chosen = next((each for each in revisions if revision in (None, each.revision)), None)
        if chosen is None:
            which = f"revision {revision} of a " if revisions else ""
            raise NotFoundError(f"no {which}scenario {name!r} is stored")
        return _read(chosen), [each.revision for each in revisions]

    @property
    def trouble(self) -> str | None:
        """Which stored scenarios cannot be read, and why; None where all can."""
        return "; ".join(each.trouble for each in self.current() if each.trouble) or None

    async def put(self, name: str, scenario: Scenario, seen: int | None = None) -> int:
        """Store a document as the next revision: its number.

        Args:
            name: of the scenario.
            scenario: the document.
            seen: the revision that it is to come after, 0 for the first; None: any.

        Raises:
            RevisionError: another one is the newest.
            TooMuchError: there are as many scenarios as there may be, or it is too long.
            Neo4jError: the graph cannot be written in time.
        """
        document = json.dumps(scenario.document(), ensure_ascii=False)
        if len(document) > LONGEST_DOCUMENT:
            raise TooMuchError(f"the document is not stored: it {_NO_DOCUMENT}")
        with self._noted():
            revision = await self._store.put_scenario(name, document, seen=seen)
        await self.reload()
        return revision

    async def roll_back(self, name: str, revision: int | None) -> int:
        """Store an earlier revision, or the one before, as the next one: its number.

        Raises:
            NotFoundError: there is no such scenario or revision.
            ActivationError: it cannot be read.
            Neo4jError: the graph cannot be written in time.
        """
        if revision is None:
            revisions = await self._store.scenario_revisions(name)
            if len(revisions) < 2:
                raise NotFoundError(f"no earlier revision of a scenario {name!r} is kept")
            revision = revisions[1].revision
        chosen, _ = await self.revision(name, revision)
        if chosen.trouble is not None:
            raise ActivationError(f"{chosen.trouble}: choose another revision")
        with self._noted():
            made = await self._store.put_scenario(name, "", from_revision=revision)
        await self.reload()
        return made

    async def delete(self, name: str) -> None:
        """Delete a scenario with all its revisions.

        Raises:
            NotFoundError: there is no such.
            ExperimentRunningError: an experiment runs that makes lists by it.
            Neo4jError: the graph cannot be written in time.
        """
        with self._noted():
            await self._store.delete_scenario(name)
        await self.reload()

    @contextlib.contextmanager
    def _noted(self) -> Generator[None]:
        try:
            yield
        finally:  # one that failed may have been committed too
            self._changed()


def stored_scenarios(gateway: Gateway) -> list[CurrentScenario]:
    """All stored scenarios, for a command.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["scenario/all"], **NEWEST)
    return [_read(each) for each in revisions_of(rows)]


def _read(stored: StoredRevision) -> CurrentScenario:
    named = f"scenario {stored.name!r}, revision {stored.revision}"
    if stored.document is None:
        return CurrentScenario(stored, None, f"{named}: its document {_NO_DOCUMENT}")
    try:
        return CurrentScenario(stored, Scenario.model_validate(json.loads(stored.document)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:_SHOWN] for part in first["loc"]) or "document"
        return CurrentScenario(stored, None, f"{named}: {where}: {first['msg']}")
    except (ValueError, RecursionError):
        return CurrentScenario(stored, None, f"{named}: its document is not JSON")
