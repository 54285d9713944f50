"""Losses of models of user and item vectors, whole, against plain numpy."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recsvc.models._sampling import Positives
from recsvc.models.mf import MFLearner, MFOptions

USERS, ITEMS, L2 = 4, 5, 0.3
EVIDENCE = sp.csr_matrix(
    np.array([[1.0, 0, 2, 0, 0], [0, 3, 0, 0, 0.5], [0, 1, 0, 0, 0], [0, 0, 4, 0, 1]], np.float32)
)


def learner_with(**options: object) -> MFLearner:
    settings = {"dimensions": 3, "initial_deviation": 1.0, "negatives": "in_batch"} | options
    return MFLearner(EVIDENCE, MFOptions(**settings), torch.device("cpu"), 0)


def whole_loss(**options: object) -> tuple[float, MFLearner]:
    """The loss of an epoch of one batch, and the learner before it made a step."""
    learner = learner_with(**options)
    ((loss, count),) = learner.epoch()
    assert count == EVIDENCE.nnz
    return loss.item(), learner


def penalty(table: np.ndarray, *kinds: np.ndarray) -> float:
    """l2 / 2 · the mean squared norm of each kind of nodes: users, items, negatives."""
    return L2 / 2 * sum(np.square(table[nodes]).sum(1).mean() for nodes in kinds)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
def test_a_step_of_several_batches_is_their_mean(loss: str) -> None:
    """Their losses by the weights of their examples, and so their gradients."""
    options = {"loss": loss, "batch_size": 3, "negative_count": 3}
    batches = next(learner_with(**options)._sampler.steps(1, 100))
    assert len(batches) > 1

    def step(*some: Positives) -> tuple[float, torch.Tensor]:
        """From the same draws: those of `bpr` are the same items at the same places."""
        learner = learner_with(**options)
        learner._sampler.draw = lambda *_: torch.arange(3).repeat(len(some[0].item), 1)
        mean = learner._step(some)
        mean.backward()
        return mean.item(), learner.table.grad

    weights = np.array([batch.weight.sum() for batch in batches])
    alone = [step(batch) for batch in batches]
    found, gradient = step(*batches)
    assert found == pytest.approx(np.average([mean for mean, _ in alone], weights=weights))
    expected = np.average([each.numpy() for _, each in alone], axis=0, weights=weights)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bsl"])
@pytest.mark.parametrize("l2", [0.0, L2])
def test_the_softmax_losses_are_the_written_ones(loss: str, l2: float) -> None:
    """All weights, the temperature, the correction, owned items and the penalty, by hand."""
    temperature, omega, correction = 0.4, 0.7, 0.6
    found, learner = whole_loss(
        loss=loss, l2=l2, temperature=temperature, negative_weight=omega,
        popularity_correction=correction,
    )  # fmt: skip
    table = learner.table.detach().numpy().astype(float)
    user, item = EVIDENCE.nonzero()
    compared, times = np.unique(item, return_counts=True)
    share = times / len(item)  # every stored entry is in the batch
    weight = times * (share * len(item)) ** -correction
    weight /= weight.mean()
    unit = table / np.linalg.norm(table, axis=1, keepdims=True).clip(min=1e-12)
    cosine = unit[:USERS] @ unit[USERS:].T / temperature
    each = []
    for u, i in zip(user, item, strict=True):
        owned = EVIDENCE[u].indices
        others = sum(w * np.exp(cosine[u, j]) for j, w in zip(compared, weight, strict=True)
                     if j not in owned)  # fmt: skip
        p = cosine[u, i]
        softmax = -np.log(np.exp(p) / (np.exp(p) + others))
        each.append(softmax if loss == "sampled_softmax" else omega * np.log(others) - p)
    expected = np.average(each, weights=EVIDENCE.data)
    if l2:
        expected += penalty(table, user, item + USERS, compared + USERS)
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("negatives", ["uniform", "popularity", "in_batch", "hard"])
def test_the_ranking_loss_has_the_penalty_once(negatives: str) -> None:
    """The draws are those of the seed: what l2 adds is the penalty, a third of it of each kind."""
    options = {"loss": "bpr", "negatives": negatives, "negative_count": 3}
    plain, _ = whole_loss(**options)
    found, learner = whole_loss(l2=L2, **options)
    table = learner.table.detach().numpy().astype(float)
    user, item = EVIDENCE.nonzero()
    least = penalty(table, user, item + USERS)
    norms = np.square(table[USERS:]).sum(1)
    added = found - plain
    assert least <= added <= least + L2 / 2 * norms.max()
    assert added < 2 * least


def test_weights_of_examples_count() -> None:
    """An example of weight 4 is four of weight 1."""
    learner = learner_with(loss="bpr", negatives="uniform", negative_count=1)
    (positives,) = next(learner._sampler.steps(1, 100))
    each = torch.arange(float(EVIDENCE.nnz))
    learner._ranking_loss = lambda *given: each + 0.0 * sum(rows.sum() for rows in given[2:])
    learner._sampler.steps = lambda *_: iter([[positives]])
    ((loss, _),) = learner.epoch()
    expected = np.average(np.arange(EVIDENCE.nnz), weights=positives.weight.numpy())
    assert loss.item() == pytest.approx(expected, rel=1e-6)
