"""An odd shop in Neo4j and in plain Python, where the analysts' answers are counted again.

Several kinds of events on one pair, repeated ones, items without a title, hidden ones and one that
was deleted, two kinds of categories.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jGateway, Row
from recsvc.analyst.questions import values
from recsvc.settings import load_settings
from tests.odd_shop import OddShop

USER, OTHER, ITEM, OTHER_ITEM, DELETED = "u4", "u6", "i0", "i28", "i9"
KIND = {"A1": "room", "A2": "room", "B": "tag", "i1": "tag"}
MODEL, OTHER_MODEL = "fastrp", "mf"

CHANGE = Query(
    "tests/change", "", "write", {"item_id": "str", "kinds": "map"}, {},
    """
    MATCH (item:Item {item_id: $item_id}) DETACH DELETE item
    WITH count(*) AS deleted
    MATCH (c:Category) WHERE $kinds[c.category_id] IS NOT NULL SET c.kind = $kinds[c.category_id]
    WITH count(*) AS done
    MATCH (i:Item) WHERE i.embedding_fastrp_a IS NOT NULL
    SET i.embedding_fastrp_b = [0.0, 0.0, 0.0, 0.0] + i.embedding_fastrp_a[4..]
    """,
)  # fmt: skip
VECTORS = Query(
    "tests/vectors", "", "read", {}, {},
    "MATCH (n) WHERE n.embedding_fastrp_a IS NOT NULL RETURN labels(n)[0] AS label, "
    "coalesce(n.user_id, n.item_id) AS id, n.embedding_fastrp_a AS a, n.embedding_fastrp_b AS b",
)  # fmt: skip
SIMILAR = Query(
    "tests/similar", "", "read", {}, {},
    "MATCH (i:Item)-[near:SIMILAR]->(o:Item) RETURN near.model AS model, i.item_id AS item, "
    "o.item_id AS other, near.rank AS rank, near.score AS score",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """An odd shop with some changes, in Neo4j and in plain Python."""

    gateway: Neo4jGateway
    shop: OddShop
    vectors: Mapping[str, Mapping[str, Any]]
    other_vectors: Mapping[str, Any]
    near: tuple[Row, ...]

    def ask(self, name: str, **parameters: Any) -> list[Row]:
        """The answer to a question, with values of this shop but for some."""
        known = values(load_settings().events) | {
            "user_id": USER, "other_id": OTHER, "item_id": ITEM, "other_item_id": OTHER_ITEM,
            "model": MODEL, "other_model": OTHER_MODEL, "limit": 20,
        } | parameters  # fmt: skip
        query = catalogue()[f"analyst/{name}"]
        assert parameters.keys() <= query.params.keys()
        rows = self.gateway.run(query, **{key: known[key] for key in query.params})
        assert all(row.keys() == query.returns.keys() for row in rows)
        return rows

    @property
    def people(self) -> dict[str, int]:
        """How many have each item."""
        return {item: len(people) for item, people in self.shop.people.items()}

    @property
    def weights(self) -> dict[tuple[str, str, str], float]:
        """The weight of each relationship."""
        did = self.shop.interactions
        return {key: sum(event.value for event in events) for key, events in did.items()}

    @property
    def exposure(self) -> dict[str, float]:
        """How much the lists of the model show each item."""
        shown = dict.fromkeys(self.shop.titles, 0.0)
        for row in self.near:
            if row["model"] == MODEL:
                shown[row["other"]] += 1 / math.log2(row["rank"] + 1)
        return shown

    def weight(self, user_id: str) -> dict[str, float]:
        """What a user's items weigh, over all kinds of events."""
        found: Counter[str] = Counter()
        for (user, item, _), weight in self.weights.items():
            if user == user_id:
                found[item] += weight
        return dict(found)


def asked_shop(gateway: Neo4jGateway, shop: OddShop) -> Asked:
    """Change a refreshed odd shop, in the graph and in plain Python."""
    gateway.run(CHANGE, item_id=DELETED, kinds=KIND)
    vectors: dict[str, dict[str, Any]] = {"User": {}, "Item": {}}
    other: dict[str, Any] = {}
    for row in gateway.run(VECTORS):
        if any(row["a"]):
            vectors[row["label"]][row["id"]] = np.array(row["a"])
        if row["b"] and any(row["b"]):
            other[row["id"]] = np.array(row["b"])
    left = replace(
        shop,
        events=tuple(event for event in shop.events if event.item_id != DELETED),
        titles={item: title for item, title in shop.titles.items() if item != DELETED},
        categories={item: of for item, of in shop.categories.items() if item != DELETED},
    )
    # Who had the deleted item alone is a user still.
    left.__dict__["users"] = shop.users
    return Asked(gateway, left, vectors, other, tuple(gateway.run(SIMILAR)))
