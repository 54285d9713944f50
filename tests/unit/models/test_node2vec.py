from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import mean_ndcg, top_k
from recsvc.models import _skipgram, deepwalk
from recsvc.models._nodes import homogeneous_graph
from recsvc.models.base import EpochRecord, FitRun, TrainingData, Validation
from recsvc.models.node2vec import Node2VecOptions, fit, walk


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
    weights = homogeneous_graph(small(), Node2VecOptions().followed()).toarray()
    expected = np.zeros((5, 5))
    expected[0, 2] = expected[2, 0] = 2.0
    expected[1, 3] = expected[3, 1] = 0.5
    expected[0, 1] = expected[1, 0] = 2.0  # they follow each other
    np.testing.assert_array_equal(weights, expected)
    every = Node2VecOptions.model_validate({"relationships": "interactions,follows,in_category"})
    expected[3, 4] = expected[4, 3] = 1.0
    np.testing.assert_array_equal(homogeneous_graph(small(), every.followed()).toarray(), expected)


@pytest.mark.parametrize("text", ["", "interactions,likes", "likes"])
def test_a_relationship_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="relationships"):
        Node2VecOptions.model_validate({"relationships": text})


@pytest.mark.long
def test_torch_finds_the_withheld_items() -> None:
    data, withheld = blocks()
    options = Node2VecOptions(
        backend="torch",
        dimensions=8,
        epochs=15,
        learning_rate=0.02,
        walks_per_node=20,
        walks_per_step=64,
    )
    model, report = fit(data, options, FitRun(seed=0, validation=Validation(withheld)))
    ranking = top_k(model.scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)
    assert report.metric == pytest.approx(mean_ndcg(model.scores, data.evidence, withheld))
    assert report.history[0].loss is not None
    short = options.model_copy(update={"epochs": 1})
    one, same, other = (fit(data, short, FitRun(seed=seed))[0].item_vectors for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("backend", ["sgd", "torch"])
def test_what_nobody_has_is_an_average_item(backend: str) -> None:
    data, _ = blocks()
    evidence = data.evidence.copy()
    evidence.data[evidence.indices == 4] = 0.0
    evidence.eliminate_zeros()
    did = data.graph.interactions
    kept = did.item_index != 4
    interactions = Interactions(
        did.user_index[kept], did.item_index[kept], did.event_index[kept], did.weight[kept],
        did.last_at[kept], did.events,
    )  # fmt: skip
    data = TrainingData(replace(data.graph, interactions=interactions), evidence)
    options = Node2VecOptions.model_validate({"backend": backend, "dimensions": 8})
    model, report = fit(data, options, FitRun(seed=0))
    somebody_has = np.arange(27) != 4
    assert not model.item_vectors[4].any()
    np.testing.assert_allclose(model.item_vectors[somebody_has].mean(axis=0), 0.0, atol=1e-6)
    scores = model.scores(np.arange(27), evidence)
    assert (scores[:, 4] == 0.0).all()
    assert (scores[:, somebody_has].min(axis=1) < 0.0).all()
    # As they were learned but for what is the same for all.
    learned = report.tables[1][27:54]
    off = learned[somebody_has] - model.item_vectors[somebody_has]
    np.testing.assert_allclose(off, np.broadcast_to(off[0], off.shape), atol=1e-6)


def test_a_meta_path_names_its_relationships() -> None:
    options = Node2VecOptions.model_validate({"metapath": "user,item,category,item,user"})
    assert options.followed() == ("interactions", "in_category")
    assert Node2VecOptions.model_validate({"metapath": "user,user"}).followed() == ("follows",)


def test_walks_along_a_meta_path_start_at_its_first_type() -> None:
    options = Node2VecOptions.model_validate(
        {"metapath": "item,category,item", "walks_per_node": 3, "walk_length": 5}
    )
    weights = homogeneous_graph(small(), options.followed())
    np.testing.assert_array_equal(walk(small(), weights, options, 0), [[3, 4, 3, 4, 3]] * 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metapath": "user,item"}, "does not come back"),
        ({"metapath": "user"}, "does not come back"),
        ({"metapath": "user,category,user"}, "no relationship links user and category"),
        ({"metapath": "item,item"}, "no relationship links item and item"),
        ({"metapath": "user,artist,user"}, "metapath"),
        ({"metapath": "user,item,user", "p": 0.5}, "p=0.5 and q=1.0 with a metapath"),
        ({"metapath": "user,item,user", "q": 2}, "p=1.0 and q=2.0 with a metapath"),
    ],
)
def test_a_meta_path_that_cannot_be_walked_is_refused(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Node2VecOptions.model_validate(values)


def test_a_meta_path_over_relationships_that_are_not_there_is_refused() -> None:
    data, _ = blocks()
    options = Node2VecOptions.model_validate({"metapath": "category,item,category"})
    with pytest.raises(TrainingError, match="no category has a relationship"):
        fit(data, options, FitRun(seed=0))


def test_a_model_of_typed_walks_finds_the_withheld_items() -> None:
    data, withheld = blocks()
    options = Node2VecOptions.model_validate(
        {"metapath": "user,item,user", "dimensions": 8, "walks_per_node": 60, "epochs": 8}
    )
    model, _ = fit(data, options, FitRun(seed=0))
    ranking = top_k(model.scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)


def test_deepwalk_is_node2vec_without_a_bias() -> None:
    data, _ = blocks()
    values = {"dimensions": 8, "walks_per_node": 2}
    ours, _ = deepwalk.fit(data, deepwalk.DeepWalkOptions.model_validate(values), FitRun(seed=3))
    same, _ = fit(data, Node2VecOptions.model_validate(values | {"p": 1, "q": 1}), FitRun(seed=3))
    np.testing.assert_array_equal(ours.user_vectors, same.user_vectors)
    np.testing.assert_array_equal(ours.item_vectors, same.item_vectors)
    np.testing.assert_array_equal(ours.source_vectors, same.source_vectors)
    assert (ours.name, same.name) == ("deepwalk", "node2vec")


def test_deepwalk_has_no_bias_to_set() -> None:
    with pytest.raises(ValueError, match="p\n"):
        deepwalk.DeepWalkOptions.model_validate({"p": 2})


def test_ctrl_c_after_an_epoch_keeps_the_vectors_so_far() -> None:
    data, _ = blocks()

    def stop(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    model, report = fit(data, Node2VecOptions(), FitRun(seed=0, progress=stop))
    assert (report.interrupted, report.epochs, len(report.history)) == (True, 2, 2)
    assert model.item_vectors.any()


def test_ctrl_c_before_the_end_of_an_epoch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: object, **_values: object) -> tuple[float, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(_skipgram, "train_walks", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(blocks()[0], Node2VecOptions(), FitRun(seed=0))
