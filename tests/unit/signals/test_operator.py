"""The rows of a linear kernel: over the items that share a user, and the largest of them."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.signals import operator
from recsvc.signals.operator import FilterKernel, OperatorSignal

ITEMS = 40


def linear_signal(users: int = 30, rank: int = 3, slope: float = 1.7) -> OperatorSignal:
    generator = np.random.default_rng(0)
    dense = generator.random((users, ITEMS)) * (generator.random((users, ITEMS)) < 0.1)
    dense[:, 4] = 0.0
    forth = sp.csr_matrix(dense, dtype=np.float32)
    before, after = generator.random((2, ITEMS)).astype(np.float32)
    source, target = generator.normal(size=(2, ITEMS, rank)).astype(np.float32)
    line = np.array([slope / 2.0, slope / 2.0])
    kernel = FilterKernel((forth, forth.T.tocsr()), line, before, after, source, target)
    return OperatorSignal("made", IdMap([f"i{row:02}" for row in range(ITEMS)]), kernel)


def expected_rows(signal: OperatorSignal, size: int, most: int = ITEMS) -> np.ndarray:
    """The rows written out on dense arrays."""
    kernel = signal.kernel
    forth = kernel.factors[0].toarray().astype(np.float64)
    handed = np.zeros_like(forth)
    for user, row in enumerate(forth):
        largest = np.argsort(-row, kind="stable")[:most]
        handed[user, largest] = row[largest]
    steps = forth.T @ handed
    dense = 1.7 * kernel.before[:, None] * steps * kernel.after
    dense += kernel.source.astype(np.float64) @ kernel.target.T
    dense[steps == 0.0] = 0.0
    for row in dense:
        row[np.argsort(-np.abs(row), kind="stable")[size:]] = 0.0
    return dense


@pytest.mark.parametrize("size", [1, 7, ITEMS, 500])
def test_rows_are_the_largest_entries_over_items_that_share_a_user(size: int) -> None:
    signal = linear_signal()
    told: list[int] = []
    rows, cut = signal.kernel_rows(size, told.append)
    assert told == [ITEMS]
    np.testing.assert_allclose(rows.toarray(), expected_rows(signal, size), rtol=1e-5, atol=1e-6)
    assert rows.has_sorted_indices
    assert rows.dtype == np.float32
    weight = np.abs(expected_rows(signal, ITEMS)).sum()
    kept = np.abs(rows.data).sum()
    assert cut == pytest.approx(1.0 - kept / weight, abs=1e-6)


def test_of_a_user_with_very_many_items_some_lead_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "_MOST_ITEMS", 2)
    signal = linear_signal()
    assert (np.diff(signal.kernel.factors[0].indptr) > 2).any()
    rows, _ = signal.kernel_rows(ITEMS)
    np.testing.assert_allclose(
        rows.toarray(), expected_rows(signal, ITEMS, most=2), rtol=1e-5, atol=1e-6
    )


def test_of_equal_entries_the_first_are_kept() -> None:
    forth = sp.csr_matrix(np.ones((3, ITEMS), np.float32))
    ones, none = np.ones(ITEMS, np.float32), np.zeros((ITEMS, 0), np.float32)
    line = np.array([0.5, 0.5])
    kernel = FilterKernel((forth, forth.T.tocsr()), line, ones, ones, none, none)
    rows, _ = OperatorSignal("made", IdMap([f"i{n:02}" for n in range(ITEMS)]), kernel).kernel_rows(
        5
    )
    assert rows.indices.reshape(ITEMS, 5).tolist() == [[0, 1, 2, 3, 4]] * ITEMS


def test_a_kernel_that_is_not_linear_is_scored_over_all_items() -> None:
    linear = linear_signal(rank=0).kernel
    squared = FilterKernel(
        linear.factors, np.array([0.375, 0.5, 0.125]), linear.before, linear.after,
        linear.source, linear.target,
    )  # fmt: skip
    assert linear.is_linear
    assert not squared.is_linear
    forth = linear.factors[0].toarray().astype(np.float64)
    step = forth.T @ forth
    expected = linear.before[:, None] * (step @ step) * linear.after
    rows, _ = OperatorSignal(
        "made", IdMap([f"i{n:02}" for n in range(ITEMS)]), squared
    ).kernel_rows(ITEMS)
    np.testing.assert_allclose(rows.toarray(), expected, rtol=1e-4, atol=1e-4)
