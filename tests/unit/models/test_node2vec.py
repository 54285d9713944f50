import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.evaluation import mean_ndcg, top_k
from recsvc.models._skipgram import NodeVectors, SkipGram, SkipGramLearner, WalkCorpus, fit_gensim
from recsvc.models.base import FitRun, TrainingData, Validation
from recsvc.models.node2vec import Node2VecModel, Node2VecOptions, fit, homogeneous_graph

CPU = torch.device("cpu")


def edges(*pairs: tuple[int, int]) -> Edges:
    columns = np.array(pairs, np.int64)
    return Edges(columns[:, 0], columns[:, 1], np.full(len(pairs), 9.0, np.float32))


def small() -> TrainingData:
    """Two users who follow each other, two items, one category."""
    graph = HeteroGraph(
        IdMap(["u0", "u1"]),
        IdMap(["i0", "i1"]),
        IdMap(["c0"]),
        Interactions(
            *(np.array([0, 1]) for _ in range(2)),
            np.zeros(2, np.int8),
            np.ones(2, np.float32),
            np.full(2, np.nan),
            ("interaction",),
        ),
        follows=edges((0, 1), (1, 0)),
        in_category=edges((1, 0)),
    )
    return TrainingData(graph, sp.csr_matrix(np.diag([2.0, 0.5]).astype(np.float32)))


def blocks() -> tuple[TrainingData, sp.csr_matrix]:
    """Three blocks of users and items; each user misses one item of their block."""
    dense = np.kron(np.eye(3), np.ones((9, 9))).astype(np.float32)
    withheld = np.zeros_like(dense)
    rows = np.arange(27)
    withheld[rows, rows] = 1.0
    evidence = sp.csr_matrix(dense - withheld)
    user_index = np.repeat(rows, np.diff(evidence.indptr))
    count = evidence.nnz
    graph = HeteroGraph(
        IdMap([f"u{row:02}" for row in rows]),
        IdMap([f"i{row:02}" for row in rows]),
        IdMap([]),
        Interactions(
            user_index,
            evidence.indices.astype(np.int64),
            np.zeros(count, np.int8),
            evidence.data,
            np.full(count, np.nan),
            ("interaction",),
        ),
    )
    return TrainingData(graph, evidence), sp.csr_matrix(withheld)


def test_the_graph_is_of_the_chosen_relationships() -> None:
    weights = homogeneous_graph(small(), Node2VecOptions()).toarray()
    expected = np.zeros((5, 5))
    expected[0, 2] = expected[2, 0] = 2.0
    expected[1, 3] = expected[3, 1] = 0.5
    expected[0, 1] = expected[1, 0] = 2.0  # they follow each other
    np.testing.assert_array_equal(weights, expected)
    every = Node2VecOptions.model_validate({"relationships": "interactions,follows,in_category"})
    expected[3, 4] = expected[4, 3] = 1.0
    np.testing.assert_array_equal(homogeneous_graph(small(), every).toarray(), expected)


@pytest.mark.parametrize("text", ["", "interactions,likes", "likes"])
def test_a_relationship_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="relationships"):
        Node2VecOptions.model_validate({"relationships": text})


def test_torch_finds_the_withheld_items() -> None:
    data, withheld = blocks()
    options = Node2VecOptions(
        backend="torch", dimensions=8, epochs=15, learning_rate=0.02, walks_per_node=20
    )
    model, report = fit(data, options, FitRun(seed=0, validation=Validation(withheld)))
    ranking = top_k(model.scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)
    assert report.metric == pytest.approx(mean_ndcg(model.scores, data.evidence, withheld))
    assert report.history[0].loss is not None
    again, _ = fit(data, options, FitRun(seed=0, validation=Validation(withheld)))
    np.testing.assert_array_equal(again.item_vectors, model.item_vectors)
    other, _ = fit(data, options, FitRun(seed=1))
    assert not np.array_equal(other.item_vectors, model.item_vectors)


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
    return Node2VecModel(vectors.centre, vectors.context, vectors.centre)


def test_sentences_end_where_walks_end() -> None:
    words = np.array(["a", "b", "c"], dtype=object)
    corpus = WalkCorpus(np.array([[0, 1, 2], [2, -1, -1], [1, 0, -1]], np.int32), words)
    assert list(corpus) == [["a", "b", "c"], ["c"], ["b", "a"]]
    assert list(corpus) == list(corpus)


def test_pairs_of_a_window_of_one_are_the_neighbours() -> None:
    learner = SkipGramLearner(skip_gram([[0, 1, 2, -1]]), CPU, 1, as_model)
    centre, context = learner._pairs(torch.tensor([[0, 1, 2, -1]], dtype=torch.int32))
    pairs = sorted(zip(centre.tolist(), context.tolist(), strict=True))
    assert pairs == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_near_nodes_count_more() -> None:
    walks = [list(range(5))] * 4000
    learner = SkipGramLearner(skip_gram(walks, window=4), CPU, 4000, as_model)
    centre, context = learner._pairs(torch.tensor(walks, dtype=torch.int32))
    distance = torch.bincount((context - centre)[centre == 0]) / 4000
    np.testing.assert_allclose(distance, [0, 1, 0.75, 0.5, 0.25], atol=0.03)


def test_both_implementations_learn_the_same_thing() -> None:
    """With uniform negatives <v_c, w_o> is log P(o | c) but for a constant of c."""
    generator = np.random.default_rng(0)
    chance = np.array([[0.0, 0.7, 0.2, 0.1], [0.5, 0.0, 0.25, 0.25]])
    walks = [
        [centre, int(generator.choice(4, p=chance[centre]))]
        for centre in generator.integers(2, size=8000)
    ]
    task = skip_gram(walks, nodes=4, dimensions=16, negatives=3)
    by_gensim, _ = fit_gensim(task, alpha=0.05, epochs=6, progress=lambda record: None)
    learner = SkipGramLearner(task, CPU, 200, as_model)
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    for _ in range(6):
        for loss, _count in learner.epoch():
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for model in (as_model(by_gensim), learner.model()):
        for centre, best in ((0, 1), (1, 0)):
            assert np.argmax(model.item_vectors @ model.user_vectors[centre]) == best


def test_a_node_in_no_walk_has_zero_vectors() -> None:
    task = skip_gram([[0, 1], [1, 0], [3, -1]])
    by_torch = SkipGramLearner(task, CPU, 2, as_model).model()
    by_gensim, _ = fit_gensim(task, alpha=0.05, epochs=1, progress=lambda record: None)
    for model in (by_torch, as_model(by_gensim)):
        assert not model.user_vectors[[2, 4]].any()
        assert not model.item_vectors[[2, 4]].any()
        assert model.user_vectors[[0, 1]].any()


def test_two_processes_give_the_same_vectors() -> None:
    code = (
        "import numpy as np\n"
        "from recsvc.models._skipgram import SkipGram, fit_gensim\n"
        "walks = np.random.default_rng(0).integers(20, size=(200, 10)).astype(np.int32)\n"
        "task = SkipGram(walks, 20, 8, 3, 5, 0.0, 7)\n"
        "vectors, _ = fit_gensim(task, alpha=0.05, epochs=2, progress=lambda record: None)\n"
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
