"""What every registered model must do, shown on made data with a known answer."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.embedding_models import EMBEDDING_MODELS
from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.evaluation.metrics import evaluate, mean_ndcg, top_k
from recsvc.evaluation.splits import entries, hold_out
from recsvc.evidence import EvidenceRows
from recsvc.model_names import KERNELS
from recsvc.models import (
    MODELS,
    EmbeddingModel,
    FitReport,
    FitRun,
    FittedModel,
    ModelOptions,
    TrainingData,
    Validation,
)

BLOCKS, USERS, ITEMS = 4, 12, 10  # users and items of each block
DIMENSIONS = 16

LEARNED = {"dimensions": "16", "epochs": "60", "batch_size": "64", "learning_rate": "0.02"}
FACTS = LEARNED | {"epochs": "14", "batch_size": "256", "learning_rate": "0.05"}
NETWORK = LEARNED | {
    "epochs": "8", "learning_rate": "0.03", "steps_per_epoch": "6", "own_dropout": "0.0",
}  # fmt: skip
QUICK = {
    "complex": FACTS,
    "content": {"dimensions": str(DIMENSIONS)},
    "deepwalk": {"dimensions": "16", "epochs": "5", "walk_length": "20", "walks_per_node": "20"},
    "distmult": FACTS,
    "fastrp": {"dimensions": "16"},
    "gmf": LEARNED,
    "graphsage": NETWORK,
    "heterognn": NETWORK | {"layers": "1"},
    "hybrid": {"models": "walk3"},
    "lightgcn": LEARNED,
    "mf": LEARNED,
    "mlp": LEARNED | {"epochs": "15"},
    "ncf": LEARNED | {"epochs": "15"},
    "ngcf": LEARNED | {"layers": "1", "dropout": "0.0"},
    "node2vec": {"dimensions": "16", "epochs": "5", "walk_length": "20", "walks_per_node": "20"},
    "pinsage": NETWORK | {"neighbours": "10", "walks_per_item": "50"},
    "svd": {"dimensions": "4"},
    "transe": FACTS,
}
KNOWLEDGE = ["complex", "distmult", "transe"]
NETWORKS = ["graphsage", "heterognn", "pinsage"]
NEURAL = ["gmf", "mlp", "ncf", "ngcf"]
TRAINED = ["deepwalk", "lightgcn", "mf", "node2vec", *KNOWLEDGE, *NETWORKS, *NEURAL]
PERSONAL = sorted(MODELS.keys() - {"popularity"})
BASED = ["hybrid"]  # popularity where nothing is known

every_model = pytest.mark.parametrize("name", sorted(MODELS))


def training_data(evidence: sp.csr_matrix) -> TrainingData:
    users, items = evidence.shape
    user_index = np.repeat(np.arange(users), np.diff(evidence.indptr))
    interactions = Interactions(
        user_index,
        evidence.indices.astype(np.int64),
        np.zeros(evidence.nnz, np.int8),
        evidence.data,
        # Each user goes round the items of a block and ends before the one that is withheld.
        8e8 + ((evidence.indices - user_index - 1) % ITEMS).astype(np.float64),
        ("interaction",),
    )
    graph = HeteroGraph(
        IdMap([f"u{row:04}" for row in range(users)]),
        IdMap([f"i{row:04}" for row in range(items)]),
        IdMap([]),
        interactions,
        content={"Item": descriptions(items)},
    )
    return TrainingData(graph, evidence)


def descriptions(items: int) -> np.ndarray:
    """What items say of themselves: nearly the same within a block, and one item nothing."""
    generator = np.random.default_rng(3)
    block = generator.normal(size=(BLOCKS, DIMENSIONS))[np.arange(items) // ITEMS % BLOCKS]
    vectors = block + 0.1 * generator.normal(size=(items, DIMENSIONS))
    vectors[BLOCKS * ITEMS :] = 0.0
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9)).astype("f4")


@cache
def planted() -> tuple[TrainingData, sp.csr_matrix]:
    """Everybody has the items of their own block, but for one that is withheld; and the rest.

    The withheld items differ, so each is had by the other users of the block.
    """
    everything = np.kron(np.eye(BLOCKS), np.ones((USERS, ITEMS))).astype(np.float32)
    withheld = np.zeros_like(everything)
    users = np.arange(BLOCKS * USERS)
    withheld[users, users // USERS * ITEMS + users % ITEMS] = 1.0
    return training_data(sp.csr_matrix(everything - withheld)), sp.csr_matrix(withheld)


def options_of(name: str, **values: str) -> ModelOptions:
    return MODELS[name].options.model_validate(QUICK.get(name, {}) | values)


@cache
def fitted(name: str) -> tuple[FittedModel, FitReport]:
    return MODELS[name].fit(planted()[0], options_of(name), FitRun(seed=0))


@cache
def fitted_briefly(name: str, seed: int = 0) -> tuple[FittedModel, FitReport]:
    """After few epochs, where it has any: for what is true however well it has learned."""
    return MODELS[name].fit(planted()[0], few_epochs(name), FitRun(seed=seed))


def few_epochs(name: str) -> ModelOptions:
    return options_of(name, **({"epochs": "3"} if "epochs" in QUICK.get(name, {}) else {}))


def all_scores(model: FittedModel) -> np.ndarray:
    evidence = planted()[0].evidence
    return model.scores(np.arange(evidence.shape[0]), evidence)


@pytest.mark.parametrize("name", PERSONAL)
def test_the_withheld_item_ranks_first(name: str) -> None:
    data, withheld = planted()
    ranking = top_k(fitted(name)[0].scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)


def test_popularity_ranks_by_evidence() -> None:
    evidence = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 0, 2]], np.float32))
    model, _ = MODELS["popularity"].fit(
        training_data(evidence), options_of("popularity"), FitRun(seed=0)
    )
    np.testing.assert_array_equal(
        model.scores(np.arange(2), evidence), [[1, 2, 0, 2], [1, 2, 0, 2]]
    )
    np.testing.assert_array_equal(top_k(model.scores, evidence, k=2).items, [[3, 2], [0, 2]])


@every_model
def test_scores_are_one_finite_row_of_items_per_user(name: str) -> None:
    scores = all_scores(fitted(name)[0])
    assert scores.shape == planted()[0].evidence.shape
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert fitted(name)[0].name == name


@every_model
def test_a_batch_is_the_same_as_one_by_one_in_any_order(name: str) -> None:
    model, _ = fitted(name)
    evidence = planted()[0].evidence
    users = np.random.default_rng(0).permutation(evidence.shape[0])
    batch = model.scores(users, evidence[users])
    single = np.concatenate([model.scores(np.array([u]), evidence[[u]]) for u in users])
    scale = max(1.0, float(np.abs(batch).max()))  # of the terms that may cancel each other out
    np.testing.assert_allclose(batch, single, rtol=1e-5, atol=1e-7 * scale)


@every_model
def test_the_same_seed_gives_the_same_arrays(name: str) -> None:
    again, _ = MODELS[name].fit(planted()[0], few_epochs(name), FitRun(seed=0))
    np.testing.assert_array_equal(all_scores(again), all_scores(fitted_briefly(name)[0]))


@pytest.mark.parametrize("name", TRAINED)
def test_another_seed_gives_other_arrays(name: str) -> None:
    one, other = (all_scores(fitted_briefly(name, seed)[0]) for seed in (0, 1))
    assert not np.array_equal(one, other)


@every_model
def test_seen_items_are_not_recommended(name: str) -> None:
    data, _ = planted()
    ranking = top_k(fitted(name)[0].scores, data.evidence, k=20)
    rows = np.repeat(np.arange(len(ranking.items)), ranking.items.shape[1])
    assert not np.asarray(data.evidence[rows, ranking.items.ravel()]).any()
    assert all(len(set(row)) == 20 for row in ranking.items.tolist())


@every_model
def test_users_and_items_without_evidence_are_scored(name: str) -> None:
    evidence = sp.csr_matrix(np.pad(planted()[0].evidence.toarray(), ((0, 1), (0, 1))))
    model, _ = MODELS[name].fit(training_data(evidence), few_epochs(name), FitRun(seed=0))
    scores = model.scores(np.arange(evidence.shape[0]), evidence)
    assert np.isfinite(scores).all()
    if name in BASED:
        known = np.asarray(evidence.sum(axis=0)).ravel()
        np.testing.assert_array_equal(np.argsort(-scores[-1], kind="stable")[0], known.argmax())
    elif name in PERSONAL:
        np.testing.assert_array_equal(scores[-1], 0.0)


@every_model
def test_no_evidence_is_refused(name: str) -> None:
    data = training_data(sp.csr_matrix(np.zeros((3, 4), np.float32)))
    with pytest.raises(TrainingError, match="no evidence among 3 users and 4 items"):
        MODELS[name].fit(data, options_of(name), FitRun(seed=0))


@every_model
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no_such_option"):
        options_of(name, no_such_option="1")


@every_model
def test_the_report_says_how_it_went(name: str) -> None:
    data, _ = planted()
    mask = hold_out(data.evidence, 0.2, seed=0)
    fit_part = training_data(entries(data.evidence, ~mask))
    validation = Validation(entries(data.evidence, mask))
    told = []
    model, report = MODELS[name].fit(
        fit_part,
        options_of(name),
        FitRun(seed=0, validation=validation, progress=told.append),
    )
    assert tuple(told) == report.history
    assert report.seconds > 0.0
    assert report.memory_bytes == MODELS[name].memory_bytes(fit_part, options_of(name))
    assert report.memory_bytes > 0
    if name in TRAINED:
        assert 1 <= report.epochs <= len(report.history)
        assert report.metric == pytest.approx(
            mean_ndcg(model.scores, fit_part.evidence, validation.held_out)
        )
    else:
        measured = mean_ndcg(model.scores, fit_part.evidence, validation.held_out)
        metric = pytest.approx(measured) if name == "hybrid" else None
        assert (report.epochs, report.metric, report.history) == (0, metric, ())


@pytest.mark.parametrize("name", TRAINED)
def test_epochs_can_be_given(name: str) -> None:
    _, report = MODELS[name].fit(planted()[0], options_of(name), FitRun(seed=0, epochs=2))
    assert report.epochs == len(report.history) == 2
    assert report.metric is None


@pytest.mark.parametrize("name", TRAINED)
def test_a_fit_goes_on_from_the_tables_of_another_for_a_tenth_of_its_length(name: str) -> None:
    """Its vectors still point where those did, in a space that another seed turns elsewhere."""
    data, withheld = planted()
    _, report = fitted(name)
    run = FitRun(seed=1, epochs=report.epochs, start=report.tables)
    tuned, again = MODELS[name].fit(data, options_of(name), run)
    assert again.epochs == max(1, round(report.epochs * 0.1)) == len(again.history)

    def cosine(other: FitReport) -> float:
        rows, others = report.tables[0], other.tables[0]
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1)
        return float(np.median(np.vecdot(rows, others) / lengths))

    assert cosine(again) > 0.9 > 0.6 > cosine(fitted_briefly(name, 1)[1])
    ranking = top_k(tuned.scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)


@pytest.mark.parametrize("name", sorted({*TRAINED} & {*KERNELS}))
def test_a_fit_without_training_is_the_model_of_its_tables(name: str) -> None:
    data, _ = planted()
    model, report = fitted(name)
    run = FitRun(seed=1, epochs=report.epochs, start=report.tables, share=0.0)
    same, again = MODELS[name].fit(data, options_of(name), run)
    assert again.history == ()
    for then, now in zip(report.tables, again.tables, strict=True):
        np.testing.assert_array_equal(then, now)
    assert isinstance(model, EmbeddingModel)
    assert isinstance(same, EmbeddingModel)
    for part in ("user_vectors", "item_vectors", "source_vectors"):
        np.testing.assert_array_equal(getattr(model, part), getattr(same, part))


@pytest.mark.parametrize("name", sorted({*TRAINED} & {*KERNELS}))
def test_rows_of_new_nodes_are_drawn_and_those_without_evidence_are_0(name: str) -> None:
    data, _ = planted()
    tables = tuple(table.copy() for table in fitted(name)[1].tables)
    of_nodes = [table for table in tables if table.ndim == 2]
    assert of_nodes
    assert all(len(table) >= sum(data.evidence.shape) for table in of_nodes)
    new, lost = 3, 7
    for table in of_nodes:
        table[new] = np.nan
    evidence = data.evidence.copy()
    evidence.data[evidence.indptr[lost] : evidence.indptr[lost + 1]] = 0.0
    evidence.eliminate_zeros()
    run = FitRun(seed=1, epochs=1, start=tables)
    model, report = MODELS[name].fit(training_data(evidence), options_of(name), run)
    assert all(np.isfinite(table).all() for table in report.tables)
    assert isinstance(model, EmbeddingModel)
    assert model.user_vectors[new].any()
    assert not model.user_vectors[lost].any()


@every_model
def test_models_with_a_kernel_of_vectors_are_those_the_queries_name(name: str) -> None:
    model, _ = fitted(name)
    kernel_of_vectors = MODELS[name].linear and isinstance(model, EmbeddingModel)
    assert kernel_of_vectors == (name in EMBEDDING_MODELS)


@pytest.mark.parametrize("name", EMBEDDING_MODELS)
def test_embedding_models_have_vectors_to_write_back(name: str) -> None:
    data, _ = planted()
    model, _ = fitted(name)
    assert isinstance(model, EmbeddingModel)
    users, items = data.evidence.shape
    for vectors, count in (
        (model.user_vectors, users),
        (model.item_vectors, items),
        (model.source_vectors, items),
    ):
        assert vectors.shape == (count, dict(options_of(name))["dimensions"])
        assert vectors.dtype == np.float32


@every_model
def test_the_kernel_ranks_as_the_model_does(name: str) -> None:
    data, withheld = planted()
    signal = fitted(name)[0].signal(data.graph.items)
    if name not in KERNELS:
        assert signal is None
        return
    assert signal is not None
    assert signal.name == name
    best = signal.batch_scores(data.evidence)
    best[data.evidence.nonzero()] = -np.inf
    np.testing.assert_array_equal(best.argmax(axis=1), withheld.indices)


@pytest.mark.parametrize("name", NEURAL)
def test_a_blend_refuses_what_is_for_comparison_and_says_so(name: str) -> None:
    says = f"{name} is not linear in what a user did.* compare with it by `recsvc evaluate {name}`"
    with pytest.raises(TrainingError, match=says):
        MODELS["hybrid"].fit(planted()[0], options_of("hybrid", models=name), FitRun(seed=0))


@pytest.mark.parametrize("name", KERNELS)
def test_the_terms_of_the_kernel_sum_to_its_scores(name: str) -> None:
    data, _ = planted()
    signal = fitted(name)[0].signal(data.graph.items)
    assert signal is not None
    own = data.evidence[[5]]
    rows = EvidenceRows(
        np.arange(own.nnz), own.indices.astype(np.int64), np.linspace(0.5, 2.0, own.nnz)
    )
    weighted = sp.csr_matrix((rows.weight.astype(np.float32), own.indices, own.indptr), own.shape)
    items = np.array([0, 3, 17, 39])
    raw = signal.raw_scores(rows)
    np.testing.assert_allclose(raw, signal.batch_scores(weighted)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        signal.terms(rows, items).sum(axis=0), raw[items], rtol=1e-4, atol=1e-6
    )


@every_model
def test_the_whole_evaluation_runs(name: str) -> None:
    data, withheld = planted()
    ranking = top_k(fitted(name)[0].scores, data.evidence, k=10)
    result = evaluate(ranking, withheld, data.evidence, cuts=(5, 10), resamples=100)
    if name in PERSONAL:
        assert result.estimates["recall@5"].mean == 1.0


@pytest.mark.parametrize("name", TRAINED)
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(TrainingError, match="nonsense"):
        MODELS[name].fit(planted()[0], options_of(name), FitRun(seed=0, device="nonsense"))


@pytest.mark.gpu
@pytest.mark.parametrize("name", TRAINED)
def test_a_gpu_finds_the_withheld_items_too(name: str) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    data, withheld = planted()
    longer = {"epochs": "15", "learning_rate": "0.02", "walks_per_step": "64"}
    options = longer if name in ("deepwalk", "node2vec") else {}
    model, _ = MODELS[name].fit(data, options_of(name, **options), FitRun(seed=0, device="cuda"))
    ranking = top_k(model.scores, data.evidence, k=1)
    np.testing.assert_array_equal(ranking.items[:, 0], withheld.indices)


def test_importing_the_registry_imports_no_training_library() -> None:
    code = (
        "import sys, recsvc.models.base, recsvc.evaluation.metrics, recsvc.evaluation.splits\n"
        "recsvc.models.MODELS['popularity'].options(); recsvc.models.MODELS['walk3'].fit\n"
        "print(sorted({'torch', 'gensim', 'numba', 'torch_geometric'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
