"""PinSage: who is near by walks, the model by hand, and hard negatives."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsvc.models._sampling import Positives
from recsvc.models.pinsage import PinSageLearner, PinSageOptions, nearest_by_walks
from tests.unit.models.made import USERS, made_evidence


def options_of(**values: object) -> PinSageOptions:
    return PinSageOptions.model_validate(
        {"dimensions": 4, "fan_out": 100, "own_dropout": 0.0} | values
    )


def two_step_chances(evidence: sp.csr_matrix) -> np.ndarray:
    """Where a walk is after two steps and after four, each time alike among its neighbours."""
    links = (evidence.toarray() > 0).astype(float)
    forth = links / np.maximum(links.sum(axis=1, keepdims=True), 1)
    back = links.T / np.maximum(links.T.sum(axis=1, keepdims=True), 1)
    once = back @ forth
    return once + once @ once


def test_neighbours_are_what_walks_visit_most_and_hard_ones_come_next() -> None:
    evidence = made_evidence()
    near, hard = nearest_by_walks(evidence, options_of(neighbours=5, walks_per_item=5000))
    exact = two_step_chances(evidence)
    np.fill_diagonal(exact, 0.0)
    there = exact.any(axis=1)
    np.testing.assert_allclose(np.asarray(near.sum(axis=1)).ravel(), there.astype(float), atol=1e-6)
    for item in np.flatnonzero(there).tolist():
        first = near[[item]].indices
        assert item not in first
        share = exact[item, first] / exact[item, first].sum()
        np.testing.assert_allclose(near[[item]].data, share, atol=0.03)
        order = -np.sort(-exact[item])
        assert exact[item, first].min() > order[4] - 0.03
        assert not set(first) & set(hard[[item]].indices)
        left = np.delete(exact[item], first)
        assert exact[item, hard[[item]].indices].min() > -np.sort(-left)[4] - 0.03


def test_the_model_by_hand() -> None:
    ours = PinSageLearner(made_evidence(), options_of(), torch.device("cpu"), 0)
    with torch.no_grad():
        ours.network.add_(torch.randn(len(ours.network), generator=ours.generator), alpha=0.3)
    weight = {name: each.detach().numpy() for name, each in ours.weights().items()}
    own, near = ours.table.detach().numpy()[USERS:], ours._near.toarray()
    sent = np.maximum(own @ weight["message_first"] + weight["message_bias_first"], 0)
    state = own @ weight["own_first"] + near @ sent @ weight["sent_first"] + weight["bias_first"]
    state = np.maximum(state, 0)
    length = np.linalg.norm(state, axis=1, keepdims=True)
    state = np.divide(state, length, out=np.zeros_like(state), where=length > 0)
    message = np.maximum(state @ weight["message"] + weight["message_bias"], 0)
    target = state @ weight["own_target"] + near @ message @ weight["sent_target"]
    target += weight["bias_target"]
    model = ours.model()
    there = model.item_vectors.any(axis=1)
    expected = target / np.linalg.norm(target, axis=1, keepdims=True)
    np.testing.assert_allclose(model.item_vectors[there], expected[there], atol=1e-5)
    np.testing.assert_allclose(
        model.sent_target[there],
        (message @ weight["sent_target"] + weight["bias_target"])[there],
        atol=1e-5,
    )
    final = ours.vectors(torch.arange(len(ours.table)))[0].detach().numpy()[USERS:]
    np.testing.assert_allclose(final[there], target[there], atol=1e-5)


def test_some_neighbours_count_as_much_together_as_all() -> None:
    ours = PinSageLearner(made_evidence(), options_of(fan_out=3), torch.device("cpu"), 0)
    row, _, share = ours._importance(np.arange(22))
    total = np.bincount(row, share[:, 0].numpy(), 22)
    np.testing.assert_allclose(total[np.diff(ours._near.indptr) > 0], 1.0, atol=1e-6)
    assert np.bincount(row).max() == 3


def test_hard_negatives_are_like_the_items_of_the_batch() -> None:
    def negatives(count: int) -> set[int]:
        chosen = options_of(
            neighbours=2, hard_negatives=count, negatives="uniform", negative_count=1
        )
        ours = PinSageLearner(made_evidence(), chosen, torch.device("cpu"), 0)
        one = torch.tensor([2])
        others = ours._others(Positives(torch.tensor([0]), one, torch.ones(1)))
        assert (torch.diff(others.item) > 0).all()
        assert others.weight.sum().item() == pytest.approx(1 + count)
        drawn = set(others.item.tolist())
        hard = set(nearest_by_walks(made_evidence(), chosen)[1][[2]].indices.tolist())
        assert len(drawn & hard) >= count
        return drawn

    assert len(negatives(0)) == 1
    assert 2 <= len(negatives(2)) <= 3


def test_hard_negatives_of_bpr_are_another_option() -> None:
    with pytest.raises(ValueError, match="hard_negatives=1 with loss=bpr"):
        options_of(loss="bpr")
