"""Exploration of a scenario: which items may be tried out, and what was learned from them.

What is learned is read again every minute from the outcomes that are kept, by each process for
itself: a request writes nothing. It is small, one matrix for each scenario that explores.
"""

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import BASE
from recsvc.errors import RecommendationIdError, SnapshotError
from recsvc.experiments.exploration import (
    EXPLORERS,
    Candidates,
    Draws,
    Features,
    LinearRewards,
    draw,
)
from recsvc.explain.contributions import ExactScores
from recsvc.graph.store import Store
from recsvc.graph.watch import Watch
from recsvc.outcomes.recommendation_id import (
    Recommendation,
    RecommendationIds,
    stored_feature,
)
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.scenarios.document import Exploration
from recsvc.scenarios.plan import Plan
from recsvc.scenarios.stored import StoredScenarios
from recsvc.snapshot.arrays import Snapshot

EXPLORATION: Final = "exploration"
"""Name of the part of a score that brings an item to the place where it is tried out."""
NEXT: Final = 50
"""How many of the best items by the blend may be tried out, beside as many as there are places."""
COLD: Final = 50
"""How many of the cold items may be tried out for one user, and as many of those that are new."""

_COLD_PEOPLE: Final = 5
"""An item is cold that fewer people have."""
_LEARN_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 600.0
"""After so long newcomers are looked for also where there are as many items as before: one may have
come for another that was deleted."""
_MOST_OUTCOMES: Final = 100_000
_MOST_NEW: Final = 1_000
_NEW, _ONE = "new", "one"


@dataclass(frozen=True, slots=True)
class Exploring:
    """What a query may try out, and what is known of it.

    Attributes:
        document: of the scenario.
        rewards: what was learned, of features of these names; None before anything was.
        newcomers: ids of items that came since the refresh.
        again: an earlier answer, whose draws are drawn again.
        seed: what is drawn by; None: each list is drawn anew.
    """

    document: Exploration
    rewards: tuple[tuple[str, ...], LinearRewards] | None = None
    newcomers: tuple[str, ...] = ()
    again: "Again | None" = None
    seed: bytes | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """An earlier answer, as its id tells it.

    Attributes:
        answer: what it was.
        mark: the fingerprint of an item, as the answer has those of its items.
    """

    answer: Recommendation
    mark: Callable[[str], bytes]

    def check_asker(self, user_id: str | None) -> None:
        """See that it was made for who asks.

        Args:
            user_id: who asks; None for a session.

        Raises:
            RecommendationIdError: it was made for somebody else.
        """
        if self.answer.origin.user_id != user_id:
            whom = "a session" if user_id is None else f"the user {user_id!r}"
            raise RecommendationIdError(f"expected the id of an answer for {whom}")

    def check_scenario(self, name: str | None, revision: int | None) -> None:
        """See that it was made under a scenario.

        Args:
            name: of the scenario; None: under none.
            revision: of it.

        Raises:
            RecommendationIdError: it was made under another one, or another revision of it.
        """
        origin = self.answer.origin
        if (origin.scenario, origin.revision) != (name, revision):
            under = _under(name, revision)
            raise RecommendationIdError(
                f"expected the id of an answer under {under}: this is of one under "
                f"{_under(origin.scenario, origin.revision)}"
            )

    @property
    def _marks(self) -> Mapping[int, bytes]:
        marks = self.answer.fingerprints
        return {place - 1: marks[place - 1] for place in self.answer.origin.tried}

    def tried(self, item_id: str) -> bool:
        """Whether it tried out an item."""
        return self.mark(item_id) in self._marks.values()

    def rows(self, items: Mapping[int, str]) -> Mapping[int, int]:
        """What it tried out, by place from 0, of some items by row."""
        row_of = {self.mark(item_id): row for row, item_id in items.items()}
        return {place: row_of[mark] for place, mark in self._marks.items() if mark in row_of}

    def propensity(
        self, tried: Collection[int], may: Bool[NDArray[np.bool_], " places"], share: float
    ) -> Float64[NDArray[np.float64], " places"]:
        """The chance with which each of the first places has the item that it has.

        Args:
            tried: places, from 0, that try out again what they tried out.
            may: at which places something may be.
            share: of the places that try something out.
        """
        beyond = np.arange(len(may)) >= len(self.answer.fingerprints)
        chances = np.ones(len(may))
        chances[may & beyond] = 1.0 - share
        for place, chance in self.answer.origin.propensities.items():
            if place <= len(may):
                gone = place in self.answer.origin.tried and place - 1 not in tried
                # What was tried out may not be listed any more: the item is there that would be.
                chances[place - 1] = 1.0 - share if gone else chance
        return chances


def _under(name: str | None, revision: int | None) -> str:
    return "no scenario" if name is None else f"the scenario {name!r} in revision {revision}"


class Explorer:
    """What may be tried out in one list.

    Attributes:
        document: of the scenario.
        again: an earlier answer, whose draws are drawn again.
        cold: rows of the cold items that may be, others for each user and version.
        newcomers: ids of those that came since the refresh.
    """

    def __init__(self, snapshot: Snapshot, asker: Asker, exploring: Exploring) -> None:
        self._snapshot = snapshot
        self._rewards = exploring.rewards
        self.document = exploring.document
        self.again = exploring.again
        self._seed = exploring.seed or secrets.token_bytes(16)
        who = asker.user_id or " ".join(node.id for node in asker.evidence.nodes)
        named = f"{snapshot.versions.get('hybrid', 0)} {who}".encode("utf-8", "surrogatepass")
        drawn = np.random.default_rng(int.from_bytes(blake2b(named, digest_size=8).digest()))
        cold = np.flatnonzero(snapshot.item_people < _COLD_PEOPLE)
        self.cold = drawn.choice(cold, min(COLD, len(cold)), replace=False)
        new = exploring.newcomers
        if self.again is not None:
            self.newcomers = tuple(each for each in new if self.again.tried(each))
        else:
            some = drawn.permutation(len(new))[:COLD].tolist()
            self.newcomers = tuple(new[number] for number in some)

    def draws(
        self,
        may: NDArray[np.bool_],
        exact: ExactScores,
        candidates: Int64[NDArray[np.int64], " m"],
        fixed: Mapping[int, int] | None = None,
    ) -> tuple[Draws, Mapping[int, Features]]:
        """What is tried out at which of the first places, and what is known of it, by place.

        Args:
            may: at which places something may be.
            exact: the scores of items, taken apart.
            candidates: columns of `exact`; what is beyond them came since the refresh.
            fixed: which of the candidates are tried out, by place; None: that is drawn.
        """
        names = feature_names(self._snapshot)
        rewards = LinearRewards.unknown(len(names))
        if self._rewards is not None and self._rewards[0] == names:
            rewards = self._rewards[1]
        features = self._features(exact, candidates, names)
        chances = EXPLORERS[self.document.by]
        if fixed is None:
            draws = draw(
                may, len(candidates), self.document.share, self._seed,
                lambda own: chances(features[own], rewards),
            )  # fmt: skip
        else:
            fixed = {place: n for place, n in fixed.items() if may[place : place + 1].any()}
            propensity = np.ones(len(may))
            if self.again is not None:
                propensity = self.again.propensity(fixed, may, self.document.share)
            draws = Draws(fixed, propensity)
        known = {
            place: dict(zip(names, map(stored_feature, features[number]), strict=True))
            for place, number in draws.candidates.items()
        }
        return draws, known

    def _features(
        self,
        exact: ExactScores,
        candidates: Int64[NDArray[np.int64], " m"],
        names: Sequence[str],
    ) -> Candidates:
        """The parts of the items' scores by the blend, and how new they are: 1/√(1 + people)."""
        features = np.zeros((len(candidates), len(names)))
        scored = candidates < len(exact.items)
        columns = candidates[scored]
        parts = {**dict(exact.parts), BASE: exact.base}
        for number, name in enumerate(names):
            if name in parts:
                features[scored, number] = parts[name][columns]
        people = np.zeros(len(candidates))
        people[scored] = self._snapshot.item_people[exact.items[columns]]
        features[:, names.index(_NEW)] = (1.0 + people) ** -0.5
        features[:, names.index(_ONE)] = 1.0
        return features


def feature_names(snapshot: Snapshot) -> tuple[str, ...]:
    """What is known of an item that may be tried out, by name."""
    return (*(signal.name for signal in snapshot.blend.signals), BASE, _NEW, _ONE)


class Explorations:
    """Keeps at hand what was learned for each scenario that explores.

    Attributes:
        rewards: by scenario, names of features and what is known of them.
        newcomers: ids of items that came since the refresh, as far as was looked.
    """

    def __init__(
        self,
        store: Store,
        scenarios: StoredScenarios,
        serving: ActiveSnapshot,
        ids: RecommendationIds,
    ) -> None:
        self._store = store
        self._scenarios = scenarios
        self._serving = serving
        self._ids = ids
        self._watch = Watch(self._look)
        self._seen: frozenset[str] = frozenset()
        self._next = 0.0
        self._looked: tuple[Snapshot, int] | None = None
        self._looks_at = 0.0
        self.rewards: Mapping[str, tuple[tuple[str, ...], LinearRewards]] = {}
        self.newcomers: tuple[str, ...] = ()

    def start(self) -> None:
        """Begin to learn."""
        self._watch.start()

    async def stop(self) -> None:
        """Learn no more."""
        await self._watch.stop()

    def again(self, query: RecommendationQuery) -> Again | None:
        """The earlier answer that a query names; None where it names none.

        Raises:
            RecommendationIdError: it names an answer that is none.
        """
        named = query.recommendation_id
        return None if named is None else Again(self._ids.read(named), self._ids.mark)

    def exploring(
        self, plan: Plan, query: RecommendationQuery, again: Again | None
    ) -> Exploring | None:
        """What a query under a scenario may try out; None where it tries out nothing."""
        document = plan.document.exploration
        if document is None or not query.in_experiments:
            return None
        return Exploring(document, self.rewards.get(plan.name or ""), self.newcomers, again)

    async def _look(self) -> None:
        """Learn where that was a minute ago, or another scenario explores."""
        explores = frozenset(self._explores())
        if explores == self._seen and time.monotonic() < self._next:
            return
        self._seen, self._next = explores, time.monotonic() + _LEARN_SECONDS
        await self.learn()

    async def learn(self) -> None:
        """Take in what followed so far.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        explores = self._explores()
        try:
            snapshot = self._serving.snapshot
        except SnapshotError:
            return
        names = feature_names(snapshot)
        learned: dict[str, tuple[tuple[str, ...], LinearRewards]] = {}
        for name, document in explores.items():
            shown = await self._store.tried_out(name, document.kind, _MOST_OUTCOMES)
            learned[name] = names, LinearRewards.learned(shown, names)
        if explores:
            await self._look_for_newcomers(snapshot)
        self.rewards = learned

    async def _look_for_newcomers(self, snapshot: Snapshot) -> None:
        """Take in which items came since the refresh.

        To ask, all others are named: of half a million that is a query of megabytes. So it is asked
        where there are more or fewer items than when that was asked last.
        """
        counted = snapshot, await self._store.item_count()
        if counted == self._looked and time.monotonic() < self._looks_at:
            return
        others = await self._store.other_items([*snapshot.items], (), _MOST_NEW)
        self.newcomers = tuple(item_id for item_id, _ in others)
        self._looked, self._looks_at = counted, time.monotonic() + _LOOK_SECONDS

    def _explores(self) -> dict[str, Exploration]:
        """The scenarios that explore."""
        return {
            each.stored.name: each.scenario.exploration
            for each in self._scenarios.current()
            if each.scenario is not None and each.scenario.exploration is not None
        }
