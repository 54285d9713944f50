"""What a query asks for once its scenario and experiment have had their say, and of which arrays.

query → under its variant → under its scenario → the arrays of its version, weighted
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from loaders.errors import Neo4jError
from recsvc.errors import NotFoundError, SnapshotError
from recsvc.graph.rows import CategoryScope
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.exploring import Again, Explorations, Exploring
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.recommend.ruled_list import RuledListing
from recsvc.recommend.workshop import WORKSHOP
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.plan import Plan, plan_of
from recsvc.scenarios.stored import StoredScenarios
from recsvc.snapshot.arrays import Snapshot


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """A query, and what its scenario does.

    Attributes:
        query: with what the scenario says and the caller does not.
        plan: what the scenario does now; None where there is none.
        degraded: the scenario, where it cannot be read.
        exploring: what it may try out; None where nothing may be.
        again: the earlier answer that it names; None where it names none.
    """

    query: RecommendationQuery
    plan: Plan | None = None
    degraded: tuple[str, ...] = ()
    exploring: Exploring | None = None
    again: Again | None = None

    def weighted(self, snapshot: Snapshot) -> Snapshot:
        """The arrays with the weights of the scenario."""
        if self.plan is None or not self.plan.document.weights:
            return snapshot
        return replace(snapshot, blend=snapshot.blend.weighted(self.plan.document.weights))

    async def listing(
        self, snapshot: Snapshot, asker: Asker, scope: CategoryScope | None = None
    ) -> Listing:
        """The list for somebody, under the rules of the scenario where there is one.

        Args:
            snapshot: what the list is made from.
            asker: who asks.
            scope: the categories that are asked for; None where they cannot be read.

        Raises:
            RecommendationIdError: the earlier answer was made for somebody else.
        """
        if self.again is not None:
            self.again.check_asker(asker.user_id)
        degraded = self.degraded
        if self.query.categories and scope is None:
            degraded = (*degraded, "categories")
        if degraded:
            asker = replace(asker, degraded=(*asker.degraded, *degraded))
        do = partial(WORKSHOP.do, asker.is_large(self.query))
        if self.plan is None:
            return await do(Listing, snapshot, asker, self.query, scope)
        return await do(RuledListing, snapshot, asker, self.query, scope, self.plan, self.exploring)


class QueryResolver:
    """Finds the scenario and the arrays that queries ask for."""

    def __init__(
        self, serving: ActiveSnapshot, scenarios: StoredScenarios, explorations: Explorations
    ) -> None:
        self._serving = serving
        self._scenarios = scenarios
        self._explorations = explorations

    async def resolve(
        self,
        trial: RecommendationQuery,
        query: RecommendationQuery,
        scenario: Scenario | None = None,
    ) -> tuple[Snapshot, ResolvedQuery]:
        """The arrays that are asked for, and what is asked.

        Where those of an experiment cannot be had, since a refresh took their place, they cannot
        be read, its scenario is gone or Neo4j is away, the answer is made without the experiment.

        Args:
            trial: what is asked under the experiments; `query` itself where there are none.
            query: what the caller asked.
            scenario: one that is only tried.

        Raises:
            NotFoundError: there is no such version, signal or scenario.
            RecommendationIdError: it names an earlier answer that is none, or that another scenario
                or revision made.
            SnapshotError: nothing has been refreshed yet.
        """
        if query.scenario is not None:
            self._scenarios.find(query.scenario)  # whatever a variant has in its place
        try:
            return await self._resolved(trial, scenario, look=trial is query)
        except (NotFoundError, SnapshotError, Neo4jError, OSError):
            if trial is query:
                raise
        return await self._resolved(query, None, look=True)

    async def _resolved(
        self, query: RecommendationQuery, scenario: Scenario | None, *, look: bool
    ) -> tuple[Snapshot, ResolvedQuery]:
        resolved = self._under_scenario(query, scenario)
        snapshot, query = self._serving.snapshot, resolved.query
        if query.version is not None:
            snapshot = await self._serving.version(query.version, look=look)
        if query.signal is not None:
            snapshot = snapshot.alone(query.signal)
        return resolved.weighted(snapshot), resolved

    def _under_scenario(
        self, query: RecommendationQuery, scenario: Scenario | None
    ) -> ResolvedQuery:
        """What a query asks for under its scenario, or under one that is tried.

        Raises:
            NotFoundError: there is no such scenario.
            RecommendationIdError: see `resolve`.
        """
        now, again = datetime.now(UTC), self._explorations.again(query)
        if scenario is not None:
            return self._planned(query, plan_of(scenario, now), again)
        if query.scenario is None:
            if again is not None:
                again.check_scenario(None, None)
            return ResolvedQuery(query, again=again)
        current = self._scenarios.find(query.scenario)
        plan = None if current is None else current.plan(now)
        if plan is None:
            return ResolvedQuery(query, degraded=("scenario",), again=again)
        return self._planned(query, plan, again)

    def _planned(
        self, query: RecommendationQuery, plan: Plan, again: Again | None
    ) -> ResolvedQuery:
        if again is not None:
            again.check_scenario(plan.name, plan.revision)
        exploring = self._explorations.exploring(plan, query, again)
        return ResolvedQuery(query.under(plan.document), plan, exploring=exploring, again=again)
