from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import Interactions
from recsvc.evaluation.splits import (
    MANY,
    entries,
    hold_out,
    hold_out_again,
    hold_out_half,
    id_numbers,
)

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


def numbered(edges: list[tuple[int, int]]) -> sp.csr_matrix:
    columns = np.array(sorted(set(edges)), np.int64).reshape(-1, 2)
    return sp.csr_matrix((np.ones(len(columns)), (columns[:, 0], columns[:, 1])), shape=(9, 30))


USER_NUMBERS, ITEM_NUMBERS = id_numbers(f"u{n}" for n in range(9)), id_numbers(map(str, range(30)))
PAIRS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 29)), max_size=150)


def held(matrix: sp.csr_matrix, fraction: float, seed: int, **more: int) -> set[tuple[int, int]]:
    mask = hold_out_again(
        matrix, USER_NUMBERS, ITEM_NUMBERS, fraction, **({"most_users": 9} | more), seed=seed
    )
    return set(zip(*entries(matrix, mask).nonzero(), strict=True))


@given(PAIRS, FRACTIONS, MINIMA, SEEDS)
def test_held_out_again_each_user_loses_their_share_and_keeps_one(
    edges, fraction, minimum, seed
) -> None:
    matrix = numbered(edges)
    losers = [user for user, _ in held(matrix, fraction, seed, minimum=minimum)]
    lost = np.bincount(np.array(losers, np.int64), minlength=9)
    for user, count in enumerate(np.diff(matrix.indptr)):
        expected = min(max(1, round(int(count) * fraction)), count - 1) if count else 0
        assert lost[user] == expected


@given(st.integers(1, 4), st.integers(0, 9), SEEDS)
def test_users_with_few_items_are_chosen_apart(most_users, light, seed) -> None:
    """Of nine users some have 4 items, the others just as many as are needed for many."""
    count = [MANY - 1 if user < light else MANY for user in range(9)]
    matrix = numbered([(user, item) for user in range(9) for item in range(count[user])])
    lost = Counter(user for user, _ in held(matrix, 0.4, seed, most_users=most_users))
    few, many = ({u: n for u, n in lost.items() if (u < light) == own} for own in (True, False))
    assert (len(few), len(many)) == (min(light, most_users), min(9 - light, most_users))
    assert set(few.values()) <= {2}
    assert set(many.values()) <= {2}


@given(PAIRS, st.tuples(st.integers(0, 8), st.integers(0, 29)), FRACTIONS, SEEDS)
def test_one_more_item_changes_at_most_one_of_its_user_and_nobody_else(
    edges, new, fraction, seed
) -> None:
    before = held(numbered([e for e in edges if e != new]), fraction, seed, minimum=1)
    after = held(numbered([*edges, new]), fraction, seed, minimum=1)
    assert len(before - after) <= 1
    assert {user for user, _ in before ^ after} <= {new[0]}
    assert len(after - before) <= 1


@given(PAIRS, st.integers(0, 8), st.floats(0.1, 0.9), SEEDS, st.integers(1, 9))
def test_one_more_user_takes_the_place_of_at_most_one(
    edges, new, fraction, seed, most_users
) -> None:
    edges = [*edges, *((user, item) for user in range(9) for item in range(10))]
    before = held(
        numbered([e for e in edges if e[0] != new]), fraction, seed, most_users=most_users
    )
    after = held(numbered(edges), fraction, seed, most_users=most_users)
    left = {user for user, _ in before} - {user for user, _ in after}
    assert len(left) <= 1
    assert {pair for pair in before if pair[0] not in left} <= after
    assert len({user for user, _ in after}) == most_users


def test_rows_in_another_order_and_ids_that_are_new_change_nothing() -> None:
    rng = np.random.default_rng(3)
    dense = rng.random((40, 60)) < 0.4
    users, items = [f"u{n}" for n in range(40)], [f"i{n}" for n in range(60)]

    def found(user_order, item_order, seed=1) -> set[tuple[str, str]]:
        matrix = sp.csr_matrix(dense[np.ix_(user_order, item_order)], dtype=np.float32)
        numbers = [
            id_numbers(ids[n] for n in order)
            for ids, order in ((users, user_order), (items, item_order))
        ]
        mask = hold_out_again(matrix, *numbers, 0.2, most_users=15, seed=seed)
        rows, columns = entries(matrix, mask).nonzero()
        return {
            (users[user_order[row]], items[item_order[column]])
            for row, column in zip(rows, columns, strict=True)
        }

    straight = found(np.arange(40), np.arange(60))
    assert found(rng.permutation(40), rng.permutation(60)) == straight
    assert len({user for user, _ in straight}) == 15
    assert found(np.arange(40), np.arange(60), seed=2) != straight
    assert found(np.arange(40), np.arange(60), seed=2**70) != straight


def test_held_out_items_are_spread_evenly() -> None:
    """No item is favoured, also where users and items have the same ids."""
    n = 300
    numbers = id_numbers(map(str, range(n)))
    whole = sp.csr_matrix(np.ones((n, n), np.float32))
    mask = hold_out_again(whole, numbers, numbers, 0.2, most_users=n, seed=0)
    by_item = entries(whole, mask).sum(axis=0)
    deviation = np.sqrt(n * 0.2 * 0.8)
    assert abs(np.asarray(by_item) - 0.2 * n).max() < 5 * deviation
    assert np.asarray(by_item).std() == pytest.approx(deviation, rel=0.2)


def test_numbers_of_ids_are_the_same_in_every_process_and_differ() -> None:
    numbers = id_numbers(["alice", "bob", "élodie"])
    assert len(set(numbers.tolist())) == 3
    assert id_numbers(["bob"])[0] == numbers[1]
    assert numbers[0] == -8_513_398_901_633_652_147
    assert len(id_numbers([])) == 0


@given(PAIRS, st.integers(1, 9), SEEDS, st.integers(0, 2**32))
def test_of_some_interactions_half_are_held_out_and_a_user_keeps_one(
    edges, most_users, seed, draw
) -> None:
    matrix = numbered(edges)
    able = np.random.default_rng(draw).random(matrix.nnz) < 0.5
    mask = hold_out_half(matrix, able, USER_NUMBERS, ITEM_NUMBERS, most_users=most_users, seed=seed)
    assert not (mask & ~able).any()
    kept, held_out = (np.diff(entries(matrix, part).indptr) for part in (~mask, mask))
    assert np.count_nonzero(held_out) <= most_users
    assert (kept[held_out > 0] > 0).all()


def test_half_of_many_is_held_out_whatever_else_there_is() -> None:
    numbers = id_numbers(map(str, range(200)))
    whole = sp.csr_matrix(np.ones((200, 200), np.float32))
    able = np.random.default_rng(0).random(whole.nnz) < 0.1
    mask = hold_out_half(whole, able, numbers, numbers, most_users=200, seed=0)
    assert mask.sum() == pytest.approx(0.5 * able.sum(), rel=0.05)
    fewer = hold_out_half(whole[:100], able[:20_000], numbers[:100], numbers, most_users=99, seed=0)
    again = mask[:20_000].reshape(100, 200)[fewer.reshape(100, 200).any(axis=1)]
    np.testing.assert_array_equal(fewer.reshape(100, 200)[fewer.reshape(100, 200).any(1)], again)


@given(PAIRS, FRACTIONS, SEEDS)
def test_the_latest_of_each_user_are_held_out_and_what_has_no_time_is_the_oldest(
    edges, fraction, seed
) -> None:
    matrix = numbered(edges)
    at = np.random.default_rng(seed).integers(1, 9, matrix.nnz).astype(float)
    times = entries(sp.csr_matrix((at, matrix.indices, matrix.indptr), matrix.shape), at < 8)
    for mask in (
        hold_out(matrix, fraction, minimum=1, seed=seed, times=times),
        hold_out_again(
            matrix, USER_NUMBERS, ITEM_NUMBERS, fraction,
            most_users=99, minimum=1, seed=seed, times=times,
        ),
    ):  # fmt: skip
        held, kept = entries(matrix, mask), entries(matrix, ~mask)
        for user in range(9):
            lost, left = (
                [times[user, item] for item in part[user].indices] for part in (held, kept)
            )
            assert not lost or not left or min(lost) >= max(left)
    random = hold_out(matrix, fraction, minimum=1, seed=seed)
    latest = hold_out(matrix, fraction, minimum=1, seed=seed, times=times)
    assert np.diff(entries(matrix, random).indptr).tolist() == (
        np.diff(entries(matrix, latest).indptr).tolist()
    )
