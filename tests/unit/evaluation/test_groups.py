import numpy as np
import pytest

from recsvc.evaluation.groups import BY_ITEMS_KNOWN, BY_PEOPLE, CountGroups

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
