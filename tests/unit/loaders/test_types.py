import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.types import Edges, EmbeddingTable, HeteroGraph, IdMap, Interactions


def interactions(users: list[int], items: list[int]) -> Interactions:
    n = len(users)
    return Interactions(
        np.array(users, np.int64), np.array(items, np.int64), np.zeros(n, np.int8),
        np.arange(n, dtype=np.float32), np.full(n, np.nan), ("listen",),
    )  # fmt: skip


def edges(source: list[int], target: list[int]) -> Edges:
    return Edges(
        np.array(source, np.int64), np.array(target, np.int64), np.ones(len(source), np.float32)
    )


@given(st.lists(st.text(max_size=5)))
def test_id_map_is_a_bijection_in_code_point_order(ids: list[str]) -> None:
    id_map = IdMap.from_unsorted(ids)
    assert list(id_map) == sorted(set(ids))
    assert id_map.rows(list(id_map)).tolist() == list(range(len(id_map)))
    for identifier in ids:
        assert identifier in id_map
        assert id_map[id_map.row(identifier)] == identifier


def test_unknown_ids_have_row_minus_one() -> None:
    id_map = IdMap(["a", "c"])
    assert id_map.row("b") == -1
    assert id_map.rows(["c", "b", "a"]).tolist() == [1, -1, 0]
    assert id_map.rows([]).dtype == np.int64
    assert "b" not in id_map


@pytest.mark.parametrize("ids", [["b", "a"], ["a", "a"]])
def test_id_map_refuses_what_is_not_ascending(ids: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{ids[0]!r} before {ids[1]!r}"):
        IdMap(ids)


def test_id_map_equality_is_of_ids_and_its_repr_shows_none() -> None:
    assert IdMap(["a", "b"]) == IdMap.from_unsorted(["b", "a"])
    assert hash(IdMap(["a"])) == hash(IdMap(["a"]))
    assert IdMap(["a"]) != ["a"]
    assert IdMap(["secret"])[0:1] == ("secret",)
    assert repr(IdMap(["secret"])) == "IdMap(1 ids)"


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'source': 1, 'target': 2"):
        edges([0], [0, 1])
    with pytest.raises(ValueError, match=r"'user_index': 2, 'item_index': 1"):
        interactions([0, 1], [0])


def test_take_keeps_order_and_all_columns() -> None:
    kept = interactions([0, 1, 2], [5, 6, 7]).take(np.array([True, False, True]))
    assert kept.user_index.tolist() == [0, 2]
    assert kept.item_index.tolist() == [5, 7]
    assert kept.weight.tolist() == [0.0, 2.0]
    assert len(kept) == len(kept.last_at) == len(kept.event_index) == 2
    assert kept.events == ("listen",)


@pytest.mark.parametrize(
    ("name", "source", "target", "said"),
    [
        ("follows", [0], [2], r"follows targets span 2\.\.2, expected 0\.\.1"),
        ("prefers", [-1], [0], r"prefers sources span -1\.\.-1"),
        ("in_category", [3], [0], r"in_category sources span 3\.\.3, expected 0\.\.2"),
        ("in_category", [0], [1], "in_category targets"),
        ("subcategory_of", [0], [1], "subcategory_of targets"),
        ("related_to", [0], [3], r"related_to targets span 3\.\.3, expected 0\.\.2"),
    ],
)
def test_graph_refuses_rows_outside_its_ids(
    name: str, source: list[int], target: list[int], said: str
) -> None:
    users, items, categories = IdMap(["u", "v"]), IdMap(["a", "b", "c"]), IdMap(["k"])
    with pytest.raises(ValueError, match=said):
        HeteroGraph(
            users, items, categories, interactions([0], [0]), **{name: edges(source, target)}
        )


def test_graph_refuses_interactions_outside_its_ids() -> None:
    users, items = IdMap(["u"]), IdMap(["a"])
    HeteroGraph(users, items, IdMap([]), interactions([0], [0]))
    with pytest.raises(ValueError, match="interactions sources"):
        HeteroGraph(users, items, IdMap([]), interactions([1], [0]))
    with pytest.raises(ValueError, match="interactions targets"):
        HeteroGraph(users, items, IdMap([]), interactions([0], [1]))


@pytest.mark.parametrize("shape", [(2,), (1, 4), (3, 4)])
def test_embedding_table_wants_one_vector_per_id(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="2 ids and vectors of shape"):
        EmbeddingTable("Item", IdMap(["a", "b"]), np.zeros(shape, np.float32))
