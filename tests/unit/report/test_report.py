"""The numbers of a data report, on planted graphs."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.extract import ItemDetails
from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.report import _measures as measures
from recsvc.report._distribution import distribution
from recsvc.report._figures import (
    Cold,
    Component,
    Components,
    Degrees,
    EventKind,
    Events,
    ItemQuality,
    Ranked,
    Size,
    Times,
    Values,
)
from recsvc.report._measures import Pairs
from recsvc.report._notes import notes
from recsvc.report._parts import readable

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def edges(*pairs: tuple[int, int]) -> Edges:
    source, target = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    return Edges(source, target, np.ones(len(source), np.float32))


def interactions(*rows: tuple[int, int, int], at: list[float] | None = None) -> Interactions:
    user, item, event = np.array(rows, np.int64).reshape(-1, 3).T
    times = np.full(len(rows), np.nan) if at is None else np.array(at)
    weight = np.ones(len(rows), np.float32)
    return Interactions(user, item, event.astype(np.int8), weight, times, ("buy", "view"))


def graph(did: Interactions, **links: Edges) -> HeteroGraph:
    """Five users, six items, three categories."""
    return HeteroGraph(
        IdMap([f"u{n}" for n in range(5)]),
        IdMap([f"i{n}" for n in range(6)]),
        IdMap([f"c{n}" for n in range(3)]),
        did,
        **links,
    )


# u0, u1 and i0, i1 hang together; u2 and i2 apart; u3, u4, i3, i4, i5 have nothing.
DID = interactions((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 1), (1, 0, 1), (2, 2, 0))
PLANTED = graph(
    DID,
    follows=edges((0, 1), (1, 0), (3, 0), (4, 3)),
    prefers=edges((4, 2)),
    in_category=edges((0, 0), (3, 0), (4, 1), (5, 2)),
    subcategory_of=edges((1, 0)),
)


def test_order_statistics_are_those_of_the_numbers() -> None:
    found = distribution(np.arange(101))
    assert found
    assert (found.nodes, found.lowest, found.highest) == (101, 0, 100)
    assert (found.median, found.mean, found.p90, found.p99) == (50.0, 50.0, 90.0, 99.0)
    assert distribution(np.array([], np.int64)) is None


@pytest.mark.parametrize(
    ("numbers", "gini"),
    [([3, 3, 3], 0.0), ([0, 0, 0, 4], 0.75), ([4, 0, 0, 0], 0.75), ([1, 3], 0.25), ([0, 0], 0.0)],
)
def test_gini_is_the_known_one(numbers: list[int], gini: float) -> None:
    found = distribution(np.array(numbers))
    assert found
    assert found.gini == pytest.approx(gini)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40).filter(any))
def test_gini_is_half_the_relative_mean_difference(numbers: list[int]) -> None:
    found = distribution(np.array(numbers))
    differences = np.abs(np.subtract.outer(numbers, numbers)).mean()
    assert found
    assert found.gini == pytest.approx(differences / (2 * np.mean(numbers)), abs=1e-9)


def test_curve_is_the_share_that_has_at_least_so_much() -> None:
    found = distribution(np.array([0, 1, 1, 3]))
    assert found
    assert found.curve == ((1, 0.75), (3, 0.25))


def test_curve_of_many_numbers_is_short_and_keeps_both_ends() -> None:
    numbers = np.arange(1, 100_001)
    found = distribution(numbers)
    assert found
    assert 50 < len(found.curve) <= 100
    assert found.curve[0] == (1, 1.0)
    assert found.curve[-1] == (100_000, pytest.approx(1e-5))
    for at_least, share in found.curve:
        assert share == pytest.approx((numbers >= at_least).mean())


def test_pairs_count_once_and_repetitions_are_seen() -> None:
    pairs = Pairs(PLANTED)
    assert len(pairs) == 4
    assert pairs.items_per_user.tolist() == [2, 1, 1, 0, 0]
    assert pairs.users_per_item.tolist() == [2, 1, 1, 0, 0, 0]
    assert (pairs.several_events, pairs.duplicates) == (1, 1)


def test_top_lists_leave_out_zeros_and_break_ties_by_id() -> None:
    titles = ("zero", "one", "two", "three", "four", "five")
    details = ItemDetails(titles, (True,) * 6, ("", "", ""))
    found = measures.degrees(PLANTED, Pairs(PLANTED), details)
    assert found.top_users == (Ranked("u0", "", 2), Ranked("u1", "", 1), Ranked("u2", "", 1))
    assert [(item.title, item.total) for item in found.top_items] == [
        ("zero", 2), ("one", 1), ("two", 1),
    ]  # fmt: skip


def test_components_hold_only_what_has_interactions() -> None:
    found = measures.components(PLANTED, Pairs(PLANTED))
    assert found.total == 2
    assert found.largest == (Component(users=2, items=2), Component(users=1, items=1))
    assert found.sizes
    assert (found.sizes.lowest, found.sizes.highest) == (2, 4)


def test_cold_nodes_are_reached_through_follows_preferences_and_categories() -> None:
    pairs = Pairs(PLANTED)
    # u3 follows u0; u4 follows only u3, who has nothing, but prefers c2, which has i5.
    assert measures.cold_users(PLANTED, pairs) == Cold(without=2, few=3, reachable=2)
    # i3 shares c0 with i0; i5 is in c2, which u4 prefers; nobody comes to c1, so not to i4.
    assert measures.cold_items(PLANTED, pairs) == Cold(without=3, few=3, reachable=2)


def test_cold_nodes_behind_dead_ends_are_not_reached() -> None:
    lonely = graph(DID, follows=edges((4, 3)), prefers=edges((3, 1)), in_category=edges((3, 2)))
    pairs = Pairs(lonely)
    assert measures.cold_users(lonely, pairs).reachable == 0
    assert measures.cold_items(lonely, pairs).reachable == 0


def test_five_are_no_longer_few() -> None:
    did = interactions(*((0, item, 0) for item in range(5)), *((1, item, 0) for item in range(4)))
    assert measures.cold_users(graph(did), Pairs(graph(did))).few == 1


def test_follows_have_degrees_and_reciprocity() -> None:
    found = measures.follows(PLANTED)
    assert found.relationships == 4
    assert found.reciprocity == 0.5
    assert found.followers
    assert (found.followers.highest, found.followers.mean) == (2, 0.8)
    assert measures.follows(graph(DID)).reciprocity is None


def test_categories_count_both_ways() -> None:
    details = ItemDetails(("",) * 6, (True,) * 6, ("Rock", "", ""))
    found = measures.categories(PLANTED, details, ())
    assert (found.links, found.items_without) == (4, 2)
    assert (found.with_parent, found.preferring_users) == (1, 1)
    assert found.top[0] == Ranked("c0", "Rock", 2)
    assert found.items_per_category
    assert found.items_per_category.highest == 2


def test_item_quality_counts_what_is_missing() -> None:
    details = ItemDetails(("a", "a", "b", "", "", "c"), (True, False, True, True, True, True), ())
    assert measures.item_quality(details) == ItemQuality(
        without_title=2, sharing_title=2, unavailable=1
    )


def test_periods_have_no_gap_and_leave_out_implausible_times() -> None:
    days = ["2020-01-31", "2020-03-01", "2020-03-31", "1969-12-31", "2026-01-02"]
    at = [datetime.fromisoformat(f"{day}T12:00+00:00").timestamp() for day in days]
    did = interactions(*((n, n, 0) for n in range(5)), at=at)
    unit, found = measures.periods(graph(did), now=NOW)
    assert unit == "month"
    assert [(each.name, each.total) for each in found] == [
        ("2020-01", 1), ("2020-02", 0), ("2020-03", 2),
    ]  # fmt: skip


def test_periods_of_more_than_thirty_years_are_years() -> None:
    did = interactions((0, 0, 0), (1, 1, 0), at=[0.0, NOW])
    unit, found = measures.periods(graph(did), now=NOW)
    assert unit == "year"
    assert [each.name for each in found] == [str(year) for year in range(1970, 2027)]


def test_unknown_times_make_no_periods() -> None:
    assert measures.periods(PLANTED, now=NOW) == ("month", ())


def test_empty_graph_has_numbers_all_the_same() -> None:
    none = HeteroGraph(IdMap([]), IdMap([]), IdMap([]), interactions())
    pairs, details = Pairs(none), ItemDetails((), (), ())
    assert len(pairs) == 0
    assert measures.components(none, pairs) == Components(0, None, ())
    assert measures.degrees(none, pairs, details) == Degrees(None, None, (), ())
    assert measures.cold_users(none, pairs) == Cold(0, 0, 0)
    assert measures.follows(none).reciprocity is None


def all_notes(**changed: object) -> str:
    size = Size(100, 12_000, 0, 0, 0, None, (), ())
    given = {
        "size": size,
        "degrees": Degrees(None, None, (), ()),
        "events": Events(0, (), 0, 0),
        "times": Times(None, None, 0, 0, 0, "month", ()),
        "components": Components(1, None, ()),
        "items": ItemQuality(0, 0, 0),
    }
    return "\n".join(notes(**{**given, **changed}))


def test_a_graph_without_faults_has_no_notes() -> None:
    assert all_notes() == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"degrees": Degrees(None, None, (Ranked("bot", "", 6_000),), ())}, "is bot, with 6,000."),
        ({"degrees": Degrees(None, None, (), (Ranked("i", "Hit", 50),))}, "is i (Hit), with 50."),
        ({"events": Events(1, (), 0, 3)}, "event of another: 3."),
        (
            {"events": Events(1, (EventKind("e", 5, 5, 5.0, 2, 0, None),), 0, 0)},
            "event e with a negative weight: 2.",
        ),
        (
            {
                "events": Events(
                    1,
                    (EventKind("e", 5, 5, 5.0, 0, 0, Values(5, 4.0, 4.0, 4.0, "exact", ())),),
                    0,
                    0,
                )
            },
            "All 5 values of the event e are 4.",
        ),
        ({"times": Times(None, None, 9, 0, 7, "month", ())}, "or in the future: 7."),
        ({"times": Times(None, None, 9, 8, 0, "month", ())}, "while others have one: 8."),
        ({"components": Components(2, None, ())}, "connects with another: 2."),
        ({"items": ItemQuality(1, 0, 0)}, "without a title: 1 of 12,000."),
        ({"items": ItemQuality(0, 2, 0)}, "in common with another: 2."),
        ({"items": ItemQuality(0, 0, 3)}, "not available: 3 of 12,000."),
    ],
)
def test_each_fault_has_its_sentence(changed: dict[str, object], said: str) -> None:
    assert said in all_notes(**changed)


def test_a_single_value_is_no_fault() -> None:
    once = EventKind("e", 5, 5, 5.0, 0, 0, Values(1, 4.0, 4.0, 4.0, "exact", ()))
    assert all_notes(events=Events(1, (once,), 0, 0)) == ""


def test_no_time_at_all_is_no_fault() -> None:
    assert all_notes(times=Times(None, None, 0, 8, 0, "month", ())) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢字", "plain é 漢字"),
        ("two\nlines\0", "two\ufffdlines\ufffd"),
        ("\u202eright to left", "\ufffdright to left"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_readable_text_is_one_short_line(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_numbers_and_words_need_neither_matplotlib_nor_jinja2() -> None:
    code = (
        "import sys, json, recsvc.report, recsvc.report.sections;"
        "print(json.dumps(sorted({'matplotlib', 'jinja2'} & sys.modules.keys())))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(found.stdout) == []
