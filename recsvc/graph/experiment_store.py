"""What experiments read from and write to Neo4j."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from loaders.catalogue import catalogue
from loaders.gateway import Row
from loaders.limits import MAX_BODY_BYTES, MAX_DOCUMENT_NAME
from recsvc.errors import ExperimentRunningError, NotFoundError, RevisionError, TooMuchError
from recsvc.graph.transport import Transport

MOST_EXPERIMENTS: Final = 100
EVERY: Final = {
    "limit": MOST_EXPERIMENTS, "longest": MAX_DOCUMENT_NAME, "characters": MAX_BODY_BYTES,
}  # fmt: skip
"""Parameters of `cypher/experiment/all.cypher`: what is longer was put by hand."""
MOST_SEGMENTS: Final = 50
"""Results are told of so many values of a property: of those with the most users."""
MOST_CHANGES: Final = 100
"""Changes during an experiment that are told."""
_EARLY_SECONDS: Final = 86_400
"""How much earlier an outcome may be than the experiment it is of: clocks differ, and are set."""
_TIMES: Final = ("at", "stopped_at", "promoted_until")


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """An experiment as it is stored.

    Attributes:
        name: of the experiment.
        revision: how often it, and those of its name that were deleted, were stored; 0 where that
            cannot be read.
        document: JSON; None where it cannot be read.
        at: since when it runs; None where that cannot be read.
        stopped_at: until when it ran; None where it runs.
        promoted: the variant that everybody gets since; None where there is none.
        promoted_until: until when they got it: then another one began, or was promoted, for the
            same lists; None where they get it still.
    """

    name: str
    revision: int
    document: str | None
    at: datetime | None
    stopped_at: datetime | None
    promoted: str | None
    promoted_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChangeMeanwhile:
    """What changed while an experiment ran, so that its results are of what was before and after.

    Attributes:
        kind: `scenario`, of which a revision was stored, or `version`, which became active.
        name: of the scenario, or `hybrid`.
        number: of the revision or version.
        at: when.
    """

    kind: str
    name: str
    number: int
    at: datetime


class ExperimentStore(Transport):
    """The queries of experiments."""

    async def experiments(self) -> list[StoredExperiment]:
        """Every stored experiment, by name.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        return stored_experiments(await self._run(catalogue()["experiment/all"], **EVERY))

    async def put_experiment(
        self, name: str, document: str, place: str, scenarios: Collection[str],
        seen: int | None = None,
    ) -> StoredExperiment:  # fmt: skip
        """Store an experiment, which runs from now on, as it is stored then.

        Args:
            name: of the experiment.
            document: JSON.
            place: which lists it is about; one experiment runs for each place.
            scenarios: names of those that lists are made by.
            seen: the revision in whose place it comes, 0 for none; None: any.

        Raises:
            RevisionError: another one is stored.
            NotFoundError: a scenario is not stored.
            ExperimentRunningError: another one runs for this place.
            TooMuchError: there are as many as there may be.
            Neo4jError: the graph cannot be written in time.
        """
        parameters = {
            "name": name, "document": document, "place": place, "scenarios": sorted(scenarios),
            "seen": seen, "limit": MOST_EXPERIMENTS, "longest": MAX_DOCUMENT_NAME,
        }  # fmt: skip
        ((row,),) = await self._write([(catalogue()["experiment/put"], parameters)])
        if seen not in (None, row["stored"]):
            raise RevisionError(f"experiment {name!r}", seen or 0, row["stored"])
        if row["missing"] is not None:
            raise NotFoundError(f"no scenario {row['missing']!r} is stored")
        _refuse_beside(row["running"])
        if row["others"] >= MOST_EXPERIMENTS:
            raise TooMuchError(
                f"{MOST_EXPERIMENTS} experiments are stored, as many as there may be: delete one"
            )
        return StoredExperiment(name, row["revision"], document, row["at"].to_native(), None, None)

    async def stop_experiment(
        self, name: str, promoted: str | None, seen: int | None = None
    ) -> StoredExperiment:
        """Stop an experiment, and have everybody get a variant from then on, where one is named.

        Args:
            name: of the experiment.
            promoted: the variant; None: none.
            seen: its revision; None: any.

        Returns:
            It as it is stored then.

        Raises:
            RevisionError: another revision is stored.
            NotFoundError: there is no such.
            ExperimentRunningError: a variant is named, and another one runs for the same lists.
            Neo4jError: the graph cannot be written in time.
        """
        parameters = {"name": name, "promoted": promoted, "seen": seen}
        (rows,) = await self._write([(catalogue()["experiment/stop"], parameters)])
        if not rows:
            raise NotFoundError(f"no experiment {name!r} is stored")
        row = dict(rows[0])
        if seen not in (None, row["revision"]):
            raise RevisionError(f"experiment {name!r}", seen or 0, row["revision"])
        _refuse_beside(row.pop("running"))
        return _stored(row)

    async def delete_experiment(self, name: str) -> None:
        """Delete an experiment; its outcomes stay.

        Raises:
            NotFoundError: there is no such.
            Neo4jError: the graph cannot be written in time.
        """
        ((row,),) = await self._write([(catalogue()["experiment/delete"], {"name": name})])
        if not row["deleted"]:
            raise NotFoundError(f"no experiment {name!r} is stored")

    async def experiment_changes(
        self, experiment: StoredExperiment, scenarios: Collection[str], *, versions: bool
    ) -> list[ChangeMeanwhile]:
        """See `cypher/experiment/changes.cypher`; none where nobody can tell when it began.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        if experiment.at is None:
            return []
        rows = await self._run(
            catalogue()["experiment/changes"], scenarios=sorted(scenarios), versions=versions,
            since=experiment.at, until=experiment.stopped_at, limit=MOST_CHANGES,
        )  # fmt: skip
        return [ChangeMeanwhile(**row | {"at": row["at"].to_native()}) for row in rows]

    async def experiment_sums(
        self, experiment: StoredExperiment, kind: str, segment: str | None
    ) -> list[Row]:
        """See `cypher/experiment/sums.cypher`.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        # Answers are of its revision; the time only spares those who look for older ones.
        begun = min(time.time(), experiment.at.timestamp()) if experiment.at else 0.0
        return await self._run(
            catalogue()["experiment/sums"], name=experiment.name, revision=experiment.revision,
            kind=kind, segment=segment or "", since=max(0, int(begun) - _EARLY_SECONDS),
            limit=MOST_SEGMENTS,
        )  # fmt: skip


def stored_experiments(rows: Sequence[Row]) -> list[StoredExperiment]:
    """Experiments, from rows of `cypher/experiment/all.cypher`."""
    return [_stored(row) for row in rows]


def _stored(row: Row) -> StoredExperiment:
    times = {name: row[name] and row[name].to_native() for name in _TIMES}
    return StoredExperiment(**row | times)


def _refuse_beside(running: str | None) -> None:
    if running is not None:
        raise ExperimentRunningError(
            f"the experiment {running!r} runs for the same lists: stop it first"
        )
