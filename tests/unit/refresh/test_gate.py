"""What keeps a new version from becoming active."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.blend.parts import Validated
from recsvc.evaluation.groups import METRICS, by_items_known
from recsvc.evaluation.metrics import Estimate
from recsvc.evaluation.splits import id_numbers
from recsvc.refresh.gate import below_popularity, coverage, difference, objections
from recsvc.signals import EmbeddingSignal, RowSignal

N = 40
ITEMS = IdMap(tuple(sorted(f"i{n:02}" for n in range(N))))
KNOWN = np.ones(N, bool)
RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(N, 4)).astype(np.float32)


def embedding(source=VECTORS, target=VECTORS, name="lightgcn"):
    return EmbeddingSignal(name, ITEMS, source, target)


def rows(matrix, name="pagerank"):
    return RowSignal(name, "item", ITEMS, sp.csr_matrix(np.asarray(matrix, np.float32)))


def said(*signals, known=KNOWN, change=None, least_coverage=0.9):
    return objections(signals, known, change, least_coverage=least_coverage)


def test_nothing_speaks_against_a_sound_version():
    assert said(embedding(), rows(np.eye(N))) == ()
    assert said(embedding(), change=Estimate(-0.01, -0.03, 0.001)) == ()
    assert said(embedding(), change=Estimate(0.02, 0.01, 0.03)) == ()


def test_a_significantly_worse_metric_is_named_with_its_interval():
    (reason,) = said(embedding(), change=Estimate(-0.02, -0.03, -0.01))
    assert "worse" in reason
    assert "0.0200" in reason
    assert "-0.0300 to -0.0100" in reason


def test_a_group_that_the_popular_list_serves_better_is_named():
    items_known = np.repeat([1, 2, 3, 5], [30, 30, 19, 30])
    popular = RNG.uniform(0.3, 0.6, len(items_known))
    model = popular + RNG.normal(0.005, 0.01, len(items_known))
    model[items_known == 1] += 0.1
    model[items_known == 2] -= 0.1
    model[items_known == 3] -= 0.1  # too few to say
    model[items_known == 5] = popular[items_known == 5] + np.tile(
        [0.1, -0.11], 15
    )  # worse, by chance
    values = (dict.fromkeys(METRICS, v) for v in (model, popular))
    found = below_popularity(by_items_known(items_known, *values, {}))
    assert found.keys() == {"2"}
    change = (model - popular)[items_known == 2].mean()
    assert found["2"].startswith(
        f"the popular list is better by {-change:.4f} in NDCG@20 for the 30"
    )
    assert below_popularity(()) == {}


def test_coverage_is_of_the_known_items_by_each_model_with_vectors_and_by_all():
    target = VECTORS.copy()
    target[:8] = 0.0
    reached = np.zeros((N, N))
    reached[5, :6] = 1.0
    known = np.arange(N) < 16
    found = coverage([embedding(target=target), rows(reached)], known)
    assert found == {"lightgcn": 0.5, "the blend": 14 / 16}
    assert coverage([embedding()], np.zeros(N, bool)) == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["source", "target"])
def test_vectors_that_are_not_finite(bad, side):
    broken = VECTORS.copy()
    broken[7, 2] = bad
    (reason,) = said(embedding(**{side: broken}), rows(np.eye(N)))
    assert reason == f"lightgcn: a {side} vector holds NaN or an infinity"


def test_rows_that_are_not_finite():
    matrix = np.eye(N)
    matrix[3, 3] = np.nan
    (reason,) = said(embedding(), rows(matrix))
    assert reason == "pagerank: a row holds NaN or an infinity"


@pytest.mark.parametrize("side", ["source", "target"])
def test_vectors_that_collapsed(side):
    (reason,) = said(embedding(**{side: VECTORS * 1e-9}))
    assert reason == f"lightgcn: the {side} vectors have collapsed to length 0"
    same = np.tile(VECTORS[:1], (N, 1)) * RNG.uniform(0.5, 2.0, (N, 1)).astype(np.float32)
    (reason,) = said(embedding(**{side: same}))
    assert reason == f"lightgcn: the {side} vectors have collapsed to one direction"


def test_items_that_nobody_knows_need_no_vector():
    known = np.arange(N) < 10
    assert said(embedding(source=VECTORS * known[:, None]), known=known) == ()
    (reason,) = said(embedding(source=VECTORS * ~known[:, None]), known=known)
    assert reason == "lightgcn: the source vectors have collapsed to length 0"


def test_a_model_that_leaves_out_too_many_of_the_known_items():
    target = VECTORS.copy()
    target[:8] = 0.0
    (reason,) = said(embedding(target=target), rows(np.eye(N)))
    assert reason.startswith("lightgcn: covers 80.0% of the items")
    assert said(embedding(target=target), rows(np.eye(N)), least_coverage=0.8) == ()
    known = KNOWN.copy()
    known[:8] = False
    assert said(embedding(target=target), known=known) == ()


def test_a_blend_that_leaves_out_too_many_of_the_known_items():
    matrix = np.eye(N)
    matrix[:6] = 0.0
    (reason,) = said(rows(matrix))
    assert reason.startswith("the blend: covers 85.0%")
    assert said(rows(matrix), rows(np.roll(np.eye(N), 6, axis=0), "walk3")) == ()


def test_a_planted_difference_is_found_and_the_users_are_matched():
    users = id_numbers([f"u{n}" for n in range(300)])
    ndcg = RNG.uniform(0.0, 1.0, 300)
    order = RNG.permutation(300)
    active = Validated(users[order], ndcg[order], users[order])
    worse = Validated(users, ndcg - 0.05 + RNG.normal(0.0, 0.02, 300), users)
    change = difference(worse, active).change
    assert change is not None
    assert change.mean == pytest.approx(-0.05, abs=0.01)
    assert change.high < 0.0
    alike = difference(Validated(users, ndcg, users), active)
    assert alike.how == "for 300 users who were asked for the same items by both"
    assert alike.change == Estimate(0.0, 0.0, 0.0)


def test_only_users_of_both_count_and_a_few_are_not_enough():
    users = id_numbers([f"u{n}" for n in range(100)])
    ndcg = np.full(100, 0.5)
    first = Validated(users[:60], ndcg[:60], users[:60])
    second = Validated(users[40:], ndcg[40:], users[40:])
    few = difference(first, second)
    assert few.change is None
    assert few.how == "20 users were asked for the same items by both, 30 are needed"
    second = Validated(users[30:], np.where(np.arange(30, 100) < 60, 0.25, 0.9), users[30:])
    change = difference(first, second).change
    assert change is not None
    assert change.mean == pytest.approx(0.25)


def test_users_who_were_asked_for_other_items_are_not_compared():
    """As in a graph that has grown: the task is another, and says nothing about the versions."""
    users = id_numbers([f"u{n}" for n in range(100)])
    active = Validated(users, np.full(100, 0.5), users)
    grown = Validated(users, np.where(np.arange(100) < 60, 0.1, 0.6), users + (np.arange(100) < 60))
    change = difference(grown, active).change
    assert change is not None
    assert change.mean == pytest.approx(0.1)
    assert difference(replace(grown, asked=users + 1), active).change is None
