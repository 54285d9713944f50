"""The evidence of everybody in the odd shop is a count in plain Python from its tables."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from loaders.tables import FolderTables, graph_from_tables
from loaders.types import HeteroGraph
from recsvc.event_kinds import default_events
from recsvc.evidence import evidence_matrix, item_evidence, newest_time, seen_matrix
from recsvc.training.experiment import TrialData, read_trial
from tests.odd_shop import SEEDS, OddShop, odd_shop

COUNTS = {"view": 0.01, "cart": 0.1, "purchase": 1.0, "return": -1.0}
"""Of one kind, however often: the exponents are 0."""


@pytest.fixture(scope="module", params=SEEDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OddShop:
    return odd_shop(tmp_path_factory.mktemp("shop"), request.param, "--clean")


@pytest.fixture(scope="module")
def graph(shop: OddShop) -> HeteroGraph:
    return graph_from_tables(FolderTables(shop.folder), lambda _: None)


def counted(shop: OddShop) -> dict[str, dict[str, float]]:
    """By user and item: what each kind that they did with it counts, added up."""
    found: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for user, item, kind in shop.interactions:
        found[user][item] += COUNTS[kind]
    return {
        user: {item: weight for item, weight in items.items() if abs(weight) > 1e-9}
        for user, items in found.items()
    }


def test_everybodys_evidence_is_a_count_from_the_tables(shop: OddShop, graph: HeteroGraph) -> None:
    expected, events = counted(shop), default_events()
    matrix = evidence_matrix(graph, events, now=newest_time(graph), dislikes=True)
    likes = evidence_matrix(graph, events, now=newest_time(graph))
    assert set(graph.users) == set(shop.users)
    for row, user in enumerate(graph.users):
        did = [
            (item, kind, sum(event.value for event in rows), max(e.at.timestamp() for e in rows))
            for (who, item, kind), rows in shop.interactions.items()
            if who == user
        ]
        nodes = item_evidence(did, events, now=newest_time(graph))
        wanted = expected.get(user, {})
        assert {n.id: n.weight for n in nodes} == pytest.approx(wanted)
        found = {graph.items[i]: w for i, w in zip(*_entries(matrix[[row]]), strict=True)}
        assert found == pytest.approx(wanted, rel=1e-5)
        liked = {graph.items[i]: w for i, w in zip(*_entries(likes[[row]]), strict=True)}
        assert liked == pytest.approx({i: w for i, w in wanted.items() if w > 0}, rel=1e-5)


def _entries(row: object) -> tuple[list[int], list[float]]:
    return row.indices.tolist(), row.data.tolist()


def test_who_only_returns_likes_nothing_and_has_seen_it(shop: OddShop, graph: HeteroGraph) -> None:
    user, item = graph.users.row("only returns"), graph.items.row("i3")
    events = default_events()
    both = evidence_matrix(graph, events, now=newest_time(graph), dislikes=True)
    assert (both[user, item], both[[user]].nnz) == (-1.0, 1)
    assert evidence_matrix(graph, events, now=newest_time(graph))[[user]].nnz == 0
    assert seen_matrix(graph)[[user]].indices.tolist() == [item]


def test_five_hundred_views_of_a_bot_are_one_each(graph: HeteroGraph) -> None:
    matrix = evidence_matrix(graph, default_events(), now=newest_time(graph))
    weights = matrix[[graph.users.row("bot")]].data
    np.testing.assert_allclose(weights, np.full(87, 0.01), rtol=1e-6)


def test_a_purchase_of_1999_counts_in_full_and_no_like_fades_away(
    shop: OddShop, graph: HeteroGraph
) -> None:
    events = {
        name: settings.model_copy(update={"half_life_days": 1.0})
        for name, settings in default_events().items()
    }
    matrix = evidence_matrix(graph, events, now=newest_time(graph))
    assert matrix[[graph.users.row("long ago")]].data.tolist() == [1.0]
    # What half-lives leave of a like is never nothing.
    plain = evidence_matrix(graph, default_events(), now=newest_time(graph))
    returns = {user for user, _, kind in shop.interactions if kind == "return"}
    for row, user in enumerate(graph.users):
        if user not in returns:
            assert matrix[[row]].indices.tolist() == plain[[row]].indices.tolist()
            assert matrix[[row]].data.min(initial=1.0) ** 2 > np.finfo(np.float32).tiny


def test_an_evaluation_on_the_odd_shop_counts_every_pair(shop: OddShop, tmp_path: Path) -> None:
    """The whole table as the test of its purchases alone."""
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    lines = ["user_id,item_id,event"]
    rows = [(e.user_id, e.item_id, e.kind) for e in shop.events if "," not in e.user_id]
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    bought = [text for row, text in zip(rows, quoted, strict=True) if row[2] == "purchase"]
    train.write_text("\n".join([*lines, *bought]) + "\n")
    test.write_text("\n".join([*lines, *quoted]) + "\n")
    data: TrialData = read_trial(train, test, None, default_events())
    pairs = {(user, item) for user, item, _ in rows}
    owned = {(user, item) for user, item, kind in rows if kind == "purchase"}
    buyers = {user for user, _ in owned}
    items = {item for _, item in owned}
    rest = {pair for pair in pairs - owned if pair[0] in buyers}
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    for user, item, kind in set(rows):
        sums[user, item] += COUNTS[kind]
    assert data.counts.in_train == len(owned)
    assert data.counts.unknown_users == sum(user not in buyers for user, _ in pairs)
    assert data.counts.to_find == sum(sums[pair] > 1e-9 for pair in rest)
    assert data.counts.against == sum(sums[pair] < -1e-9 for pair in rest)
    assert data.counts.unknown_items == sum(
        sums[pair] > 1e-9 and pair[1] not in items for pair in rest
    )
