"""Validation scores of meta-paths never see what is held out, and leave the graph as it was."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.catalogue import Query
from loaders.ingest import apply_schema
from loaders.types import IdMap
from recsvc.signals.metapath import all_rows, held_out_scores, metapath_kinds

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
COUNT = Query("tests/count", "", "read", {}, {}, "MATCH ()-[r:INTERACTED]->() RETURN count(r) AS n")
USERS, ITEMS, NONE = IdMap(["a", "b", "c"]), IdMap(["w", "x", "y", "z"]), IdMap([])


class Twice:
    """A gateway whose rehearsals all meet a transient error at first: the work is done again."""

    def __init__(self, gateway):
        self._gateway = gateway

    def rehearse(self, work):
        def again(transaction):
            work(transaction)
            return work(transaction)

        return self._gateway.rehearse(again)


def _matrix(pairs, rows, columns):
    source, target = zip(*pairs, strict=True) if pairs else ((), ())
    data = np.ones(len(pairs), np.float32)
    return sp.csr_matrix((data, (source, target)), shape=(rows, columns))


def _scores(gateway, user_index):
    held_out = _matrix([(0, 2)], 3, 4)  # y from a
    evidence = {
        "item": _matrix([(0, 1), (1, 1), (1, 3), (2, 0)], 3, 4),
        "user": _matrix([], 3, 3),
        "category": _matrix([], 3, 0),
    }
    ids = {"item": ITEMS, "user": USERS, "category": NONE}
    return held_out_scores(
        gateway, metapath_kinds(), ids, evidence, USERS, held_out, np.array(user_index), size=10,
        progress=lambda *_: None,
    )  # fmt: skip


def test_a_path_through_the_answer_itself_is_not_counted_and_nothing_is_deleted(gateway):
    apply_schema(gateway)
    gateway.run(MAKE)
    whole = all_rows(gateway, "item_user_item", ITEMS, ITEMS, 10, lambda *_: None).toarray()
    assert whole[1, 2] > 0  # x leads to y, through a alone: that would give the answer away
    scores = _scores(gateway, [0, 1])["item_user_item"].toarray()
    assert scores[0, 2] == 0
    assert scores[0, 3] > 0  # x leads to z through b
    assert gateway.run(COUNT)[0]["n"] == 5


def test_work_done_again_after_a_transient_error_counts_once(gateway):
    apply_schema(gateway)
    gateway.run(MAKE)
    once, again = _scores(gateway, [0, 2]), _scores(Twice(gateway), [0, 2])
    for name, scores in once.items():
        assert again[name].shape == scores.shape == (2, 4)
        np.testing.assert_array_equal(again[name].toarray(), scores.toarray())
