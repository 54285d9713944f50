"""HeteroGNN: attention by hand, and what it makes of features, categories and related items."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.models import MODELS, FitRun
from recsvc.models._loop import train
from recsvc.models._relations import DID, DONE_BY, EdgeType, block_around
from recsvc.models.base import TrainingData
from recsvc.models.heterognn import HeteroGNNLearner, HeteroGNNOptions

BLOCKS, USERS, ITEMS = 3, 12, 8  # users and items of each block
CPU = torch.device("cpu")


def links(pairs: list[tuple[int, int]]) -> Edges:
    source, target = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    return Edges(source.copy(), target.copy(), np.ones(len(pairs)))


def graph_of(evidence: np.ndarray, sure: np.ndarray | None = None, **edges: Edges) -> TrainingData:
    """What users did, with the property `sure`."""
    matrix = sp.csr_matrix(evidence, dtype=np.float32)
    user = np.repeat(np.arange(len(evidence)), np.diff(matrix.indptr))
    item = matrix.indices.astype(np.int64)
    given = np.zeros(matrix.nnz) if sure is None else sure[user, item]
    interactions = Interactions(
        user, item, np.zeros(matrix.nnz, np.int8), matrix.data, np.full(matrix.nnz, np.nan), ("x",),
        {"sure": given.astype(np.float32)[:, None]},
    )  # fmt: skip
    users, items = evidence.shape
    graph = HeteroGraph(
        IdMap([f"u{row:03}" for row in range(users)]),
        IdMap([f"i{row:03}" for row in range(items)]),
        IdMap([f"c{row}" for row in range(BLOCKS)]), interactions, **edges,
    )  # fmt: skip
    return TrainingData(graph, matrix)


@cache
def blocks() -> np.ndarray:
    return np.kron(np.eye(BLOCKS), np.ones((USERS, ITEMS)))


def options_of(**values: object) -> HeteroGNNOptions:
    small = {"dimensions": 8, "layers": 1, "own_dropout": 0.0, "edge_dropout": 0.0, "fan_out": 99}
    return HeteroGNNOptions.model_validate(small | values)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=0))
    return e / e.sum(axis=0)


def first_states(ours: HeteroGNNLearner) -> dict[str, np.ndarray]:
    weight = {name: each.detach().numpy() for name, each in ours.weights().items()}
    table = ours.table.detach().numpy()
    own = {"user": table[: ours._users], "item": table[ours._users :]}
    return {
        kind: rows + ours._features[kind].numpy() @ weight[f"features_{kind}"]
        for kind, rows in own.items()
    }


def attention(
    ours: HeteroGNNLearner, edge_type: EdgeType, node: int, own: slice
) -> tuple[np.ndarray, np.ndarray]:
    """α of each relationship of a node in the first layer, by head, and what is brought: eq. 7."""
    relation, first = ours._relations[edge_type], first_states(ours)
    weight = {name: each.detach().numpy() for name, each in ours.weights().items()}
    sender, _, receiver = edge_type
    name = f"0 convs.<{'___'.join(edge_type)}>."
    sent = first[sender][relation.links.neighbour[own]] @ weight[name + "lin_l.weight"].T
    asked = first[receiver][node] @ weight[name + "lin_r.weight"].T
    said = sent + asked + relation.features[own] @ weight[name + "lin_edge.weight"].T
    said = np.where(said > 0, said, 0.2 * said).reshape(-1, 2, 4)
    alpha = softmax((said * weight[name + "att"][0]).sum(axis=2))
    return alpha, (alpha[:, :, None] * sent.reshape(-1, 2, 4)).sum(axis=0).ravel()


def test_attention_by_hand() -> None:
    """For one item, with features; and all that a step may draw."""
    generator = np.random.default_rng(0)
    evidence = (generator.random((9, 6)) < 0.5).astype(float)
    data = graph_of(evidence, generator.random((9, 6)))
    ours = HeteroGNNLearner(data, options_of(interaction_properties="sure"), CPU, 0)
    with torch.no_grad():
        ours.network.add_(torch.randn(len(ours.network), generator=ours.generator), alpha=0.2)
    relation, item = ours._relations[DID], 2
    own = slice(relation.links.begin[item], relation.links.begin[item + 1])
    _, brought = attention(ours, DID, item, own)
    expected = (first_states(ours)["item"][item] + brought) / 2
    found = ours.vectors(torch.tensor([9 + item]))[0].detach().numpy()[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    unit = expected / np.linalg.norm(expected)
    np.testing.assert_allclose(ours.model().item_vectors[item], unit, atol=1e-5)


def test_two_layers_of_all_neighbours_are_those_of_the_model() -> None:
    in_category = links([(row, row // ITEMS) for row in range(BLOCKS * ITEMS)])
    related = links([(row, row + 1) for row in range(0, BLOCKS * ITEMS - 1, 3)])
    data = graph_of(blocks(), in_category=in_category, related_to=related)
    ours = HeteroGNNLearner(data, options_of(layers=2), CPU, 0)
    with torch.no_grad():
        ours.network.add_(torch.randn(len(ours.network), generator=ours.generator), alpha=0.2)
    nodes = torch.tensor([0, 7, 30, 36, 40, 59])
    found = torch.nn.functional.normalize(ours.vectors(nodes)[0]).detach().numpy()
    model = ours.model()
    every = np.concatenate([model.user_vectors, model.item_vectors])
    np.testing.assert_allclose(found, every[nodes], atol=1e-5)


def test_a_block_begins_with_those_who_receive() -> None:
    data = graph_of(blocks(), in_category=links([(row, 0) for row in range(5)]))
    ours = HeteroGNNLearner(data, options_of(), CPU, 0)
    none = np.empty(0, np.int64)
    asked = {"user": none, "item": np.array([9, 3]), "category": none}
    block = block_around(asked, ours._relations, ours._all)
    assert block.senders["item"].tolist() == [9, 3]
    assert block.senders["category"].tolist() == [0]
    assert block.receivers == {"user": 0, "item": 2, "category": 0}
    received = block.received[DID]
    assert {*block.senders["user"][received.sender[received.receiver == 1]].tolist()} == {
        *range(12)
    }
    assert block.received["category", "holds", "item"].receiver.tolist() == [1]


def test_a_step_does_not_see_what_it_is_asked_for() -> None:
    ours = HeteroGNNLearner(graph_of(blocks()), options_of(), CPU, 0)
    batches = next(ours._sampler.steps(1, 1))
    ours._step(batches)
    asked = {(int(u), int(i)) for b in batches for u, i in zip(b.user, b.item, strict=True)}
    users, items = np.arange(BLOCKS * USERS), np.arange(BLOCKS * ITEMS)
    to_item, to_user = ours._draw(DID, items), ours._draw(("item", "done_by", "user"), users)
    every = {(int(u), int(i)) for u, i in zip(*blocks().nonzero(), strict=True)}
    assert {*zip(to_item.other.tolist(), to_item.row.tolist(), strict=True)} == every - asked
    assert {*zip(to_user.row.tolist(), to_user.other.tolist(), strict=True)} == every - asked


def test_relationships_are_dropped_in_training() -> None:
    ours = HeteroGNNLearner(graph_of(blocks()), options_of(edge_dropout=0.4), CPU, 0)
    drawn = len(ours._draw(DID, np.arange(BLOCKS * ITEMS)).row)
    assert 0.5 < drawn / blocks().sum() < 0.7


def test_attention_learns_which_interactions_to_trust() -> None:
    """Everybody has half of their block, which is sure, and some of the others, which is not."""
    generator = np.random.default_rng(0)
    sure = blocks() * (generator.random(blocks().shape) < 0.6)
    noise = (1 - blocks()) * (generator.random(blocks().shape) < 0.15)
    data = graph_of(sure + noise, sure)
    options = options_of(
        epochs=15, learning_rate=0.03, steps_per_epoch=6, batches_per_step=4,
        interaction_properties="sure",
    )  # fmt: skip
    ours = HeteroGNNLearner(data, options, CPU, 0)
    train(ours, options, FitRun(seed=0), measure=None)
    relation = ours._relations[DONE_BY]
    trusted = []
    for user in range(BLOCKS * USERS):
        own = slice(relation.links.begin[user], relation.links.begin[user + 1])
        items = relation.links.neighbour[own]
        alpha, _ = attention(ours, DONE_BY, user, own)
        certain = sure[user, items] > 0
        if certain.any() and not certain.all():
            trusted.append(alpha.mean(axis=1)[certain].sum() - certain.mean())
    assert np.mean(trusted) > 0.02


def test_a_cold_item_is_told_by_its_category_and_by_what_it_goes_with() -> None:
    evidence = np.concatenate([blocks(), np.zeros((BLOCKS * USERS, 2))], axis=1)
    cold = BLOCKS * ITEMS
    in_category = [(row, row // ITEMS) for row in range(cold)] + [(cold, 1)]
    related = [(ITEMS * b + n, ITEMS * b + n + 1) for b in range(BLOCKS) for n in range(ITEMS - 1)]
    related.append((2 * ITEMS + 3, cold + 1))
    data = graph_of(evidence, in_category=links(in_category), related_to=links(related))
    options = options_of(epochs=5, own_dropout=0.3, learning_rate=0.02, layers=2)
    model, _ = MODELS["heterognn"].fit(data, options, FitRun(seed=0))
    scores = model.scores(np.arange(BLOCKS * USERS), data.evidence).reshape(BLOCKS, USERS, -1)
    by_block = scores.mean(axis=1)
    assert by_block[:, cold].argmax() == 1
    assert by_block[:, cold + 1].argmax() == 2


def test_items_are_told_apart_by_a_property() -> None:
    """Two cold items, one with the vector of each block's items."""
    evidence = np.concatenate([blocks(), np.zeros((BLOCKS * USERS, 2))], axis=1)
    data = graph_of(evidence)
    kind = np.array([*np.repeat(np.arange(BLOCKS), ITEMS), 0, 2])
    vectors = np.eye(BLOCKS, dtype=np.float32)[kind]
    data = replace(data, graph=replace(data.graph, item_properties={"text": vectors}))
    options = options_of(epochs=8, own_dropout=0.5, learning_rate=0.02, item_properties="text")
    model, _ = MODELS["heterognn"].fit(data, options, FitRun(seed=0))
    scores = model.scores(np.arange(BLOCKS * USERS), data.evidence).reshape(BLOCKS, USERS, -1)
    assert scores.mean(axis=1)[:, -2:].argmax(axis=0).tolist() == [0, 2]


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="dimensions=8 and heads=3"):
        options_of(heads=3)
    options = options_of(interaction_properties="no_such", item_properties="price,brand")
    assert options.property_names == (("no_such",), ("price", "brand"))
    with pytest.raises(TrainingError, match="'no_such'"):
        MODELS["heterognn"].fit(graph_of(blocks()), options, FitRun(seed=0))
