"""The odd shop in the graph is what its tables say."""

import csv

import pytest

from loaders.catalogue import Query
from tests.graph_hash import graph_hash
from tests.integration.conftest import OddServed
from tests.integration.test_odd_shop_routes import relationships
from tests.prepared_graph import read_all, write_all

pytestmark = pytest.mark.neo4j

NODES = Query(
    "tests/nodes", "", "read", {}, {},
    "MATCH (n) WHERE n:User OR n:Item OR n:Category "
    "RETURN labels(n)[0] AS label, n {.*} AS node",
)  # fmt: skip
LINKS = Query(
    "tests/links", "", "read", {}, {},
    "MATCH (a)-[r:INTERACTED|FOLLOWS|IN_CATEGORY|SUBCATEGORY_OF]->(b) "
    "RETURN type(r) AS type, labels(a)[0] AS one, labels(b)[0] AS two, properties(r) AS link, "
    "coalesce(a.user_id, a.item_id, a.category_id) AS a, "
    "coalesce(b.user_id, b.item_id, b.category_id) AS b",
)  # fmt: skip


def test_the_graph_is_what_the_tables_say(odd: OddServed) -> None:
    shop, rows = odd.shop, odd.served.gateway.run(LINKS)
    nodes = {"User": set[str](), "Item": set[str](), "Category": set[str]()}
    for row in odd.served.gateway.run(NODES):
        nodes[row["label"]].add(row["node"][f"{row['label'].lower()}_id"])
        if row["label"] == "Item":
            item = row["node"]["item_id"]
            assert row["node"].get("title") == (shop.titles[item] or None)
            assert row["node"]["available"] is (item not in shop.hidden)
    assert nodes == {"User": set(shop.users), "Item": {*shop.titles}, "Category": {*shop.parents}}
    found = {
        (row["type"], f"{row['one'].lower()} {row['a']}", f"{row['two'].lower()} {row['b']}")
        for row in rows
    }
    assert found == relationships(shop)
    did = {(r["a"], r["b"], r["link"]["event"]): r["link"] for r in rows if r["one"] == "User"
           and r["type"] == "INTERACTED"}  # fmt: skip
    assert did.keys() == shop.interactions.keys()
    for key, events in shop.interactions.items():
        told = did[key]
        assert told["count"] == len(events)
        assert told["weight"] == pytest.approx(sum(event.value for event in events))
        times = [event.at for event in events]
        first, last = (told[name].to_native() for name in ("first_at", "last_at"))
        assert (first, last) == (min(times), max(times))


def test_only_rows_that_cannot_be_taken_are_rejected(odd: OddServed) -> None:
    assert odd.loaded.rejected == len(odd.shop.rejected)
    if odd.loaded.rejects is None:
        assert not odd.shop.rejected
        return
    with odd.loaded.rejects.open(encoding="utf-8", newline="") as file:
        told = {next(csv.reader([row["row"]]))[0]: row["column"] for row in csv.DictReader(file)}
    assert told == odd.shop.rejected


def test_what_is_read_and_written_again_is_the_same(odd: OddServed) -> None:
    """As other modules of tests get this graph."""
    write_all(odd.served.gateway, *read_all(odd.served.gateway))
    assert graph_hash(odd.served.gateway) == odd.graph_hash
