import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.event_kinds import NOTHING, EventSettings, default_events
from recsvc.evidence import (
    Evidence,
    EvidenceNode,
    evidence_matrix,
    has_order,
    interaction_weights,
    item_evidence,
    latest_evidence,
    newest_time,
    pair_times,
    seen_matrix,
    since_matrix,
)

DAY = 86_400.0
NOW = 20_000 * DAY
EVENTS = {
    "interaction": EventSettings(),
    "play": EventSettings(weight=2.0, exponent=0.5),
    "view": EventSettings(weight=0.01, half_life_days=30.0),
    "drop": EventSettings(weight=-0.19, exponent=1.0, half_life_days=2.0),
}
# The stored form: at most one relationship for each (user, item, event).
DID = st.dictionaries(
    st.tuples(
        st.integers(0, 2), st.integers(0, 3),
        st.sampled_from(["play", "view", "drop", "never heard of"]),
    ),
    st.tuples(
        st.sampled_from([0.0, 1.0, 4.0, -4.0, 250.5]),
        st.none() | st.floats(NOW - 1000 * DAY, NOW + 10 * DAY),
    ),
)  # fmt: skip


def graph_of(did: dict[tuple[int, int, str], tuple[float, float | None]]) -> HeteroGraph:
    names = sorted({event for _, _, event in did})
    entries = [(u, i, names.index(e), w, np.nan if at is None else at)
               for (u, i, e), (w, at) in sorted(did.items())]  # fmt: skip
    columns = list(zip(*entries, strict=True)) if entries else [[]] * 5
    dtypes = (np.int64, np.int64, np.int8, np.float32, np.float64)
    arrays = [np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)]
    return HeteroGraph(
        IdMap(["u0", "u1", "u2"]), IdMap(["i0", "i1", "i2", "i3"]), IdMap([]),
        Interactions(*arrays, tuple(names)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "stored", "age", "expected"),
    [
        (EventSettings(weight=0.5), 300.0, None, 0.5),
        (EventSettings(exponent=1.0), 300.0, None, 300.0),
        (EventSettings(exponent=0.5), 9.0, None, 3.0),
        (EventSettings(exponent=0.5), -9.0, None, -3.0),
        (EventSettings(), -9.0, None, -1.0),
        (EventSettings(), 0.0, None, 0.0),
        (EventSettings(), np.nan, None, 0.0),
        (EventSettings(), np.inf, None, 0.0),
        (EventSettings(half_life_days=10.0), 1.0, 20 * DAY, 0.25),
        (EventSettings(half_life_days=10.0), 1.0, -20 * DAY, 1.0),
        (EventSettings(half_life_days=10.0), 1.0, None, 1.0),
        (EventSettings(weight=-0.19, half_life_days=10.0), 1.0, 10 * DAY, -0.095),
        (EventSettings(weight=-1.0), -2.0, None, -1.0),
        (EventSettings(weight=-1.0, exponent=1.0), -2.0, None, -2.0),
        (NOTHING, 5.0, None, 0.0),
    ],
)
def test_weight_is_the_written_formula(
    event: EventSettings, stored: float, age: float | None, expected: float
) -> None:
    """Beside something new of the same user, from which half-lives count."""
    pair = (
        np.array([0, 1]), np.array([stored, 1.0]),
        np.array([np.nan if age is None else age, 0.0]), np.array([0, 0]),
    )  # fmt: skip
    new = EventSettings(half_life_days=1.0)
    assert interaction_weights([event, new], *pair).tolist() == pytest.approx([expected, 1.0])


def of_age(*days: float, half_life_days: float = 1.0) -> list[float]:
    """Weights of one user's purchases of some ages, by item."""
    events = {"purchase": EventSettings(half_life_days=half_life_days)}
    rows = [(f"i{n}", "purchase", 1.0, NOW - age * DAY) for n, age in enumerate(days)]
    return [node.weight for node in item_evidence(rows, events, now=NOW)]


@pytest.mark.parametrize("age", [0.0, 140.0, 152.0, 20_000.0])
def test_only_the_ratios_between_ages_count(age: float) -> None:
    """Two half-lives of one day apart, whether yesterday or in 1970."""
    assert of_age(age, age + 2) == pytest.approx([1.0, 0.25])


def test_a_like_beside_something_much_newer_does_not_fade_away() -> None:
    """In 32 bits, and squared, as norms are."""
    events = {"purchase": EventSettings(half_life_days=1.0),
              "return": EventSettings(weight=-1.0, half_life_days=1.0)}  # fmt: skip
    did = {(0, 0, "purchase"): (1.0, NOW - 9000 * DAY), (0, 1, "return"): (1.0, NOW)}
    graph = graph_of(did)
    (like,) = evidence_matrix(graph, events, now=NOW).data
    assert np.float32(like) ** 2 > np.finfo(np.float32).tiny
    rows = [(f"i{i}", event, w, at) for (_, i, event), (w, at) in did.items()]
    weights = [node.weight for node in item_evidence(rows, events, now=NOW)]
    assert weights == pytest.approx([float(like), -1.0])


def test_an_event_in_the_future_counts_as_now_and_takes_nothing_from_others() -> None:
    assert of_age(-60_000.0, 2.0) == pytest.approx(of_age(0.0, 2.0))
    graph = graph_of({(0, 0, "play"): (1.0, 4.0 * NOW), (1, 1, "view"): (1.0, NOW)})
    assert newest_time(graph) == pytest.approx(time.time(), abs=60)


def test_what_counts_nothing_does_not_say_how_old_the_rest_is() -> None:
    events = {"purchase": EventSettings(half_life_days=1.0), "seen": EventSettings(weight=0.0)}
    rows = [("a", "purchase", 1.0, NOW - 3000 * DAY), ("b", "seen", 1.0, NOW), ("b", "?", 1.0, NOW)]
    (node,) = item_evidence(rows, events, now=NOW)
    assert (node.id, node.weight) == ("a", 1.0)


def test_kinds_of_other_half_lives_keep_their_ratio() -> None:
    """A view of ten half-lives beside a purchase that does not age, which keeps its weight."""
    events = {"view": EventSettings(half_life_days=3.0), "purchase": EventSettings()}
    rows = [("a", "view", 1.0, NOW - 30 * DAY), ("b", "purchase", 1.0, NOW - 900 * DAY)]
    weights = [node.weight for node in item_evidence(rows, events, now=NOW)]
    assert weights == pytest.approx([2.0**-10, 1.0])


def test_a_kind_without_settings_counts_nothing() -> None:
    assert item_evidence([("a", "borrowed", 1.0, None)], EVENTS, now=NOW) == []
    graph = graph_of({(0, 0, "borrowed"): (1.0, None)})
    assert evidence_matrix(graph, EVENTS, now=NOW, dislikes=True).nnz == 0


@pytest.mark.parametrize("name", ["ADD_TO_CART", "add-to-cart", "AddToCart", "add to cart"])
def test_kinds_are_compared_without_case_hyphen_space_and_underscore(name: str) -> None:
    (node,) = item_evidence([("a", name, 1.0, None)], default_events(), now=NOW)
    assert (node.weight, node.event) == (0.1, name)


@pytest.mark.parametrize(
    "name",
    ["dislike", "thumbs_down", "unlike", "return", "refund", "cancel", "remove_from_cart", "hide",
     "skip", "block", "downvote", "uninstall", "Returned", "refunded", "skipped", "disliked"],
)  # fmt: skip
def test_a_negative_word_speaks_against_the_item(name: str) -> None:
    (node,) = item_evidence([("a", name, 1.0, None)], default_events(), now=NOW)
    assert node.weight < 0


def test_what_is_returned_after_it_was_bought_is_no_evidence() -> None:
    rows = [("a", "purchase", 3.0, NOW), ("a", "Return", 1.0, NOW)]
    assert item_evidence(rows, default_events(), now=NOW) == []


def test_a_higher_rating_counts_more_and_none_counts_in_proportion() -> None:
    rows = [(f"i{stars}", "rating", float(stars), None) for stars in (1, 4, 5)]
    one, four, five = (n.weight for n in item_evidence(rows, default_events(), now=NOW))
    assert (four / one, five / one) == pytest.approx((2.0, 5**0.5))


def test_kinds_that_cancel_in_part_are_named_by_what_is_left() -> None:
    rows = [("a", "purchase", 1.0, None), ("a", "dislike", 1.0, None), ("a", "skip", 1.0, None)]
    (node,) = item_evidence(rows, default_events(), now=NOW)
    assert (node.weight, node.event) == (pytest.approx(-0.1), "dislike")


@given(DID)
def test_matrix_rows_are_what_one_user_gets(
    did: dict[tuple[int, int, str], tuple[float, float | None]],
) -> None:
    graph = graph_of(did)
    matrix = evidence_matrix(graph, EVENTS, now=NOW, dislikes=True)
    likes = evidence_matrix(graph, EVENTS, now=NOW)
    assert matrix.shape == likes.shape == (3, 4)
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format
    for user in range(3):
        rows = [(f"i{i}", e, w, at) for (u, i, e), (w, at) in did.items() if u == user]
        expected = np.zeros(4)
        for node in item_evidence(rows, EVENTS, now=NOW):
            expected[int(node.id[1:])] = node.weight
        np.testing.assert_allclose(matrix[[user]].toarray()[0], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            likes[[user]].toarray()[0], expected.clip(min=0), rtol=1e-5, atol=1e-6
        )
        assert (likes[[user]].data > 0).all()


@given(DID)
def test_seen_is_everything_a_user_touched_whatever_it_weighs(
    did: dict[tuple[int, int, str], tuple[float, float | None]],
) -> None:
    seen = seen_matrix(graph_of(did))
    assert {(u, i) for u, i, _ in did} == set(
        zip(*map(np.ndarray.tolist, seen.nonzero()), strict=True)
    )


def test_events_on_one_item_add_up_and_the_strongest_is_named() -> None:
    rows = [("b", "view", 1.0, NOW), ("a", "play", 4.0, None), ("b", "play", 1.0, NOW)]
    nodes = item_evidence(rows, EVENTS, now=NOW)
    assert [(n.kind, n.id, n.event) for n in nodes] == [
        ("item", "b", "play"),
        ("item", "a", "play"),
    ]
    assert [n.weight for n in nodes] == pytest.approx([2.01, 4.0])


def test_events_that_cancel_out_are_no_evidence() -> None:
    events = {"interaction": EventSettings(), "up": EventSettings(weight=1.0),
              "down": EventSettings(weight=-1.0)}  # fmt: skip
    assert item_evidence([("a", "up", 1.0, None), ("a", "down", 1.0, None)], events, now=NOW) == []


def test_dislike_is_negative_evidence_and_named_by_its_event() -> None:
    (node,) = item_evidence([("a", "drop", 1.0, NOW - 2 * DAY)], EVENTS, now=NOW)
    assert node == EvidenceNode("item", "a", pytest.approx(-0.19), "drop", since=0)


def test_evidence_rows_keep_the_kind_and_the_known() -> None:
    evidence = Evidence((
        EvidenceNode("category", "b", 9.0),
        EvidenceNode("item", "b", 1.0),
        EvidenceNode("item", "unknown", 2.0),
        EvidenceNode("item", "a", -3.0),
    ))  # fmt: skip
    rows = evidence.rows("item", IdMap(["a", "b"]))
    assert rows.position.tolist() == [1, 3]
    assert rows.row.tolist() == [1, 0]
    assert rows.weight.tolist() == [1.0, -3.0]
    nothing = evidence.rows("user", IdMap(["a"]))
    assert len(nothing) == 0
    assert (nothing.row.dtype, nothing.weight.dtype) == (np.int64, np.float64)


# --- the order of time ------------------------------------------------------------------------


def test_since_is_how_many_items_came_later() -> None:
    """Of an item its newest time counts, whatever the kind; what is done at once is as far."""
    rows = [
        ("a", "interaction", 1.0, NOW), ("b", "interaction", 1.0, NOW - 1.0),
        ("c", "interaction", 1.0, NOW - 1.0), ("d", "interaction", 1.0, NOW - 3.0),
        ("d", "play", 1.0, NOW - 9.0), ("e", "drop", 0.0, NOW - 5.0),
        ("f", "interaction", 1.0, None), ("b", "view", 1.0, NOW - 8.0),
        ("g", "interaction", 1.0, NOW - 9.0),
    ]  # fmt: skip
    since = {node.id: node.since for node in item_evidence(rows, EVENTS, now=NOW)}
    assert since == {"a": 0, "b": 1, "c": 1, "d": 3, "f": None, "g": 5}


@given(DID)
def test_since_of_all_users_is_that_of_each(did: dict) -> None:
    graph = graph_of(did)
    since, times = since_matrix(graph), pair_times(graph)
    evidence = evidence_matrix(graph, EVENTS, now=NOW, dislikes=True)
    for user in range(3):
        rows = [
            (f"i{i}", event, weight, at)
            for (u, i, event), (weight, at) in did.items() if u == user
        ]  # fmt: skip
        for node in item_evidence(rows, EVENTS, now=NOW):
            item = graph.items.row(node.id)
            assert since[user, item] == (0 if node.since is None else node.since + 1)
            known = [at for i, _, _, at in rows if i == node.id and at is not None]
            assert times[user, item] == max(known, default=0.0)
        own = Evidence(tuple(item_evidence(rows, EVENTS, now=NOW))).rows("item", graph.items)
        latest = own.latest(1.5)
        expected = np.zeros(4)
        expected[latest.row] = latest.weight
        given_matrices = {"item": evidence[[user]], "since": since[[user]]}
        found = latest_evidence(given_matrices, 1.5).toarray()[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-30)


def test_the_latest_evidence_is_the_written_formula() -> None:
    nodes = tuple(
        EvidenceNode("item", f"i{n}", 2.0, since=since)
        for n, since in enumerate([3, None, 0, 10_000])
    )
    own = Evidence(nodes).rows("item", IdMap(["i0", "i1", "i2", "i3"])).latest(3.0)
    assert own.position.tolist() == [0, 2, 3]
    assert own.weight.tolist() == [1.0, 2.0, 2.0 * 2.0**-40]


@pytest.mark.parametrize(
    ("times", "order"),
    [((None, None), False), ((NOW, NOW), False), ((NOW, None), False), ((NOW, NOW + 1.0), True)],
)
def test_there_is_an_order_where_a_user_did_things_at_two_times(times: tuple, order: bool) -> None:
    did = {(1, i, "play"): (1.0, at) for i, at in enumerate(times)} | {(2, 0, "play"): (1.0, 7e8)}
    assert has_order(graph_of(did)) == order
