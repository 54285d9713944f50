"""The engine as the service sees it: records what it is asked, answers what it is told."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from recsvc.answer import (
    Answer,
    Contribution,
    Counterfactual,
    Explanation,
    NodeRef,
    Path,
    RankedItem,
    SimilarAnswer,
    SimilarNode,
    VariantUsed,
)
from recsvc.evaluation.exposure import Exposure, Share
from recsvc.event_kinds import default_events, unknown_kinds
from recsvc.evidence import Evidence, EvidenceKind, EvidenceNode
from recsvc.experiments.document import Experiment
from recsvc.experiments.results import results
from recsvc.experiments.sequential import UserSums
from recsvc.graph.change_store import Changes
from recsvc.graph.experiment_store import ChangeMeanwhile, StoredExperiment
from recsvc.graph.rows import ActiveVersion, PendingDeletions, StoredNode, StoredUser
from recsvc.graph.scenario_store import StoredRevision
from recsvc.outcomes import outcome as told
from recsvc.outcomes.recommendation_id import Origin, RecommendationIds
from recsvc.recommend.answers import request_id_var
from recsvc.recommend.audience import Audience
from recsvc.recommend.engine import Engine
from recsvc.recommend.experiments import ExperimentResults, KnownExperiment, Trials
from recsvc.recommend.exposure import MeasuredExposure
from recsvc.recommend.graph_writer import Change, Outcome
from recsvc.recommend.home import Home, HomeRow
from recsvc.recommend.item_recourse import ItemRecourse
from recsvc.recommend.query import Asker, RecommendationQuery, StatedEvidence
from recsvc.recommend.readiness import Readiness
from recsvc.recommend.recourse import Recourse
from recsvc.scenarios.document import Scenario
from recsvc.scenarios.stored import CurrentScenario

KYLIE = NodeRef("item", "55", "Kylie Minogue")

SUMMARY = Explanation(
    "Because you listened to Kylie Minogue.", (Contribution("lightgcn", KYLIE, 0.8),), 0.5
)
_PATHS = replace(
    SUMMARY,
    paths=(
        Path(
            0.3,
            (NodeRef("user", "2"), KYLIE, NodeRef("user", None), NodeRef("item", "289")),
            (
                {"type": "INTERACTED", "from": 0, "to": 1},
                {"type": "INTERACTED", "from": 2, "to": 1},
                {"type": "INTERACTED", "from": 2, "to": 3},
            ),
        ),
    ),
    cypher="MATCH path = … RETURN path",
)
FULL = replace(_PATHS, counterfactual=Counterfactual((KYLIE,), "701"))
EXPLANATIONS = {"none": None, "summary": SUMMARY, "full": FULL}

FOUND: dict[EvidenceKind, dict[str, Any]] = {
    "user": {"id": "2", "title": None, "count": 50},
    "item": {"id": "55", "title": "Kylie Minogue", "count": 523},
    "category": {"id": "24", "title": "pop", "count": 2791},
}

VERSION = {
    "model": "lightgcn",
    "version": 3,
    "status": "active",
    "slot": "a",
    "seed": 42,
    "ready_at": "2025-11-21T03:00:00+00:00",
}


class FakeScenarios:
    """One scenario, whatever its name."""

    scenario = Scenario(k=5)

    def _current(self, name: str) -> CurrentScenario:
        stored = StoredRevision(name, 2, "", datetime(2026, 11, 30, 3, tzinfo=UTC))
        return CurrentScenario(stored, self.scenario)

    async def reload(self) -> None:
        pass

    def current(self) -> list[CurrentScenario]:
        return [self._current("front")]

    def find(self, name: str) -> CurrentScenario:
        return self._current(name)

    async def revision(self, name: str, revision: int | None) -> tuple[CurrentScenario, list[int]]:
        return self._current(name), [2, 1]

    async def put(self, name: str, scenario: Scenario, seen: int | None = None) -> int:
        return 3

    async def roll_back(self, name: str, revision: int | None) -> int:
        return 3

    async def delete(self, name: str) -> None:
        pass


BEGAN = datetime(2025, 11, 22, tzinfo=UTC)
DOCUMENT = Experiment.model_validate_json("""{"variants": [
    {"name": "now", "share": 0.5}, {"name": "before", "share": 0.5, "version": 2}]}""")


@dataclass
class FakeExperiments:
    """Those of the engine: one, of which some users came back."""

    calls: list[tuple[Any, ...]]
    now: Trials = field(init=False)

    def __post_init__(self) -> None:
        self.now = Trials({"blend": self._known()})

    def _known(self, promoted: str | None = None) -> KnownExperiment:
        stopped = BEGAN + timedelta(days=30) if promoted else None
        stored = StoredExperiment("blend", 1, "", BEGAN, stopped, promoted)
        return KnownExperiment(stored, DOCUMENT, DOCUMENT.assignment("blend"))

    async def reload(self) -> None:
        self.calls.append(("reload",))

    async def put(
        self, name: str, document: Experiment, seen: int | None = None
    ) -> KnownExperiment:
        self.calls.append(("put", name, document, seen))
        return self._known()

    async def find(self, name: str) -> KnownExperiment:
        self.calls.append(("find", name))
        return self._known()

    async def end(
        self, name: str, promoted: str | None, seen: int | None = None
    ) -> KnownExperiment:
        self.calls.append(("end", name, promoted))
        return self._known(promoted)

    async def delete(self, name: str) -> None:
        self.calls.append(("delete", name))

    async def results(self, name: str, kind: str | None, segment: str | None) -> ExperimentResults:
        self.calls.append(("results", name, kind, segment))
        sums = {
            "now": UserSums(1000, 400, 10_000.0, 500.0, 110_000.0, 5_500.0, 700.0),
            "before": UserSums(1000, 480, 10_000.0, 700.0, 110_000.0, 7_700.0, 1_000.0),
        }
        found = {"SE" if segment else "": results(DOCUMENT, sums)}
        changed = [ChangeMeanwhile("scenario", "front", 4, BEGAN + timedelta(days=2))]
        return ExperimentResults(self._known(), found, 0, changed)


EXPORTED = {
    "user_id": "2",
    "exported_at": "2026-11-30T15:00:00+00:00",
    "user": {"name": "Anna"},
    "vectors": [{"name": "embedding_mf_a", "model": "mf", "version": 3, "vector": [0.5, -0.25]}],
    "measured": [{"version": 3, "ndcg": 0.31}],
    "recommendations": None,
    "interactions": [{"event": "listen", "item_id": "55", "weight": 13883.0}],
    "follows": [{"user_id": "275"}],
    "followers": [],
    "preferences": [],
    "events": [],
    "outcomes": [],
}
"""What is known of a user."""

CHANGES = [
    {"position": 41, "at": "2025-11-21T12:00:01+00:00", "change": "event", "user_id": "2",
     "item_id": "289", "event_id": "7d1f", "event": "listen", "value": 3.0,
     "timestamp": "2025-11-21T12:00:00+00:00"},
    {"position": 42, "at": "2025-11-21T12:00:02+00:00", "change": "deletion", "kind": "user",
     "digest": "0e8f"},
]  # fmt: skip


@dataclass
class FakeEngine:
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    scenarios: FakeScenarios = field(default_factory=FakeScenarios)
    error: Exception | None = None
    degraded: tuple[str, ...] = ()
    variant: VariantUsed | None = None
    versions: dict[str, int] = field(default_factory=lambda: {"hybrid": 3, "lightgcn": 3})
    readiness: Readiness = field(default_factory=Readiness)
    troubles: dict[str, str] = field(default_factory=dict)
    outcome: Outcome = "made"
    active_versions: dict[str, ActiveVersion] = field(default_factory=dict[str, ActiveVersion])
    holder: str | None = None
    stored: StoredNode = field(
        default_factory=lambda: StoredNode({"name": "A name"}, [("24", 1.0)])
    )

    ids: RecommendationIds = field(default_factory=lambda: RecommendationIds(bytes(32)))

    @property
    def experiments(self) -> FakeExperiments:
        return FakeExperiments(self.calls)

    @property
    def nodes(self) -> "FakeNodes":
        return FakeNodes(self)

    @property
    def engine(self) -> Engine:
        return cast(Engine, self)

    def called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def start(self, *, watch: bool = True) -> None:
        self.called("start")

    async def stop(self) -> None:
        self.called("stop")

    async def recommend(
        self, user_id: str, query: RecommendationQuery, *, scenario: Scenario | None = None
    ) -> Answer:
        self.called("recommend", user_id, query, *([scenario] if scenario else []))
        return self.answer(user_id, query)

    async def home(self, user_id: str) -> Home:
        self.called("home", user_id)
        best = replace(self.answer(user_id, RecommendationQuery(k=1)), degraded=())
        row = HomeRow("because", "Because you listened to Kylie Minogue", KYLIE, None, best.items)
        return Home(best, self.degraded, (row,))

    async def recommend_for(
        self, evidence: Sequence[StatedEvidence], query: RecommendationQuery
    ) -> Answer:
        self.called("recommend_for", list(evidence), query)
        return self.answer(None, query)

    async def recommend_many(
        self, user_ids: Sequence[str], query: RecommendationQuery, take: Callable[[Answer], Any]
    ) -> tuple[list[Any], list[str]]:
        self.called("recommend_many", list(user_ids), query)
        known = [user_id for user_id in user_ids if user_id != "nobody"]
        answers = [take(self.answer(user_id, query)) for user_id in known]
        return answers, [user_id for user_id in user_ids if user_id == "nobody"]

    async def snapshot_now(self, item_ids: Any) -> Any:
        self.called("snapshot_now", list(item_ids))

    def watch_unread(self, heard: Callable[[str], None]) -> None:
        self.heard_of_unread = heard

    async def exposure_of_answers(
        self, users: int, k: int, item_property: str | None, group: str | None
    ) -> tuple[int, MeasuredExposure]:
        self.called("exposure_of_answers", users, k, item_property, group)
        return users, self._measured(users * k, item_property)

    async def exposure_of_impressions(
        self, days: int, item_property: str | None, group: str | None
    ) -> MeasuredExposure:
        self.called("exposure_of_impressions", days, item_property, group)
        return self._measured(1200, item_property)

    def _measured(self, places: int, item_property: str | None) -> MeasuredExposure:
        even = Share(items=10, places=0.1, catalogue=0.1)
        by_value = {"Mute": Share(60, 0.4, 0.6), "": Share(40, 0.6, 0.4)}
        spread = Exposure(places=places, gini=0.0, coverage=1.0, deciles=(even,) * 10)
        return MeasuredExposure(self.versions, spread, by_value if item_property else {})

    async def explain(self, user_id: str, item_id: str, scenario: str | None = None) -> Answer:
        self.called("explain", user_id, item_id)
        answer = self.answer(user_id, RecommendationQuery(k=1, explain="full"))
        return replace(answer, recommendation_id=None)

    async def changes(self, after: int, limit: int) -> Changes:
        self.called("changes", after, limit)
        return Changes(CHANGES, 42, 42)

    async def add_events(self, rows: list[dict[str, Any]], outcomes: Sequence[told.Outcome]) -> int:
        self.called("add_events", rows, *([outcomes] if outcomes else []))
        return len({row["event_id"] for row in rows})

    def outcome_reader(self, received: datetime) -> told.OutcomeReader:
        return told.OutcomeReader(self.ids, keep_days=90, received=received)

    async def add_outcomes(self, outcomes: Sequence[told.Outcome]) -> tuple[int, int]:
        self.called("add_outcomes", outcomes)
        return len({each.outcome_id for each in outcomes}), 0

    def unknown_kinds(self, kinds: Iterable[str]) -> list[str]:
        return unknown_kinds(kinds, default_events())

    async def change(self, change: Change) -> Outcome:
        self.called("change", change)
        return self.outcome

    async def drop_preference(self, user_id: str, category_id: str) -> bool:
        self.called("drop_preference", user_id, category_id)
        return self.outcome != "missing"

    async def delete(self, kind: EvidenceKind, node_id: str) -> None:
        self.called("delete", kind, node_id)

    async def pending_deletions(self) -> PendingDeletions:
        return PendingDeletions(0)

    deletions_seen = 0

    async def models(self) -> list[dict[str, Any]]:
        self.called("models")
        return [VERSION]

    async def activate(self, model: str, version: int) -> dict[str, int]:
        self.called("activate", model, version)
        return self.versions

    async def roll_back(self, model: str) -> dict[str, int]:
        self.called("roll_back", model)
        return self.versions

    async def refresh_holder(self) -> str | None:
        self.called("refresh_holder")
        return self.holder

    async def ready(self) -> Readiness:
        self.called("ready")
        return self.readiness

    def answer(self, user_id: str | None, query: RecommendationQuery) -> Answer:
        signals = {"lightgcn": 0.9, "pagerank": 0.3, "base": 0.1}
        explanation = EXPLANATIONS[query.explain]
        item = RankedItem("289", "Britney Spears", 1, 1.3, signals, explanation)
        contents = self.ids.contents(Origin(self.versions["hybrid"], user_id), ["289"])
        return Answer(
            request_id_var.get(), user_id, query.k, self.versions, self.degraded, 6.1, (item,),
            recommendation_id=self.ids.issue(contents), variant=self.variant,
        )  # fmt: skip


@dataclass
class FakeNodes:
    """What the engine knows of nodes."""

    engine: FakeEngine

    async def find(self, kind: EvidenceKind, text: str, limit: int) -> list[dict[str, Any]]:
        self.engine.called("find", kind, text, limit)
        return [FOUND[kind]]

    async def users_at(self, share: float, limit: int) -> list[dict[str, Any]]:
        self.engine.called("users_at", share, limit)
        return [FOUND["user"]]

    async def read(self, kind: EvidenceKind, node_id: str) -> StoredNode:
        self.engine.called("read", kind, node_id)
        return self.engine.stored

    async def evidence(self, user_id: str) -> tuple[Asker, StoredUser]:
        self.engine.called("evidence", user_id)
        listened = ("55", "listen", 13883.0, 1_763_726_400.0)
        nodes = (EvidenceNode("item", "55", 17.5, "listen"), EvidenceNode("user", "275", 1.0))
        stored = StoredUser([listened, ("9", "view", 1.0, None)], [("275", None, 3)], [])
        names: dict[EvidenceKind, dict[str, str | None]] = {"item": {"55": KYLIE.title}}
        return Asker(user_id, Evidence(nodes, frozenset({"55", "9"})), names), stored

    async def export(self, user_id: str) -> AsyncIterator[bytes]:
        self.engine.called("export", user_id)

        async def parts() -> AsyncIterator[bytes]:
            for part in (orjson.dumps(EXPORTED)[:9], orjson.dumps(EXPORTED)[9:]):
                yield part

        return parts()

    async def similar_items(self, item_id: str, k: int, model: str | None) -> SimilarAnswer:
        self.engine.called("similar_items", item_id, k, model)
        return SimilarAnswer(item_id, "lightgcn", 3, (SimilarNode("289", "Britney", 0.9, 1),))

    async def similar_users(self, user_id: str, k: int, model: str | None) -> SimilarAnswer:
        self.engine.called("similar_users", user_id, k, model)
        return SimilarAnswer(user_id, "lightgcn", 3, (SimilarNode("7", None, 0.9, 1),))

    async def audience(self, item_id: str, users: int, k: int, days: int) -> Audience:
        self.engine.called("audience", item_id, users, k, days)
        item = self.engine.answer("2", RecommendationQuery(k=1)).items[0]
        seen = {"impression": 40, "click": 3}
        return Audience(
            self.engine.versions, users, 1, (("2", replace(item, item_id=item_id)),), seen
        )

    async def recourse(self, user_id: str, item_id: str, k: int, event: str) -> Recourse:
        self.engine.called("recourse", user_id, item_id, k, event)
        return Recourse(k, event, self.engine.versions, None, (KYLIE,), 4)

    async def item_recourse(self, item_id: str, users: int, k: int, event: str) -> ItemRecourse:
        self.engine.called("item_recourse", item_id, users, k, event)
        return ItemRecourse(
            item_id, k, event, self.engine.versions, users, 6, {1: 9, 2: 3}, 1, 1, ((KYLIE, 7),)
        )
