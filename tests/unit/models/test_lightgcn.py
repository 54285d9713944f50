import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

with warnings.catch_warnings():
    # PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
    from torch_geometric.nn import LightGCN

from recsvc.errors import TrainingError
from recsvc.models._loop import open_device
from recsvc.models.lightgcn import (
    LightGCNLearner,
    LightGCNModel,
    LightGCNOptions,
    bilateral_softmax,
    inverse_root,
    log_mean_exp_by_user,
    normalised_adjacency,
    pairwise,
    propagate,
    sampled_softmax,
    to_torch,
)

CPU = torch.device("cpu")
USERS, ITEMS = 15, 22


def made_evidence(*, weighted: bool = True) -> sp.csr_matrix:
    generator = np.random.default_rng(0)
    dense = (generator.random((USERS, ITEMS)) < 0.25) * generator.uniform(0.1, 3.0, (USERS, ITEMS))
    dense[3], dense[:, 5] = 0.0, 0.0  # a user and an item with nothing
    return sp.csr_matrix(dense if weighted else dense > 0, dtype=np.float32)


def learner(evidence: sp.csr_matrix, **options: object) -> LightGCNLearner:
    values = {"dimensions": 8, "batch_size": 16, "initial_deviation": 1.0} | options
    return LightGCNLearner(evidence, LightGCNOptions.model_validate(values), CPU, 0)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_vectors_are_those_of_torch_geometric(layers: int, weighted: bool) -> None:
    evidence = made_evidence(weighted=weighted)
    ours = learner(evidence, layers=layers)
    edges = evidence.tocoo()
    forward = np.stack([edges.row, edges.col + USERS]).astype(np.int64)
    both = torch.from_numpy(np.concatenate([forward, forward[::-1]], axis=1))
    oracle = LightGCN(USERS + ITEMS, 8, layers)
    with torch.no_grad():
        oracle.embedding.weight.copy_(ours.table)
        expected = oracle.get_embedding(both, torch.from_numpy(np.tile(edges.data, 2))).numpy()
    model = ours.model()
    actual = np.concatenate([model.user_vectors, model.item_vectors])
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_user_vector_is_their_own_part_and_the_sum_over_their_items(layers: int) -> None:
    evidence = made_evidence()
    model = learner(evidence, layers=layers).model()
    sums = (evidence @ model.source_vectors) * inverse_root(evidence.sum(axis=1))[:, None]
    np.testing.assert_allclose(model.user_vectors, model.base_vectors + sums, atol=1e-5)


def test_scores_are_inner_products() -> None:
    evidence = made_evidence()
    model = learner(evidence).model()
    users = np.array([4, 1])
    expected = model.user_vectors[users] @ model.item_vectors.T
    np.testing.assert_array_equal(model.scores(users, evidence[users]), expected)


def test_the_gradient_of_the_propagation_is_right() -> None:
    adjacency = to_torch(normalised_adjacency(made_evidence()).astype(np.float64), CPU)
    table = torch.randn(USERS + ITEMS, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sum(propagate(adjacency, x, 2)), table)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bsl", "bpr"])
@pytest.mark.parametrize("negatives", ["uniform", "in_batch"])
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_every_loss_falls(loss: str, negatives: str, l2: float) -> None:
    ours = learner(made_evidence(), loss=loss, negatives=negatives, l2=l2, temperature=0.3)
    optimizer = torch.optim.Adam(ours.parameters(), 0.02)
    means = []
    for _ in range(30):
        losses = []
        for value, _count in ours.epoch():
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(float(value.detach()))
        means.append(np.mean(losses))
    assert np.isfinite(means).all()
    assert np.mean(means[-5:]) < np.mean(means[:5]) - 0.05
    assert isinstance(ours.model(), LightGCNModel)


def test_sampled_softmax_by_hand() -> None:
    positive = torch.tensor([1.0, 2.0])
    negative = torch.tensor([[0.0, 3.0], [1.0, 0.5]])
    owned = torch.tensor([[False, True], [False, False]])
    e = np.exp
    expected = [-np.log(e(1) / (e(1) + e(0))), -np.log(e(2) / (e(2) + e(1) + e(0.5)))]
    np.testing.assert_allclose(sampled_softmax(positive, negative, owned), expected, rtol=1e-5)


def test_bilateral_softmax_by_hand() -> None:
    user = torch.tensor([7, 2, 7])
    cosine = torch.tensor([0.5, 0.1, 0.9])
    positive = 0.2 * log_mean_exp_by_user(cosine / 0.2, user)
    of_seven = 0.2 * np.log((np.exp(0.5 / 0.2) + np.exp(0.9 / 0.2)) / 2)
    np.testing.assert_allclose(positive, [of_seven, 0.1, of_seven], rtol=1e-5)
    negative = torch.tensor([[0.0, 3.0], [1.0, 0.5], [9.0, 9.0]])
    owned = torch.tensor([[False, True], [False, False], [True, True]])
    mean = [0.0, 0.3 * np.log((np.exp(1) + np.exp(0.5)) / 2), 0.0]
    np.testing.assert_allclose(
        bilateral_softmax(positive, 0.3, negative, owned),
        np.array(mean) - [of_seven, 0.1, of_seven],
        rtol=1e-5,
    )


def test_pairwise_by_hand() -> None:
    owned = torch.tensor([[False, False, True]])
    weight = torch.tensor([1.0, 3.0, 5.0]).log()
    loss = pairwise(torch.tensor([1.0]), torch.tensor([[0.0, 2.0, 9.0]]), weight, owned)
    expected = (np.log1p(np.exp(-1)) + 3 * np.log1p(np.exp(1))) / 4
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


def test_a_step_that_is_too_long_is_an_error() -> None:
    from recsvc.models._loop import train

    options = LightGCNOptions(
        dimensions=8, loss="bpr", learning_rate=10.0, initial_deviation=10.0, l2=1e38
    )
    ours = LightGCNLearner(made_evidence(), options, CPU, 0)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(ours, options, epochs=50, measure=None, progress=lambda record: None)


def test_a_gpu_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match="torch sees no GPU"):
        open_device("cuda")
