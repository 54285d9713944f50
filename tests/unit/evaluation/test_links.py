import numpy as np
import pytest

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.evaluation import links as links_module
from recsvc.evaluation.links import (
    Links,
    filtered_ranks,
    frequency_scores,
    hold_out_links,
    link_metrics,
    links_of,
    without_links,
)

NAN = np.nan


def edges(*pairs: tuple[int, int]) -> Edges:
    source, target = np.array(pairs, np.int64).reshape(-1, 2).T
    return Edges(source, target, np.ones(len(pairs)))


def ids(letter: str, count: int) -> IdMap:
    return IdMap([f"{letter}{row:03}" for row in range(count)])


def made_graph() -> HeteroGraph:
    """Two users, three items, two categories, and one relationship or more of each type."""
    did = Interactions(
        np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), np.array([0, 1, 0, 2], np.int8),
        np.ones(4), np.full(4, NAN), ("view", "buy", "strange"),
    )  # fmt: skip
    return HeteroGraph(
        ids("u", 2), ids("i", 3), ids("c", 2), did, edges((0, 1), (1, 0)), edges((1, 1)),
        edges((0, 0), (2, 1)), edges((1, 0)), edges((0, 2)),
    )  # fmt: skip


def facts(links: Links) -> set[tuple[int, str, int]]:
    names = [links.relations[row] for row in links.relation.tolist()]
    return set(zip(links.head.tolist(), names, links.tail.tolist(), strict=True))


def test_every_relationship_is_a_fact_by_its_type_and_an_interaction_by_its_kind() -> None:
    links = links_of(made_graph(), ("buy", "view"))
    assert links.nodes == 7
    assert len(links) == len(facts(links))
    assert facts(links) == {
        (0, "FOLLOWS", 1), (1, "FOLLOWS", 0), (1, "PREFERS", 6), (2, "IN_CATEGORY", 5),
        (4, "IN_CATEGORY", 6), (6, "SUBCATEGORY_OF", 5), (2, "RELATED_TO", 4),
        (0, "INTERACTED view", 2), (0, "INTERACTED buy", 4), (1, "INTERACTED view", 3),
    }  # fmt: skip


def test_without_links_their_nodes_have_no_other_link_either() -> None:
    """User 1 and item 1 lose the strange kind too, and followers both directions."""
    graph = made_graph()
    links = links_of(graph, ("view", "buy"))
    gone = {(0, "FOLLOWS", 1), (1, "INTERACTED view", 3), (4, "IN_CATEGORY", 6)}
    mask = np.array([fact in gone for fact in zip(
        links.head.tolist(), [links.relations[r] for r in links.relation], links.tail.tolist(),
        strict=True,
    )])  # fmt: skip
    assert mask.sum() == 3
    left = without_links(graph, links.take(mask))
    assert facts(links_of(left, ("view", "buy", "strange"))) == facts(links) - gone - {
        (1, "FOLLOWS", 0)
    }


def many_links(seed: int = 0) -> Links:
    """Friends in both directions, and a kind of event of which each pair has another, too."""
    generator = np.random.default_rng(seed)
    pairs = generator.integers(0, 60, (400, 2))
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    head, tail = np.concatenate([pairs, pairs[:, ::-1]]).T
    bought = np.unique(generator.integers([0, 60], [60, 100], (500, 2)), axis=0)
    return Links(
        np.concatenate([head, bought[:, 0], bought[:, 0]]),
        np.repeat([0, 1, 2], [len(head), len(bought), len(bought)]),
        np.concatenate([tail, bought[:, 1], bought[:, 1]]),
        101,
        ("FOLLOWS", "INTERACTED view", "INTERACTED buy"),
    )


def test_links_are_held_out_by_pairs_of_nodes_and_each_node_keeps_one() -> None:
    links = many_links()
    held_out = hold_out_links(links, seed=3)
    for relation in range(3):
        assert held_out[links.relation == relation].mean() == pytest.approx(0.1, abs=0.04)
    pairs = [frozenset(pair) for pair in zip(links.head.tolist(), links.tail.tolist(), strict=True)]
    taken = {pair for pair, out in zip(pairs, held_out, strict=True) if out}
    assert taken.isdisjoint(pair for pair, out in zip(pairs, held_out, strict=True) if not out)
    left = links.take(~held_out).degrees()
    assert (left > 0).tolist() == (links.degrees() > 0).tolist()
    np.testing.assert_array_equal(held_out, hold_out_links(links, seed=3))
    assert not np.array_equal(held_out, hold_out_links(links, seed=4))


def test_a_node_with_one_link_keeps_it() -> None:
    star = Links(np.zeros(50, np.int64), np.zeros(50, np.int64), np.arange(1, 51), 51, ("FOLLOWS",))
    assert not hold_out_links(star, seed=0, share=0.9).any()


def test_of_a_relation_with_many_links_so_many_are_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links_module, "MOST_HELD_OUT", 10)
    held_out = hold_out_links(many_links(), seed=0, share=0.9)
    assert 0 < held_out.sum() < 60


def test_ranks_by_hand() -> None:
    """Nodes 0 to 4, one relation. (0, 1) is held out; (0, 2) and (3, 1) are known."""
    links = Links(np.array([0, 0, 3]), np.zeros(3, np.int64), np.array([1, 2, 1]), 5, ("R",))
    of_tails = np.array([[9.0, 2.0, 8.0, 2.0, 3.0]], np.float32)
    of_heads = np.array([[5.0, 5.0, 5.0, 7.0, 4.0]], np.float32)

    def score(known: np.ndarray, relation: int, *, tails: bool) -> np.ndarray:
        assert (known.tolist(), relation) == ([0] if tails else [1], 0)
        return of_tails if tails else of_heads

    ranks = filtered_ranks(score, links, np.array([True, False, False]))
    # Tails: 0 and 4 are above 1, 2 is a fact, 3 has the same score. Heads: 3 is a fact, and three
    # have the same score.
    np.testing.assert_array_equal(ranks, [[2.0, 3.5]])


def test_all_scores_alike_or_no_numbers_are_no_good_ranks() -> None:
    links = many_links()
    held_out = hold_out_links(links, seed=0)
    for value, least in ((0.0, 30.0), (NAN, 60.0)):

        def score(
            known: np.ndarray, relation: int, *, tails: bool, value: float = value
        ) -> np.ndarray:
            return np.full((len(known), 101), value, np.float32)

        ranks = filtered_ranks(score, links, held_out)
        assert ranks.shape == (held_out.sum(), 2)
        assert ranks.min() > least


def test_a_model_that_knows_all_ranks_first_whatever_else_is_a_fact() -> None:
    links = many_links()
    held_out = hold_out_links(links, seed=0)

    def score(known: np.ndarray, relation: int, *, tails: bool) -> np.ndarray:
        own = links.take(links.relation == relation)
        given, asked = (own.head, own.tail) if tails else (own.tail, own.head)
        found = np.zeros((links.nodes, links.nodes), np.float32)
        found[given, asked] = 1.0
        return found[known]

    assert (filtered_ranks(score, links, held_out) == 1.0).all()


def test_metrics_by_hand() -> None:
    ranks = np.array([[1.0, 4.0], [2.0, 20.0], [1.0, 1.0]])
    metrics = link_metrics(ranks, np.array([0, 2, 0]), ("A", "B", "C"))
    assert list(metrics) == ["A", "C", "all"]
    assert [metrics[name].links for name in metrics] == [2, 1, 3]
    means = {name: {k: e.mean for k, e in one.values.items()} for name, one in metrics.items()}
    assert means["A"]["mrr"] == pytest.approx((1.0 + 0.25 + 1.0 + 1.0) / 4)
    assert means["A"]["mrr of tails"] == pytest.approx((0.25 + 1.0) / 2)
    assert means["C"]["hits@1"] == 0.0
    assert means["C"]["hits@3"] == means["C"]["hits@10"] == 0.5
    assert means["all"]["hits@10"] == pytest.approx(5 / 6)
    assert metrics["all"].values["mrr"].low < metrics["all"].values["mrr"].high


def test_by_frequency_the_node_with_most_such_links_is_first() -> None:
    links = Links(
        np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]), np.array([3, 3, 4, 1]), 5, ("A", "B")
    )
    score = frequency_scores(links)
    np.testing.assert_array_equal(score(np.array([0, 9]), 0, tails=True), [[0, 0, 0, 2, 1]] * 2)
    np.testing.assert_array_equal(score(np.array([3]), 1, tails=False), [[1, 0, 0, 0, 0]])
