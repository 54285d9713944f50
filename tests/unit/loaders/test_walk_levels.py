"""A hop that follows itself: `<-[SUBCATEGORY_OF *10]-`."""

import numpy as np
import pytest

from loaders.errors import CatalogueError
from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from loaders.walk import parse_walk
from recsvc.signals.walk import walk_rows

IDS = IdMap(["a", "b", "c", "d"])


def _edges(*pairs: tuple[int, int]) -> Edges:
    source, target = np.array(pairs, np.int64).T
    return Edges(source, target, np.ones(len(pairs)))


def test_it_leads_to_itself_and_to_all_below_each_once_and_no_further_than_it_says() -> None:
    # d below c below b below a, d below b too, and a below d: a circle. Item n is in category n.
    graph = HeteroGraph(
        IDS, IDS, IDS, Interactions.empty(),
        in_category=_edges((0, 0), (1, 1), (2, 2), (3, 3)),
        subcategory_of=_edges((3, 2), (2, 1), (1, 0), (3, 1), (0, 3)),
    )  # fmt: skip
    for levels, expected in (
        (1, [[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]]),
        (2, [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]]),
        (10, np.ones((4, 4)).tolist()),
    ):
        text = f"(Category) <-[SUBCATEGORY_OF *{levels}]- (Category) <-[IN_CATEGORY 200]- (Item)"
        walk = parse_walk(text)
        assert [(hop.levels, hop.cap) for hop in walk.hops] == [(levels, 0), (0, 200)]
        np.testing.assert_allclose(walk_rows(walk, graph, (), 4).toarray(), expected)


def test_a_hop_that_cannot_follow_itself_is_refused() -> None:
    with pytest.raises(CatalogueError, match="where a hop may follow itself"):
        parse_walk("(Category) <-[IN_CATEGORY *3]- (Item)")
