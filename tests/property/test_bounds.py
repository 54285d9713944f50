"""The best of very many items, told by bounds: those that scoring every item gives."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend.blend import LEAST_WEIGHT, Blend
from recsvc.blend.scored_user import ScoredUser
from recsvc.evidence import EVIDENCE_KINDS, Evidence, EvidenceNode
from recsvc.graph.rows import LiveItem
from recsvc.recommend.query import Asker, RecommendationQuery
from recsvc.recommend.ranked_list import Listing
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.snapshot.arrays import Snapshot
from tests.property.made_blends import IDS, WEIGHT

N_ITEMS = 6_000
"""More than are scored exactly without a look at bounds."""
KNOWN = [(kind, each) for kind in EVIDENCE_KINDS for each in IDS[kind]]


@dataclass(frozen=True)
class Case:
    """What a blend and a user are made from; the arrays are made in the test."""

    seed: int
    widths: list[int]
    skewed: bool
    lengths: float
    weights: list[float]
    base_weight: float
    nodes: list[EvidenceNode]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    widths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    weight = st.sampled_from([LEAST_WEIGHT, 0.5, 1.0])
    chosen = draw(st.lists(st.sampled_from(KNOWN), unique=True, max_size=8))
    return Case(
        draw(st.integers(0, 2**32 - 1)), widths, draw(st.booleans()),
        draw(st.sampled_from([0.0, 2.0])),
        draw(st.lists(weight, min_size=len(widths) + 3, max_size=len(widths) + 3)),
        draw(st.sampled_from([0.001, 0.5])),
        [EvidenceNode(kind, i, draw(WEIGHT)) for kind, i in chosen],
    )  # fmt: skip


def made_blend(case: Case) -> Blend:
    """Vectors of any shape, with ties, and rows of each kind of evidence."""
    rng = np.random.default_rng(case.seed)
    signals: list[EmbeddingSignal | RowSignal] = []
    for number, width in enumerate(case.widths):
        source = rng.normal(size=(len(IDS["item"]), width)).astype(np.float32)
        target = rng.normal(size=(N_ITEMS, width))
        target *= 10.0 ** rng.uniform(-3, 3, width) if case.skewed else 1.0
        target *= np.exp(case.lengths * rng.normal(size=(N_ITEMS, 1)))
        target[::7] = target[3]
        vectors = target.astype(np.float32)
        signals.append(EmbeddingSignal(f"e{number}", IDS["item"], source, vectors))
    for kind in EVIDENCE_KINDS:
        rows = rng.random((len(IDS[kind]), N_ITEMS)).astype(np.float32)
        rows[rows < 0.95] = 0.0
        signals.append(RowSignal(f"{kind}_path", kind, IDS[kind], sp.csr_matrix(rows)))
    prior = rng.random(N_ITEMS).astype(np.float32)
    return Blend(tuple(signals), tuple(case.weights), prior, case.base_weight)


def made_user(case: Case) -> ScoredUser:
    return made_blend(case).with_bounds(1).score(Evidence(tuple(case.nodes)))


@settings(max_examples=25)
@given(cases(), st.integers(0, 2**32 - 1), st.sampled_from([1, 10, 500]))
def test_bounds_find_the_best_of_all(case: Case, seed: int, count: int) -> None:
    user = made_user(case)
    allowed = np.random.default_rng(seed).random(N_ITEMS) < 0.9
    exact = user.exact(np.arange(N_ITEMS))
    rows = np.flatnonzero(allowed)
    best = rows[np.lexsort((rows, -exact[rows]))][:count]
    if user.bounds is not None:  # of float32 scores, ties may be in another order
        assert user.best(allowed, count).tolist() == best.tolist()
    np.testing.assert_allclose(exact[user.best(allowed, count)], exact[best], rtol=1e-5)


@settings(max_examples=25)
@given(cases())
def test_no_score_is_further_off_than_its_bound_says(case: Case) -> None:
    user = made_user(case)
    if user.bounds is not None:
        near, error = user.near
        assert np.abs(near - user.exact(np.arange(N_ITEMS))).max() <= error


def test_bounds_leave_few_to_be_scored_exactly() -> None:
    """Else they would be true and of no use."""
    nodes = [EvidenceNode("item", each, 1.0) for each in IDS["item"]]
    user = made_user(Case(0, [40, 40], False, 0.0, [1.0, 0.5, 0.1, 0.1, 0.1], 0.01, nodes))
    near, error = user.near
    assert (near >= np.sort(near)[-10] - 2.0 * error).sum() < N_ITEMS / 50


@pytest.mark.parametrize(
    "query",
    [
        RecommendationQuery(explain="none", exclude=("i00003", "i00007")),
        RecommendationQuery(k=30, diversity=0.7),
        RecommendationQuery(k=3, explain="full", without=(("item", "i03"),)),
    ],
)
def test_a_list_by_bounds_is_that_of_scoring_every_item(query: RecommendationQuery) -> None:
    nodes = tuple(EvidenceNode("item", each, 1.0) for each in list(IDS["item"])[:6])
    blend = made_blend(Case(1, [20, 8], False, 0.2, [1.0, 0.5, 0.4, 0.1, 0.1], 0.01, []))
    items = IdMap([f"i{n:05}" for n in range(N_ITEMS)])
    available = np.arange(N_ITEMS) % 5 > 0
    answers: list[object] = []
    for each in (blend, blend.with_bounds(1)):
        snapshot = Snapshot(
            {}, items, IDS["category"], IDS["user"], np.zeros(4, np.int64),
            np.ones(N_ITEMS, np.int64), ("",) * N_ITEMS, available,
            sp.csr_matrix((N_ITEMS, 3), dtype=bool), each,
        )  # fmt: skip
        listing = Listing(snapshot, Asker("u", Evidence(nodes)), query)
        while True:
            rows = listing.assume()
            live = [LiveItem(None, bool(available[row])) for row in rows.tolist()]
            if listing.settle(rows, live):
                break
        exact = listing.exact()
        removals = listing.removals(exact) if query.explain == "full" else ()
        answers.append((exact.items.tolist(), exact.scores.tolist(), removals))
    assert answers[0] == answers[1]
