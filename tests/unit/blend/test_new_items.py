"""λ for items that nobody had is learned on items that are taken as new."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.blend.blend import BASE
from recsvc.blend.fit import Journal, Parts, fit_whole, split_signals
from recsvc.blend.hold_out import all_evidence, held_out_mask, split_by
from recsvc.blend.learn import learn
from recsvc.blend.new_items import learned_for_new
from recsvc.blend.options import BlendOptions
from recsvc.blend.parts import Fitted, Learned
from recsvc.blend.reliance import ALIKE
from recsvc.models import MODELS, FitRun, TrainingData
from recsvc.models.parts import as_part
from recsvc.signals import ContentSignal

BLOCKS, USERS, ITEMS = 3, 24, 60
NEW = ("b0i00", "b2i07")


def graph(*, told: bool) -> tuple[HeteroGraph, sp.csr_matrix]:
    """Users have half of the items of their block; two items nobody has.

    Args:
        told: whether what an item says of itself tells its block.
    """
    generator = np.random.default_rng(0)
    inside = np.kron(np.eye(BLOCKS), np.ones((USERS, ITEMS)))
    had = sp.csr_matrix((inside * (generator.random(inside.shape) < 0.5)).astype(np.float32))
    items = IdMap([f"b{n // ITEMS}i{n % ITEMS:02}" for n in range(BLOCKS * ITEMS)])
    had = had.tolil()
    had[:, items.rows(NEW)] = 0.0
    evidence = sp.csr_matrix(had, dtype=np.float32)
    evidence.eliminate_zeros()
    vectors = generator.normal(size=(len(items), 16))
    if told:
        centre = generator.normal(size=(BLOCKS, 16))
        vectors = centre[np.arange(len(items)) // ITEMS] + 0.3 * vectors
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.repeat(np.arange(evidence.shape[0]), np.diff(evidence.indptr))
    did = Interactions(
        rows, evidence.indices.astype(np.int64), np.zeros(evidence.nnz, np.int8),
        evidence.data.astype(np.float64), np.full(evidence.nnz, np.nan), ("interaction",),
    )  # fmt: skip
    users = IdMap([f"u{n:03}" for n in range(BLOCKS * USERS)])
    content = {"Item": vectors.astype(np.float32)}
    return HeteroGraph(users, items, IdMap([]), did, content=content), evidence


def parts(models: tuple[str, ...] = ("walk3", "content")) -> Parts:
    options = BlendOptions(models=models, validation_users=60)

    def fit(
        name: str, graph: HeteroGraph, evidence: sp.csr_matrix, purpose: str = "", **_given: Any
    ) -> Fitted:
        data = TrainingData(graph, evidence)
        model, report = MODELS[name].fit(data, MODELS[name].options(), FitRun(seed=0))
        return as_part(model, report, graph.items, 100, Journal())

    return Parts(options, ("interaction",), fit, None, Journal())


def learned(
    *, told: bool, models: tuple[str, ...] = ("walk3", "content")
) -> tuple[HeteroGraph, sp.csr_matrix, Parts, Learned]:
    whole, evidence = graph(told=told)
    made = parts(models)
    split = split_by(held_out_mask(whole, evidence, made.options, 0), whole, evidence)
    return whole, evidence, made, learn(made, split)


def test_a_new_item_like_those_that_somebody_has_gets_into_the_list() -> None:
    whole, evidence, made, choice = learned(told=True)
    assert choice.for_new > choice.weights["content"]
    blend = fit_whole(
        made, whole, evidence, choice.weights, choice.epochs, reliance=choice.reliance,
        for_new=choice.for_new,
    ).blend  # fmt: skip
    content = next(each for each in blend.signals if isinstance(each, ContentSignal))
    assert blend.weights[blend.signals.index(content)] == pytest.approx(choice.for_new)
    scores = blend.batch_scores(all_evidence(whole, evidence))
    scores[evidence.nonzero()] = -np.inf
    rank = (-scores).argsort(axis=1).argsort(axis=1)
    for item in NEW:
        row, block = whole.items.row(item), int(item[1])
        assert np.median(rank[block * USERS : (block + 1) * USERS, row]) < 20
        assert np.median(np.delete(rank[:, row], np.s_[block * USERS : (block + 1) * USERS])) > 30
    # λ of an item that many have is what it was learned as.
    people = evidence.getnnz(axis=0)
    assert content.share is not None
    share = content.share[people.argmax()]
    floor = choice.weights["content"] / choice.for_new
    assert share == pytest.approx(floor + (1 - floor) / (1 + people.max()), rel=1e-5)


def test_what_says_nothing_of_taste_counts_for_much_less() -> None:
    *_, found = learned(told=False)
    assert found.for_new < learned(told=True)[-1].for_new / 3


def test_without_content_nothing_is_learned_for_new_items() -> None:
    *_, found = learned(told=True, models=("walk3",))
    assert found.for_new == 0.0


def test_items_that_are_taken_as_new_are_no_evidence_and_are_looked_for() -> None:
    """Without content of use among them there is nothing to learn, however good it is elsewhere."""
    whole, evidence = graph(told=True)
    made = parts()
    split = split_by(held_out_mask(whole, evidence, made.options, 0), whole, evidence)
    signals = split_signals(made, split)
    weights = dict.fromkeys((*signals.kinds, BASE), 1.0)
    assert learned_for_new(signals, weights, ALIKE) > 1.0


def test_items_that_nobody_had_by_themselves_are_no_misses() -> None:
    """Each item has a twin that says the same and that nobody had: it may be liked as well."""
    whole, evidence = graph(told=True)
    twins = IdMap([*whole.items, *(f"twin of {item}" for item in whole.items)])
    vectors = np.concatenate([whole.content["Item"]] * 2)
    doubled = replace(whole, items=twins, content={"Item": vectors})
    wider = sp.csr_matrix((evidence.data, evidence.indices, evidence.indptr), (72, len(twins)))
    made = parts()

    def for_new(whole: HeteroGraph, evidence: sp.csr_matrix) -> float:
        split = split_by(held_out_mask(whole, evidence, made.options, 0), whole, evidence)
        signals = split_signals(made, split)
        return learned_for_new(signals, dict.fromkeys((*signals.kinds, BASE), 1.0), ALIKE)

    assert for_new(doubled, wider) > 0.5 * for_new(whole, evidence)
