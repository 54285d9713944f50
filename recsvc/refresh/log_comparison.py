"""What a new version would have earned where users were shown lists that explored.

The lists are made as `recsvc experiments estimate` makes them: under the scenario that explores,
without exploration, from what each user had done before their first answer of the log.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from loaders.gateway import Gateway, Neo4jAddress
from recsvc.experiments.off_policy import LEAST_PLACES, LEAST_WEIGHT, PolicyValue
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.phrases import TextSettings
from recsvc.recommend.answers import Answers
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.estimates import (
    MOST_LOGGED,
    Compared,
    Estimates,
    compared,
    of_some_users,
    other_lists,
    since_days,
)
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.resolved_query import ResolvedQuery
from recsvc.scenarios.stored import CurrentScenario, stored_scenarios
from recsvc.settings import EventSettings, OutcomeSettings
from recsvc.snapshot.arrays import Snapshot

LOG_DAYS: Final = 30
"""Of the log: so many last days."""
LEAST_USERS: Final = 30
"""Users of a log, below which nothing is said of it."""

_MOST_SCENARIOS = 20
_READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LogComparison:
    """What a new version and the active one would have earned, by the log of one scenario.

    Attributes:
        scenario: its name.
        kind: the kind of outcome that is earned.
        users: of the log.
        new: what the new version would have earned, as a mean over answers.
        active: what the active one would have.
        difference: by how much the new one earns more, by SNIPS.
        robust_difference: the same by DR.
        undecided: why the log says too little to judge by; None where it says enough.
    """

    scenario: str
    kind: str
    users: int
    new: Estimates
    active: Estimates
    difference: PolicyValue
    robust_difference: PolicyValue
    undecided: str | None

    @classmethod
    def of(cls, scenario: str, kind: str, result: Compared) -> "LogComparison":
        """What came out of a comparison of the new version (`first`) and the active one."""
        return cls(
            scenario, kind, result.users, result.first, result.second, result.self_normalized,
            result.doubly_robust, _undecided(result),
        )  # fmt: skip

    @property
    def worse(self) -> str | None:
        """Why the new version is worse, in words; None where nothing says that it is.

        Both estimates have to say so: SNIPS is off where much was never shown, DR where its model
        of the reward is.
        """
        differences = self.difference, self.robust_difference
        if self.undecided is not None or any(difference.high >= 0.0 for difference in differences):
            return None
        snips = self.difference
        return (
            f"by what was shown under the scenario {self.scenario!r}, an answer would have earned "
            f"{-snips.mean:.4f} fewer outcomes {self.kind!r} than the active version's "
            f"(95% interval of the difference {snips.low:.4f} to {snips.high:.4f})"
        )


@dataclass(frozen=True, slots=True)
class OutcomeLog:
    """Where the log is, and what the lists of those in it are made from.

    Attributes:
        address: of Neo4j.
        events: settings by kind of event.
        max_evidence: most items that count as evidence, the newest.
    """

    address: Neo4jAddress
    events: Mapping[str, EventSettings]
    max_evidence: int

    def compared(
        self, new: Snapshot, active: Snapshot, scenarios: Sequence[CurrentScenario]
    ) -> list[LogComparison]:
        """What two versions would have earned, by each scenario that has a log.

        Args:
            new: one version.
            active: the other.
            scenarios: those that explore; what counts is the outcome that each is to earn.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """

        def work() -> list[LogComparison]:
            return asyncio.run(self._compared((new, active), scenarios))

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return work()
        with ThreadPoolExecutor(1, "log") as thread:  # who calls from a notebook has a loop
            return thread.submit(copy_context().run, work).result()

    async def _compared(
        self, versions: tuple[Snapshot, Snapshot], scenarios: Sequence[CurrentScenario]
    ) -> list[LogComparison]:
        store = Store(self.address, timeout_seconds=_READ_SECONDS)
        await store.open()
        try:
            comparisons = [await self._under(store, scenario, versions) for scenario in scenarios]
        finally:
            await store.close()
        return [comparison for comparison in comparisons if comparison is not None]

    async def _under(
        self, store: Store, scenario: CurrentScenario, versions: tuple[Snapshot, Snapshot]
    ) -> LogComparison | None:
        name, plan = scenario.stored.name, scenario.plan(datetime.now(UTC))
        if plan is None or plan.document.exploration is None:
            return None
        kind = plan.document.exploration.kind
        log = await store.logged_places(name, kind, since_days(LOG_DAYS), MOST_LOGGED)
        if len({place.user_id for place in log}) < LEAST_USERS:
            return None
        log = of_some_users(log)
        asked = ResolvedQuery(RecommendationQuery(scenario=name).under(plan.document), plan)
        askers = AskerReader(store, self.events, OutcomeSettings(), self.max_evidence)
        answers = Answers(store, TextSettings(), RecommendationIds())
        first, second = [
            await other_lists(
                log, asked.weighted(version), asked, store=store, askers=askers, answers=answers
            )
            for version in versions
        ]
        there = first.keys() & second.keys()
        if len(there) < LEAST_USERS:
            return None  # they were deleted meanwhile
        return LogComparison.of(name, kind, compared(log, first, second))


def exploring_scenarios(gateway: Gateway) -> list[CurrentScenario]:
    """The stored scenarios that explore, by name; the first 20 of more.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    stored = stored_scenarios(gateway)
    explores = [s for s in stored if s.scenario is not None and s.scenario.exploration is not None]
    return explores[:_MOST_SCENARIOS]


def _undecided(result: Compared) -> str | None:
    """Why a log says too little to judge two versions by; None where it says enough."""
    if not result.self_normalized.effective_places:
        return "the two list the same at every place that was shown"
    weight = min(result.first.weight, result.second.weight)
    if weight < LEAST_WEIGHT:
        return (
            f"the mean weight of a place is {weight:.2f}, {LEAST_WEIGHT} is needed: much of what "
            "the two would list was never shown"
        )
    values = (result.first.self_normalized, result.second.self_normalized, result.self_normalized)
    count = min(value.effective_places for value in values)
    if count < LEAST_PLACES:
        return f"{count:.0f} places count, {LEAST_PLACES:.0f} are needed"
    return None
