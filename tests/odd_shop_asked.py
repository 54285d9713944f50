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
import pytest

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

    @property
    def values(self) -> dict[str, Any]:
        """A value of this shop for every parameter of a question."""
        return values(load_settings().events) | {
            "user_id": USER, "other_id": OTHER, "item_id": ITEM, "other_item_id": OTHER_ITEM,
            "model": MODEL, "other_model": OTHER_MODEL, "limit": 20,
        }  # fmt: skip

    def ask(self, name: str, **parameters: Any) -> list[Row]:
        """The answer to a question, with values of this shop but for some."""
        query, given = self._question(name, parameters)
        rows = self.gateway.run(query, **given)
        assert all(row.keys() == query.returns.keys() for row in rows)
        return rows

    def ask_planted(self, name: str, planted: str, **parameters: Any) -> list[Row]:
        """The same in a graph that has some more."""
        write = Query("tests/planted", "", "write", {}, {}, planted)  # pyright: ignore[reportArgumentType]
        query, given = self._question(name, parameters)

        def work(transaction: Any) -> list[Row]:
            transaction.run(write)
            return transaction.run(query, **given)

        return self.gateway.run_rolled_back(work)

    def _question(self, name: str, parameters: Mapping[str, Any]) -> tuple[Query, dict[str, Any]]:
        query = catalogue()[f"analyst/{name}"]
        assert parameters.keys() <= query.params.keys()
        known = self.values | parameters
        return query, {key: known[key] for key in query.params}

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


def kinds(rows: list[Row], key: str = "category_id", kind: str = "kind") -> bool:
    """Whether each category has its kind."""
    return all(row[kind] == KIND.get(row[key]) for row in rows)


def best(scores: Mapping[Any, float], limit: int = 20) -> list[tuple[Any, float]]:
    """The highest first; ties by id."""
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 9), pair[0]))[:limit]


def pairs(rows: list[Row], key: str, value: str) -> list[tuple[Any, Any]]:
    return [(row[key], pytest.approx(row[value], rel=1e-6)) for row in rows]


def ids(path: Any) -> list[str]:
    return [n.get("user_id") or n.get("item_id") or n.get("category_id") for n in path.nodes]


def cosines(vectors: Mapping[str, Any], to: str) -> dict[str, float]:
    own = vectors[to] / np.linalg.norm(vectors[to])
    return {i: float(v @ own / np.linalg.norm(v)) for i, v in vectors.items() if i != to}


def near(rows: list[Row], key: str, expected: Mapping[str, float]) -> None:
    """The index is approximate and keeps vectors quantized."""
    found = {row[key]: row["cosine"] for row in rows}
    assert len(rows) == len(expected)
    assert len(found.keys() & expected.keys()) >= 0.8 * len(expected)
    for each in found.keys() & expected.keys():
        assert found[each] == pytest.approx(expected[each], abs=0.02)
    assert list(found.values()) == sorted(found.values(), reverse=True)
