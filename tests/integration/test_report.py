"""The data report of graphs in a real Neo4j."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.schema import apply_schema
from loaders.tables import FolderTables
from recsvc.report import Report, build_report
from recsvc.report._figures import (
    Bin,
    CategoryKind,
    Cold,
    Component,
    ItemQuality,
    Named,
    Ranked,
)
from recsvc.report.page import write_page

pytestmark = pytest.mark.neo4j

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
TITLE = '<img src="http://evil.example/x">'
TABLES = {
    "interactions": [
        ("user_id", "item_id", "event", "value", "timestamp"),
        ("u0", "i0", "rating", "4", "2020-01-05"),
        ("u0", "i0", "rating", "5", "2020-02-05"),
        ("u0", "i0", "view", "", ""),
        ("u0", "i1", "rating", "5", "2020-04-30T23:59:59Z"),
        ("u1", "i0", "rating", "1.5", "2020-04-01"),
        ("u2", "i2", "return", "-1", "1975-07-01"),
    ],
    "follows": [("follower_id", "followee_id"), ("u0", "u1"), ("u1", "u0"), ("u3", "u0")],
    "items": [
        ("item_id", "title", "available", "price"),
        ("i0", TITLE, "", "9"),
        ("i1", TITLE, "false", ""),
        ("i3", "Three", "", "8"),
        ("i4", "Four", "", ""),
    ],
    "categories": [("category_id", "name", "kind", "parent_id"),
                   ("c0", "Rock", "genre", ""), ("c1", "Punk", "genre", "c0")],
    "item_categories": [("item_id", "category_id"), ("i0", "c0"), ("i3", "c0"), ("i4", "tagged")],
}  # fmt: skip
BY_HAND = Query(
    "tests/by_hand", "No table may hold such a time.", "write", {}, {},
    "MATCH (:Item {item_id: 'i2'})<-[r:INTERACTED]-(:User {user_id: 'u2'}) "
    "SET r.first_at = datetime('1965-07-01'), r.last_at = datetime('1965-07-01')",
)  # fmt: skip


def load(gateway: Neo4jGateway, folder: Path, tables: dict[str, list[tuple[str, ...]]]) -> None:
    for name, (columns, *rows) in tables.items():
        frame = pl.DataFrame(rows, schema=list(columns), orient="row")
        frame.write_csv(folder / f"{name}.csv")
    ingest(gateway, FolderTables(folder), rejects=folder / "rejects.csv", strict=True)
    gateway.run(BY_HAND)


@pytest.fixture
def report(gateway: Neo4jGateway, tmp_path: Path) -> Report:
    load(gateway, tmp_path, TABLES)
    return build_report(gateway, now=NOW)


def test_size_is_what_was_loaded(report: Report) -> None:
    size = report.size
    assert (size.users, size.items, size.categories) == (4, 5, 3)
    assert (size.interactions, size.pairs) == (5, 4)
    assert size.density == pytest.approx(4 / 20)
    assert size.labels == (Named("Item", 5), Named("User", 4), Named("Category", 3))
    assert size.types == (
        Named("INTERACTED", 5), Named("FOLLOWS", 3), Named("IN_CATEGORY", 3),
        Named("SUBCATEGORY_OF", 1),
    )  # fmt: skip


def test_events_add_up(report: Report) -> None:
    rating, back, view = report.events.top
    assert (rating.name, rating.relationships, rating.events) == ("rating", 3, 4)
    assert (rating.weight, rating.timed, rating.negative) == (15.5, 3, 0)
    assert (back.name, back.negative, back.weight) == ("return", 1, -1.0)
    assert (view.name, view.timed, view.values) == ("view", 0, None)
    assert (report.events.kinds, report.events.pairs_with_several) == (3, 1)
    assert report.events.duplicates == 0


def test_few_values_are_counted_one_by_one(report: Report) -> None:
    values = report.events.top[0].values
    assert values
    assert (values.total, values.lowest, values.highest) == (3, 1.5, 5.0)
    assert values.scale == "exact"
    assert values.bins == (Bin(1.5, 1.5, 1), Bin(5.0, 5.0, 2))


@pytest.mark.parametrize(
    ("values", "scale", "totals"),
    [
        # 0, 1, …, 40: two for each of the 20 bins, and the last one takes the highest too.
        (range(41), "linear", [2] * 19 + [3]),
        # From ½ to 2¹⁹, more than 1,000 times as much, and none on an edge between two bins.
        ([0.5, *(2 ** (n / 2 - 0.9) for n in range(1, 40)), 2**19], "logarithmic", [2] * 19 + [3]),
        # Below 0 there are no logarithms.
        (range(-1, 40_000, 1_000), "linear", [2] * 19 + [3]),
    ],
)
def test_many_values_are_put_in_bins(
    gateway: Neo4jGateway, tmp_path: Path, values: Sequence[float], scale: str, totals: list[int]
) -> None:
    rows = [("u", f"i{n}", str(value)) for n, value in enumerate(values)]
    load(gateway, tmp_path, {"interactions": [("user_id", "item_id", "value"), *rows]})
    found = build_report(gateway, now=NOW).events.top[0].values
    assert found
    assert found.scale == scale
    assert [each.total for each in found.bins] == totals
    assert (found.bins[0].low, found.bins[-1].high) == (found.lowest, found.highest)
    for left, right in zip(found.bins, found.bins[1:], strict=False):
        assert left.low < left.high == right.low


def test_times_know_the_first_event_and_what_cannot_be(report: Report) -> None:
    times = report.times
    assert (times.first, times.last) == ("1965-07-01", "2020-04-30")
    assert (times.timed, times.without, times.implausible) == (4, 1, 1)
    assert times.periods == (Named("2020-02", 1), Named("2020-03", 0), Named("2020-04", 2))


def test_categories_components_and_cold_nodes(report: Report) -> None:
    categories = report.categories
    assert categories.kinds == (CategoryKind("genre", 2, 2), CategoryKind("", 1, 1))
    assert categories.top == (Ranked("c0", "Rock", 2), Ranked("tagged", "", 1))
    assert (categories.with_parent, categories.items_without) == (1, 2)
    assert report.components.largest == (Component(2, 2), Component(1, 1))
    assert report.cold_users == Cold(without=1, few=3, reachable=1)
    assert report.cold_items == Cold(without=2, few=3, reachable=1)


def test_properties_and_quality_of_items(report: Report) -> None:
    items = next(each for each in report.properties if each.label == "Item")
    assert items.top == (
        Named("item_id", 5), Named("title", 4), Named("price", 2), Named("available", 1),
    )  # fmt: skip
    assert report.item_quality == ItemQuality(without_title=1, sharing_title=2, unavailable=1)


def test_vectors_are_no_property_of_the_data(gateway: Neo4jGateway) -> None:
    made = Query(
        "tests/vector", "", "write", {}, {},
        "CREATE (:User {user_id: 'u', embedding_lightgcn_a: [1.0, 0.0]})",
    )  # fmt: skip
    gateway.run(made)
    (found,) = (p for p in build_report(gateway).properties if p.label == "User")
    assert found.top == (Named("user_id", 1),)


def test_relationships_that_are_there_twice_are_told(gateway: Neo4jGateway) -> None:
    made = Query(
        "tests/twice", "", "write", {}, {},
        "CREATE (u:User {user_id: 'u'}), (i:Item {item_id: 'i'}) "
        "FOREACH (_ IN [1, 2] | CREATE (u)-[:INTERACTED {event: 'e'}]->(i))",
    )  # fmt: skip
    gateway.run(made)
    found = build_report(gateway)
    assert (found.size.pairs, found.events.duplicates) == (1, 1)
    assert any("repeat the user, item and event" in note for note in found.notes)


def test_lists_stay_short_however_large_the_graph(gateway: Neo4jGateway) -> None:
    made = Query(
        "tests/many", "", "write", {}, {},
        "UNWIND range(0, 59) AS n "
        "CREATE (u:User {user_id: 'u' + n})-[:INTERACTED {event: 'e' + n, value: n * 1.0}]->"
        "(i:Item {item_id: 'i' + n})-[:IN_CATEGORY]->"
        "(:Category {category_id: 'c' + n, kind: 'k' + n}) "
        "SET i[('p' + n)] = 1",
    )  # fmt: skip
    gateway.run(made)
    found = build_report(gateway)
    assert (found.events.kinds, len(found.events.top)) == (60, 20)
    assert len(found.properties[1].top) == len(found.categories.kinds) == 20
    assert len(found.degrees.top_users) == len(found.categories.top) == 20
    assert len(found.components.largest) == 10


def test_same_graph_gives_the_same_document_and_page(
    gateway: Neo4jGateway, report: Report, tmp_path: Path
) -> None:
    again = build_report(gateway, now=NOW)
    assert json.loads(json.dumps(report.document(), allow_nan=False))
    assert again.document() == report.document()
    for name, each in (("one", report), ("two", again)):
        write_page(each, tmp_path / name)
    page = (tmp_path / "one").read_bytes()
    assert page == (tmp_path / "two").read_bytes()
    assert b"&lt;img src=" in page
    assert b"<img" not in page


def test_empty_graph_has_a_report(gateway: Neo4jGateway, tmp_path: Path) -> None:
    apply_schema(gateway)
    found = build_report(gateway)
    assert found.notes == ()
    write_page(found, tmp_path / "page.html")
    assert "The graph is empty." in (tmp_path / "page.html").read_text()


def test_progress_is_told(gateway: Neo4jGateway, tmp_path: Path) -> None:
    load(gateway, tmp_path, TABLES)
    told: list[tuple[str, int, int]] = []
    build_report(gateway, lambda *each: told.append(each), now=NOW)
    assert ("values", 3, 3) in told
    assert {what for what, _, _ in told} >= {"interactions", "follows", "values"}
