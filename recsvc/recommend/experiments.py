"""Which experiments run, and under which variant a request is answered.

A request takes `Experiments.now` once and keeps it: an experiment that begins or ends meanwhile
mixes nothing. What runs is read every second, and at once where this process changes it.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from loaders.errors import Neo4jError
from recsvc.answer import VariantUsed
from recsvc.errors import ActivationError, NotFoundError
from recsvc.experiments.assignment import Assignment
from recsvc.experiments.document import Experiment
from recsvc.experiments.results import Results, results
from recsvc.experiments.sequential import UserSums
from recsvc.graph.experiment_store import ChangeMeanwhile, StoredExperiment
from recsvc.graph.store import Store
from recsvc.graph.watch import Watch
from recsvc.recommend.query import RecommendationQuery

_NOT_STOPPED = datetime.max.replace(tzinfo=UTC)
_SHOWN = 100

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
    def decides(self) -> bool:
        """Whether it decides how lists are made: it runs, or what was promoted counts still."""
        return self.runs or (
            self.stored.promoted is not None and self.stored.promoted_until is None
        )

    @property
    def place(self) -> str:
        """Which lists it is about: those under this scenario, or under none."""
        return self.document.scenario or ""


@dataclass(frozen=True, slots=True)
class Trials:
    """The experiments at one moment.

    Attributes:
        known: by name.
        unreadable: why the others cannot be read, by name; they make no lists.
    """

    known: Mapping[str, KnownExperiment] = field(default_factory=dict[str, KnownExperiment])
    unreadable: Mapping[str, str] = field(default_factory=dict[str, str])

    def under(self, user_id: str, query: RecommendationQuery) -> RecommendationQuery:
        """What a user's query is answered as: the query itself outside of any experiment.

        One that names a version or a signal is answered as it says.
        """
        named = query.version is not None or query.signal is not None
        if named or not query.in_experiments:
            return query
        place = query.scenario or ""
        decides = [each for each in self.known.values() if each.decides and each.place == place]
        # There is one at most, unless somebody has written to the graph by hand.
        decides.sort(key=lambda each: each.stored.stopped_at or _NOT_STOPPED)
        if not decides:
            return query
        deciding = decides[-1]
        stored = deciding.stored
        name = deciding.assignment.variant(user_id) if deciding.runs else stored.promoted
        variant = deciding.document.variant(name or "")
        if variant is None:
            return query
        used = VariantUsed(stored.name, variant.name, stored.revision) if deciding.runs else None
        scenario = variant.scenario or query.scenario
        return replace(query, version=variant.version, scenario=scenario, variant=used)


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """What came out of an experiment since it began.

    Attributes:
        experiment: the experiment.
        by_value: by value of a property of users, the one with the most users first; under the
            empty text where all are together.
        left_out: how many more values there are.
        changed: what changed while it ran.
        last_days: they are of the last so many days alone, since older outcomes are not kept; None
            where it began later.
    """

    experiment: KnownExperiment
    by_value: Mapping[str, Results]
    left_out: int
    changed: Sequence[ChangeMeanwhile] = ()
    last_days: int | None = None


class Experiments:
    """Keeps what runs at hand, and changes it.

    Args:
        store: the graph.
        keep_days: how long outcomes are kept.

    Attributes:
        now: what is stored, as it was seen last; replaced whole.
    """

    def __init__(self, store: Store, keep_days: int) -> None:
        self._store = store
        self._keep_days = keep_days
        self._watch = Watch(self.reload)
        self._looking = asyncio.Lock()
        self._seen: list[StoredExperiment] | None = None
        self.now = Trials()

    async def start(self) -> None:
        """Read what is stored, and watch it."""
        with contextlib.suppress(Neo4jError):  # it is read again soon; until then it stays
            await self.reload()
        self._watch.start()

    async def trials(self) -> Trials:
        """`now`; a process that began while Neo4j was away reads it with its first request."""
        if self._seen is None and not self._store.away:
            if self._looking.locked():
                async with self._looking:
                    pass  # somebody reads it
            else:
                with contextlib.suppress(Neo4jError):
                    await self.reload()
        return self.now

    async def stop(self) -> None:
        """Stop watching."""
        await self._watch.stop()

    async def reload(self) -> None:
        """Take over what is stored now.

        Raises:
            Neo4jError: it cannot be read.
        """
        async with self._looking:  # what was read first never takes the place of what came later
            stored = await self._store.experiments()
            if stored == self._seen:
                return
            self._seen, self.now = stored, trials_of(stored)
            for name in self.now.unreadable:
                _log.warning("a stored experiment cannot be read", experiment=name)

    @property
    def trouble(self) -> str | None:
        """Which stored experiments cannot be read, and why; None where all can."""
        return "; ".join(self.now.unreadable.values()) or None

    async def put(
        self, name: str, document: Experiment, seen: int | None = None
    ) -> KnownExperiment:
        """Have an experiment run from now on.

        Args:
            name: of the experiment.
            document: what it does.
            seen: the revision in whose place it comes, 0 for none; None: any.

        Raises:
            RevisionError: another one is stored.
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
        stored = await self._store.put_experiment(
            name,
            document.model_dump_json(),
            document.scenario or "",
            document.scenarios,
            seen,
        )
        await self.reload()
        return _known(stored)

    async def end(
        self, name: str, promoted: str | None, seen: int | None = None
    ) -> KnownExperiment:
        """Stop an experiment, and have everybody get a variant from then on, where one is named.

        Args:
            name: of the experiment.
            promoted: the variant; None: none.
            seen: its revision, where the caller says which one was looked at.

        Raises:
            RevisionError: another revision is stored.
            NotFoundError: there is no such experiment, or no such variant.
            ExperimentRunningError: a variant is named, and another one runs for the same lists.
            Neo4jError: it cannot be stored in time.
        """
        experiment = await self.find(name)
        if promoted is not None and experiment.document.variant(promoted) is None:
            raise NotFoundError(f"experiment {name!r} has no variant {promoted!r}")
        stored = await self._store.stop_experiment(name, promoted, seen)
        await self.reload()
        return _known(stored)

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
            NotFoundError: there is no such.
            ActivationError: it cannot be read.
            Neo4jError: it cannot be read in time.
        """
        await self.reload()
        if (trouble := self.now.unreadable.get(name)) is not None:
            raise ActivationError(f"{trouble}: put it anew, or delete it")
        if (experiment := self.now.known.get(name)) is None:
            raise NotFoundError(f"no experiment {name!r} is stored")
        return experiment

    async def results(self, name: str, kind: str | None, segment: str | None) -> ExperimentResults:
        """What came out of an experiment since it began.

        Args:
            name: of the experiment.
            kind: of outcomes, in place of that of the document.
            segment: a property of users, of whose values those with the most users are told; None:
                all together.

        Raises:
            NotFoundError: there is no such experiment.
            Neo4jError: it cannot be read in time.
        """
        experiment = await self.find(name)
        kind = kind or experiment.document.kind
        rows, changed = await asyncio.gather(
            self._store.experiment_sums(experiment.stored, kind, segment),
            self._store.experiment_changes(
                experiment.stored,
                experiment.document.scenarios,
                versions=experiment.document.follows_active,
            ),
        )
        sums: dict[str, dict[str, UserSums]] = {} if segment else {"": {}}
        for row in rows:
            own = sums.setdefault(row["value"], {})
            own[row["variant"]] = UserSums(**{name: row[name] for name in UserSums.__slots__})
        by_value = {value: results(experiment.document, own) for value, own in sums.items()}
        left_out = rows[0]["values"] - len(by_value) if rows else 0
        last_days = self._keep_days if self._began_before_what_is_kept(experiment) else None
        return ExperimentResults(experiment, by_value, left_out, changed, last_days)

    def _began_before_what_is_kept(self, experiment: KnownExperiment) -> bool:
        began = experiment.stored.at
        return began is not None and began < datetime.now(UTC) - timedelta(days=self._keep_days)


def trials_of(stored: Sequence[StoredExperiment]) -> Trials:
    """What is stored, read."""
    known: dict[str, KnownExperiment] = {}
    unreadable: dict[str, str] = {}
    for each in stored:
        named = f"experiment {each.name!r}"
        if not each.revision:
            unreadable[each.name] = f"{named}: its revision is no whole number from 1 to 2147483647"
            continue
        try:
            known[each.name] = _known(each)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part)[:_SHOWN] for part in first["loc"]) or "document"
            unreadable[each.name] = f"{named}: {where}: {first['msg']}"
    return Trials(known, unreadable)


def _known(stored: StoredExperiment) -> KnownExperiment:
    document = Experiment.model_validate_json(stored.document or "")
    return KnownExperiment(stored, document, document.assignment(stored.name))


def told(experiment: KnownExperiment) -> dict[str, Any]:
    """An experiment as JSON-ready values."""
    stored = experiment.stored
    return {
        "name": stored.name,
        "revision": stored.revision,
        "began_at": stored.at and stored.at.isoformat(),
        "stopped_at": stored.stopped_at and stored.stopped_at.isoformat(),
        "promoted": stored.promoted,
        "promoted_until": stored.promoted_until and stored.promoted_until.isoformat(),
        **experiment.document.model_dump(mode="json"),
    }


def listed(trials: Trials) -> dict[str, Any]:
    """All experiments as JSON-ready values."""
    unreadable = [{"name": name, "trouble": why} for name, why in trials.unreadable.items()]
    return {"experiments": [told(each) for each in trials.known.values()], "unreadable": unreadable}


def results_document(
    measured: ExperimentResults, kind: str | None, segment: str | None
) -> dict[str, Any]:
    """Results as JSON-ready values."""
    experiment = measured.experiment
    return {
        "experiment": experiment.stored.name,
        "revision": experiment.stored.revision,
        "began_at": experiment.stored.at and experiment.stored.at.isoformat(),
        "kind": kind or experiment.document.kind,
        "segment": segment,
        "results": [{"value": value, **asdict(each)} for value, each in measured.by_value.items()],
        "left_out": measured.left_out,
        "last_days": measured.last_days,
        "changed": [{**asdict(each), "at": each.at.isoformat()} for each in measured.changed],
    }
