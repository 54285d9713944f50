import numpy as np

from recsvc.evaluation.groups import BY_ITEMS_KNOWN, BY_PEOPLE


def test_each_group_says_which_counts_it_holds() -> None:
    assert BY_ITEMS_KNOWN.labels == (
        "0",
        "1",
        "2",
        "3",
        "4 to 6",
        "7 to 14",
        "15 to 39",
        "40 and more",
    )
    assert BY_PEOPLE.labels == ("0", "1", "2 to 4", "5 to 9", "10 to 29", "30 and more")


def test_a_count_is_in_the_group_whose_label_names_it() -> None:
    counts = np.array([0, 1, 2, 3, 4, 6, 7, 14, 15, 39, 40, 10_000], np.int64)
    labels = [BY_ITEMS_KNOWN.labels[group] for group in BY_ITEMS_KNOWN.of(counts)]
    assert labels == [
        "0", "1", "2", "3", "4 to 6", "4 to 6", "7 to 14", "7 to 14", "15 to 39", "15 to 39", "40 and more",
        "40 and more",
    ]  # fmt: skip
    assert BY_PEOPLE.of(np.array([0, 4, 5, 29, 30], np.int64)).tolist() == [0, 2, 3, 4, 5]
