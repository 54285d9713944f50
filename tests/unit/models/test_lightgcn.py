import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsvc.errors import TrainingError
from recsvc.models._factors import FactorModel
from recsvc.models._loop import open_device, train
from recsvc.models._propagation import normalised_adjacency
from recsvc.models.base import FitRun
from recsvc.models.lightgcn import LightGCNLearner, LightGCNOptions
from tests.unit.models.made import ITEMS, USERS, made_evidence

CPU = torch.device("cpu")
LOSSES = [
    (loss, negatives)
    for loss in ("sampled_softmax", "bsl", "bpr")
    for negatives in ("uniform", "popularity", "in_batch", "hard")
    if loss == "bpr" or negatives != "hard"
]


def learner(evidence: sp.csr_matrix, **options: object) -> LightGCNLearner:
    values = {"dimensions": 8, "batch_size": 16, "start": "random", "initial_deviation": 1.0}
    values |= options
    return LightGCNLearner(evidence, LightGCNOptions.model_validate(values), CPU, 0)


# PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_vectors_are_those_of_torch_geometric(layers: int, weighted: bool) -> None:
    # Takes two seconds, which each worker that collects this file would spend.
    from torch_geometric.nn import LightGCN

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


def test_a_spectral_start_tells_communities_apart() -> None:
    """Three groups that share nothing are the whole of what the steps over the graph keep."""
    evidence = sp.csr_matrix(sp.block_diag([np.ones((4, 3)), np.ones((2, 5)), np.ones((6, 4))]))
    ours = learner(evidence, dimensions=3, start="spectral", layers=2).model()
    rows = np.concatenate([ours.user_vectors, ours.item_vectors])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    group = np.concatenate([np.repeat(range(3), (4, 2, 6)), np.repeat(range(3), (3, 5, 4))])
    np.testing.assert_allclose(rows @ rows.T, group[:, None] == group, atol=1e-4)


def cosines(model: FactorModel, evidence: sp.csr_matrix) -> np.ndarray:
    """Of the vectors of users with what their items give them."""
    made = evidence @ model.source_vectors
    able = np.diff(evidence.indptr) > 0
    lengths = np.linalg.norm(made, axis=1) * np.linalg.norm(model.user_vectors, axis=1)
    return ((made * model.user_vectors).sum(axis=1)[able]) / lengths[able]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_user_with_nothing_of_their_own_is_the_sum_over_their_items(layers: int) -> None:
    evidence = made_evidence()
    ours = learner(evidence, layers=layers)
    ours.table.data[:USERS] = 0.0
    assert cosines(ours.model(), evidence).min() > 0.99


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_the_part_that_is_their_own_is_told_by_their_items(layers: int) -> None:
    """The users' own vectors are a mixture of those of their items: M finds it."""
    evidence = made_evidence()
    ours = learner(evidence, layers=layers)
    mixed = torch.randn(8, 8, generator=torch.Generator().manual_seed(3))
    items = ours.table.data[USERS:]
    ours.table.data[:USERS] = 3.0 * torch.from_numpy(evidence.toarray()) @ items @ mixed
    assert np.median(cosines(ours.model(), evidence)) > 0.95


def test_scores_are_inner_products() -> None:
    evidence = made_evidence()
    model = learner(evidence).model()
    users = np.array([4, 1])
    expected = model.user_vectors[users] @ model.item_vectors.T
    np.testing.assert_array_equal(model.scores(users, evidence[users]), expected)


@pytest.mark.parametrize(("loss", "negatives"), LOSSES)
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_every_loss_falls(loss: str, negatives: str, l2: float) -> None:
    ours = learner(
        made_evidence(), loss=loss, negatives=negatives, l2=l2, temperature=0.3, negative_count=6
    )
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
    assert isinstance(ours.model(), FactorModel)


def test_hard_negatives_are_the_best_scored_ones_that_the_user_has_not() -> None:
    evidence = made_evidence()
    ours = learner(evidence, loss="bpr", negatives="hard", negative_count=2000, batch_size=400)
    model = ours.model()
    score = model.user_vectors @ model.item_vectors.T
    owned = evidence.toarray() > 0
    hardest = np.where(owned, -np.inf, score).max(axis=1)  # so many draws find every item
    user, item = evidence.nonzero()
    each = np.log1p(np.exp(hardest[user] - score[user, item]))
    expected = (each * evidence.data).sum() / evidence.data.sum()
    ((loss, count),) = ours.epoch()
    assert count == evidence.nnz
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_hard_negatives_are_for_bpr_alone() -> None:
    with pytest.raises(ValueError, match="negatives=hard with loss=bsl"):
        LightGCNOptions(loss="bsl", negatives="hard")


def epoch_loss(**options: object) -> float:
    """Of one batch with everything, before any step."""
    ((loss, _),) = learner(made_evidence(), batch_size=400, **options).epoch()
    return float(loss.detach())


@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_the_contrast_is_added_to_the_loss(loss: str) -> None:
    """Without noise it is that of the mean and one layer, over all users and all items."""
    evidence, temperature = made_evidence(), 0.3
    options = {"loss": loss, "layers": 2, "noise": 0.0, "contrast_temperature": temperature}
    plain = learner(evidence, layers=2)
    below = normalised_adjacency(evidence) @ plain.table.detach().numpy()
    model = plain.model()
    mean = np.concatenate([model.user_vectors, model.item_vectors])
    expected = 0.0
    there = evidence.toarray() > 0
    for able in (np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0)) + USERS):
        one, other = (x[able] / np.linalg.norm(x[able], axis=1)[:, None] for x in (mean, below))
        products = one @ other.T / temperature
        expected += (np.log(np.exp(products).sum(axis=1)) - np.diag(products)).mean()
    added = epoch_loss(contrast=0.5, **options) - epoch_loss(**options)
    assert added == pytest.approx(0.5 * expected, rel=1e-3)


def test_the_contrast_spreads_the_vectors_and_what_belongs_together_stays_together() -> None:
    """Three groups that share nothing, of people who have nearly the same."""
    blocks = [np.ones((8, 6)) - np.eye(8, 6) for _ in range(3)]
    evidence = sp.csr_matrix(sp.block_diag(blocks), dtype=np.float32)
    group = np.repeat(range(3), 8)
    together, apart = {}, {}
    for contrast in (0.0, 0.1):
        options = LightGCNOptions(
            dimensions=16, loss="bpr", negatives="uniform", negative_count=1, start="random",
            contrast=contrast, noise=0.1, learning_rate=0.02,
        )  # fmt: skip
        ours = LightGCNLearner(evidence, options, CPU, 0)
        users = train(ours, options, FitRun(0, epochs=60), measure=None).model.user_vectors
        users = users / np.linalg.norm(users, axis=1)[:, None]
        cosine, same = users @ users.T, group[:, None] == group
        together[contrast] = cosine[same & ~np.eye(24, dtype=bool)].mean()
        apart[contrast] = cosine[~same].mean()
        assert together[contrast] > apart[contrast] + 0.5
    assert together[0.1] < together[0.0] - 0.2


def test_a_layer_to_contrast_with_is_there() -> None:
    with pytest.raises(ValueError, match="contrast_layer=3 with layers=2"):
        LightGCNOptions(contrast=0.1, contrast_layer=3)
    LightGCNOptions(contrast_layer=3)


def test_a_step_that_is_too_long_is_an_error() -> None:
    options = LightGCNOptions(
        dimensions=8, loss="bpr", learning_rate=10.0, initial_deviation=10.0, l2=1e38,
        start="random",
    )  # fmt: skip
    ours = LightGCNLearner(made_evidence(), options, CPU, 0)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(ours, options, FitRun(0, epochs=50), measure=None)


def test_a_gpu_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match="torch sees no GPU"):
        open_device("cuda")
