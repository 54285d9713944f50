"""Meta-paths follow only interactions that speak for an item: on arrays, in Neo4j, on paper."""

from collections import defaultdict
from collections.abc import Iterable
from typing import LiteralString, cast

import pytest

from loaders.catalogue import Query, catalogue
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway, Row
from loaders.types import HeteroGraph
from recsvc.graph.pasteable_cypher import pasteable, path_parameters
from recsvc.signals.walk import walk_rows
from tests.conftest import running_service
from tests.integration.conftest import OddServed
from tests.odd_shop import OddShop

pytestmark = pytest.mark.neo4j

Rows = dict[tuple[str, str], float]
SPEAK = ("cart", "purchase", "view")
NAMES = ("item_user_item", "followed_user_item")
SILENT = Query(
    "tests/silent", "", "write", {"item_ids": "any", "events": "any", "weight": "float"}, {},
    "UNWIND $item_ids AS item_id MATCH (i:Item {item_id: item_id}) MATCH (u:User) "
    "UNWIND $events AS event "
    "MERGE (u)-[r:INTERACTED {event: event}]->(i) "
    "ON CREATE SET r.weight = $weight, r.planted = true",
)  # fmt: skip
UNPLANT = Query(
    "tests/unplant", "", "write", {}, {},
    "MATCH ()-[r:INTERACTED {planted: true}]->() DELETE r",
)  # fmt: skip
FEW = 100
"""Nobody has more items that speak, and no item more people: no cap cuts anything."""


class Counted:
    """What speaks in the tables, counted in plain Python."""

    def __init__(self, shop: OddShop) -> None:
        self.links: defaultdict[tuple[str, str], int] = defaultdict(int)
        for (user, item, kind), events in shop.interactions.items():
            self.links[user, item] += kind in SPEAK and sum(each.value for each in events) > 0
        self.items, self.people = (defaultdict[str, dict[str, int]](dict) for _ in range(2))
        for (user, item), links in self.links.items():
            if links:
                self.items[user][item] = self.people[item][user] = links
        assert all(len(each) <= FEW for each in [*self.items.values(), *self.people.values()])

    def degree(self, node: str) -> int:
        """Relationships that speak; no user has the id of an item that anybody has."""
        return sum(self.items[node].values())

    def popularity(self, item: str) -> int:
        return sum(self.people[item].values())

    def one_path(self, evidence: str, person: str, item: str) -> float:
        return (
            self.popularity(evidence) ** -0.7
            * self.degree(person) ** -0.7
            * self.popularity(item) ** -0.4
        )

    def item_user_item(self) -> Rows:
        rows: defaultdict[tuple[str, str], float] = defaultdict(float)
        for evidence, people in list(self.people.items()):
            for person in people:
                for item in self.items[person]:
                    if item != evidence:
                        rows[evidence, item] += self.one_path(evidence, person, item)
        return dict(rows)

    def followed_user_item(self) -> Rows:
        return {
            (user, item): self.degree(user) ** -0.5
            for user, items in list(self.items.items())
            for item in items
        }


def _on_arrays(name: str, graph: HeteroGraph, kinds: Iterable[str] = SPEAK) -> Rows:
    walk = catalogue()[f"metapaths/{name}"].walk
    assert walk is not None
    found = walk_rows(walk, graph, tuple(kinds), len(graph.items)).tocoo()
    ids = {"Item": graph.items, "User": graph.users}[walk.start]
    entries = zip(found.row.tolist(), found.col.tolist(), found.data.tolist(), strict=True)
    return {(ids[row], graph.items[column]): value for row, column, value in entries}


def _in_cypher(gateway: Neo4jGateway, name: str, ids: Iterable[str]) -> Rows:
    query = catalogue()[f"metapaths/{name}"]
    rows = gateway.run(query, evidence_ids=sorted(ids), kinds=list(SPEAK))
    assert len(rows) == len({(row["evidence_id"], row["item_id"]) for row in rows})
    return {(row["evidence_id"], row["item_id"]): row["strength"] for row in rows}


def _pasted(gateway: Neo4jGateway, text: str) -> list[Row]:
    return gateway.run(Query("tests/pasted", "", "read", {}, {}, cast(LiteralString, text)))


def _added_up(rows: Iterable[Row]) -> Rows:
    total: defaultdict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        total[row["evidence_id"], row["item_id"]] += row["strength"]
        for link in row["path"].relationships:
            if link.type == "INTERACTED":
                assert link["event"] in SPEAK
    return dict(total)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_cypher_explanation_and_pasted_query_are_what_the_tables_say(
    odd: OddServed, name: str
) -> None:
    gateway, counted = odd.served.gateway, Counted(odd.shop)
    expected: Rows = getattr(counted, name)()
    graph = extract_graph(gateway)
    assert set(graph.interactions.events) > set(SPEAK)
    assert _on_arrays(name, graph) == pytest.approx(expected, rel=1e-5)
    assert _on_arrays(name, graph, graph.interactions.events) != pytest.approx(expected, rel=1e-5)
    ids = {evidence for evidence, _ in expected}
    assert _in_cypher(gateway, name, ids) == pytest.approx(expected, rel=1e-9)
    pairs = sorted(expected)[:: max(1, len(expected) // 60)]
    some = {pair: expected[pair] for pair in pairs}
    parameters = path_parameters(pairs, "u1", SPEAK, limit=1_000)
    drawn = gateway.run(catalogue()[f"explain/{name}"], **parameters)
    assert _added_up(drawn) == pytest.approx(some, rel=1e-9)
    assert _added_up(_pasted(gateway, pasteable(name, parameters))) == pytest.approx(some, rel=1e-9)


def test_what_everybody_returned_or_nobody_weighed_is_on_no_path_and_in_no_degree(
    odd: OddServed,
) -> None:
    """Of i88 and i89, which nobody has, and of an item that many have."""
    gateway, planted = odd.served.gateway, ["i88", "i89", "i10"]
    before = {name: _on_arrays(name, extract_graph(gateway)) for name in NAMES}
    try:
        gateway.run(SILENT, item_ids=planted, events=["return", "dislike", "wink"], weight=9.0)
        gateway.run(SILENT, item_ids=planted[:2], events=["purchase"], weight=-1.0)
        graph = extract_graph(gateway)
        assert len(graph.interactions) > 8 * len(graph.users)
        for name in NAMES:
            assert _on_arrays(name, graph) == before[name]
            ids = {evidence for evidence, _ in before[name]} | {"i88", "i89"}
            found = _in_cypher(gateway, name, ids)
            assert found == pytest.approx(before[name], rel=1e-5)
            assert not {node for pair in found for node in pair} & {"i88", "i89"}
        pairs = [("i88", "i89"), ("i88", "i10"), ("i10", "i88")]
        parameters = path_parameters(pairs, "u1", SPEAK, limit=10)
        assert gateway.run(catalogue()["explain/item_user_item"], **parameters) == []
        pairs = [(user, item) for user in ("u1", "u5", "bot") for item in ("i88", "i89")]
        parameters = path_parameters(pairs, "u1", SPEAK, limit=10)
        assert gateway.run(catalogue()["explain/followed_user_item"], **parameters) == []
        steps = gateway.run(
            catalogue()["serve/two_steps"], evidence_ids=["i88", "i10"], kinds=list(SPEAK)
        )
        (row,) = steps
        assert row["evidence_id"] == "i10"
        assert not {"i88", "i89"} & set(row["item_ids"])
        assert 0 < sum(row["shares"]) <= 1 + 1e-9
    finally:
        gateway.run(UNPLANT)
    assert _on_arrays("item_user_item", extract_graph(gateway)) == before["item_user_item"]


def test_a_hand_made_weight_that_cannot_be_read_speaks_nowhere(odd: OddServed) -> None:
    gateway = odd.served.gateway
    before = {name: _on_arrays(name, extract_graph(gateway)) for name in NAMES}
    try:
        for item, weight in (("i88", "many"), ("i89", 1e9), ("i10", float("nan"))):
            gateway.run(SILENT, item_ids=[item], events=["purchase", "VIEW", "buy"], weight=weight)
        graph = extract_graph(gateway)
        for name in NAMES:
            assert _on_arrays(name, graph) == before[name]
            ids = {evidence for evidence, _ in before[name]} | {"i88", "i89"}
            assert _in_cypher(gateway, name, ids) == pytest.approx(before[name], rel=1e-5)
    finally:
        gateway.run(UNPLANT)


@pytest.mark.long
def test_a_version_counts_by_its_own_kinds_whatever_the_settings_say(
    odd: OddServed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The settings now have it that a purchase speaks against an item and a return for it."""
    counted, environment = Counted(odd.shop), dict(odd.served.environment)
    environment |= {"RECSVC_EVENTS__CART__WEIGHT": "-1", "RECSVC_EVENTS__RETURN__WEIGHT": "2"}
    seen = 0
    with running_service(environment, tmp_path_factory.mktemp("log") / "serve.log") as service:
        for user in ("u0", "u2", "u4", "u13"):
            path = f"/v1/users/{user}/recommendations"
            answer = service.client.get(path, params={"k": 5, "explain": "full"}).json()
            for item in answer["items"]:
                explanation = item["explanation"]
                if not explanation["cypher"]:
                    continue
                for row in _pasted(odd.served.gateway, explanation["cypher"]):
                    nodes = row["path"].nodes
                    ids = [node.get("item_id", node.get("user_id")) for node in nodes]
                    if [*nodes[1].labels] == ["User"]:
                        assert all(counted.links[ids[1], ids[at]] for at in (0, 2))
                        assert row["strength"] == pytest.approx(counted.one_path(*ids), rel=1e-9)
                        seen += 1
    assert seen > 10
