import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from recsvc.models._sgd import alias_table, train_walks
from recsvc.models._skipgram import NodeVectors, SkipGram, SkipGramLearner, fit_in_turn
from recsvc.models.base import silent
from recsvc.models.node2vec import Node2VecModel

CPU = torch.device("cpu")


def skip_gram(walks: list[list[int]], **values: object) -> SkipGram:
    parts = {
        "walks": np.array(walks, np.int32),
        "nodes": 5,
        "dimensions": 4,
        "window": 1,
        "negatives": 2,
        "ns_exponent": 0.0,
        "seed": 0,
    }
    return SkipGram(**(parts | values))


def as_model(vectors: NodeVectors) -> Node2VecModel:
    """All nodes as users and as items."""
    return Node2VecModel("node2vec", vectors.centre, vectors.context, vectors.centre)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.0, 3.0, 1.0, 0.0, 9.0], [5.0, 0.0]])
def test_an_alias_table_holds_the_weights(weights: list[float]) -> None:
    table = alias_table(np.array(weights))
    held = table.share.clip(max=1.0).copy()
    np.add.at(held, table.other, 1.0 - table.share.clip(max=1.0))
    np.testing.assert_allclose(held / held.sum(), np.array(weights) / np.sum(weights), atol=1e-12)


def test_one_step_is_that_of_the_formula() -> None:
    """One pair each way, without negatives."""
    centre = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)
    context = np.array([[1.0, 0.5], [-0.5, 1.5]], np.float32)
    v, w, alpha, total = centre.astype(float), context.astype(float), 0.1, 0.0
    for c, o in ((0, 1), (1, 0)):
        chance = 1.0 / (1.0 + np.exp(-v[c] @ w[o]))
        total -= np.log(chance)
        v[c], w[o] = v[c] + alpha * (1 - chance) * w[o], w[o] + alpha * (1 - chance) * v[c]
    loss, pairs = train_walks(
        np.array([[0, 1, -1]], np.int32), centre, context, *alias_table(np.ones(2)),
        window=1, negatives=0, alphas=np.array([alpha, alpha]), seed=0,
    )  # fmt: skip
    np.testing.assert_allclose(centre, v, atol=5e-4)
    np.testing.assert_allclose(context, w, atol=5e-4)
    # The table of the losses has 64 cells for a difference of 1.
    assert (loss, pairs) == (pytest.approx(total, abs=2 / 128), 2)


def stepped(
    v: np.ndarray, w: np.ndarray, c: int, own: list[tuple[int, float, float]], alpha: float
) -> float:
    """One centre's step by the formula, in place: (node, label, how often it counts); its loss."""
    gradient, loss = np.zeros(v.shape[1]), 0.0
    for node, label, times in own:
        chance = 1.0 / (1.0 + np.exp(-v[c] @ w[node]))
        loss -= times * np.log(chance if label else 1.0 - chance)
        gradient += times * alpha * (label - chance) * w[node]
        w[node] = w[node] + times * alpha * (label - chance) * v[c]
    v[c] = v[c] + gradient
    return loss


def test_one_step_with_negatives_is_that_of_the_formula() -> None:
    """Only node 1 is drawn: as the context itself it is left out, else it is pushed away."""
    centre = np.array([[0.5, -1.0], [1.0, 0.25]], np.float32)
    context = np.array([[1.0, 0.5], [-0.5, 1.5]], np.float32)
    v, w, alpha, total = centre.astype(float), context.astype(float), 0.1, 0.0
    for c, o, drawn in ((0, 1, 0), (1, 0, 6)):  # two halves for each of three negatives
        total += stepped(v, w, c, [(o, 1.0, 1.0), *([(1, 0.0, 0.5)] * drawn)], alpha)
    loss, pairs = train_walks(
        np.array([[0, 1]], np.int32), centre, context, *alias_table(np.array([0.0, 1.0])),
        window=1, negatives=3, alphas=np.array([alpha, alpha]), seed=0,
    )  # fmt: skip
    np.testing.assert_allclose(centre, v, atol=2e-3)
    np.testing.assert_allclose(context, w, atol=2e-3)
    assert (loss, pairs) == (pytest.approx(total, abs=5 / 128), 2)


def test_a_negative_counts_for_each_pair_of_a_centre() -> None:
    """All pairs of a centre share their negatives; one that is a context counts for the others."""
    generator = np.random.default_rng(0)
    centre, context = generator.normal(0.0, 0.5, (2, 3, 2)).astype(np.float32)
    v, w, alpha, total = centre.astype(float), context.astype(float), 0.1, 0.0
    # Only node 2 is drawn; the walk is 0, 1, 2.
    half = (2, 0.0, 0.5)  # two are drawn for one negative
    steps = {0: [(1, 1.0, 1.0), half, half], 1: [(0, 1.0, 1.0), (2, 1.0, 1.0), half, half],
             2: [(1, 1.0, 1.0), half, half]}  # fmt: skip
    for c, own in steps.items():
        total += stepped(v, w, c, own, alpha)
    loss, pairs = train_walks(
        np.array([[0, 1, 2]], np.int32), centre, context, *alias_table(np.array([0.0, 0.0, 1.0])),
        window=1, negatives=1, alphas=np.array([alpha, alpha]), seed=0,
    )  # fmt: skip
    np.testing.assert_allclose(centre, v, atol=2e-3)
    np.testing.assert_allclose(context, w, atol=2e-3)
    assert (loss, pairs) == (pytest.approx(total, abs=8 / 128), 4)


def test_the_loss_of_a_batch_is_that_of_the_formula() -> None:
    """By torch, with only node 1 drawn; one of the three pairs does not count."""
    learner = SkipGramLearner(skip_gram([[0, 1]], negatives=3), CPU, 1, as_model)
    learner._weights = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        for table in learner.parameters():
            table.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(0))
    v, w = (table.detach().numpy().astype(float) for table in learner.parameters())
    pairs = torch.tensor([0, 2, 3]), torch.tensor([1, 4, 2]), torch.tensor([True, True, False])
    softplus = np.logaddexp(0.0, [-v[0] @ w[1], -v[2] @ w[4], v[2] @ w[1]])
    expected = (softplus[0] + softplus[1] + 3 * softplus[2]) / 2
    assert learner._loss(*pairs).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_falls_to_that_of_gensim() -> None:
    """The same walks, the same settings: word2vec's own loss of the vectors of both."""
    # Takes a second, which each worker that collects this file would spend.
    from gensim.models import Word2Vec

    generator = np.random.default_rng(1)
    block = generator.integers(3, size=(600, 1)) * 10
    task = skip_gram(
        (block + generator.integers(10, size=(600, 12))).tolist(),
        nodes=30, dimensions=12, window=3, negatives=4, ns_exponent=0.75,
    )  # fmt: skip
    ours, history, interrupted = fit_in_turn(task, 0.05, 5, silent)
    model = Word2Vec(
        [[str(node) for node in row] for row in task.walks.tolist()],
        vector_size=12, window=3, negative=4, ns_exponent=0.75, sg=1, sample=0.0, min_count=1,
        workers=1, epochs=5, alpha=0.05, min_alpha=0.0002, seed=1,
    )  # fmt: skip
    rows = [model.wv.key_to_index[str(node)] for node in range(30)]
    theirs = NodeVectors(model.wv.vectors[rows], model.syn1neg[rows])
    same = np.equal.outer(np.arange(30) // 10, np.arange(30) // 10)
    gaps = []
    for vectors in (ours, theirs):
        products = vectors.centre @ vectors.context.T
        gaps.append(products[same].mean() - products[~same].mean())
    assert gaps[0] == pytest.approx(gaps[1], rel=0.1)
    assert not interrupted
    assert [record.epoch for record in history] == [1, 2, 3, 4, 5]
    assert history[-1].loss < history[0].loss


def test_pairs_of_a_window_of_one_are_the_neighbours() -> None:
    walks = torch.tensor([[0, 1, 2, -1], [3, -1, -1, -1]])
    learner = SkipGramLearner(skip_gram([[0, 1, 2, -1]]), CPU, 1, as_model)
    centre, context, real = learner._pairs(walks)
    pairs = sorted(zip(centre[real].tolist(), context[real].tolist(), strict=True))
    assert pairs == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_pairs_that_do_not_count_change_nothing() -> None:
    learner = SkipGramLearner(skip_gram([[0, 1]], negatives=1), CPU, 1, as_model)
    with torch.no_grad():
        for table in learner.parameters():
            table.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(0))
    centre, context = torch.tensor([0, 1, 2]), torch.tensor([1, 0, 3])
    learner._loss(centre, context, torch.tensor([True, True, False])).backward()
    assert not learner.parameters()[0].grad[2].any()
    none = learner._loss(centre, context, torch.zeros(3, dtype=torch.bool))
    assert none.item() == 0.0


def test_near_nodes_count_more() -> None:
    walks = [list(range(5))] * 4000
    learner = SkipGramLearner(skip_gram(walks, window=4), CPU, 4000, as_model)
    centre, context, real = learner._pairs(torch.tensor(walks))
    centre, context = centre[real], context[real]
    distance = torch.bincount((context - centre)[centre == 0]) / 4000
    np.testing.assert_allclose(distance, [0, 1, 0.75, 0.5, 0.25], atol=0.03)


def test_near_nodes_count_more_in_compiled_code_too() -> None:
    """Of 20 ordered pairs of 5 nodes, Σ_d (5 - d) · 2 · (1 - (d - 1) / 4) = 15 are in the width."""
    walks = np.array([list(range(5))] * 2000, np.int32)
    tables = [np.zeros((5, 2), np.float32) for _ in range(2)]
    _, pairs = train_walks(
        walks, *tables, *alias_table(np.ones(5)),
        window=4, negatives=0, alphas=np.array([0.1, 0.1]), seed=0,
    )  # fmt: skip
    assert pairs / 2000 == pytest.approx(15.0, rel=0.02)


def test_both_implementations_learn_the_same_thing() -> None:
    """With uniform negatives <v_c, w_o> is log P(o | c) but for a constant of c."""
    generator = np.random.default_rng(0)
    chance = np.array([[0.0, 0.7, 0.2, 0.1], [0.5, 0.0, 0.25, 0.25]])
    walks = [
        [centre, int(generator.choice(4, p=chance[centre]))]
        for centre in generator.integers(2, size=8000)
    ]
    task = skip_gram(walks, nodes=4, dimensions=16, negatives=3)
    in_turn, _, _ = fit_in_turn(task, 0.05, 6, silent)
    learner = SkipGramLearner(task, CPU, 200, as_model)
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    for _ in range(6):
        for loss, _count in learner.epoch():
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for model in (as_model(in_turn), learner.model()):
        for centre, best in ((0, 1), (1, 0)):
            assert np.argmax(model.item_vectors @ model.user_vectors[centre]) == best


def test_a_node_in_no_walk_has_zero_vectors() -> None:
    task = skip_gram([[0, 1], [1, 0], [3, -1]])
    by_torch = SkipGramLearner(task, CPU, 2, as_model).model()
    in_turn, _, _ = fit_in_turn(task, 0.05, 1, silent)
    for model in (by_torch, as_model(in_turn)):
        assert not model.user_vectors[[2, 4]].any()
        assert not model.item_vectors[[2, 4]].any()
        assert model.user_vectors[[0, 1]].any()


@pytest.mark.long
def test_two_processes_give_the_same_vectors() -> None:
    code = (
        "import numpy as np\n"
        "from recsvc.models._skipgram import SkipGram, fit_in_turn\n"
        "walks = np.random.default_rng(0).integers(20, size=(200, 10)).astype(np.int32)\n"
        "task = SkipGram(walks, 20, 8, 3, 5, 0.0, 7)\n"
        "vectors, _, _ = fit_in_turn(task, 0.05, 2, lambda record: None)\n"
        "print(vectors.centre.tobytes().hex() + vectors.context.tobytes().hex())"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert len(printed[0]) > 1000
