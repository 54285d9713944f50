import numpy as np

from recsvc.models._vectors import VectorModel
from recsvc.models.base import FitRun, TrainingData
from recsvc.models.svd import SVDOptions, fit
from tests.unit.models.made import ITEMS, USERS, made_evidence
from tests.unit.models.test_fastrp import made_data


def fitted(dimensions: int, seed: int = 0, scale: float = 1.0) -> VectorModel:
    data = made_data()
    data = TrainingData(data.graph, (data.evidence * scale).astype(np.float32))
    return fit(data, SVDOptions(dimensions=dimensions), FitRun(seed=seed))[0]


def test_scores_are_those_of_the_dense_formula() -> None:
    dense = made_evidence().toarray().astype(float)
    _, _, right = np.linalg.svd(dense)
    for dimensions in (1, 4, 9):
        kept = right[:dimensions]
        found = fitted(dimensions).scores(np.arange(USERS), made_evidence())
        np.testing.assert_allclose(found, dense @ kept.T @ kept, atol=1e-4)


def test_the_vectors_are_orthonormal_whatever_the_size_of_the_evidence() -> None:
    for scale in (1e-4, 1.0, 1e5):
        model = fitted(6, scale=scale)
        np.testing.assert_allclose(model.item_vectors.T @ model.item_vectors, np.eye(6), atol=1e-4)
        np.testing.assert_allclose(
            model.user_vectors, scale * made_evidence() @ model.item_vectors, rtol=1e-3, atol=1e-5
        )


def test_no_more_vectors_are_kept_than_there_are() -> None:
    assert fitted(4096).item_vectors.shape == (
        ITEMS,
        np.linalg.matrix_rank(made_evidence().toarray()),
    )
