"""What experiments read from and write to Neo4j."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from loaders.catalogue import catalogue
from loaders.gateway import Row
from recsvc.errors import ExperimentRunningError, NotFoundError, TooMuchError
from recsvc.graph.transport import Transport

MOST_EXPERIMENTS: Final = 100
_MOST_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class StoredExperiment:
    """An experiment as it is stored.

    Attributes:
        name: of the experiment.
        revision: how often it was stored.
        document: JSON; None where it cannot be read.
        at: since when it runs; None where that cannot be read.
        stopped_at: until when it ran; None where it runs.
        promoted: the variant that everybody gets since; None where there is none.
    """

    name: str
    revision: int
    document: str | None
    at: datetime | None
    stopped_at: datetime | None
    promoted: str | None


class ExperimentStore(Transport):
    """The queries of experiments."""

    async def experiments(self) -> list[StoredExperiment]:
        """Every stored experiment, by name.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()["experiment/all"], limit=MOST_EXPERIMENTS)
        times = ("at", "stopped_at")
        return [
            StoredExperiment(**row | {name: row[name] and row[name].to_native() for name in times})
            for row in rows
        ]

    async def put_experiment(self, name: str, document: str, place: str) -> int:
        """Store an experiment, which runs from now on: its revision.

        Args:
            name: of the experiment.
            document: JSON.
            place: which lists it is about; one experiment runs for each place.

        Raises:
            ExperimentRunningError: another one runs for this place.
            TooMuchError: there are as many as there may be.
            Neo4jError: the graph cannot be written in time.
        """
        parameters = {
            "name": name, "document": document, "place": place, "limit": MOST_EXPERIMENTS,
        }  # fmt: skip
        ((row,),) = await self._write([(catalogue()["experiment/put"], parameters)])
        if row["running"] is not None:
            raise ExperimentRunningError(
                f"the experiment {row['running']!r} runs for the same lists: stop it first"
            )
        if row["others"] >= MOST_EXPERIMENTS:
            raise TooMuchError(
                f"{MOST_EXPERIMENTS} experiments are stored, as many as there may be: delete one"
            )
        return row["revision"]

    async def stop_experiment(self, name: str, promoted: str | None) -> None:
        """Stop an experiment, and have everybody get a variant from then on.

        Raises:
            NotFoundError: there is no such.
            Neo4jError: the graph cannot be written in time.
        """
        parameters = {"name": name, "promoted": promoted}
        ((row,),) = await self._write([(catalogue()["experiment/stop"], parameters)])
        if not row["stopped"]:
            raise NotFoundError(f"no experiment {name!r} is stored")

    async def delete_experiment(self, name: str) -> None:
        """Delete an experiment; its outcomes stay.

        Raises:
            NotFoundError: there is no such.
            Neo4jError: the graph cannot be written in time.
        """
        ((row,),) = await self._write([(catalogue()["experiment/delete"], {"name": name})])
        if not row["deleted"]:
            raise NotFoundError(f"no experiment {name!r} is stored")

    async def experiment_sums(
        self, name: str, kind: str, since: datetime, segment: str | None
    ) -> list[Row]:
        """See `cypher/experiment/sums.cypher`. An answer tells the second it was made in.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        return await self._run(
            catalogue()["experiment/sums"], name=name, kind=kind, since=int(since.timestamp()),
            segment=segment or "", limit=_MOST_ROWS,
        )  # fmt: skip
