"""What scenarios read from and write to Neo4j."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from loaders.catalogue import catalogue
from loaders.gateway import Row
from loaders.limits import MAX_BODY_BYTES, MAX_DOCUMENT_NAME
from recsvc.errors import ExperimentRunningError, NotFoundError, RevisionError, TooMuchError
from recsvc.graph.known_items import KnownItems
from recsvc.graph.rows import UNKNOWN, LiveItem, State, scenario_items
from recsvc.graph.transport import Transport

MOST_REVISIONS: Final = 20
"""Revisions of a scenario that are kept."""
MOST_SCENARIOS: Final = 200
LONGEST_DOCUMENT: Final = 4 * MAX_BODY_BYTES
"""Characters of a stored document: more than any body comes to, so that another was put by hand."""
NEWEST: Final = {
    "limit": MOST_SCENARIOS, "longest": MAX_DOCUMENT_NAME, "characters": LONGEST_DOCUMENT,
}  # fmt: skip
"""Parameters of `cypher/scenario/all.cypher`: a longer name was put by hand."""
_MOST_KNOWN = 20


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A scenario as it is stored.

    Attributes:
        name: of the scenario.
        revision: its number, from 1.
        document: JSON; None where it cannot be read.
        at: since when; None where that cannot be read.
    """

    name: str
    revision: int
    document: str | None
    at: datetime | None


class ScenarioStore(Transport):
    """The queries of scenarios."""

    @cached_property
    def _known_of_scenarios(self) -> dict[str, KnownItems]:
        return {}

    async def scenario_items(
        self,
        item_ids: Collection[str],
        categories: Sequence[str],
        asked: Mapping[str, Any],
        key: str,
        state: State = UNKNOWN,
    ) -> dict[str, LiveItem]:
        """Those of the items that exist, as they are now, with what a scenario asks of them.

        Args:
            item_ids: which items.
            categories: see `Store.live_items`.
            asked: parameters of `cypher/serve/scenario_items.cypher`.
            key: of these parameters: what was read with it in the same state is not read again.
            state: of the graph now, where that was read for the same answer.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        earlier = {} if categories else self._known_of_scenario(key).of(state)
        missing = [item_id for item_id in item_ids if item_id not in earlier]
        live: Mapping[str, LiveItem] = {}
        if missing:
            parameters = {"item_ids": missing, "category_ids": list(categories), **asked}
            query = catalogue()["serve/scenario_items"]
            (row,), read = await self._run_after(query, parameters, state, self.timeout_seconds)
            self.unread.note(row["unread"])
            live = scenario_items(row["items"])
            if state and read == state and not categories and not row["unread"]:
                self._known_of_scenario(key).keep(state, missing, live)
        return {i: item for i in item_ids if (item := live.get(i) or earlier.get(i)) is not None}

    def _known_of_scenario(self, key: str) -> KnownItems:
        known = self._known_of_scenarios
        if key not in known and len(known) >= _MOST_KNOWN:
            del known[next(iter(known))]
        return known.setdefault(key, KnownItems())

    async def scenarios(self) -> list[StoredRevision]:
        """The newest revision of every scenario, by name."""
        return revisions_of(await self._run(catalogue()["scenario/all"], **NEWEST))

    async def scenario_revisions(self, name: str) -> list[StoredRevision]:
        """The kept revisions of a scenario, newest first; none where there is no such."""
        query = catalogue()["scenario/revisions"]
        rows = await self._run(query, name=name, longest=LONGEST_DOCUMENT, limit=MOST_REVISIONS)
        return revisions_of([{**row, "name": name} for row in rows])

    async def put_scenario(
        self, name: str, document: str, *, from_revision: int = 0, seen: int | None = None
    ) -> int:
        """Store a document, or that of an earlier revision, as the next revision: its number.

        Args:
            name: of the scenario.
            document: JSON.
            from_revision: the earlier one; 0: the document is stored.
            seen: the revision that it is to come after, 0 for the first; None: any.

        Raises:
            RevisionError: another one is the newest.
            NotFoundError: there is no such earlier revision.
            TooMuchError: there are as many scenarios as there may be.
            Neo4jError: the graph cannot be written in time.
        """
        query = catalogue()["scenario/put"]
        ((row,),) = await self._write([
            (query, {
                "name": name, "document": document, "from_revision": from_revision,
                "seen": seen, "keep": MOST_REVISIONS, "limit": MOST_SCENARIOS,
            })
        ])  # fmt: skip
        if row["names"] >= MOST_SCENARIOS:
            raise TooMuchError(
                f"{MOST_SCENARIOS} scenarios are stored, as many as there may be: delete one"
            )
        if seen not in (None, row["stored"]):
            raise RevisionError(f"scenario {name!r}", seen or 0, row["stored"])
        if not row["revision"]:
            raise NotFoundError(f"no revision {from_revision} of a scenario {name!r} is kept")
        return row["revision"]

    async def delete_scenario(self, name: str) -> None:
        """Delete a scenario with all its revisions.

        Raises:
            NotFoundError: there is no such.
            ExperimentRunningError: an experiment runs that makes lists by it.
            Neo4jError: the graph cannot be written in time.
        """
        ((row,),) = await self._write([(catalogue()["scenario/delete"], {"name": name})])
        if row["used_by"] is not None:
            raise ExperimentRunningError(
                f"the experiment {row['used_by']!r} runs and makes lists by {name!r}: stop it first"
            )
        if not row["deleted"]:
            raise NotFoundError(f"no scenario {name!r} is stored")


def revisions_of(rows: Sequence[Row]) -> list[StoredRevision]:
    """Scenarios, from rows of `cypher/scenario/`."""
    return [
        StoredRevision(
            row["name"], row["revision"], row["document"], row["at"] and row["at"].to_native()
        )
        for row in rows
    ]
