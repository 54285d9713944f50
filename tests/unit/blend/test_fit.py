"""What a blend learns: the figures of the validation users."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import BASE
from recsvc.blend.fit import Journal, Parts, SplitSignals, fit_whole
from recsvc.blend.hold_out import held_out_mask, split_by
from recsvc.blend.learn import learn, usual_weights, validation_accuracy
from recsvc.blend.options import BlendOptions
from recsvc.blend.parts import Fitted, Vectors
from recsvc.blend.weights import candidates_in_parts
from recsvc.evaluation.metrics import evaluate, top_k

USERS, ITEMS = 30, 400


def test_metrics_are_those_of_ranking_all_items() -> None:
    """Also of a signal that knows few items, and of some users nothing."""
    rng = np.random.default_rng(7)
    seen = sp.csr_matrix(rng.random((USERS, ITEMS)) < 0.05, dtype=np.float32)
    wanted = (rng.random((USERS, ITEMS)) < 0.03) & ~seen.toarray().astype(bool)
    wanted[:, 0] |= ~wanted.any(axis=1)
    held_out = sp.csr_matrix(wanted, dtype=np.float32)
    dense = rng.normal(size=(USERS, ITEMS)).astype(np.float32) + 2 * wanted
    few = (rng.random((USERS, ITEMS)) < 0.02 + 0.3 * wanted) * (rng.random((USERS, ITEMS)) + 1)
    few[::3] = 0.0
    prior = np.broadcast_to(rng.random(ITEMS, np.float32), (USERS, ITEMS))
    signals = {"dense": dense, "few": few.astype(np.float32), BASE: prior}
    weights = {"dense": 0.5, "few": 1.0, BASE: 0.1}
    candidates = candidates_in_parts(
        lambda some: [scores[some] for scores in signals.values()], len(signals), seen, held_out
    )
    accuracy = validation_accuracy(candidates, weights)
    blend = sum(weights[name] * scores for name, scores in signals.items())
    for name, scores in {**signals, "hybrid": blend}.items():
        ranking = top_k(lambda users, _own, s=scores: s[users], seen, k=20)
        assert accuracy[name].keys() == {"recall@20", "ndcg@20"}
        items = np.where(np.take_along_axis(scores, ranking.items, 1) == 0.0, -1, ranking.items)
        ranking = type(ranking)(ranking.user_index, items, ranking.scores)
        expected = evaluate(ranking, held_out, seen, cuts=(20,)).per_user
        for metric, values in accuracy[name].items():
            np.testing.assert_allclose(values, expected[metric])


@pytest.mark.parametrize(("share", "left"), [(0.1, 0.1), (0.3, 0.5), (0.5, 1.0)])
def test_the_fit_on_everything_goes_on_where_little_was_held_out(share: float, left: float) -> None:
    """From the tables of the fit that found the epochs; else from a beginning of its own."""
    rng = np.random.default_rng(0)
    row, column = np.nonzero(rng.random((120, 100)) < 0.3)
    none = np.zeros(len(row))
    did = Interactions(row, column, none.astype(np.int8), none + 1.0, none, ("interaction",))
    users, items = (IdMap([f"{n:03}" for n in range(size)]) for size in (120, 100))
    graph = HeteroGraph(users, items, IdMap(()), did, Edges.empty(), Edges.empty())
    evidence = sp.csr_matrix((none + 1.0, (row, column)), shape=(120, 100), dtype=np.float32)
    starts: list[tuple[bool, float]] = []

    def fit(name, graph, evidence, purpose="", *, start=(), share=1.0, **_more) -> Fitted:
        starts.append((bool(start), share))
        sizes = [(len(ids), 4) for ids in (graph.users, graph.items, graph.items)]
        vectors = [rng.normal(size=size).astype(np.float32) for size in sizes]
        return Fitted(Vectors(*vectors), 3, tables=(vectors[0],))

    options = BlendOptions(models=("lightgcn",), validation_users=20, held_out_share=share)
    parts = Parts(options, ("interaction",), fit, None, Journal())
    split = split_by(held_out_mask(graph, evidence, options, 0), graph, evidence)
    learned = learn(parts, split)
    given = learned.weights, learned.epochs
    fit_whole(parts, graph, evidence, *given, tables=learned.tables, share=learned.share)
    assert starts == [(False, 1.0), (left < 1.0, left)]
    assert set(learned.tables) == ({"lightgcn"} if left < 1.0 else set())


@pytest.mark.parametrize("able", [9, 10])
def test_weights_are_learned_from_ten_users_on(able: int) -> None:
    rng = np.random.default_rng(0)
    liked = np.zeros((30, 20), bool)
    for user in range(30):
        liked[user, rng.choice(20, 6 if user < able else 4, replace=False)] = True
    row, column = np.nonzero(liked)
    none = np.zeros(len(row))
    did = Interactions(row, column, none.astype(np.int8), none + 1.0, none, ("interaction",))
    users, items = (IdMap([f"{n:03}" for n in range(size)]) for size in (30, 20))
    graph = HeteroGraph(users, items, IdMap(()), did, Edges.empty(), Edges.empty())
    evidence = sp.csr_matrix((none + 1.0, (row, column)), shape=(30, 20), dtype=np.float32)

    def fit(name, graph, evidence, purpose="", **_more) -> Fitted:
        return Fitted(sp.csr_matrix(evidence.T @ evidence), 0)

    options = BlendOptions(models=("ease",))
    parts = Parts(options, ("interaction",), fit, None, Journal())
    split = split_by(held_out_mask(graph, evidence, options, 0), graph, evidence)
    learned = learn(parts, split)
    if able == 9:
        assert learned.unlearned == "9 users have 5 different items or more, 10 are needed"
        assert learned.metrics == {}
    else:
        assert learned.unlearned == ""
        assert learned.metrics.keys() > {"hybrid", "ease"}
    whole = fit_whole(
        parts, graph, evidence, learned.weights, learned.epochs, reliance=learned.reliance
    )
    assert min(whole.blend.weights) > 0.0


def test_people_with_few_items_are_validated_too() -> None:
    """As many as of those with many: the gate and the page see their groups."""
    rng = np.random.default_rng(1)
    each = np.repeat([3, 10], 40)
    row = np.repeat(np.arange(len(each)), each)
    column = np.concatenate([np.sort(rng.choice(50, n, replace=False)) for n in each])
    none = np.zeros(len(row))
    did = Interactions(row, column, none.astype(np.int8), none + 1.0, none, ("interaction",))
    users, items = (IdMap([f"{n:03}" for n in range(size)]) for size in (len(each), 50))
    graph = HeteroGraph(users, items, IdMap(()), did, Edges.empty(), Edges.empty())
    evidence = sp.csr_matrix((none + 1.0, (row, column)), (len(each), 50), dtype=np.float32)

    def fit(name, graph, evidence, purpose="", **_more) -> Fitted:
        sizes = [(len(ids), 4) for ids in (graph.users, graph.items, graph.items)]
        return Fitted(Vectors(*[rng.normal(size=size).astype(np.float32) for size in sizes]), 3)

    options = BlendOptions(models=("lightgcn",), validation_users=30)
    parts = Parts(options, ("interaction",), fit, None, Journal())
    learned = learn(parts, split_by(held_out_mask(graph, evidence, options, 0), graph, evidence))
    groups = {group.group: group.users for group in learned.by_items_known}
    assert groups == {"2": 30, "7 to 14": 30}


def test_what_followed_people_say_counts_as_much_as_it_was_learned_with() -> None:
    """λ is learned without factors; with five items and four people that factor is 2√2."""
    every, items = np.arange(USERS), np.arange(USERS * 6) % ITEMS
    evidence = sp.csr_matrix(
        (np.ones(USERS * 6, np.float32), (np.repeat(every, 6), items)), shape=(USERS, ITEMS)
    )
    users, ids = (IdMap([f"{n:03}" for n in range(size)]) for size in (USERS, ITEMS))
    none = np.zeros(USERS * 6)
    did = Interactions(
        np.repeat(every, 6), items, none.astype(np.int8), none + 1.0, none, ("interaction",)
    )
    graph = HeteroGraph(users, ids, IdMap(()), did, Edges.empty(), Edges.empty())
    split = split_by(np.arange(evidence.nnz) % 6 == 0, graph, evidence)
    follows = sp.csr_matrix(np.tile(np.arange(USERS) < 4, (USERS, 1)), dtype=np.float32)
    given = {"item": split.kept, "user": follows, "category": sp.csr_matrix((USERS, 0))}
    signals = SplitSignals(
        split, {}, given, (), {"followed_user_item": split.held_out},
        np.zeros(ITEMS, np.float32), {},
    )  # fmt: skip
    raw = split.held_out.toarray()
    scores = [raw, np.zeros_like(raw)]
    candidates = candidates_in_parts(
        lambda some: [each[some] for each in scores], 2, split.kept, split.held_out
    )
    weights = usual_weights(signals, candidates, {"followed_user_item": "user"})
    assert weights["followed_user_item"] == pytest.approx(1 / (2 * 2**0.5))
