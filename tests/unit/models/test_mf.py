import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsvc.models._factors import FactorModel, fold_in
from recsvc.models.mf import MFLearner, MFOptions
from tests.unit.models.made import made_evidence


def test_vectors_that_the_items_explain_are_found_again() -> None:
    """Users made as Σ_j e_uj M q_j, up to their length: the folded-in items give them back."""
    evidence = made_evidence()
    generator = np.random.default_rng(1)
    items = generator.normal(size=(evidence.shape[1], 3)).astype(np.float32)
    mixed = generator.normal(size=(3, 3)) + 3 * np.eye(3)
    users = (evidence @ (items @ mixed)).astype(np.float32)
    source = fold_in(evidence, users * 7, items)
    found = evidence @ source
    able = np.diff(evidence.indptr) > 0
    cosine = (found * users).sum(1)[able] / (
        np.linalg.norm(found, axis=1) * np.linalg.norm(users, axis=1)
    )[able]
    assert cosine.min() > 0.9
    assert np.isfinite(source).all()


def test_scores_are_inner_products() -> None:
    generator = np.random.default_rng(0)
    users, items, source = (generator.normal(size=(n, 4)).astype(np.float32) for n in (3, 5, 5))
    model = FactorModel("mf", users, items, source)
    rows = np.array([2, 0])
    nothing = sp.csr_matrix(np.zeros((2, 5), np.float32))
    np.testing.assert_array_equal(model.scores(rows, nothing), users[rows] @ items.T)


@pytest.mark.parametrize(
    ("loss", "cosine"), [("bsl", True), ("sampled_softmax", True), ("bpr", False)]
)
def test_what_was_trained_on_cosines_ranks_by_cosines(loss: str, cosine: bool) -> None:
    evidence = made_evidence()
    options = MFOptions.model_validate(
        {"dimensions": 4, "loss": loss, "negatives": "uniform", "initial_deviation": 1.0}
    )
    model = MFLearner(evidence, options, torch.device("cpu"), 0).model()
    for vectors, there in (
        (model.user_vectors, np.diff(evidence.indptr) > 0),
        (model.item_vectors, evidence.getnnz(axis=0) > 0),
    ):
        lengths = np.linalg.norm(vectors[there], axis=1)
        assert np.allclose(lengths, 1.0, atol=1e-5) == cosine
        np.testing.assert_array_equal(vectors[~there], 0.0)


def test_dropout_is_of_users_in_training() -> None:
    options = MFOptions(dimensions=400, dropout=0.25, initial_deviation=1.0)
    learner = MFLearner(made_evidence(), options, torch.device("cpu"), 0)
    users = made_evidence().shape[0]
    nodes = torch.tensor([0, users - 1, users, users + 1])
    drawn, again, plain = learner.vectors(nodes)[0], learner.vectors(nodes)[0], learner.table[nodes]
    torch.testing.assert_close(drawn[2:], plain[2:])
    assert not torch.equal(drawn[:2], again[:2])
    left = drawn[:2] != 0.0
    assert left.float().mean() == pytest.approx(0.75, abs=0.08)
    torch.testing.assert_close(drawn[:2][left], plain[:2][left] / 0.75)
    np.testing.assert_array_equal(learner.model().user_vectors, learner.model().user_vectors)
