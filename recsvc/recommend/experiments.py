"""Which experiments run, and under which variant a request is answered.

A request takes `Experiments.now` once and keeps it: an experiment that begins or ends meanwhile
mixes nothing. What runs is read every second, and at once where this process changes it.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from loaders.errors import Neo4jError
from recsvc.answer import VariantUsed
from recsvc.errors import NotFoundError
from recsvc.experiments.assignment import Assignment
from recsvc.experiments.document import Experiment, Variant
from recsvc.experiments.results import Results, results
from recsvc.experiments.sequential import UserSums
from recsvc.graph.experiment_store import StoredExperiment
from recsvc.graph.store import Store
from recsvc.graph.watch import Watch
from recsvc.recommend.query import RecommendationQuery

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class KnownExperiment:
    """An experiment that is stored.

    Attributes:
        stored: what is stored.
        document: the same, read.
        assignment: who gets which variant.
    """

    stored: StoredExperiment
    document: Experiment
    assignment: Assignment

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.stored.stopped_at is None

    @property
    def place(self) -> str:
        """Which lists it is about: those under this scenario, or under none."""
        return self.document.scenario or ""


@dataclass(frozen=True, slots=True)
class Trials:
    """The experiments at one moment.

    Attributes:
        known: by name.
    """

    known: Mapping[str, KnownExperiment] = field(default_factory=dict[str, KnownExperiment])

    def under(self, user_id: str, query: RecommendationQuery) -> RecommendationQuery:
        """What a user's query is answered as: the query itself outside of any experiment.

        One that names a version or a signal is answered as it says.
        """
        if query.version is not None or query.signal is not None:
            return query
        about = [each for each in self.known.values() if each.place == (query.scenario or "")]
        for each in about:
            if each.runs:
                name = each.assignment.variant(user_id)
                used = VariantUsed(each.stored.name, name) if name else None
                return _answered_by(query, each.document.variant(name or ""), used)
        for each in about:
            if each.stored.promoted is not None:
                return _answered_by(query, each.document.variant(each.stored.promoted), None)
        return query


def _answered_by(
    query: RecommendationQuery, variant: Variant | None, used: VariantUsed | None
) -> RecommendationQuery:
    if variant is None:
        return query
    scenario = variant.scenario or query.scenario
    return replace(query, version=variant.version, scenario=scenario, variant=used)


class Experiments:
    """Keeps what runs at hand, and changes it.

    Attributes:
        now: what is stored, as it was seen last; replaced whole.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watch = Watch(self.reload)
        self._seen: list[StoredExperiment] = []
        self.now = Trials()

    async def start(self) -> None:
        """Read what is stored, and watch it."""
        with contextlib.suppress(Neo4jError):  # it is read again soon; until then it stays
            await self.reload()
        self._watch.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._watch.stop()

    async def reload(self) -> None:
        """Take over what is stored now.

        Raises:
            Neo4jError: it cannot be read.
        """
        stored = await self._store.experiments()
        if stored == self._seen:
            return
        known: dict[str, KnownExperiment] = {}
        for each in stored:
            try:
                document = Experiment.model_validate_json(each.document or "")
            except ValidationError:
                _log.warning("a stored experiment cannot be read", experiment=each.name)
                continue
            known[each.name] = KnownExperiment(each, document, document.assignment(each.name))
        self._seen, self.now = stored, Trials(known)

    async def put(self, name: str, document: Experiment) -> KnownExperiment:
        """Have an experiment run from now on.

        Raises:
            NotFoundError: no arrays of a version, or no such scenario, are stored.
            ExperimentRunningError: another one runs.
            TooMuchError: there are as many as there may be.
            Neo4jError: it cannot be stored in time.
        """
        wanted = {v.version for v in document.variants if v.version is not None}
        for version in sorted(wanted - (await self._store.stored_versions()).keys()):
            raise NotFoundError(
                f"no arrays of version {version} of the blend are stored: those of the active "
                "version are, and of the one before"
            )
        named = {document.scenario, *(v.scenario for v in document.variants)} - {None}
        stored = {each.name for each in await self._store.scenarios()} if named else set[str]()
        for scenario in sorted(str(each) for each in named if each not in stored):
            raise NotFoundError(f"no scenario {scenario!r} is stored")
        place = document.scenario or ""
        await self._store.put_experiment(name, document.model_dump_json(), place)
        return await self.find(name)

    async def end(self, name: str, promoted: str | None) -> KnownExperiment:
        """Stop an experiment, and have everybody get a variant from then on, where one is named.

        Raises:
            NotFoundError: there is no such experiment, or no such variant.
            Neo4jError: it cannot be stored in time.
        """
        known = await self.find(name)
        if promoted is not None and known.document.variant(promoted) is None:
            raise NotFoundError(f"experiment {name!r} has no variant {promoted!r}")
        await self._store.stop_experiment(name, promoted)
        return await self.find(name)

    async def delete(self, name: str) -> None:
        """Delete an experiment; its outcomes stay.

        Raises:
            NotFoundError: there is no such.
            Neo4jError: it cannot be written in time.
        """
        await self._store.delete_experiment(name)
        await self.reload()

    async def find(self, name: str) -> KnownExperiment:
        """An experiment as it is stored now.

        Raises:
            NotFoundError: there is no such that can be read.
            Neo4jError: it cannot be read in time.
        """
        await self.reload()
        if (known := self.now.known.get(name)) is None:
            raise NotFoundError(f"no experiment {name!r} is stored")
        return known

    async def results(
        self, name: str, kind: str | None, segment: str | None
    ) -> tuple[KnownExperiment, dict[str, Results]]:
        """What came out of an experiment since it began.

        Args:
            name: of the experiment.
            kind: of outcomes, in place of that of the document.
            segment: a property of users; None: all together.

        Returns:
            The experiment, and the results by value of the property, the one with the most users
            first; under the empty text where all are together.

        Raises:
            NotFoundError: there is no such experiment.
            Neo4jError: it cannot be read in time.
        """
        known = await self.find(name)
        begun = known.stored.at or datetime.now(UTC)
        rows = await self._store.experiment_sums(name, kind or known.document.kind, begun, segment)
        sums: dict[str, dict[str, UserSums]] = {} if segment else {"": {}}
        for row in rows:
            own = sums.setdefault(row["value"], {})
            own[row["variant"]] = UserSums(**{name: row[name] for name in UserSums.__slots__})
        return known, {value: results(known.document, own) for value, own in sums.items()}
