import numpy as np
import torch

from recsvc.models._propagation import normalised_adjacency
from recsvc.models.ngcf import NGCFLearner, NGCFOptions
from tests.unit.models.made import USERS, made_evidence


def made_learner(dropout: float = 0.0) -> NGCFLearner:
    options = NGCFOptions(
        dimensions=4, layers=2, dropout=dropout, initial_deviation=1.0, batch_size=16
    )
    return NGCFLearner(made_evidence(), options, torch.device("cpu"), 0)


def test_the_layers_by_hand() -> None:
    """Equation 7 of the paper, with dense matrices."""
    learner = made_learner()
    table, of_sum, of_product = (p.detach().numpy() for p in learner.parameters())
    adjacency = normalised_adjacency(made_evidence()).toarray()
    layers = [table]
    below = table
    for layer in range(2):
        around = adjacency @ below
        raw = (around + below) @ of_sum[layer] + (around * below) @ of_product[layer]
        below = np.where(raw > 0, raw, 0.2 * raw)
        length = np.linalg.norm(below, axis=1, keepdims=True)
        layers.append(np.divide(below, length, out=np.zeros_like(below), where=length > 0))
    expected = np.concatenate(layers, axis=1)
    model = learner.model()
    np.testing.assert_allclose(model.user_vectors, expected[:USERS], atol=1e-5)
    np.testing.assert_allclose(model.item_vectors, expected[USERS:], atol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    learner = made_learner(dropout=0.5)
    nodes = torch.arange(6)
    one, two = (learner.vectors(nodes)[0] for _ in range(2))
    assert not torch.equal(one, two)
    np.testing.assert_array_equal(learner.model().user_vectors, learner.model().user_vectors)
