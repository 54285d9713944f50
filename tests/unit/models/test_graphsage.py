"""GraphSAGE by hand, what a step may see, and what a new item has."""

import numpy as np
import scipy.sparse as sp
import torch

from loaders.types import IdMap
from recsvc.models._item_network import ItemNetworkModel
from recsvc.models._network import row_means
from recsvc.models.graphsage import GraphSAGELearner, GraphSAGEOptions
from tests.unit.models.made import ITEMS, USERS, made_evidence


def made_learner(evidence: sp.csr_matrix | None = None, **options: float) -> GraphSAGELearner:
    chosen = GraphSAGEOptions.model_validate(
        {"dimensions": 4, "fan_out": 50, "own_dropout": 0.0} | options
    )
    ours = GraphSAGELearner(
        made_evidence() if evidence is None else evidence, chosen, torch.device("cpu"), 0
    )
    with torch.no_grad():  # biases too
        ours.network.add_(torch.randn(len(ours.network), generator=ours.generator), alpha=0.3)
    return ours


def by_hand(
    ours: GraphSAGELearner, own: np.ndarray, evidence: np.ndarray, near: np.ndarray
) -> list[np.ndarray]:
    """Sources and targets of items with these vectors and these chances of two steps."""
    weight = {name: each.detach().numpy() for name, each in ours.weights().items()}
    table = ours.table.detach().numpy()[USERS:]
    message = np.maximum(table @ weight["message"] + weight["message_bias"], 0)
    return [
        own @ weight[f"own_{end}"] + near @ message @ weight[f"sent_{end}"] + weight[f"bias_{end}"]
        for end in ("source", "target")
    ]


def two_steps(links: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Over a user alike, then over an item of theirs alike."""
    forth = links / np.maximum(links.sum(axis=1, keepdims=True), 1)
    return of / np.maximum(of.sum(axis=1, keepdims=True), 1) @ forth


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_model_by_hand() -> None:
    ours, evidence = made_learner(), made_evidence().toarray()
    model = ours.model()
    own = ours.table.detach().numpy()[USERS:]
    links = (evidence > 0).astype(float)
    source, target = by_hand(ours, own, evidence, two_steps(links, links.T))
    there = links.any(axis=0)
    np.testing.assert_allclose(model.source_vectors[there], source[there], atol=1e-5)
    np.testing.assert_allclose(model.item_vectors[there], unit(target)[there], atol=1e-5)
    np.testing.assert_allclose(model.user_vectors, evidence @ model.source_vectors, atol=1e-4)
    assert not model.item_vectors[~there].any()
    assert not model.source_vectors[~there].any()


def test_a_step_that_draws_all_neighbours_gives_the_vectors_of_the_model() -> None:
    """But for what it is asked for, which here is nothing."""
    ours = made_learner()
    model = ours.model()
    final, _ = ours.vectors(torch.arange(USERS + ITEMS))
    found = final.detach().numpy()
    there = model.item_vectors.any(axis=1)
    np.testing.assert_allclose(found[:USERS], model.user_vectors, atol=1e-4)
    np.testing.assert_allclose(unit(found[USERS:])[there], model.item_vectors[there], atol=1e-5)


def test_a_new_item_has_what_the_network_makes_of_its_neighbours() -> None:
    """The same as with a vector of 0 of its own, and the items of the people who have it."""
    ours, evidence = made_learner(), made_evidence().toarray()
    model = ours.model()
    assert isinstance(model, ItemNetworkModel)
    people = np.zeros((1, USERS))
    people[0, [1, 4, 9]] = 1.0
    shares = two_steps((evidence > 0).astype(float), people)
    source, target = by_hand(ours, np.zeros((1, 4)), evidence, shares)
    signal = model.signal(IdMap([f"i{row:02}" for row in range(ITEMS)]))
    fresh, had = sp.csr_matrix(shares, dtype=np.float32), np.ones(ITEMS, np.int64)
    np.testing.assert_allclose(signal.new_item_vectors(fresh, had), unit(target), atol=1e-5)
    live = signal.with_fresh_rows(IdMap(["new"]), np.array([-1]), fresh, had)
    np.testing.assert_allclose(live.source, source, atol=1e-5)


def test_a_step_does_not_see_what_it_is_asked_for() -> None:
    evidence = sp.csr_matrix(np.ones((10, 12), np.float32))
    ours = made_learner(evidence)
    batch = next(ours._sampler.steps(1, 1))
    ours._step(batch)
    asked = {(int(u), int(i)) for b in batch for u, i in zip(b.user, b.item, strict=True)}
    every = {(user, item) for user in range(10) for item in range(12)}
    assert len(asked) == 6
    drawn = ours.drawn(ours._items_of, np.arange(10), 50, of_users=True)
    assert {*zip(drawn.row.tolist(), drawn.other.tolist(), strict=True)} == every - asked
    back = ours.drawn(ours._people_of, np.arange(12), 50, of_users=False)
    assert {*zip(back.other.tolist(), back.row.tolist(), strict=True)} == every - asked
    np.testing.assert_array_equal(ours._items_of.neighbour[drawn.edge], drawn.other)


def test_an_epoch_has_twenty_steps_where_there_is_little_to_learn_from() -> None:
    evidence = sp.csr_matrix(np.ones((20, 40), np.float32))
    steps = [count for _, count in made_learner(evidence).epoch()]
    assert (len(steps), sum(steps)) == (20, 800)


def test_own_vectors_are_hidden_in_training_alone() -> None:
    ours = made_learner(own_dropout=0.5)
    nodes = torch.arange(USERS + ITEMS)
    one, two = (ours.vectors(nodes)[0] for _ in range(2))
    assert not torch.equal(one, two)
    hidden = ours.with_some_hidden(torch.ones(4000, 2))
    assert {*hidden.sum(dim=1).tolist()} == {0.0, 2.0}
    assert abs(hidden.mean().item() - 0.5) < 0.05
    np.testing.assert_array_equal(ours.model().item_vectors, ours.model().item_vectors)


def test_means_of_rows() -> None:
    values = torch.tensor([[2.0], [4.0], [7.0]])
    found = row_means(values, torch.tensor([0, 0, 2]), 3)
    assert found.tolist() == [[3.0], [0.0], [7.0]]
