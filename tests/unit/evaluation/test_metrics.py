import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.evaluation.metrics import (
    CUTS,
    USER_METRICS,
    Ranking,
    best_of_rows,
    bootstrap,
    evaluate,
    hits_of_rows,
    mean_ndcg,
    paired_difference,
    top_k,
)


def matrix(rows: list[list[int]], items: int) -> sp.csr_matrix:
    dense = np.zeros((len(rows), items), np.float32)
    for user, row in enumerate(rows):
        dense[user, row] = 1.0
    return sp.csr_matrix(dense)


def ranking_of(lists: list[list[int]]) -> Ranking:
    items = np.array(lists, np.int64)
    return Ranking(np.arange(len(lists)), items, np.zeros(items.shape, np.float32))


def fixed(scores: np.ndarray):
    def score(user_index: np.ndarray, _evidence: sp.csr_matrix) -> np.ndarray:
        return scores[user_index].astype(np.float32)

    return score


def test_metrics_by_hand() -> None:
    # Ranks 2 and 4 are hits; item 9 is missed.
    lists = ranking_of([[7, 1, 8, 3, 5]])
    train = matrix([[0, 7], [7], [7], [1]], 10)
    result = evaluate(lists, matrix([[1, 3, 9], [], [], []], 10), train, cuts=(2, 5))
    value = {name: column[0] for name, column in result.per_user.items()}
    assert value["recall@5"] == pytest.approx(2 / 3)
    assert value["precision@5"] == pytest.approx(2 / 5)
    assert value["hit_rate@5"] == 1.0
    assert value["mrr@5"] == pytest.approx(1 / 2)
    assert value["map@5"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    discount = 1 / np.log2(np.arange(2, 7))
    assert value["ndcg@5"] == pytest.approx((discount[1] + discount[3]) / discount[:3].sum())
    assert value["recall@2"] == pytest.approx(1 / 3)
    assert value["map@2"] == pytest.approx((1 / 2) / 2)
    assert value["mar@5"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert value["mar@2"] == pytest.approx((1 / 2) / 3)
    assert value["ndcg@2"] == pytest.approx(discount[1] / discount[:2].sum())
    # Item 7 has 3 of the 4 users and item 1 has one.
    assert value["novelty@2"] == pytest.approx((-np.log2(3 / 4) - np.log2(1 / 4)) / 2)
    assert result.coverage == {2: 0.2, 5: 0.5}
    assert result.gini == pytest.approx({2: (7 + 9) / 20, 5: (1 + 3 + 5 + 7 + 9) / 50})


def test_a_perfect_ranking_scores_one() -> None:
    held_out = matrix([[0, 1], [2]], 8)
    result = evaluate(ranking_of([[0, 1, 3, 4, 5], [2, 3, 4, 5, 6]]), held_out, held_out, cuts=(5,))
    for name in ("recall@5", "ndcg@5", "hit_rate@5", "mrr@5", "map@5"):
        assert result.estimates[name].mean == pytest.approx(1.0)


def test_mean_average_recall_is_recall_where_the_hits_come_first() -> None:
    held_out = matrix([[0, 1, 2, 3], [0, 1, 2, 3]], 8)
    lists = ranking_of([[0, 1, 5, 6, 7], [5, 6, 7, 0, 1]])
    value = evaluate(lists, held_out, held_out, cuts=(5,)).per_user
    np.testing.assert_allclose(value["recall@5"], 0.5)
    np.testing.assert_allclose(value["mar@5"], [0.5, (1 / 4 + 2 / 5) / 4])


def test_users_without_held_out_items_do_not_count() -> None:
    lists = ranking_of([[0, 1], [0, 1], [2, 3]])
    result = evaluate(lists, matrix([[0], [], [0]], 4), matrix([[], [], []], 4), cuts=(2,))
    np.testing.assert_array_equal(result.user_index, [0, 2])
    assert result.estimates["recall@2"].mean == 0.5


def test_nobody_to_evaluate_is_refused() -> None:
    empty = matrix([[]], 4)
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(ranking_of([[0, 1]]), empty, empty, cuts=(2,))


def test_lists_that_are_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="lists of 2 items, expected 50"):
        evaluate(ranking_of([[0, 1]]), matrix([[0]], 4), matrix([[0]], 4))


def test_every_metric_is_there_at_every_cut() -> None:
    generator = np.random.default_rng(0)
    train, held_out = (sp.csr_matrix(generator.random((20, 80)) < 0.1) for _ in range(2))
    ranking = top_k(fixed(generator.random((20, 80))), train)
    result = evaluate(ranking, held_out, train)
    assert set(result.per_user) == {f"{name}@{k}" for name in USER_METRICS for k in CUTS}
    assert set(result.coverage) == set(CUTS)
    for name, estimate in result.estimates.items():
        assert estimate.low <= estimate.mean <= estimate.high, name


def test_top_k_agrees_with_a_full_sort() -> None:
    generator = np.random.default_rng(1)
    scores = generator.integers(0, 6, (40, 60)).astype(np.float32)  # many ties
    evidence = sp.csr_matrix((generator.random((40, 60)) < 0.2).astype(np.float32))
    ranking = top_k(fixed(scores), evidence, k=7)
    for user in range(40):
        unseen = np.flatnonzero(evidence[[user]].toarray()[0] == 0)
        expected = sorted(unseen, key=lambda item: (-scores[user, item], item))[:7]
        assert ranking.items[user].tolist() == expected
        np.testing.assert_array_equal(ranking.scores[user], scores[user, expected])


def test_top_k_pads_where_items_run_out() -> None:
    ranking = top_k(fixed(np.ones((1, 4))), matrix([[0, 2]], 4), k=6)
    assert ranking.items.tolist() == [[1, 3, -1, -1, -1, -1]]
    assert np.isneginf(ranking.scores[0, 2:]).all()


def test_padding_is_never_a_hit() -> None:
    held_out = matrix([[0], [3]], 4)
    result = evaluate(ranking_of([[0, -1], [1, -1]]), held_out, held_out, cuts=(2,))
    assert result.per_user["recall@2"].tolist() == [1.0, 0.0]
    assert result.coverage == {2: 0.5}


@pytest.mark.parametrize("k", [1, 2, 7, 50])
def test_top_k_of_hostile_scores(k: int) -> None:
    generator = np.random.default_rng(7)
    scores = generator.integers(-2, 3, (30, 300)).astype(np.float32)
    scores[generator.random(scores.shape) < 0.2] = -np.inf
    scores[generator.random(scores.shape) < 0.2] = np.nan
    scores[0], scores[1] = -np.inf, np.nan
    scores[2] = np.arange(300)
    scores[3] = -np.arange(300)
    ranking = top_k(fixed(scores), sp.csr_matrix(scores.shape, dtype=np.float32), k=k)
    for user, row in enumerate(scores):
        possible = [item for item in range(300) if row[item] > -np.inf]
        expected = sorted(possible, key=lambda item: (-row[item], item))[:k]
        expected += [-1] * (k - len(expected))
        assert ranking.items[user].tolist() == expected


def test_seen_items_in_any_order_are_left_out() -> None:
    seen = sp.csr_matrix(
        (np.ones(3, np.float32), np.array([3, 0, 2]), np.array([0, 3])), shape=(1, 5)
    )
    assert not seen.has_sorted_indices
    ranking = top_k(fixed(np.array([[5.0, 4.0, 3.0, 2.0, 1.0]])), seen, k=3)
    assert ranking.items.tolist() == [[1, 4, -1]]
    assert seen.indices.tolist() == [3, 0, 2]


def test_no_user_has_no_ranking() -> None:
    ranking = top_k(fixed(np.ones((2, 3))), matrix([[], []], 3), k=2, user_index=np.array([], int))
    assert ranking.items.shape == ranking.scores.shape == (0, 2)


def test_seen_can_differ_from_the_evidence() -> None:
    ranking = top_k(
        fixed(np.array([[4.0, 3.0, 2.0, 1.0]])),
        matrix([[3]], 4),
        k=2,
        seen=matrix([[0, 3]], 4),
    )
    assert ranking.items.tolist() == [[1, 2]]


def test_top_k_gives_each_user_their_evidence_and_any_users_asked_for() -> None:
    evidence = matrix([[0], [1], [2]], 3)

    def score(user_index: np.ndarray, rows: sp.csr_matrix) -> np.ndarray:
        assert rows.indices.tolist() == user_index.tolist()
        return rows.toarray()[:, ::-1]

    ranking = top_k(score, evidence, k=1, user_index=np.array([2, 0]))
    assert ranking.user_index.tolist() == [2, 0]
    assert ranking.items.tolist() == [[0], [2]]


def test_scores_of_the_model_are_left_as_they_are() -> None:
    scores = np.ones((1, 3), np.float32)
    scores.flags.writeable = False
    top_k(lambda user_index, evidence: scores, matrix([[0]], 3), k=1)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(2).random((30, 20))
    evidence = matrix([[user % 20] for user in range(30)], 20)
    whole = top_k(fixed(scores), evidence, k=5)
    monkeypatch.setattr("recsvc.evaluation.metrics._CHUNK_SCORES", 70)
    parts = top_k(fixed(scores), evidence, k=5)
    np.testing.assert_array_equal(parts.items, whole.items)
    values = {"a": np.random.default_rng(3).random(30)}
    in_one = bootstrap(values, 200, 0)
    monkeypatch.setattr("recsvc.evaluation.metrics._CHUNK_COUNTS", 100)
    in_parts = bootstrap(values, 200, 0)["a"]
    assert (in_parts.low, in_parts.high) == pytest.approx((in_one["a"].low, in_one["a"].high))


def test_mean_ndcg_is_the_mean_of_evaluate() -> None:
    generator = np.random.default_rng(4)
    train, held_out = (sp.csr_matrix(generator.random((20, 80)) < 0.1) for _ in range(2))
    score = fixed(generator.random((20, 80)))
    result = evaluate(top_k(score, train), held_out, train)
    assert mean_ndcg(score, train, held_out) == pytest.approx(result.estimates["ndcg@20"].mean)


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, 400)
    estimate = bootstrap({"x": values}, 4000, 0)["x"]
    error = values.std() / np.sqrt(400)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - 1.96 * error, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + 1.96 * error, abs=0.02)
    assert bootstrap({"x": values}, 4000, 0)["x"] == estimate
    assert bootstrap({"x": values}, 4000, 1)["x"] != estimate


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    generator = np.random.default_rng(6)
    held_out = sp.csr_matrix((generator.random((300, 60)) < 0.1).astype(np.float32))
    truth = held_out.toarray()
    train = sp.csr_matrix(np.zeros(truth.shape, np.float32))
    noise = generator.normal(0.0, 1.0, truth.shape)
    better, worse = (
        evaluate(top_k(fixed(noise + lift * truth), train), held_out, train) for lift in (1.1, 1.0)
    )
    difference = paired_difference(better, worse)["ndcg@20"]
    own = better.estimates["ndcg@20"]
    assert difference.mean == pytest.approx(own.mean - worse.estimates["ndcg@20"].mean)
    assert difference.low > 0.0
    assert difference.high - difference.low < (own.high - own.low) / 2
    assert paired_difference(better, better)["ndcg@20"].low == 0.0


def test_different_users_cannot_be_paired() -> None:
    first, second = (
        evaluate(ranking_of([[0], [1]]), matrix(rows, 2), matrix(rows, 2), cuts=(1,))
        for rows in ([[0], []], [[], [1]])
    )
    with pytest.raises(ValueError, match="different users"):
        paired_difference(first, second)
    third = evaluate(ranking_of([[0, 1]]), matrix([[0]], 2), matrix([[0]], 2), cuts=(2,))
    with pytest.raises(ValueError, match="no metric in common"):
        paired_difference(first, third)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_hits_of_rows_are_those_of_a_sorted_list(k: int) -> None:
    rng = np.random.default_rng(k)
    scores = rng.integers(0, 4, (50, 8)).astype(np.float32)  # many ties
    there, relevant = rng.random((50, 8)) < 0.7, rng.random((50, 8)) < 0.4
    hits = hits_of_rows(scores, there, relevant, k)
    for row in range(50):
        order = sorted(np.flatnonzero(there[row]), key=lambda column: -scores[row, column])[:k]
        expected = [bool(relevant[row, column]) for column in order]
        assert hits[row].tolist() == expected + [False] * (k - len(expected))


def test_best_of_rows_leaves_out_what_is_stored_and_fills_up_with_nothing() -> None:
    scores = np.array([[1, 3, 3, -np.inf], [np.nan, 2, 0, 5]], np.float32)
    left_out = sp.csr_matrix(np.array([[0, 0, 0, 0], [0, 1, 0, 0]], np.float32))
    items, values = best_of_rows(scores, 4, left_out)
    assert items.tolist() == [[1, 2, 0, -1], [3, 2, -1, -1]]
    assert values.tolist() == [[3, 3, 1, -np.inf], [5, 0, -np.inf, -np.inf]]
    assert best_of_rows(scores, 0)[0].shape == (2, 0)
