import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import Interactions
from recsvc.splits import entries, hold_out

EDGES = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 25), st.integers(0, 2)), unique=True, max_size=150
).map(sorted)
FRACTIONS = st.floats(0.01, 0.99)
MINIMA = st.integers(1, 8)
SEEDS = st.integers(0, 2**32)


def interactions(edges: list[tuple[int, int, int]]) -> Interactions:
    columns = np.array(edges, np.int64).reshape(-1, 3)
    return Interactions(
        columns[:, 0],
        columns[:, 1],
        columns[:, 2].astype(np.int8),
        np.ones(len(edges), np.float32),
        np.full(len(edges), np.nan),
        ("view", "cart", "purchase"),
    )


@given(EDGES, FRACTIONS, MINIMA, SEEDS)
def test_each_user_loses_their_share_and_keeps_one(edges, fraction, minimum, seed) -> None:
    mask = hold_out(interactions(edges), fraction, minimum=minimum, seed=seed)
    for user in {edge[0] for edge in edges}:
        items = {edge[1] for edge in edges if edge[0] == user}
        lost = {e[1] for e, held in zip(edges, mask, strict=True) if held and e[0] == user}
        expected = min(round(len(items) * fraction), len(items) - 1)
        assert len(lost) == (expected if len(items) >= minimum else 0)


@given(EDGES, FRACTIONS, SEEDS)
def test_a_user_and_an_item_are_in_one_part_only(edges, fraction, seed) -> None:
    mask = hold_out(interactions(edges), fraction, minimum=1, seed=seed)
    held = {edge[:2] for edge, out in zip(edges, mask, strict=True) if out}
    kept = {edge[:2] for edge, out in zip(edges, mask, strict=True) if not out}
    assert not held & kept
    assert held | kept == {edge[:2] for edge in edges}


@given(EDGES, FRACTIONS, SEEDS)
def test_the_seed_decides(edges, fraction, seed) -> None:
    first = hold_out(interactions(edges), fraction, seed=seed)
    np.testing.assert_array_equal(hold_out(interactions(edges), fraction, seed=seed), first)


def test_another_seed_gives_another_split() -> None:
    edges = [(user, item, 0) for user in range(5) for item in range(30)]
    assert (
        hold_out(interactions(edges), seed=0).tolist()
        != hold_out(interactions(edges), seed=1).tolist()
    )


@given(EDGES, FRACTIONS, SEEDS)
def test_a_matrix_and_its_relationships_are_split_alike(edges, fraction, seed) -> None:
    edges = [edge for edge in edges if edge[2] == 0]
    columns = np.array(edges, np.int64).reshape(-1, 3)
    matrix = sp.csr_matrix(
        (np.arange(1.0, len(edges) + 1), (columns[:, 0], columns[:, 1])), shape=(7, 26)
    )
    mask = hold_out(matrix, fraction, minimum=1, seed=seed)
    np.testing.assert_array_equal(
        mask, hold_out(interactions(edges), fraction, minimum=1, seed=seed)
    )
    held, kept = entries(matrix, mask), entries(matrix, ~mask)
    assert (held + kept != matrix).nnz == 0
    assert held.multiply(kept).nnz == 0


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction) -> None:
    with pytest.raises(ValueError, match="expected above 0 and below 1"):
        hold_out(interactions([(0, 0, 0)]), fraction, seed=0)
