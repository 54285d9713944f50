"""Neighbours drawn at random: which, how many, and how often each."""

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsvc.models._neighbours import Links, sample_neighbours


def links_of(degrees: list[int]) -> Links:
    begin = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    return Links(begin, np.arange(begin[-1], dtype=np.int32))


def drawn_of(links: Links, nodes: list[int], most: int, seed: int) -> dict[int, list[int]]:
    """By place in `nodes`."""
    row, edge = sample_neighbours(links, np.array(nodes, np.int64), most, seed)
    assert (np.diff(row) >= 0).all()
    return {place: edge[row == place].tolist() for place in range(len(nodes))}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 12), st.integers(0, 99))
def test_each_node_has_different_ones_of_its_own(degrees: list[int], most: int, seed: int) -> None:
    links = links_of(degrees)
    nodes = list(reversed(range(len(degrees))))
    for place, edges in drawn_of(links, nodes, most, seed).items():
        node = nodes[place]
        assert len(set(edges)) == len(edges) == min(most, degrees[node])
        assert all(links.begin[node] <= edge < links.begin[node + 1] for edge in edges)


def test_what_is_drawn_for_a_node_does_not_depend_on_the_others() -> None:
    links = links_of([20, 30, 40])
    together = drawn_of(links, [2, 0, 1], 5, seed=3)
    assert drawn_of(links, [0], 5, seed=3)[0] == together[1]
    assert drawn_of(links, [0], 5, seed=4)[0] != together[1]


def test_all_sets_are_drawn_alike() -> None:
    """Of five, two at a time: ten sets."""
    links = links_of([5])
    sets = [tuple(sorted(drawn_of(links, [0], 2, seed)[0])) for seed in range(4000)]
    counts = {each: sets.count(each) for each in set(sets)}
    assert len(counts) == 10
    # Of a binomial count of 4,000 with chance 1/10, six deviations.
    assert all(abs(count - 400) < 6 * np.sqrt(4000 * 0.1 * 0.9) for count in counts.values())


def test_links_are_the_rows_of_a_matrix() -> None:
    matrix = sp.csr_matrix(np.array([[0, 2, 1], [0, 0, 0], [3, 0, 0]], np.float32))
    links = Links.of_rows(matrix)
    assert links.begin.tolist() == [0, 2, 2, 3]
    assert links.neighbour.tolist() == [1, 2, 0]
