"""Rows of a model's table that are of no node, such as those of relations, in what is left."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.evidence import EvidenceKind
from tests.unit.refresh.test_fine_tuning_state import graph_of, made

ROWS = np.arange(1, 12, dtype=np.float32)[:, None]  # of 3 users, 4 items, 2 categories, 2 relations


def test_they_stay_as_they_are_where_nodes_came_and_went() -> None:
    graph = graph_of(("u0", "u1", "u5"), ("i2", "i3", "i5", "i7"))
    evidence = sp.csr_matrix(np.zeros((3, 4), np.float32))
    (table,) = made(tables={"transe": (ROWS,)}).placed_tables("transe", graph, evidence)
    nothing = np.nan
    expected = [nothing, 1, 3, nothing, 5, 6, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(table[:, 0], expected)


@pytest.mark.parametrize(
    ("kind", "name", "gone"), [("user", "u3", 2), ("item", "i7", 7), ("category", "c2", 9)]
)
def test_they_stay_as_they_are_where_a_node_is_deleted(
    kind: EvidenceKind, name: str, gone: int
) -> None:
    (table,) = made(tables={"transe": (ROWS,)}).without(kind, [name]).tables["transe"]
    assert table[:, 0].tolist() == [row for row in range(1, 12) if row != gone]
