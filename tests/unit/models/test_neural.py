# pyright: basic
# torch's types are partial.
"""GMF, MLP and NCF against their formulas in plain numpy."""

import numpy as np
import pytest
import torch

from recsvc.models._neural import NeuralLearner, NeuralOptions
from tests.unit.models.made import ITEMS, USERS, made_evidence

PARTS = {"gmf": (8, 0), "mlp": (0, 3), "ncf": (8, 2)}
every_model = pytest.mark.parametrize("name", sorted(PARTS))


def made_learner(name: str, **values: object) -> NeuralLearner:
    product, layers = PARTS[name]
    options = NeuralOptions.model_validate({"dimensions": 8, "initial_deviation": 1.0} | values)
    learner = NeuralLearner(
        name, made_evidence(), options, torch.device("cpu"), 0, product=product, layers=layers
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for bias in learner._biases:  # of 0, a wrong sign would not show
            bias.normal_(generator=generator)
    return learner


def by_hand(learner: NeuralLearner, user: int, item: int) -> float:
    """<h, p ∘ q> + <w, relu(… relu(x_0 W_1 + b_1) …)>."""
    table, *rest = (p.detach().numpy().astype(float) for p in learner.parameters())
    *weights, last = rest[: len(learner._weights)]
    p, q, g = table[user], table[USERS + item], learner._product
    x = np.concatenate([p[g:], q[g:]])
    for weight, bias in zip(weights, rest[len(learner._weights) :], strict=True):
        x = np.maximum(x @ weight + bias, 0.0)
    return float((last[:g, 0] * p[:g] * q[:g]).sum() + x @ last[g:, 0])


@every_model
def test_scores_are_those_of_the_formula(name: str) -> None:
    learner = made_learner(name)
    found = learner.model().scores(np.array([4, 3, 0]), made_evidence()[[4, 3, 0]])
    for row, user in enumerate([4, 3, 0]):
        expected = [by_hand(learner, user, item) if user != 3 else 0.0 for item in range(ITEMS)]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


@every_model
def test_layers_are_half_as_wide_as_those_below(name: str) -> None:
    widths = [tuple(weight.shape) for weight in made_learner(name).model().weights]
    assert widths == [(16, 8), (8, 4), (4, 2)][: PARTS[name][1]]


@every_model
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_loss_is_the_written_one(name: str, l2: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """-log σ(s) of what a user has and -log(1 - σ(s)) of what they have not, by evidence."""
    learner = made_learner(name, l2=l2, negative_count=3, batch_size=1000)
    evidence = made_evidence().toarray()
    drawn = torch.arange(3 * made_evidence().nnz).view(-1, 3) % ITEMS
    positives = next(learner._sampler.steps(1, 1))[0]
    monkeypatch.setattr(learner._sampler, "draw", lambda *_: drawn)
    monkeypatch.setattr(learner._sampler, "steps", lambda *_: iter([[positives]]))
    ((loss, count),) = learner.epoch()
    assert count == made_evidence().nnz
    table = learner.parameters()[0].detach().numpy()
    total, weights, squares = 0.0, 0.0, [0.0, 0.0]
    for user, item, others in zip(positives.user, positives.item, drawn, strict=True):
        user, item, others = int(user), int(item), others.tolist()
        negatives = [other for other in others if not evidence[user, other]]
        each = np.log1p(np.exp(-by_hand(learner, user, item)))
        each += sum(np.log1p(np.exp(by_hand(learner, user, other))) for other in negatives)
        total += evidence[user, item] * each
        weights += evidence[user, item] * (1 + len(negatives))
        squares[0] += np.square(table[user]).sum()
        squares[1] += sum(np.square(table[USERS + row]).sum() for row in (item, *others))
    penalty = l2 / 2 * (squares[0] / count + squares[1] / (4 * count))
    assert loss.item() == pytest.approx(total / weights + penalty, rel=1e-4)


def test_ncf_is_the_sum_of_both() -> None:
    """With h or w at 0 the other one is left."""
    learner = made_learner("ncf")
    users, evidence = np.arange(USERS), made_evidence()
    whole = learner.model().scores(users, evidence)
    parts = []
    for side in (slice(None, 8), slice(8, None)):
        kept = learner._weights[-1].detach().clone()
        with torch.no_grad():
            learner._weights[-1][side] = 0.0
        parts.append(learner.model().scores(users, evidence))
        learner._weights[-1].data = kept
    np.testing.assert_allclose(parts[0] + parts[1], whole, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 6])
def test_no_layer_is_narrower_than_one_number(layers: int) -> None:
    learner = NeuralLearner(
        "mlp", made_evidence(), NeuralOptions(dimensions=2), torch.device("cpu"), 0,
        product=0, layers=layers,
    )  # fmt: skip
    assert np.isfinite(learner.model().scores(np.arange(USERS), made_evidence())).all()
