"""Validation scores of meta-paths never see what is held out, and leave the graph as it was."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.catalogue import Catalogue, Query, catalogue
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from loaders.schema import apply_schema
from recsvc.blend.hold_out import all_evidence
from recsvc.evaluation.splits import without_pairs
from recsvc.refresh.metapath_queries import Neo4jPaths
from recsvc.signals import metapath
from recsvc.signals.metapath import (
    all_rows,
    held_out_rows,
    held_out_scores,
    metapath_kind,
)

pytestmark = pytest.mark.neo4j

MAKE = Query(
    "tests/make", "", "write", {}, {},
    """
    UNWIND [['a', 'x'], ['a', 'y'], ['b', 'x'], ['b', 'z'], ['c', 'w']] AS pair
    MERGE (u:User {user_id: pair[0]})
    MERGE (i:Item {item_id: pair[1]})
    CREATE (u)-[:INTERACTED {event: 'listen', weight: 1.0, count: 1}]->(i)
    """,
)  # fmt: skip
KINDS = ("listen",)
COUNT = Query("tests/count", "", "read", {}, {}, "MATCH ()-[r:INTERACTED]->() RETURN count(r) AS n")


class Twice:
    """A gateway whose rolled-back work meets a transient error at first: it is done again."""

    def __init__(self, gateway: Neo4jGateway) -> None:
        self._gateway = gateway
        self.run, self.read, self.graph = gateway.run, gateway.read, gateway.graph

    def run_rolled_back(self, work: Any, **more: Any) -> Any:
        def again(transaction: Any) -> Any:
            work(transaction)
            return work(transaction)

        return self._gateway.run_rolled_back(again, **more)


class Undeclared(dict[str, Query]):
    """The catalogue, as if no meta-path declared a walk or what it reads."""

    def __init__(self, declared: Catalogue) -> None:
        super().__init__(
            {name: replace(query, walk=None, reads=None) for name, query in declared.items()}
        )

    def folder(self, prefix: str) -> list[Query]:
        return [query for name, query in self.items() if name.startswith(f"{prefix}/")]


@pytest.fixture(params=["declared", "undeclared"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "undeclared":
        undeclared = Undeclared(catalogue())
        monkeypatch.setattr(metapath, "catalogue", lambda: undeclared)
    return request.param


def _scores(gateway: Any, users: list[int]) -> dict[str, sp.csr_matrix]:
    """What is held out: y from a. Scores by rows, where these can be had, and the others."""
    graph = extract_graph(gateway)
    held_out = sp.csr_matrix(([1.0], ([0], [graph.items.row("y")])), shape=(3, 4))
    left = without_pairs(graph, held_out)
    did = left.interactions
    items = sp.csr_matrix(
        (np.ones(len(did), np.float32), (did.user_index, did.item_index)), shape=(3, 4)
    )
    paths, given = Neo4jPaths(gateway), all_evidence(left, items, np.array(users))
    how = {"kinds": KINDS, "size": 10, "progress": lambda *_: None}
    by_rows = {
        name: sp.csr_matrix(given[metapath_kind(name)] @ rows)
        for name, rows in held_out_rows(paths, left, given, **how).items()
    }
    return by_rows | held_out_scores(paths, left, held_out, given, np.array(users), **how)


@pytest.mark.usefixtures("way")
def test_a_path_through_the_answer_itself_is_not_counted_and_nothing_is_deleted(
    gateway: Neo4jGateway,
) -> None:
    apply_schema(gateway)
    gateway.run(MAKE)
    graph = extract_graph(gateway)
    x, y, z = map(graph.items.row, "xyz")
    whole = all_rows(
        Neo4jPaths(gateway), "item_user_item", graph, KINDS, 10, lambda *_: None
    ).toarray()
    assert whole[x, y] > 0  # x leads to y, through a alone: that would give the answer away
    scores = _scores(gateway, [0, 1])["item_user_item"].toarray()
    assert scores[0, y] == 0
    assert scores[0, z] > 0  # x leads to z through b
    assert gateway.run(COUNT)[0]["n"] == 5


def test_both_ways_hold_out_the_same_where_one_user_is_asked(
    gateway: Neo4jGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_schema(gateway)
    gateway.run(MAKE)
    declared = _scores(gateway, [0])
    undeclared = Undeclared(catalogue())
    monkeypatch.setattr(metapath, "catalogue", lambda: undeclared)
    found = _scores(gateway, [0])
    assert found.keys() == declared.keys()
    for name, scores in found.items():
        np.testing.assert_allclose(scores.toarray(), declared[name].toarray(), rtol=1e-6)


@pytest.mark.parametrize("way", ["undeclared"], indirect=True)
@pytest.mark.usefixtures("way")
def test_work_done_again_after_a_transient_error_counts_once(gateway: Neo4jGateway) -> None:
    apply_schema(gateway)
    gateway.run(MAKE)
    once, again = _scores(gateway, [0, 2]), _scores(Twice(gateway), [0, 2])
    for name, scores in once.items():
        assert again[name].shape == scores.shape == (2, 4)
        np.testing.assert_array_equal(again[name].toarray(), scores.toarray())
