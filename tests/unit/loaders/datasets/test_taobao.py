from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from loaders.datasets.taobao import taobao
from loaders.errors import TableError
from loaders.tables import CATEGORIES, INTERACTIONS, ITEM_CATEGORIES

FILE = {
    "UserBehavior.csv": (
        "1,10,500,pv,1511544070\n"
        "1,10,500,cart,1511544071\n"
        "2,11,501,fav,1505117799\n"
        "2,10,500,buy,1511544073\n"
        "2,10,500,look,1511544074\n"
        "2,10,500,pv"
    )
}


def test_cells(reading: Any, written: Any) -> None:
    source = taobao(written(FILE))
    assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "event", "timestamp") == [
        ("1", "10", "view", datetime(2017, 11, 24, 17, 21, 10, tzinfo=UTC)),
        ("1", "10", "cart", datetime(2017, 11, 24, 17, 21, 11, tzinfo=UTC)),
        ("2", "11", "favourite", datetime(2017, 9, 11, 8, 16, 39, tzinfo=UTC)),
        ("2", "10", "purchase", datetime(2017, 11, 24, 17, 21, 13, tzinfo=UTC)),
    ]
    assert reading.rows(source, CATEGORIES, "category_id", "kind") == [
        ("500", "category"),
        ("501", "category"),
    ]
    assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
        ("10", "500"),
        ("11", "501"),
    ]


def test_each_bad_row_is_rejected_once(reading: Any, written: Any) -> None:
    source = taobao(written(FILE))
    for spec in source.specs:
        reading.table(source, spec)
    assert reading.reasons == [
        ("UserBehavior.csv", 5, "type", "'look' is not one of pv, cart, fav, buy"),
        ("UserBehavior.csv", 6, "", "4 cells: expected 5 (user,item,category,type,time)"),
    ]
    assert [each.row for each in reading.rejected] == [
        "2,10,500,look,1511544074",
        "2,10,500,pv",
    ]


def test_no_file(written: Any) -> None:
    with pytest.raises(TableError, match=r"holds a\.txt: expected UserBehavior\.csv"):
        taobao(written({"a.txt": ""}))


def test_counts_of_the_source(reading: Any, shared_data: Path) -> None:
    source = taobao(shared_data / "taobao-userbehavior-sample")
    events = reading.table(source, INTERACTIONS)
    assert events.height == 84_475
    assert (events["user_id"].n_unique(), events["item_id"].n_unique()) == (815, 55_368)
    assert dict(events["event"].value_counts().rows()) == {
        "view": 75_872,
        "cart": 4_497,
        "favourite": 2_356,
        "purchase": 1_750,
    }
    assert reading.table(source, CATEGORIES).height == 2_914
    assert [(line, reason[:18]) for _, line, _, reason in reading.reasons] == [
        (84_476, "4 cells: expected ")
    ]
    months = events["timestamp"].dt.strftime("%Y-%m").value_counts().rows()
    assert dict(months).keys() >= {"2017-11", "2017-12", "2017-09"}
