import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from loaders.datasets.trust import trust
from loaders.errors import TableError
from loaders.tables import CATEGORIES, FOLLOWS, INTERACTIONS, ITEM_CATEGORIES


def mat(**matrices: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, matrices)
    return file.getvalue()


CIAO = {
    "rating.mat": mat(
        rating=np.array([[1, 7, 6, 4, 5], [2, 7, 6, 3, 0], [2, 8, 9, 1, 2]], np.int32)
    ),
    "trustnetwork.mat": mat(trustnetwork=np.array([[1, 2], [2, 2], [2, 1]], np.uint16)),
    "category.txt": "6 Food & Drink\r\n10 Ciao Café\r\n",
}


def test_ciao(reading: Any, written: Any) -> None:
    source = trust(written(CIAO))
    assert reading.rows(
        source, INTERACTIONS, "user_id", "item_id", "event", "value", "timestamp", "helpfulness"
    ) == [
        ("1", "7", "rating", 4.0, None, 5),
        ("2", "7", "rating", 3.0, None, 0),
        ("2", "8", "rating", 1.0, None, 2),
    ]
    assert reading.rows(source, CATEGORIES, "category_id", "name", "kind") == [
        ("6", "Food & Drink", "category"),
        ("9", None, "category"),
    ]
    assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
        ("7", "6"),
        ("8", "9"),
    ]
    assert reading.rows(source, FOLLOWS, "follower_id", "followee_id") == [("1", "2"), ("2", "1")]
    assert reading.reasons == [
        ("trustnetwork.mat", 2, "followee_id", "'2' is the follower_id too: expected another id")
    ]


def test_a_sixth_column_is_the_time(reading: Any, written: Any) -> None:
    rating = np.array([[1, 7, 6, 4, 5, 994_217_544.0], [1, 8, 6, np.nan, 5, 994_217_545.0]])
    files = {"rating_with_timestamp.mat": mat(rating_with_timestamp=rating)}
    source = trust(written(files))
    assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "value", "timestamp") == [
        ("1", "7", 4.0, datetime(2001, 7, 4, 3, 32, 24, tzinfo=UTC))
    ]
    assert [(line, column) for _, line, column, _ in reading.reasons] == [(2, "value")]
    assert [spec.name for spec in source.specs] == ["categories", "item_categories", "interactions"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no matrix", "not a MATLAB file"),
        (b"", "not a MATLAB file"),
        (mat(rating=np.zeros((2, 4))), r"holds float64\(2, 4\): expected one matrix"),
        (mat(a=np.zeros((2, 5)), b=np.zeros((2, 5))), "expected one matrix"),
        (mat(rating=np.array(["a", "b"])), "expected one matrix of numbers"),
        (CIAO["rating.mat"][:150], r"rating\.mat cannot be read"),
    ],
)
def test_files_that_are_others(written: Any, content: bytes, problem: str) -> None:
    with pytest.raises(TableError, match=problem):
        trust(written({"rating.mat": content}))


def test_no_ratings(written: Any) -> None:
    with pytest.raises(TableError, match=r"expected rating\.mat"):
        trust(written({"trustnetwork.mat": CIAO["trustnetwork.mat"]}))


def test_counts_of_the_source(reading: Any, shared_data: Path) -> None:
    source = trust(shared_data / "ciao")
    ratings = reading.table(source, INTERACTIONS)
    assert ratings.height == 284_086
    assert (ratings["user_id"].n_unique(), ratings["item_id"].n_unique()) == (7_375, 105_114)
    assert ratings["item_id"].cast(int).max() == 106_797
    assert ratings.height - ratings.select("user_id", "item_id").n_unique() == 1_436
    assert ratings["helpfulness"].null_count() == 0
    assert ratings["timestamp"].null_count() == ratings.height
    categories = reading.table(source, CATEGORIES)
    assert categories.height == 28
    assert categories["name"].null_count() == 0
    assert dict(categories.select("category_id", "name").iter_rows())["6"] == "Food & Drink"
    per_item = reading.table(source, ITEM_CATEGORIES)["item_id"].value_counts()
    assert per_item.filter(per_item["count"] > 1).height == 101
    follows = reading.table(source, FOLLOWS)
    assert follows.height == 111_781
    assert len({*follows["follower_id"], *follows["followee_id"]}) == 7_317
    assert reading.rejected == []
