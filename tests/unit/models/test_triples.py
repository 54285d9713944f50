"""TransE, DistMult and ComplEx: what they score, what they learn, and that PyG says the same."""

from dataclasses import replace
from functools import cache
from types import ModuleType

import numpy as np
import pytest
import torch

from loaders.types import Edges, HeteroGraph, IdMap, Interactions
from recsvc.evaluation.links import filtered_ranks, frequency_scores, link_metrics, links_of
from recsvc.evidence import evidence_matrix
from recsvc.models import FitReport, FitRun, TrainingData, complex, distmult, transe
from recsvc.models._triples import TripleLearner, TripleModel, TripleOptions, triple_memory_bytes
from recsvc.settings import Settings

MODELS: dict[str, ModuleType] = {"complex": complex, "distmult": distmult, "transe": transe}
KINDS = {
    "complex": complex.ComplExModel,
    "distmult": distmult.DistMultModel,
    "transe": transe.TransEModel,
}
TASTES, USERS, ITEMS = 3, 24, 24  # in all
every_model = pytest.mark.parametrize("name", sorted(MODELS))


def ids(letter: str, count: int) -> IdMap:
    return IdMap([f"{letter}{row:02}" for row in range(count)])


def made_data(kinds: tuple[str, ...] | None = None) -> TrainingData:
    """Three tastes: who has one has its items, whose category it is, and follows the next taste.

    Users view all items of their taste and buy every other one.
    """
    users, items = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    own = users % TASTES == items % TASTES
    viewed = users[own], items[own]
    bought = items[own] // TASTES % 2 == 0
    did = Interactions(
        np.concatenate([viewed[0], viewed[0][bought]]),
        np.concatenate([viewed[1], viewed[1][bought]]),
        np.repeat(np.arange(2, dtype=np.int8), [own.sum(), bought.sum()]),
        np.ones(own.sum() + bought.sum()),
        np.full(own.sum() + bought.sum(), np.nan),
        ("view", "purchase"),
    )
    leads = (np.arange(USERS)[:, None] + 1) % TASTES == np.arange(USERS) % TASTES
    source, target = np.nonzero(leads)
    graph = HeteroGraph(
        ids("u", USERS + 1), ids("i", ITEMS), ids("c", TASTES), did,
        follows=Edges(source, target, np.ones(len(source))),
        in_category=Edges(np.arange(ITEMS), np.arange(ITEMS) % TASTES, np.ones(ITEMS)),
    )  # fmt: skip
    evidence = evidence_matrix(graph, Settings().events, now=0.0)
    return TrainingData(graph, evidence, kinds)


def quick(name: str) -> TripleOptions:
    return MODELS[name].fit.__annotations__["options"](
        dimensions=16, epochs=30, batch_size=512, learning_rate=0.03
    )


@cache
def fitted(name: str) -> tuple[TripleModel, FitReport]:
    return MODELS[name].fit(made_data(), quick(name), FitRun(seed=0))


def as_pyg(name: str, model: TripleModel) -> torch.nn.Module:
    """PyG's model with the same vectors."""
    from torch_geometric.nn import ComplEx, DistMult, TransE

    nodes, relations = model.node_vectors, model.relation_vectors
    half = nodes.shape[1] // 2
    if name == "complex":
        own = ComplEx(len(nodes), len(relations), half)
        parts = {
            own.node_emb: nodes[:, :half], own.node_emb_im: nodes[:, half:],
            own.rel_emb: relations[:, :half], own.rel_emb_im: relations[:, half:],
        }  # fmt: skip
    else:
        sizes = len(nodes), len(relations), 2 * half
        own = DistMult(*sizes) if name == "distmult" else TransE(*sizes, p_norm=2.0)
        parts = {own.node_emb: nodes, own.rel_emb: relations}
    for embedding, vectors in parts.items():
        embedding.weight.data = torch.from_numpy(vectors.copy())
    return own


# PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@every_model
@pytest.mark.parametrize("tails", [True, False])
def test_scores_are_those_of_pyg(name: str, tails: bool) -> None:
    """Those of TransE are distances there: their squares differ by a number of each question."""
    model, _ = fitted(name)
    theirs, known = as_pyg(name, model), np.arange(USERS)
    every = torch.from_numpy(np.flatnonzero(model.node_vectors.any(axis=1)))
    for relation in (0, 5, 6):
        ours = model.link_scores(known, relation, tails=tails)
        for row, node in enumerate(known.tolist()):
            given, way = torch.full_like(every, node), torch.full_like(every, relation)
            with torch.no_grad():
                score = (theirs(given, way, every) if tails else theirs(every, way, given)).numpy()
            own = ours[row][every]
            if name == "transe":
                own, score = own - own.mean(), -np.square(score) / 2.0
                score = score - score.mean()
            np.testing.assert_allclose(own, score, atol=2e-5)


@every_model
def test_links_that_were_held_out_are_found_among_all_nodes(name: str) -> None:
    """Every held-out fact agrees with the tastes; what is frequent says nothing here."""
    links = links_of(made_data().graph, ("view", "purchase"))
    held_out = np.random.default_rng(0).random(len(links)) < 0.1
    graph = made_data().graph
    left = links.take(~held_out)

    def edges(relation: int, source: int, target: int) -> Edges:
        own = left.take(left.relation == relation)
        return Edges(own.head - source, own.tail - target, np.ones(len(own)))

    did = left.take(left.relation >= 5)
    rest = HeteroGraph(
        graph.users, graph.items, graph.categories,
        Interactions(
            did.head, did.tail - USERS - 1, (did.relation - 5).astype(np.int8), np.ones(len(did)),
            np.full(len(did), np.nan), graph.interactions.events,
        ),
        edges(0, 0, 0), in_category=edges(2, USERS + 1, USERS + 1 + ITEMS),
    )  # fmt: skip
    data = TrainingData(rest, evidence_matrix(rest, Settings().events, now=0.0))
    model, _ = MODELS[name].fit(data, quick(name), FitRun(seed=0))
    found, usual = (
        link_metrics(filtered_ranks(score, links, held_out), links.relation[held_out],
                     links.relations)
        for score in (model.link_scores, frequency_scores(left))
    )  # fmt: skip
    # DistMult cannot tell who follows from who is followed, and no step leads in a circle.
    assert found["all"].values["mrr"].mean > 2 * usual["all"].values["mrr"].mean
    assert found["INTERACTED view"].values["mrr"].mean > (0.8 if name == "complex" else 0.25)


def test_complex_tells_a_follower_from_a_followee_and_distmult_does_not() -> None:
    """Taste 0 follows taste 1, and taste 2 follows taste 0."""
    for name, least, most in (("complex", 0.5, 2.0), ("distmult", -0.1, 0.1)):
        scores = fitted(name)[0].link_scores(np.array([0]), 0, tails=True)[0, :USERS]
        assert least < scores[1::TASTES].mean() - scores[2::TASTES].mean() < most


@every_model
def test_an_item_that_nobody_had_is_told_by_its_category(name: str) -> None:
    """Of the first item of each taste a user is offered that of their own."""
    whole = made_data()
    did = whole.graph.interactions
    graph = replace(whole.graph, interactions=did.take(did.item_index >= TASTES))
    data = TrainingData(graph, evidence_matrix(graph, Settings().events, now=0.0))
    model, _ = MODELS[name].fit(data, quick(name), FitRun(seed=0))
    users = np.arange(USERS)
    for scores in (
        model.scores(users, data.evidence[users]),
        model.signal(graph.items).batch_scores(data.evidence[users]),
    ):
        np.testing.assert_array_equal(scores[:, :TASTES].argmax(axis=1), users % TASTES)


@every_model
def test_a_user_is_what_is_asked_of_them_by_kind_of_event(name: str) -> None:
    """By the mean evidence of the pairs: a pair that was bought has 1.01, of others 0.01."""
    model, _ = fitted(name)
    data = made_data()
    kinds = [model.relations.index(f"INTERACTED {kind}") for kind in ("view", "purchase")]
    evidence = data.evidence.data
    weights = np.array([evidence.mean(), evidence[evidence > 0.5].mean()])
    weights /= weights.sum()
    users, expected = np.arange(USERS), 0.0
    for kind, weight in zip(kinds, weights, strict=True):
        node, relation = (
            torch.from_numpy(array)
            for array in (model.node_vectors[:USERS], model.relation_vectors[[kind]])
        )
        query = model.query(node, relation.expand_as(node), torch.ones(USERS, 1)).numpy()
        length = np.linalg.norm(query, axis=1, keepdims=True)
        expected = expected + weight * model.link_scores(users, kind, tails=True) / length
    items = slice(USERS + 1, USERS + 1 + ITEMS)
    found = model.scores(users, data.evidence[users])
    np.testing.assert_allclose(found, np.asarray(expected)[:, items], atol=1e-5)
    assert not model.user_vectors[USERS].any()  # who has no relationship


@every_model
def test_kinds_that_do_not_speak_for_an_item_are_no_relation(name: str) -> None:
    options = MODELS[name].fit.__annotations__["options"](dimensions=4)
    for kinds, relations in ((None, ["view", "purchase"]), (("purchase",), ["purchase"])):
        learner = TripleLearner(
            KINDS[name], name, made_data(kinds=kinds), options, torch.device("cpu"), 0
        )
        assert list(learner.model().relations[5:]) == [f"INTERACTED {kind}" for kind in relations]


@every_model
def test_a_fit_goes_on_where_kinds_of_events_came(name: str) -> None:
    """Nodes keep their vectors; which relation was which is not known, so they begin anew."""
    options = MODELS[name].fit.__annotations__["options"](dimensions=16)
    _, report = fitted(name)
    (table,) = report.tables
    run = FitRun(seed=1, start=(table[:-1],), share=0.0)
    model, _ = MODELS[name].fit(made_data(), options, run)
    np.testing.assert_array_equal(model.node_vectors, fitted(name)[0].node_vectors)
    assert not np.allclose(model.relation_vectors, fitted(name)[0].relation_vectors)
    same, _ = MODELS[name].fit(made_data(), options, FitRun(seed=1, start=(table,), share=0.0))
    np.testing.assert_array_equal(same.relation_vectors, fitted(name)[0].relation_vectors)


def test_a_complex_number_takes_two_dimensions() -> None:
    with pytest.raises(ValueError, match="7: a complex number takes two"):
        complex.ComplExOptions(dimensions=7)


def test_the_estimate_of_memory_counts_categories_and_relations() -> None:
    options = transe.TransEOptions(dimensions=64, batch_size=1)
    data = made_data()
    nodes = USERS + 1 + ITEMS + TASTES
    assert triple_memory_bytes(data, options) > 10 * 4 * 64 * (nodes + 7)
