"""Paired tests of several models, and their correction."""

import numpy as np
import pytest
from scipy import stats

from recsvc.evaluation.metrics import Evaluation
from recsvc.evaluation.significance import compare, holm, paired_p

USERS = 200


def evaluation(values: np.ndarray, users: int = USERS) -> Evaluation:
    per_user = {"ndcg@20": values, "recall@20": values}
    return Evaluation(np.arange(users), per_user, {}, {}, {})


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.02, 0.6, 0.01])) == pytest.approx([1.0, 0.06, 1.0, 0.04])
    assert holm(np.zeros(0)).tolist() == []


def test_every_two_models_are_compared_over_the_same_users() -> None:
    generator = np.random.default_rng(0)
    easy = generator.random(USERS)
    values = {name: easy + 0.05 * generator.standard_normal(USERS) for name in ("a", "b", "c")}
    values["a"] += 0.05
    comparisons = compare({name: evaluation(v) for name, v in values.items()}, ("ndcg@20",))
    assert [(c.first, c.second) for c in comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.significant for c in comparisons] == [True, True, False]
    for each in comparisons:
        one, other = values[each.first], values[each.second]
        assert each.difference.mean == pytest.approx((one - other).mean())
        assert each.difference.low < each.difference.mean < each.difference.high
        assert each.p == pytest.approx(stats.ttest_rel(one, other).pvalue)
    corrected = [each.corrected for each in comparisons]
    assert corrected == pytest.approx(holm(np.array([each.p for each in comparisons])))


def test_what_is_significant_alone_may_not_be_among_many() -> None:
    generator = np.random.default_rng(1)
    alike = {str(n): evaluation(generator.random(USERS)) for n in range(12)}
    found = compare(alike, ("ndcg@20", "recall@20"))
    assert len(found) == 132
    assert any(each.p < 0.05 for each in found)
    assert not any(each.significant for each in found)


def test_alike_models_are_told_apart_in_one_family_of_twenty() -> None:
    generator = np.random.default_rng(2)
    any_alone = any_corrected = 0
    for _ in range(200):
        models = generator.standard_normal((5, 50))
        p = np.array([paired_p(a - b) for n, a in enumerate(models) for b in models[:n]])
        any_alone += bool((p < 0.05).any())
        any_corrected += bool((holm(p) < 0.05).any())
    assert any_alone > 40
    assert any_corrected <= 15


def test_p_where_there_is_nothing_to_test() -> None:
    assert paired_p(np.zeros(5)) == 1.0
    assert paired_p(np.array([0.5])) == 1.0
    assert paired_p(np.full(5, 0.25)) == 0.0


def test_one_model_is_compared_with_none_and_other_users_are_refused() -> None:
    one = evaluation(np.ones(USERS))
    assert compare({"a": one}, ("ndcg@20",)) == []
    with pytest.raises(ValueError, match="of different users"):
        compare({"a": one, "b": evaluation(np.ones(3), users=3)}, ("ndcg@20",))
