"""Under which variant a request is answered."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from recsvc.answer import VariantUsed
from recsvc.experiments.document import Experiment, Variant
from recsvc.graph.experiment_store import StoredExperiment
from recsvc.graph.scenario_store import StoredRevision
from recsvc.recommend.experiments import Experiments, KnownExperiment, Trials
from recsvc.recommend.query import RecommendationQuery
from recsvc.scenarios.stored import StoredScenarios

QUERY = RecommendationQuery(k=5)
AT = datetime(2025, 11, 22, tzinfo=UTC)
DOCUMENT = Experiment(
    variants=[Variant(name="now", share=0.4), Variant(name="before", share=0.4, version=2)]
)
USERS = [f"u{n}" for n in range(200)]


def known(
    name: str,
    *,
    stopped: bool = False,
    promoted: str | None = None,
    until: datetime | None = None,
    days: int = 0,
) -> Trials:
    ended = AT + timedelta(days=days) if stopped else None
    stored = StoredExperiment(name, 3, "", AT, ended, promoted, until)
    return Trials({name: KnownExperiment(stored, DOCUMENT, DOCUMENT.assignment(name))})


def test_each_user_gets_the_variant_of_their_hash_or_none() -> None:
    trials, assignment = known("blend"), DOCUMENT.assignment("blend")
    versions = {"now": None, "before": 2}
    seen: set[str | None] = set()
    for user in USERS:
        name = assignment.variant(user)
        used = None if name is None else VariantUsed("blend", name, 3)
        version = versions.get(name or "")
        assert trials.under(user, QUERY) == replace(QUERY, version=version, variant=used)
        seen.add(name)
    assert seen == {"now", "before", None}


def test_a_query_that_names_what_it_is_answered_from_is_outside() -> None:
    for outside in ({"version": 1}, {"signal": "ease"}, {"in_experiments": False}):
        query = replace(QUERY, **outside)
        assert all(known("blend").under(user, query) == query for user in USERS)


def test_after_the_end_all_get_the_promoted_variant_or_what_they_got_before() -> None:
    stopped = known("blend", stopped=True)
    promoted = known("blend", stopped=True, promoted="before")
    for user in USERS[:20]:
        assert stopped.under(user, QUERY) == QUERY
        assert promoted.under(user, QUERY) == replace(QUERY, version=2)
    both = Trials({**promoted.known, **known("next").known})  # what runs comes first
    assert {v and v.experiment for u in USERS if (v := both.under(u, QUERY).variant)} == {"next"}


def test_of_two_promotions_the_one_that_still_counts_decides() -> None:
    over = known("a", stopped=True, promoted="before", until=AT)
    last = known("b", stopped=True, promoted="now", days=1)
    for trials in (over.known | last.known, last.known | over.known):
        assert all(Trials(trials).under(user, QUERY) == QUERY for user in USERS[:5])
    # Nobody has ended the first one, as where somebody wrote by hand: the last one decides.
    first = known("a", stopped=True, promoted="before")
    for trials in (first.known | last.known, last.known | first.known):
        assert all(Trials(trials).under(user, QUERY) == QUERY for user in USERS[:5])
    assert over.under("u1", QUERY) == QUERY
    assert first.under("u1", QUERY) == replace(QUERY, version=2)


def test_it_is_about_the_lists_of_one_scenario_and_each_has_its_own() -> None:
    document = DOCUMENT.model_copy(
        update={
            "scenario": "front",
            "variants": [Variant(name="now", share=0.5),
                         Variant(name="bold", share=0.5, scenario="front bold")],
        }
    )  # fmt: skip
    stored = StoredExperiment("of front", 1, "", AT, None, None)
    of_front = KnownExperiment(stored, document, document.assignment("of front"))
    trials = Trials({**known("blend").known, "of front": of_front})
    front = replace(QUERY, scenario="front")
    asked = {trials.under(user, front).scenario for user in USERS}
    assert asked == {"front", "front bold"}
    for user in USERS:
        assert trials.under(user, QUERY) == known("blend").under(user, QUERY)
        used = trials.under(user, front).variant
        assert used == VariantUsed("of front", of_front.assignment.variant(user) or "", 1)
    elsewhere = replace(QUERY, scenario="basket")
    assert all(trials.under(user, elsewhere) == elsewhere for user in USERS)


class SlowStore:
    """A graph whose first read takes until it may end."""

    def __init__(self) -> None:
        self.revision = 1
        self.reading, self.may_end = asyncio.Event(), asyncio.Event()

    async def experiments(self) -> list[StoredExperiment]:
        read = self.revision
        if not self.reading.is_set():
            self.reading.set()
            await self.may_end.wait()
        return [StoredExperiment("blend", read, DOCUMENT.model_dump_json(), AT, None, None)]

    async def scenarios(self) -> list[StoredRevision]:
        (read,) = await self.experiments()
        return [StoredRevision("front", read.revision, "{}", AT)]


@pytest.mark.parametrize("kind", ["experiments", "scenarios"])
async def test_what_was_read_early_and_came_late_does_not_take_the_place_of_what_is_newer(
    kind: str,
) -> None:
    store = cast(Any, SlowStore())
    experiments, scenarios = Experiments(store, 90), StoredScenarios(store, lambda: None)
    watched = {"experiments": experiments, "scenarios": scenarios}[kind]
    early = asyncio.create_task(watched.reload())
    await store.reading.wait()
    store.revision = 2
    late = asyncio.create_task(watched.reload())
    await asyncio.sleep(0)  # it begins
    store.may_end.set()
    await asyncio.gather(early, late)
    known = [each.stored.revision for each in experiments.now.known.values()]
    known += [each.stored.revision for each in scenarios.current()]
    assert known == [2]


class FakeStore:
    """A graph that is away at first."""

    away = True
    reads = 0

    async def experiments(self) -> list[StoredExperiment]:
        self.reads += 1
        return [StoredExperiment("blend", 1, DOCUMENT.model_dump_json(), AT, None, None)]


async def test_a_process_that_began_without_neo4j_reads_what_runs_with_its_first_request() -> None:
    store = FakeStore()
    experiments = Experiments(store, 90)  # pyright: ignore[reportArgumentType] - only what is read
    assert not (await experiments.trials()).known
    store.away = False
    several = await asyncio.gather(*(experiments.trials() for _ in range(3)))
    assert [set(each.known) for each in several] == [{"blend"}] * 3
    assert store.reads == 1
