"""The blend: one linear score, taken apart exactly, its weights learned."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.types import IdMap
from recsvc.blend import weights as blend_weights
from recsvc.blend.blend import Blend, unit_rms
from recsvc.blend.reliance import effective_counts
from recsvc.blend.weights import (
    Candidates,
    candidates_in_parts,
    collect_candidates,
    learn_weights,
    top_hits,
)
from recsvc.errors import TrainingError
from recsvc.evidence import Evidence, EvidenceKind, EvidenceMatrices, EvidenceNode
from recsvc.signals import RowSignal
from tests.property.made_blends import IDS, N_ITEMS, blends, evidences


def matrices(*many: Evidence) -> EvidenceMatrices:
    by_kind: dict[EvidenceKind, sp.csr_matrix] = {}
    since = np.zeros((len(many), N_ITEMS), np.float32)
    for kind, ids in IDS.items():
        dense = np.zeros((len(many), len(ids)), np.float32)
        for user, evidence in enumerate(many):
            rows = evidence.rows(kind, ids)
            dense[user, rows.row] = rows.weight
            if kind == "item":
                since[user, rows.row] = np.nan_to_num(rows.since + 1.0)
        by_kind[kind] = sp.csr_matrix(dense)
    return {**by_kind, "since": sp.csr_matrix(since)}


def size_of_parts(blend: Blend, evidence: Evidence) -> np.ndarray:
    """What a difference of two sums is measured by: their parts may cancel."""
    items, scored = np.arange(N_ITEMS), blend.score(evidence)
    return blend.base(scored, items) + sum(
        (np.abs(term.values).sum(axis=0) for term in blend.terms(scored, items)), np.zeros(N_ITEMS)
    )


@given(blends(), evidences())
def test_terms_and_base_add_up_to_the_score(blend: Blend, evidence: Evidence) -> None:
    scored, items = blend.score(evidence), np.arange(N_ITEMS)
    terms = blend.terms(scored, items)
    nothing = np.zeros(N_ITEMS)
    total = blend.base(scored, items) + sum((t.values.sum(axis=0) for t in terms), nothing)
    assert (np.abs(total - scored.scores) <= 1e-4 * size_of_parts(blend, evidence)).all()
    for term in terms:
        signal = next(s for s in blend.signals if s.name == term.signal)
        nodes = [evidence.nodes[position] for position in term.position]
        assert {node.kind for node in nodes} == {signal.kind}
        alone = [Evidence((replace(node, weight=1.0),)) for node in nodes]
        kernel = [signal.terms(e.rows(signal.kind, signal.ids), items)[0] for e in alone]
        np.testing.assert_allclose(
            term.values, term.scale[:, None] * np.array(kernel), rtol=1e-9, atol=1e-12
        )


@given(blends(), evidences())
def test_raw_scores_of_each_signal_make_the_score(blend: Blend, evidence: Evidence) -> None:
    scored = blend.score(evidence)
    total = blend.base(scored, np.arange(N_ITEMS))
    for (_, factor, _), raw in zip(scored.spoken, scored.raw, strict=True):
        total = total + factor * raw.astype(np.float64)
    assert (np.abs(total - scored.scores) <= 1e-5 * size_of_parts(blend, evidence)).all()


@given(blends(), st.lists(evidences(), min_size=1, max_size=4))
def test_batch_scores_equal_single_scores(blend: Blend, many: list[Evidence]) -> None:
    batch = blend.batch_scores(matrices(*many))
    assert batch.dtype == np.float32
    for row, evidence in zip(batch, many, strict=True):
        difference = np.abs(row - blend.score(evidence).scores)
        assert (difference <= 1e-4 * size_of_parts(blend, evidence)).all()


@given(blends(), evidences(), st.randoms(use_true_random=False))
def test_order_of_evidence_does_not_matter(blend: Blend, evidence: Evidence, random) -> None:
    nodes = list(evidence.nodes)
    random.shuffle(nodes)
    shuffled = Evidence(tuple(nodes))
    difference = np.abs(blend.score(shuffled).scores - blend.score(evidence).scores)
    assert (difference <= 1e-5 * size_of_parts(blend, evidence)).all()


@given(blends(), evidences())
def test_every_signal_counts_by_its_weight_whatever_the_size_of_the_evidence(
    blend: Blend, evidence: Evidence
) -> None:
    """n(u): each signal's part has a root mean square of λ · r(u), for 1 listen or for 300."""
    items, known = np.arange(N_ITEMS), effective_counts(matrices(evidence))[:, 0]
    for factor in (1.0, 300.0):
        louder = Evidence(tuple(replace(n, weight=factor * n.weight) for n in evidence.nodes))
        for term in blend.terms(blend.score(louder), items):
            place = [signal.name for signal in blend.signals].index(term.signal)
            rms = np.sqrt(np.mean(term.values.sum(axis=0) ** 2))
            relied = blend.reliance.signal(term.signal, blend.signals[place].kind, *known)
            assert rms == pytest.approx(blend.weights[place] * relied, rel=1e-3)


@given(blends())
def test_without_evidence_only_the_prior_counts(blend: Blend) -> None:
    for nothing in (Evidence(), Evidence((EvidenceNode("item", "unknown", 1.0),))):
        scored = blend.score(nothing)
        base = blend.base_weight * 20.0**blend.reliance.prior
        np.testing.assert_allclose(scored.scores, base * blend.prior, rtol=1e-6)
        assert scored.spoken == ()
        assert blend.terms(scored, np.arange(3)) == []


def test_evidence_that_cancels_adds_nothing() -> None:
    rows = sp.csr_matrix(np.ones((3, 4), np.float32) * [0.1, 0.2, 0.3, 0.4])
    ids = IdMap(["a", "b", "c"])
    blend = Blend((RowSignal("p", "category", ids, rows),), (1.0,), np.ones(4, np.float32), 0.01)
    weights = {"a": 0.1, "b": 0.2, "c": -0.3}
    evidence = Evidence(tuple(EvidenceNode("category", i, w) for i, w in weights.items()))
    np.testing.assert_allclose(blend.score(evidence).scores, 0.01, atol=1e-3)


def test_unit_rms() -> None:
    raw = np.array([[3.0, 4.0, 0.0, 0.0], [0.0] * 4, [1e-30] * 4, [-2e25] * 4], np.float32)
    factor = unit_rms(raw)
    assert factor.tolist() == pytest.approx([1 / 2.5, 0.0, 1e30, 5e-26])
    assert unit_rms(raw[0]) == pytest.approx(1 / 2.5)


@dataclass(frozen=True)
class Validation:
    """Made scores of 40 users over 60 items, and what is held out from each."""

    scores: dict[str, np.ndarray]
    seen: list[np.ndarray]
    held_out: list[np.ndarray]

    def candidates(self, scores: Iterable[np.ndarray], per_signal: int = 200) -> Candidates:
        seen, held_out = marked(self.seen), marked(self.held_out)
        return collect_candidates(list(scores), seen, held_out, per_signal=per_signal)


def marked(rows: list[np.ndarray]) -> sp.csr_matrix:
    return sp.csr_matrix(np.array([np.isin(np.arange(60), own) for own in rows], np.float32))


def validation(seed: int) -> Validation:
    """`good` puts what is held out first, `noise` says nothing, `half` is in between."""
    rng = np.random.default_rng(seed)
    relevance = np.zeros((40, 60), np.float32)
    seen, held_out = [], []
    for user in range(40):
        items = rng.choice(60, 9, replace=False)
        seen.append(np.sort(items[:6]))
        held_out.append(np.sort(items[6:]))
        relevance[user, items] = 1.0
    noise = rng.normal(size=(3, 40, 60)).astype(np.float32)
    return Validation(
        {
            "noise": noise[0],
            "good": 5 * relevance + 0.1 * noise[1],
            "half": relevance + noise[2],
        },
        seen,
        held_out,
    )


def ndcg(scores: np.ndarray, made: Validation, k: int) -> np.ndarray:
    """NDCG@k of each user, written down once more."""
    values: list[float] = []
    for user, wanted in enumerate(made.held_out):
        row = scores[user].copy()
        row[made.seen[user]] = -np.inf
        ranked = np.argsort(-row, kind="stable")[:k]
        gain = sum(1 / np.log2(rank + 2) for rank, item in enumerate(ranked) if item in wanted)
        values.append(gain / sum(1 / np.log2(rank + 2) for rank in range(min(k, len(wanted)))))
    return np.array(values)


def test_planted_signal_wins() -> None:
    made = validation(0)
    candidates = made.candidates(made.scores.values())
    weights, reached = learn_weights(candidates, list(made.scores))
    assert weights["good"] == 1.0
    assert weights["noise"] <= 0.25
    assert reached == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_only_chance_puts_the_blend_below_the_best_single_signal(seed: int) -> None:
    made = validation(seed)
    del made.scores["good"]
    rng = np.random.default_rng(100 + seed)
    other = made.scores["half"] + rng.normal(size=(40, 60)).astype(np.float32)
    made.scores["other"] = other
    candidates = made.candidates(made.scores.values())
    weights, reached = learn_weights(candidates, list(made.scores))
    assert max(weights.values()) == 1.0
    assert min(weights.values()) >= 0.0
    blend = sum(weights[name] * scores for name, scores in made.scores.items())
    by_user = ndcg(blend, made, 20)
    assert reached == pytest.approx(by_user.mean(), abs=1e-6)
    for scores in made.scores.values():
        gain = ndcg(scores, made, 20) - by_user
        assert gain.mean() <= gain.std() / np.sqrt(len(gain)) + 1e-9


@pytest.mark.parametrize(("seed", "noise", "alone"), [(0, 0.2, False), (3, 0.3, True)])
def test_a_signal_is_taken_alone_where_it_is_better_than_by_chance(
    monkeypatch: pytest.MonkeyPatch, seed: int, noise: float, alone: bool
) -> None:
    made = validation(seed)
    half, mixed = made.scores["half"], made.scores["half"] + noise * made.scores["noise"]
    gain = ndcg(half, made, 20) - ndcg(mixed, made, 20)
    assert gain.mean() > 0.0
    assert (gain.mean() > gain.std() / np.sqrt(len(gain))) == alone
    scores = [made.scores["noise"], half]
    candidates = made.candidates(scores)
    monkeypatch.setattr(blend_weights, "_ascend", lambda _some, _k: np.array([noise, 1.0]))
    taken, _ = learn_weights(candidates, ["noise", "half"])
    assert taken == {"noise": 0.0 if alone else pytest.approx(noise), "half": 1.0}


def test_candidates_are_the_best_unseen_items_of_each_signal() -> None:
    made = validation(3)
    names = list(made.scores)
    candidates = made.candidates(made.scores.values(), per_signal=5)
    for user in range(40):
        wanted: set[int] = set()
        for name in names:
            row = made.scores[name][user].copy()
            row[made.seen[user]] = -np.inf
            wanted |= set(np.argsort(-row)[:5].tolist())
        items = sorted(wanted)
        present = candidates.present[user]
        assert present.sum() == len(items)
        expected = np.stack([made.scores[name][user, items] for name in names])
        np.testing.assert_array_equal(candidates.features[:, user, present], expected)
        assert candidates.relevant[user, present].tolist() == [
            item in made.held_out[user] for item in items
        ]
        assert candidates.n_relevant[user] == 3


def test_what_a_signal_says_nothing_about_is_no_candidate_of_it() -> None:
    made = validation(3)
    some, spoken = np.zeros((40, 60), np.float32), made.scores["good"]
    some[:, :20] = spoken[:, :20]
    some[7] = 0.0
    candidates = made.candidates([some])
    for user, seen in enumerate(made.seen):
        there = 0 if user == 7 else 20 - np.count_nonzero(seen < 20)
        assert candidates.present[user].sum() == there
    assert candidates.n_relevant.tolist() == [3] * 40


def planted(seed: int, share: float, users: int = 500) -> Candidates:
    """Of 30 items a user likes the 3 with the largest (1 − share) · one + share · two."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(3, users, 30)).astype(np.float32)
    taste = (1.0 - share) * features[0] + share * features[1]
    relevant = taste >= np.sort(taste, axis=1)[:, -3:-2]
    return Candidates(features, relevant, np.ones((users, 30), bool), np.full(users, 3, np.int64))


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.95]))
@settings(max_examples=15)
def test_the_planted_blend_is_found_and_noise_stays_out(seed: int, share: float) -> None:
    names = ["one", "two", "noise"]
    learned, reached = learn_weights(planted(seed, share), names)
    whole = learned["one"] + learned["two"]
    assert learned["two"] / whole == pytest.approx(share, abs=0.06)
    assert learned["noise"] <= 0.02 * whole
    assert reached >= 0.97
    unseen = planted(seed + 1, share)
    weights = np.array([learned[name] for name in names], np.float32)
    hits = top_hits(unseen, np.tensordot(weights, unseen.features, axes=1), 3)
    assert hits.mean() >= 0.9


def test_candidates_in_parts_are_those_of_all_users_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = validation(4)
    every = list(made.scores.values())
    whole = made.candidates(every)
    monkeypatch.setattr(blend_weights, "SCORES_AT_ONCE", 7 * 60 * len(every))
    asked: list[int] = []

    def score(some: slice) -> list[np.ndarray]:
        asked.append(len(every[0][some]))
        return [scores[some] for scores in every]

    parts = candidates_in_parts(score, len(every), marked(made.seen), marked(made.held_out))
    assert asked == [7, 7, 7, 7, 7, 5]
    np.testing.assert_array_equal(parts.features, whole.features)
    np.testing.assert_array_equal(parts.relevant, whole.relevant)
    np.testing.assert_array_equal(parts.present, whole.present)
    np.testing.assert_array_equal(parts.n_relevant, whole.n_relevant)


def test_no_signal_is_an_error_with_what_to_do() -> None:
    """Of a shop of one user nothing is left to make a signal of."""
    none, padded = np.zeros((0, 1, 1), np.float32), np.zeros((1, 1), bool)
    nothing = Candidates(none, padded, padded, np.ones(1, np.int64))
    with pytest.raises(TrainingError, match="more users are needed"):
        learn_weights(nothing, [])


def test_few_users_lead_the_mean_of_halves_less_astray_than_one_ascent() -> None:
    share = 0.4
    one, mean = [], []
    for seed in range(12):
        candidates = planted(seed, share, users=120)
        first, second, _ = blend_weights._ascend(candidates, 20)
        one.append(second / (first + second) - share)
        learned, _ = learn_weights(candidates, ["one", "two", "noise"])
        mean.append(learned["two"] / (learned["one"] + learned["two"]) - share)
    assert np.square(mean).mean() < 0.6 * np.square(one).mean()
