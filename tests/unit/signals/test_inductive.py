"""What a new item has of a network: the mean of what its neighbours send."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.signals import STORED, InductiveSignal, RowSignal

ITEMS = IdMap(["a", "b", "c"])
SENT = np.array([[4, 0], [0, 4], [0, 0]], np.float32)  # nobody had c


def made() -> InductiveSignal:
    source, target = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    return InductiveSignal(
        "graphsage", ITEMS, source, target, sent_source=SENT, sent_target=3 * SENT
    )


def test_changed_evidence_has_the_mean_of_what_is_sent_in_its_place() -> None:
    """Of those who send something: c counts for nothing."""
    fresh = sp.csr_matrix(np.array([[0.3, 0.1, 0.2], [0, 0, 0]], np.float32))
    ids = IdMap(["a", "new", "unknown"])
    live = made().with_fresh_rows(ids, np.array([0, -1, -1]), fresh, np.array([1, 1, 0]))
    assert list(live.ids) == list(ids)
    assert live.source.tolist() == [[0, 1], [3, 1], [0, 0]]
    assert live.target is made().target or live.target.tolist() == made().target.tolist()


def test_the_vector_of_a_new_item_has_length_1() -> None:
    shares = sp.csr_matrix(np.array([[0.3, 0.4, 0.0], [0, 0, 0]], np.float32))
    found = made().new_item_vectors(shares, np.array([1, 1, 0]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]], atol=1e-6)


def test_it_is_stored_whole_and_other_rows_are_taken_along() -> None:
    stored = STORED["inductive"].from_arrays("graphsage", "item", ITEMS, made().arrays(), {})
    assert isinstance(stored, InductiveSignal)
    np.testing.assert_array_equal(stored.sent_target, 3 * SENT)
    rows = np.array([1, -1])
    moved = stored.reindexed(IdMap(["b", "z"]), rows, rows)
    assert moved.sent_source.tolist() == [[0, 4], [0, 0]]
    assert moved.source.tolist() == [[2, 3], [0, 0]]


def test_a_signal_without_vectors_says_so() -> None:
    rows = RowSignal("itemknn", "item", ITEMS, sp.csr_matrix((3, 3), dtype=np.float32))
    with pytest.raises(TypeError, match="RowSignal has no vectors"):
        rows.new_item_vectors(sp.csr_matrix((1, 3), dtype=np.float32), np.ones(3, np.int64))
