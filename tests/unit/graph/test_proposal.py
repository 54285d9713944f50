"""What is proposed for graphs that nobody has described."""

import re
from collections.abc import Mapping
from typing import Any, cast

import pytest

from loaders.catalogue import Query
from loaders.errors import ForeignGraphError
from loaders.gateway import Gateway, Row
from loaders.graph_survey import Link, Survey
from recsvc.graph.proposal import Proposal, propose

Properties = Mapping[str, Mapping[str, Any]]
"""By label or type: an example of each property."""


class FakeGateway:
    """Answers what properties there are."""

    def __init__(self, properties: Properties) -> None:
        self.properties = properties

    def run(self, query: Query, *, sample: int) -> list[Row]:
        named = re.search(r"[(\[][nr]:(?:`([^`]+)`|(\w+))[)\]]", query.text)
        name = named and (named[1] or named[2])
        kinds = {str: "STRING", int: "INTEGER", float: "FLOAT", bool: "BOOLEAN"}
        return [
            {
                "name": key, "count": sample, "types": [kinds[type(value)]], "example": value,
                "different": sample if key.lower().endswith(("id", "isbn")) else sample // 2,
                "mean": value if isinstance(value, int | float) else None,
            }
            for key, value in self.properties.get(name or "", {}).items()
        ]  # fmt: skip


def proposed(
    labels: Mapping[str, int], links: list[tuple[str, str, str, int]], properties: Properties
) -> Proposal:
    gateway = cast(Gateway, FakeGateway(properties))
    return propose(Survey(gateway, labels, [Link(*each) for each in links], {}, {}))


SHOP: Properties = {
    "Customer": {"id": 1, "name": "C"}, "Order": {"orderId": 1, "placedAt": "2024-01-01"},
    "Product": {"id": 1, "title": "P", "deleted": False}, "Category": {"id": 1, "name": "K"},
    "VIEWED": {"at": 1_700_000_000_000}, "CONTAINS": {"quantity": 2},
}  # fmt: skip


def test_orders_lead_from_customers_to_products_and_views_do_too() -> None:
    proposal = proposed(
        {"Customer": 60, "Order": 200, "Product": 50, "Category": 5, "Address": 60},
        [("Customer", "VIEWED", "Product", 900), ("Order", "CONTAINS", "Product", 600),
         ("Customer", "PLACED", "Order", 200), ("Customer", "LIVES_AT", "Address", 60),
         ("Product", "IN", "Category", 50)],
        SHOP,
    ).graph  # fmt: skip
    assert (proposal.user.label, proposal.user.title) == ("Customer", "name")
    assert (proposal.item.label, proposal.item.available) == ("Product", "item.deleted = false")
    paths = {each.event: each for each in proposal.interactions}
    assert paths["view"].path == "(user)-[viewed:VIEWED]->(item)"
    assert paths["view"].timestamp == "viewed.at"
    assert paths["purchase"].path == (
        "(user)-[placed:PLACED]->(order:Order)-[contains2:CONTAINS]->(item)"
    )
    assert paths["purchase"].value == "contains2.quantity"
    assert paths["purchase"].timestamp == "order.placedAt"
    assert [each.path for each in proposal.item_categories] == ["(item)-[:IN]->(category:Category)"]


def test_a_rating_is_taken_as_it_is_and_its_mean_is_told() -> None:
    proposal = proposed(
        {"Reader": 50, "Book": 80, "Author": 30},
        [("Reader", "RATED", "Book", 400), ("Author", "WROTE", "Book", 80),
         ("Reader", "KNOWS", "Reader", 90)],
        {"Reader": {"uuid": "r", "fullName": "R"}, "Book": {"isbn": "9", "title": "B"},
         "Author": {"authorId": "a", "name": "A"}, "RATED": {"stars": 3.6}},
    )  # fmt: skip
    graph = proposal.graph
    assert (graph.user.id, graph.item.id) == ("uuid", "isbn")
    assert (graph.interactions[0].event, graph.interactions[0].value) == ("rating", "rated.stars")
    assert any('"rated.stars - 3.5", about its mean' in reason for reason in proposal.reasons)
    assert [each.path for each in graph.follows] == ["(user)-[:KNOWS]->(other)"]
    assert list(graph.category) == ["author"]


def test_a_graph_without_users_and_items_says_so() -> None:
    with pytest.raises(ForeignGraphError, match="no users and items were found"):
        proposed({"City": 9, "Country": 3}, [("City", "IN", "Country", 9)], {})


def test_nodes_that_nothing_tells_apart_are_named() -> None:
    with pytest.raises(ForeignGraphError, match="no property of :Book tells its nodes apart"):
        proposed(
            {"Reader": 50, "Book": 80}, [("Reader", "LIKES", "Book", 400)],
            {"Reader": {"readerId": 1}, "Book": {"title": "B"}},
        )  # fmt: skip
