"""Lists under a scenario that explores, against the same lists without exploration."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.explain.contributions import take_apart
from recsvc.outcomes.recommendation_id import MAX_ID_CHARACTERS, Origin, RecommendationIds
from recsvc.recommend.exploring import Again, Explorer, Exploring
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.tried_out import MADE_ROOM, TRIED_OUT
from recsvc.scenarios.document import Exploration, Scenario
from tests.property.test_scenarios import (
    ITEMS,
    N_ITEMS,
    SCENARIO,
    Asked,
    Naive,
    Shop,
    shops,
)

IDS = RecommendationIds()
NEW = tuple(f"i{n}" for n in range(N_ITEMS, N_ITEMS + 3))
MANY = 70
"""More items that came since the refresh than a list chooses from."""


def asked(
    shop: Shop, document: dict[str, Any], seed: int, by: str = "thompson", within: int = 8,
    again: Again | None = None, share: float = 0.3, **query: Any,
) -> Asked:  # fmt: skip
    explores = Exploration.model_validate({"share": share, "within": within, "by": by})
    new = tuple(f"i{n}" for n in range(N_ITEMS, len(shop.colors)))
    exploring = Exploring(explores, None, new, again, seed.to_bytes(9))
    return Asked(shop, Scenario.model_validate(document), RecommendationQuery(**query), exploring)


def told(lists: Asked, user_id: str = "u") -> Again:
    """What the id of a list says of it."""
    tried = lists.listing.tried
    assert tried is not None
    origin = Origin(
        1, user_id, propensities={p + 1: c for p, c in tried.propensities.items()},
        tried={p + 1: known for p, known in tried.known.items()},
    )  # fmt: skip
    made = IDS.issue(IDS.contents(origin, lists.ids()))
    assert len(made) <= MAX_ID_CHARACTERS
    read = IDS.read(made)
    assert read.origin == origin
    return Again(read, IDS.mark)


def plain(shop: Shop, document: dict[str, Any], **query: Any) -> Asked:
    return Asked(shop, Scenario.model_validate(document), RecommendationQuery(**query))


EXPLORER = st.sampled_from(["thompson", "linucb", "uniform"])


@given(shops(), SCENARIO, st.integers(1, 12), st.sampled_from([0.0, 0.6]), EXPLORER,
       st.integers(0, 9))  # fmt: skip
def test_a_list_that_explores_keeps_its_promises(
    shop: Shop, document: dict[str, Any], k: int, diversity: float, by: str, seed: int
) -> None:
    long = asked(shop, document, seed, by, k=12, diversity=diversity)
    short = asked(shop, document, seed, by, k=k, diversity=diversity)
    without = plain(shop, document, k=12, diversity=diversity)
    assert short.ids() == long.ids()[:k]
    assert len(set(long.ids())) == len(long.ids()) == len(without.ids())
    # Quotas hold as they do without, and what is pinned stays where it is.
    naive = Naive(long)
    for quota in long.plan.quotas:
        within = quota.within or 12
        if quota.said in " ".join((*long.listing.notes(), *without.listing.notes())):
            continue
        had, before = (
            Counter(v for i in each.ids()[:within] for v in naive.counts(quota, int(i[1:])))
            for each in (long, without)
        )
        if quota.at_least:
            assert had["it"] >= min(quota.count, before["it"])
        else:
            assert max(had.values(), default=0) <= max(quota.count, *before.values(), 0)
    for place, each in enumerate(without.shown):
        if (each.why or "").startswith("pin"):
            assert long.ids()[place] == each.item_id
    for column in range(len(long.exact.items)):
        parts = long.exact.signals(column)
        assert sum(parts.values()) == pytest.approx(long.exact.scores[column], abs=1e-9)
    tried = long.listing.tried
    assert tried is not None
    assert all(tried.propensities[place] == 0.0 for place in range(8, len(long.ids())))
    assert all(chance > 0.0 for place, chance in tried.propensities.items() if place < 8)
    for each in long.shown[8:]:
        made_room = each.item_id in without.ids()[:8]
        assert made_room == (each.why == MADE_ROOM) or (made_room and each.why is not None)
    for place, each in enumerate(long.shown):
        if (each.why or "").startswith(TRIED_OUT):
            assert place < 8
            assert each.item_id not in without.ids()[:8]
            assert each.score == pytest.approx(without.shown[place].score, abs=1e-9)


@pytest.mark.long
def test_what_is_tried_out_comes_as_often_as_its_propensity_says() -> None:
    n = N_ITEMS + 3
    shop = Shop(["red"] * n, [1.0] * n, [None] * n, [True] * n, 3)
    said: dict[tuple[int, str], float] = {}
    seen: Counter[tuple[int, str]] = Counter()
    times = 500
    for seed in range(times):
        lists = asked(shop, {}, seed, "uniform", within=4, k=4)
        tried = lists.listing.tried
        assert tried is not None
        for key in enumerate(lists.ids()):
            seen[key] += 1
            chance = tried.propensities.get(key[0], 1.0)
            assert said.setdefault(key, chance) == pytest.approx(chance)
    assert {item for _, item in seen} & {*NEW}
    assert len(said) > 60
    for (place, item), chance in said.items():
        deviation = np.sqrt(chance * (1 - chance) / times)
        assert abs(seen[place, item] / times - chance) <= 4.5 * deviation, (place, item)


@given(shops() | shops(MANY), SCENARIO, st.integers(1, 5), st.integers(0, 9))
def test_counterfactuals_hold_where_the_same_is_drawn(
    shop: Shop, document: dict[str, Any], k: int, seed: int
) -> None:
    lists = asked(shop, document, seed, k=k, explain="full")
    removals = lists.listing.removals(lists.exact)
    for row, removal in zip(lists.exact.items.tolist(), removals, strict=True):
        if removal is None:
            continue
        nodes = [lists.asker.evidence.nodes[p] for p in removal.positions]
        without = tuple((node.kind, node.id) for node in nodes)
        again = asked(shop, document, 10, again=told(lists), k=k, without=without).ids()
        assert ITEMS[row] not in again
        assert ITEMS[removal.replaced_by] in again


@given(shops() | shops(MANY), SCENARIO, st.integers(1, 12), st.integers(0, 9))
def test_what_was_tried_out_can_be_asked_again(
    shop: Shop, document: dict[str, Any], k: int, seed: int
) -> None:
    lists = asked(shop, document, seed, "uniform", k=k)
    again = asked(shop, document, 11, "thompson", again=told(lists), k=k, explain="full")
    assert again.ids() == lists.ids()
    short = asked(shop, document, 12, again=told(lists), k=k, explain="none")
    assert short.ids() == lists.ids()
    assert again.listing.tried is not None
    assert lists.listing.tried is not None
    assert again.listing.tried.propensities == lists.listing.tried.propensities


@given(shops(MANY), SCENARIO, st.integers(1, 12), EXPLORER, st.integers(0, 9))
def test_how_much_is_explained_changes_nothing(
    shop: Shop, document: dict[str, Any], k: int, by: str, seed: int
) -> None:
    lists = [asked(shop, document, seed, by, k=k, explain=e) for e in ("none", "summary", "full")]
    all_told = [(each.ids(), each.shown, each.listing.tried and each.listing.tried.propensities)
            for each in lists]  # fmt: skip
    assert all_told[0] == all_told[1] == all_told[2]


@given(shops(), SCENARIO, st.integers(1, 8), st.integers(0, 9))
def test_notes_are_about_the_list(shop: Shop, document: dict[str, Any], k: int, seed: int) -> None:
    lists, without = asked(shop, document, seed, k=k), plain(shop, document, k=k)
    assert lists.listing.notes() == without.listing.notes()


def test_what_is_gone_has_the_chance_of_what_is_there_instead() -> None:
    n = N_ITEMS + 3
    shop = Shop(["red"] * n, [1.0] * n, [None] * n, [True] * n, 3)
    seed = next(s for s in range(99) if asked(shop, {}, s, k=8).listing.tried.rows)
    lists = asked(shop, {}, seed, k=8)
    place = next(iter(lists.listing.tried.rows))
    gone = lists.ids()[place]
    shop.available[int(gone[1:])] = False
    again = asked(shop, {}, 99, again=told(lists), k=8)
    assert gone not in again.ids()
    # Beyond the end of an earlier list nothing is tried out, and stands what mostly does.
    longer = asked(shop, {}, 99, again=told(asked(shop, {}, seed, k=2)), k=8)
    assert [longer.listing.tried.propensities[p] for p in range(2, 8)] == pytest.approx([0.7] * 6)
    assert again.listing.tried.propensities[place] == pytest.approx(0.7)


def test_what_few_people_have_is_cold_and_how_few_is_known() -> None:
    n = N_ITEMS + 3
    shop = Shop(["red"] * n, [1.0] * n, [None] * n, [True] * n, 3)
    lists = asked(shop, {}, 0)
    people = np.where(np.arange(N_ITEMS) < 20, 4, 5)
    snapshot = replace(lists.snapshot, item_people=people)
    exact = take_apart(snapshot.blend, lists.listing.scored, np.arange(N_ITEMS))
    new_of_item: dict[int, float] = {}
    for seed in range(40):
        exploring = Exploring(Exploration(share=0.5), seed=seed.to_bytes(9))
        explorer = Explorer(snapshot, lists.asker, exploring)
        assert sorted(explorer.cold.tolist()) == [*range(20)]
        drawn, known = explorer.draws(np.ones(10, bool), exact, np.arange(N_ITEMS))
        new_of_item |= {row: known[place]["new"] for place, row in drawn.candidates.items()}
    assert {row < 20 for row in new_of_item} == {True, False}
    assert new_of_item == {
        row: pytest.approx((1 + people[row]) ** -0.5, abs=1e-3) for row in new_of_item
    }


@settings(max_examples=15, deadline=None)
@given(shops(MANY), EXPLORER, st.integers(0, 9))
def test_the_id_of_a_list_that_explores_as_much_as_can_be_is_within_its_limit(
    shop: Shop, by: str, seed: int
) -> None:
    lists = asked(shop, {}, seed, by, within=100, share=0.5, k=100)
    again = asked(shop, {}, 99, by, within=100, share=0.5, k=100,
                  again=told(lists, "\U0001f600" * 512))  # fmt: skip
    assert again.ids() == lists.ids()
