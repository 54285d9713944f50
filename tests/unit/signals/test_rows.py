import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceRows
from recsvc.signals import RowSignal
from recsvc.signals.rows import truncate_rows

N_EVIDENCE, N_ITEMS = 4, 6
DENSE = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0]), min_size=N_ITEMS, max_size=N_ITEMS),
    min_size=N_EVIDENCE,
    max_size=N_EVIDENCE,
).map(lambda rows: np.array(rows, np.float32))


def signal(dense: NDArray[np.float32]) -> RowSignal:
    ids = IdMap([f"c{row}" for row in range(len(dense))])
    return RowSignal("path", "category", ids, sp.csr_matrix(dense))


def evidence(weights: dict[int, float]) -> EvidenceRows:
    return EvidenceRows(
        np.arange(len(weights)), np.array(list(weights), np.int64), np.array([*weights.values()])
    )


@given(
    DENSE,
    st.dictionaries(st.integers(0, N_EVIDENCE - 1), st.sampled_from([-1.0, 0.5, 3.0])),
    st.lists(st.integers(0, N_ITEMS - 1), unique=True),
)
def test_terms_and_scores_are_those_of_the_dense_matrix(
    dense: NDArray[np.float32], weights: dict[int, float], items: list[int]
) -> None:
    kernel, given_evidence = signal(dense), evidence(weights)
    by_hand = given_evidence.weight[:, None] * dense[given_evidence.row]
    np.testing.assert_allclose(kernel.raw_scores(given_evidence), by_hand.sum(axis=0), rtol=1e-6)
    assert kernel.raw_scores(given_evidence).dtype == np.float32
    np.testing.assert_array_equal(
        kernel.terms(given_evidence, np.array(items, np.int64)), by_hand[:, items]
    )
    users = np.zeros((2, N_EVIDENCE), np.float32)
    users[1, given_evidence.row] = given_evidence.weight
    np.testing.assert_allclose(
        kernel.batch_scores(sp.csr_matrix(users)), [np.zeros(N_ITEMS), by_hand.sum(axis=0)],
        rtol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 150, 151, 400])
def test_few_and_many_rows_are_added_up_alike(count: int) -> None:
    rng = np.random.default_rng(count)
    dense = (rng.random((500, 9)) * (rng.random((500, 9)) < 0.3)).astype(np.float32)
    ids = IdMap([f"c{row:03}" for row in range(500)])
    chosen = EvidenceRows(
        np.arange(count), rng.choice(500, count, replace=False), rng.normal(size=count)
    )
    raw = RowSignal("path", "category", ids, sp.csr_matrix(dense)).raw_scores(chosen)
    expected = chosen.weight @ dense[chosen.row].astype(np.float64)
    np.testing.assert_allclose(raw, expected, rtol=1e-6, atol=1e-12)
    assert raw.dtype == np.float32


@pytest.mark.parametrize("pairs", [1, 100])
def test_likes_and_dislikes_cancel_in_float64(pairs: int) -> None:
    dense = np.full((3 * pairs, 2), 0.7, np.float32)
    weight = np.tile([0.1, 0.2, -0.3], pairs)
    rows = EvidenceRows(np.arange(len(dense)), np.arange(len(dense)), weight)
    signal = RowSignal("path", "item", IdMap([f"i{n:03}" for n in range(len(dense))]),
                       sp.csr_matrix(dense))  # fmt: skip
    assert np.abs(signal.raw_scores(rows)).max() < 1e-13


@given(DENSE, st.integers(1, N_ITEMS + 1))
def test_truncation_keeps_the_largest_and_of_ties_the_first(
    dense: NDArray[np.float32], size: int
) -> None:
    expected = np.zeros_like(dense)
    for row, values in enumerate(dense):
        stored = [column for column in range(N_ITEMS) if values[column]]
        for column in sorted(stored, key=lambda c: (-values[c], c))[:size]:
            expected[row, column] = values[column]
    short, lost = truncate_rows(sp.csr_matrix(dense), size)
    np.testing.assert_array_equal(short.toarray(), expected)
    assert short.dtype == np.float32
    assert short.has_canonical_format
    total = float(dense.sum())
    assert lost == pytest.approx(1 - float(expected.sum()) / total if total else 0.0, abs=1e-6)


def test_truncation_takes_unsorted_columns() -> None:
    rows = sp.csr_matrix(
        (np.array([1.0, 3.0, 1.0], np.float32), np.array([2, 1, 0]), np.array([0, 3])),
        shape=(1, 3),
    )
    assert truncate_rows(rows, 2)[0].toarray().tolist() == [[1.0, 3.0, 0.0]]


@given(DENSE, st.integers(1, N_ITEMS + 1))
def test_any_kernel_becomes_rows_of_its_largest_entries_of_either_sign(
    dense: NDArray[np.float32], size: int
) -> None:
    signed = dense - 0.125 * (dense == 0.5)  # no two magnitudes but those of equal values
    signed[:, ::2] *= -1.0
    told: list[int] = []
    rows, cut = signal(signed).kernel_rows(size, told.append)
    assert told == [len(signed)]
    largest = rows.toarray()
    kept = largest != 0.0
    np.testing.assert_array_equal(largest[kept], signed[kept])
    for row, values in enumerate(np.abs(signed)):
        expected = np.sort(values)[::-1][:size]
        np.testing.assert_array_equal(
            np.sort(np.abs(largest[row]))[::-1][: len(expected)], expected
        )
        assert kept[row].sum() <= size
    total = float(np.abs(signed).sum())
    lost = 1 - float(np.abs(largest).sum()) / total if total else 0.0
    assert cut == pytest.approx(lost, abs=1e-6)
    assert rows.dtype == np.float32
