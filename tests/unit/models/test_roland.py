import numpy as np
import pytest
import torch

from recsvc.errors import TrainingError
from recsvc.models import MODELS, FitRun
from recsvc.models._propagation import normalised_adjacency
from recsvc.models.roland import RolandLearner, RolandOptions, stretches
from tests.unit.models.test_transitions import SHOP, data_of, views

OPTIONS = RolandOptions(dimensions=3, snapshots=2, initial_deviation=1.0, batch_size=4, epochs=2)


def test_stretches_are_in_order_of_time_and_of_about_one_size() -> None:
    early, late = stretches(SHOP, 2)
    assert (early + late != SHOP.evidence).nnz == 0
    assert early.multiply(late).nnz == 0
    assert early.nnz == 6
    assert early[1, 5] > 0.0  # without a time
    assert late[0, 3] > early[0, 3] == 0.0
    assert early[2, 0] > late[2, 0] == 0.0


def test_the_state_by_hand() -> None:
    """The update of the paper, with dense matrices and a gated unit written out."""
    parts = stretches(SHOP, 2)
    learner = RolandLearner(SHOP.evidence, parts, OPTIONS, torch.device("cpu"), 0)
    table, w_in, w_own, b_in, b_own = (p.detach().numpy() for p in learner.parameters())
    state = table.astype(np.float64)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-x))

    for part in parts:
        around = normalised_adjacency(part).toarray() @ state
        given, own = (state + around) @ w_in.T + b_in, state @ w_own.T + b_own
        reset, update = (sigmoid(given[:, at] + own[:, at]) for at in (slice(3), slice(3, 6)))
        new = np.tanh(given[:, 6:] + reset * own[:, 6:])
        after = (1.0 - update) * new + update * state
        active = np.r_[np.diff(part.indptr) > 0, part.getnnz(axis=0) > 0]
        state = np.where(active[:, None], after, state)
    model = learner.model()
    np.testing.assert_allclose(np.r_[model.user_vectors, model.item_vectors], state, atol=1e-5)


def test_each_stretch_is_foretold_from_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = RolandLearner(SHOP.evidence, stretches(SHOP, 3), OPTIONS, torch.device("cpu"), 0)
    asked: list[int] = []
    after = learner._after
    monkeypatch.setattr(learner, "_after", lambda past: asked.append(past) or after(past))
    count = sum(examples for _, examples in learner.epoch())
    assert asked == sorted(asked)
    assert set(asked) == {0, 1, 2}
    assert count == SHOP.evidence.nnz


def test_what_is_nearly_all_of_one_time_is_refused() -> None:
    data = data_of(views((0, 8e8), (1, 9e8)), views((2, 9e8), (3, 9e8)))
    with pytest.raises(TrainingError, match="roland learns from the order of time"):
        MODELS["roland"].fit(data, OPTIONS, FitRun(seed=0))
