import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.evaluation.groups import (
    BY_ITEMS_KNOWN,
    BY_PEOPLE,
    METRICS,
    CountGroups,
    PerUser,
    Reach,
    by_items_known,
    by_people,
)
from recsvc.evaluation.metrics import Ranking

KNOWN = ("0", "1", "2", "3", "4 to 6", "7 to 14", "15 to 39", "40 and more")
PEOPLE = ("0", "1", "2 to 4", "5 to 9", "10 to 29", "30 and more")


@pytest.mark.parametrize(
    ("groups", "labels", "counts"),
    [
        (BY_ITEMS_KNOWN, KNOWN, ((0,), (1,), (2,), (3,), (4, 6), (7, 14), (15, 39), (40, 9_999))),
        (BY_PEOPLE, PEOPLE, ((0,), (1,), (2, 4), (5, 9), (10, 29), (30, 9_999))),
    ],
)
def test_a_count_is_in_the_group_whose_label_names_it(
    groups: CountGroups, labels: tuple[str, ...], counts: tuple[tuple[int, ...], ...]
) -> None:
    assert groups.labels == labels
    for place, inside in enumerate(counts):
        assert set(groups.of(np.array(inside, np.int64)).tolist()) == {place}


def per_user(ndcg: np.ndarray) -> PerUser:
    return dict(zip(METRICS, (ndcg, 2.0 * ndcg), strict=True))


def test_each_group_of_users_is_measured_by_its_own_users() -> None:
    generator = np.random.default_rng(3)
    items_known = np.repeat([1, 5, 4, 100], [40, 1, 19, 30])
    model, popular = generator.random(90), generator.random(90)
    popular[items_known == 1] = model[items_known == 1] + 0.1 + 0.01 * generator.random(40)
    parts = {"a": per_user((items_known == 1) * 0.5), "b": per_user((items_known > 1) * 0.25)}
    one, some, many = by_items_known(items_known, per_user(model), per_user(popular), parts)
    assert [each.group for each in (one, some, many)] == ["1", "4 to 6", "40 and more"]
    assert [each.users for each in (one, some, many)] == [40, 20, 30]
    assert [each.best_part for each in (one, some, many)] == ["a", "b", "b"]
    assert some.part["recall@20"].mean == 0.5
    own = (items_known == 4) | (items_known == 5)
    assert some.model["ndcg@20"].mean == pytest.approx(model[own].mean())
    assert some.popularity["recall@20"].mean == pytest.approx(2.0 * popular[own].mean())
    assert some.difference["ndcg@20"].mean == pytest.approx((model - popular)[own].mean())
    # Paired: the interval of a difference that hardly varies is narrow, those of both are wide.
    assert -0.11 <= one.difference["ndcg@20"].low <= one.difference["ndcg@20"].high <= -0.1
    assert one.model["ndcg@20"].high - one.model["ndcg@20"].low > 0.1


def test_a_model_without_parts_has_no_best_one() -> None:
    (group,) = by_items_known(np.array([0]), per_user(np.ones(1)), per_user(np.ones(1)), {})
    assert (group.group, group.best_part, dict(group.part)) == ("0", None, {})
    assert group.difference["ndcg@20"].mean == 0.0


def test_groups_of_items_by_hand() -> None:
    # Items 0 and 1 have one person, 2 has forty, 3 to 5 have three; nobody has 6, nor a list it.
    people = np.array([1, 1, 40, 3, 3, 3, 0])
    held_out = sp.csr_matrix(np.array([[1, 0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 0, 0, 0], [1] * 7]))
    model = np.array([[0, 2, 5, -1], [2, 1, 3, 4]])
    popular = np.array([[2, 3, 4, 5], [2, 3, 4, 5]])
    users, scores = np.array([0, 1]), np.zeros((2, 4), np.float32)
    groups = by_people(
        people, held_out, Ranking(users, model, scores), Ranking(users, popular, scores)
    )
    assert [(each.group, each.items, each.pairs) for each in groups] == [
        ("0", 1, 1), ("1", 2, 2), ("2 to 4", 3, 0), ("30 and more", 1, 1),
    ]  # fmt: skip
    assert [each.model for each in groups] == [
        Reach(0.0, 0.0), Reach(1.0, 2 / 7), Reach(None, 3 / 7), Reach(1.0, 2 / 7),
    ]  # fmt: skip
    assert [each.popularity for each in groups] == [
        Reach(0.0, 0.0), Reach(0.0, 0.0), Reach(None, 6 / 8), Reach(1.0, 2 / 8),
    ]  # fmt: skip
